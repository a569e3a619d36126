// The optional keys of `train`: what they become, that they leave the identity of a run alone where they say nothing, and what is
// refused.
import { describe, expect, test } from "vitest";
import { configHash } from "../../src/config/identity.ts";
import { resolver } from "../../src/config/resolve.ts";
import type { RunConfig } from "../../src/config/schema.ts";
import { names } from "./names.ts";

const transformer = {
  name: "tiny",
  data: { corpus: "typescript-diagnostics", directions: ["en-de"] },
  model: { depth: 1, width: 16, heads: 2, residual: "pre-ln" },
};
const vae = { name: "tiny", data: { images: "mnist" }, model: { kind: "vae", hidden: [8] } };
const gan = {
  name: "tiny",
  data: { images: "mnist" },
  model: { kind: "gan", generator: { hidden: [8] }, discriminator: { hidden: [8] } },
};

const resolved = (of: object, train: object) => resolver(names).resolve({ ...of, train: { steps: 20, ...train } });
function config(of: object, train: object): RunConfig {
  const result = resolved(of, train);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.value;
}
function problems(of: object, train: object): string {
  const result = resolved(of, train);
  return result.ok ? "" : result.problems.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n");
}

const all = { accumulate: 4, earlyStopping: { patience: 3 }, averageCheckpoints: 5, checkpointEverySteps: 4 };

test("accumulate, earlyStopping and averageCheckpoints are taken as they are, and resolving again changes nothing", () => {
  const once = config(transformer, all);
  expect(once.train).toMatchObject(all);
  expect(resolver(names).resolve(once)).toEqual({ ok: true, value: once });
  expect(config(vae, { earlyStopping: { patience: 3 } }).train).toMatchObject({ earlyStopping: { patience: 3 } });
});

test("where they say nothing they are no part of a run's identity; where they do, they are", () => {
  const plain = configHash(config(transformer, { checkpointEverySteps: 4 }));
  const nothing = { accumulate: null, earlyStopping: null, averageCheckpoints: null };
  expect(configHash(config(transformer, { ...nothing, checkpointEverySteps: 4 }))).toBe(plain);
  expect(configHash(config(transformer, { accumulate: 1, checkpointEverySteps: 4 }))).toBe(plain);
  for (const key of ["accumulate", "earlyStopping", "averageCheckpoints"] as const)
    expect(configHash(config(transformer, { [key]: all[key], checkpointEverySteps: 4 })), key).not.toBe(plain);
  expect(configHash(config(vae, { earlyStopping: null }))).toBe(configHash(config(vae, {})));
  expect(configHash(config(gan, { earlyStopping: null }))).toBe(configHash(config(gan, {})));
});

describe("refused", () => {
  test.each<[string, object, object, string]>([
    ["no batch", transformer, { accumulate: 0 }, "train.accumulate: expected at least 1, got 0"],
    ["half a batch", transformer, { accumulate: 1.5 }, "train.accumulate: expected a whole number, got 1.5"],
    ["no patience", transformer, { earlyStopping: {} }, "train.earlyStopping.patience: expected a number, got nothing"],
    [
      "patience outside its section",
      transformer,
      { earlyStopping: 3 },
      "train.earlyStopping: expected a mapping, got 3",
    ],
    [
      "an average of one",
      transformer,
      { averageCheckpoints: 1 },
      "train.averageCheckpoints: expected at least 2, got 1",
    ],
    [
      "an average of more checkpoints than there will be",
      transformer,
      { averageCheckpoints: 4, checkpointEverySteps: 8 },
      "train.averageCheckpoints: expected at most 3, the checkpoints of 20 steps with train.checkpointEverySteps: 8, got 4",
    ],
    [
      "early stopping of two players",
      gan,
      { earlyStopping: { patience: 3 } },
      "train.earlyStopping: expected none with model.kind: gan: of two players none is better",
    ],
    ["accumulation of images", vae, { accumulate: 2 }, "train.accumulate: unknown key"],
    ["an average of a VAE", vae, { averageCheckpoints: 2 }, "train.averageCheckpoints: unknown key"],
  ])("%s", (_, of, train, message) => expect(problems(of, train)).toContain(message));

  test("but an average of as many as there will be is not", () =>
    expect(problems(transformer, { averageCheckpoints: 3, checkpointEverySteps: 8 })).toBe(""));
});
