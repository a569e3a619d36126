import { expect, test } from "vitest";
import { variedKeys, variedValues } from "../../src/runs/varied.ts";
import { config } from "./folder.ts";

const run = (depth: number, varied = {}, clipNorm: number | null = null, seed = 1) => {
  const base = config(seed, depth);
  return { varied, config: { ...base, train: { ...base.train, clipNorm } } };
};

test("a sweep's own keys are enough where they tell all runs apart", () => {
  const runs = [run(2, { "model.depth": 2 }), run(6, { "model.depth": 6 }), run(6, { "model.depth": 6 }, null, 2)];
  expect(variedKeys(runs)).toEqual(["model.depth"]);
});

test("runs of train are told apart by where their configurations differ, also beside a sweep's", () => {
  expect(variedKeys([run(2), run(6)])).toEqual(["model.depth"]);
  const runs = [run(2, { "model.depth": 2 }), run(2, {}, 1)];
  const keys = variedKeys(runs);
  expect(keys).toEqual(["model.depth", "train.clipNorm"]);
  expect(variedValues(runs[1]!, keys)).toEqual({ "model.depth": 2, "train.clipNorm": 1 });
});

test("a sweep asked for again with another override does not pass for more seeds", () => {
  const swept = [run(2, { "model.depth": 2 }), run(6, { "model.depth": 6 })];
  const again = [run(2, { "model.depth": 2 }, 1), run(6, { "model.depth": 6 }, 1)];
  expect(variedKeys([...swept, ...again])).toEqual(["model.depth", "train.clipNorm"]);
});

test("seeds alone vary nothing", () => {
  expect(variedKeys([run(2), run(2, {}, null, 2)])).toEqual([]);
});
