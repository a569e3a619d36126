// Checkpoint averaging: which checkpoints, what their mean is, that nothing that interrupts a run changes it, and who uses it.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { readRun } from "../../src/runs/run-folder.ts";
import { readMetrics } from "../../src/runs/tables.ts";
import type { Parameter } from "../../src/stage.ts";
import { averageCheckpoints, averagedSteps } from "../../src/train/average.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { readSafetensors } from "../../src/train/safetensors.ts";
import { fathom } from "../cli/capture.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { scratch } from "../runs/folder.ts";
import { debugConfig, freshRun, go, tables } from "./run-folder.ts";

useTemporaryCache();

describe("the last N checkpoints", () => {
  const every4 = (count: number) => ({ count, checkpointEverySteps: 4 });

  test("are the end and the multiples before it, however the end lies between them", () => {
    expect(averagedSteps(12, every4(3))).toEqual([4, 8, 12]);
    expect(averagedSteps(14, every4(3))).toEqual([8, 12, 14]);
    expect(averagedSteps(13, every4(2))).toEqual([12, 13]);
  });

  test("are fewer where training ended before there were as many", () =>
    expect(averagedSteps(6, every4(5))).toEqual([4, 6]));

  test("are, as far as they are saved, among those of an earlier end: what is kept for that is all that is needed", () => {
    for (const count of [2, 3, 5])
      for (let end = 1; end < 40; end++)
        for (const step of averagedSteps(end, every4(count)).slice(0, -1))
          for (let earlier = step; earlier < end; earlier++)
            expect(averagedSteps(earlier, every4(count)), `${step} of ${end} at ${earlier}`).toContain(step);
  });
});

describe("a mean", () => {
  const of = (path: string, shape: number[], data: number[], rest: Partial<Parameter> = {}): [string, Parameter] => [
    path,
    { path, shape, init: { kind: "constant", value: 0 }, data: Float32Array.from(data), ...rest },
  ];
  const start = { step: 0, tokens: 0, seconds: 0, seed: 1, best: null };
  const save = (runDir: string, step: number, ...parameters: [string, Parameter][]): void =>
    saveCheckpoint(runDir, "step", { ...start, step }, new Map(parameters), new Map(), [1, 2, 3, 4]);

  test("is that of the numbers, rounded once, and leaves the parameters as they are", () => {
    const run = scratch();
    // In float32, 2^24 + 1 is 2^24: a sum in it would lose the ones.
    for (const [step, x] of [2 ** 24, 1, 1, 2].entries()) save(run, step + 1, of("a", [2], [x, step]));
    const now = new Map([of("a", [2], [7, 7])]);
    expect([...averageCheckpoints(run, [1, 2, 3, 4], now).parameters.get("a")!.data]).toEqual([2 ** 22 + 1, 1.5]);
    expect([...now.get("a")!.data]).toEqual([7, 7]);
  });

  test("of vectors of unit norm has unit norm, and lies between them", () => {
    const run = scratch();
    const unit = { unitNorm: 1 } as const;
    save(run, 1, of("a", [2, 2], [1, 0, 0, 1], unit));
    save(run, 2, of("a", [2, 2], [0, 1, 0, 1], unit));
    const now = new Map([of("a", [2, 2], [1, 0, 1, 0], unit)]);
    const { data } = averageCheckpoints(run, [1, 2], now).parameters.get("a")!;
    for (const [i, wanted] of [Math.SQRT1_2, Math.SQRT1_2, 0, 1].entries()) expect(data[i]).toBeCloseTo(wanted, 7);
  });

  const half = (runDir: string, name: string): void =>
    writeFileSync(join(runDir, "checkpoints", name, "weights.safetensors"), "half");

  test("without a damaged and a missing checkpoint is that of the others, and says what is wrong with each", () => {
    const run = scratch();
    for (const step of [1, 2, 4]) save(run, step, of("a", [1], [step]));
    half(run, "step-00000002");
    const { parameters, steps, leftOut } = averageCheckpoints(run, [1, 2, 3, 4], new Map([of("a", [1], [7])]));
    expect([...parameters.get("a")!.data]).toEqual([2.5]);
    expect(steps).toEqual([1, 4]);
    expect(leftOut).toEqual([
      expect.stringMatching(/step-00000002\/weights\.safetensors: expected .*: it is damaged$/),
      expect.stringMatching(/checkpoints: expected a checkpoint of step 3, got none$/),
    ]);
  });

  test("takes the best checkpoint of a step instead of a damaged one: its weights are the same", () => {
    const run = scratch();
    for (const step of [1, 2]) save(run, step, of("a", [1], [step]));
    saveCheckpoint(run, "best", { ...start, step: 1 }, new Map([of("a", [1], [1])]), new Map());
    half(run, "step-00000001");
    const { parameters, ...rest } = averageCheckpoints(run, [1, 2], new Map([of("a", [1], [7])]));
    expect([...parameters.get("a")!.data]).toEqual([1.5]);
    expect(rest).toEqual({ steps: [1, 2], leftOut: [] });
  });

  test("of nothing but damaged checkpoints is refused, by their names and with one repair", () => {
    const run = scratch();
    for (const step of [2, 4]) save(run, step, of("a", [1], [1]));
    half(run, "step-00000002");
    half(run, "step-00000004");
    const average = () => averageCheckpoints(run, [2, 4], new Map([of("a", [1], [1])]));
    expect(average).toThrow(UserError);
    expect(average).toThrow(
      /step-00000002\/weights\.safetensors: .*step-00000004\/weights\.safetensors: .*run it again with --afresh$/s,
    );
    expect(average).not.toThrow(/restore/);
  });
});

const overrides = [
  "model.depth=1",
  "model.width=8",
  "data.maxLength=12",
  "train.steps=13",
  "train.evaluateEverySteps=6",
  "train.checkpointEverySteps=3",
  "train.averageCheckpoints=4",
  "model.dropout=0.1",
];
let whole: string;
beforeAll(async () => {
  whole = await freshRun(...overrides);
  expect(await go(whole, overrides)).toEqual({ status: "done" });
}, 60_000);
const weights = (run: string, name: string): string => join(run, "checkpoints", name, "weights.safetensors");
const averageOf = (run: string): Buffer => readFileSync(weights(run, "average-step-00000013"));
const names = (run: string): string[] =>
  readdirSync(join(run, "checkpoints")).filter((name) => !name.startsWith("best"));

describe("a run", () => {
  test("leaves the mean of its last four checkpoints, which are kept, and no others", () => {
    const steps = [6, 9, 12, 13].map((step) => `step-${String(step).padStart(8, "0")}`);
    expect(names(whole).sort()).toEqual(["average-step-00000013", ...steps]);
    expect(readRun(whole)!.details["averagedSteps"]).toEqual([6, 9, 12, 13]);
    const each = steps.map((name) => readSafetensors(weights(whole, name)).tensors);
    const { tensors } = readSafetensors(weights(whole, "average-step-00000013"));
    expect([...tensors.keys()]).toEqual([...each[0]!.keys()]);
    for (const [path, { data }] of tensors)
      for (let i = 0; i < data.length; i++) {
        const [a, b, c, d] = each.map((one) => one.get(path)!.data[i]!) as [number, number, number, number];
        expect(data[i]).toBe(Math.fround((a + b + c + d) / 4));
      }
  });

  test("evaluates it on dev, and leaves the losses of training and the best checkpoint as they are without", async () => {
    const plain = overrides.filter((o) => !o.includes("averageCheckpoints"));
    const run = await freshRun(...plain);
    await go(run, plain);
    const lines = tables(whole).metrics.split("\n");
    expect(lines.filter((line) => !line.includes("average/")).join("\n")).toBe(tables(run).metrics);
    const averaged = readMetrics(whole).filter(({ name }) => name.startsWith("average/"));
    expect(averaged.map(({ step, split, name }) => [step, split, name])).toEqual([
      [13, "dev", "average/loss"],
      [13, "dev", "average/loss/en-de"],
    ]);
    const last = readMetrics(whole).find(({ step, split, name }) => step === 13 && split === "dev" && name === "loss");
    expect(averaged[0]!.value).not.toBe(last!.value);
    expect(Math.abs(averaged[0]!.value - last!.value)).toBeLessThan(0.5);
  }, 60_000);

  // 7 and 11 lie between checkpoints: what an interruption saves there is no part of the average.
  test("interrupted, crashed and resumed has the same average and tables, byte for byte", async () => {
    const run = await freshRun(...overrides);
    for (const stopAt of [7, 9, 11])
      expect(await go(run, overrides, (step, stop) => step === stopAt && stop())).toEqual({ status: "interrupted" });
    const crash = go(run, overrides, (step) => {
      if (step === 13) throw new Error("power cut");
    });
    await expect(crash).rejects.toThrow("power cut");
    expect(await go(run, overrides)).toEqual({ status: "done" });
    expect(averageOf(run)).toEqual(averageOf(whole));
    expect(tables(run)).toEqual(tables(whole));
    // Once more, as after a death before the run was said to be done, with an average that was half written.
    const torn = join(run, "checkpoints", ".average-step-00000013.4711");
    mkdirSync(torn);
    writeFileSync(join(torn, "weights.safetensors"), "half");
    expect(await go(run, overrides)).toEqual({ status: "done" });
    expect(existsSync(torn)).toBe(false);
    expect(averageOf(run)).toEqual(averageOf(whole));
    expect(tables(run)).toEqual(tables(whole));
  }, 60_000);

  test("of which a checkpoint was damaged meanwhile averages the others, says so and notes which", async () => {
    const run = await freshRun(...overrides);
    expect(await go(run, overrides, (step, stop) => step === 11 && stop())).toEqual({ status: "interrupted" });
    // Step 6 is evaluated: its best checkpoint would stand in.
    for (const name of readdirSync(join(run, "checkpoints")).filter((one) => one.endsWith("06")))
      writeFileSync(weights(run, name), "half");
    const lines: string[] = [];
    expect(await go(run, overrides, undefined, lines)).toEqual({ status: "done" });
    expect(lines.at(-1)).toMatch(
      /step-00000006\/weights\.safetensors: expected .*; left out of the average, which is that of the steps 9, 12, 13$/,
    );
    expect(readRun(run)!.details["averagedSteps"]).toEqual([9, 12, 13]);
    expect(readFileSync(weights(run, "step-00000013"))).toEqual(readFileSync(weights(whole, "step-00000013")));
  }, 60_000);

  test("that stops early averages those before its end, and says where they are fewer", async () => {
    const stopping = ["train.optimizer.learningRate=1", "train.evaluateEverySteps=2", "train.earlyStopping.patience=2"];
    const own = [...overrides.filter((o) => !o.includes("evaluateEverySteps")), ...stopping];
    const { code, stdout, stderr } = await fathom("train", debugConfig, ...own, "--out", scratch());
    expect(code).toBe(0);
    const [, runDir, end] = /^(.*): done: stopped early at step (\d+)/.exec(stdout)!;
    const steps = averagedSteps(Number(end), { count: 4, checkpointEverySteps: 3 });
    expect(readRun(runDir!)!.details["averagedSteps"]).toEqual(steps);
    expect(steps.length).toBeLessThan(4);
    expect(stderr).toContain(`averaged ${steps.length} checkpoints of 4: training ended before there were more`);
  }, 60_000);

  test("of so few epochs that there are fewer checkpoints is refused before it begins", async () => {
    const own = [...overrides.filter((o) => !o.includes("train.steps")), "train.steps=null", "train.epochs=1"];
    const { code, stderr } = await fathom(
      "train",
      debugConfig,
      ...own,
      "train.averageCheckpoints=999",
      "--out",
      scratch(),
    );
    expect(code).toBe(2);
    expect(stderr).toMatch(/train\.averageCheckpoints: expected at most \d+, the checkpoints of \d+ steps .*, got 999/);
  }, 60_000);
});

describe("who translates", () => {
  const checkpoint = async (run: string, ...args: string[]): Promise<string> => {
    const { code, stdout } = await fathom("evaluate", run, "--pairs", "1", "--beam", "1", "--json", ...args);
    expect(code).toBe(0);
    return (JSON.parse(stdout) as { checkpoint: string }).checkpoint;
  };

  test("does so with the average, or with the checkpoint of the step asked for; without an average with the best", async () => {
    expect(await checkpoint(whole)).toBe("average-step-00000013");
    expect(await checkpoint(whole, "--step", "12")).toBe("step-00000012");
    const text = async (...args: string[]): Promise<string> =>
      (await fathom("translate", whole, "Type expected.", "--json", ...args)).stdout;
    expect(await text()).not.toBe(await text("--step", "13"));
    rmSync(join(whole, "checkpoints", "average-step-00000013"), { recursive: true });
    expect(await checkpoint(whole)).toMatch(/^best-step-/);
  }, 60_000);

  test("is told so by --help", async () => {
    for (const verb of ["translate", "evaluate"])
      expect((await fathom(verb, "--help")).stdout.replace(/\s+/g, " ")).toContain("average of the last ones");
  });
});

test("killed by SIGKILL while it trains and run again, it has the same average", async () => {
  const long = [...overrides.filter((o) => !o.startsWith("train.steps")), "train.steps=40"];
  const out = scratch();
  const bin = join(dirname(debugConfig), "../bin/fathom.js");
  const command = [bin, "train", debugConfig, ...long, "--out", out, "--json"];
  const child = spawn(process.execPath, command, { stdio: "ignore" });
  const ended = once(child, "exit");
  const runs = join(out, "debug/runs");
  const events = (): string => (existsSync(runs) ? join(runs, readdirSync(runs)[0] ?? "", "events.jsonl") : "");
  while (!(existsSync(events()) && readFileSync(events(), "utf8").includes('"step":31,'))) {
    expect(child.exitCode).toBeNull();
    await sleep(5);
  }
  child.kill("SIGKILL");
  await ended;
  const run = dirname(events());
  rmSync(join(run, "lease"), { recursive: true, force: true }); // the dead process's, whose silence others wait for
  const again = spawnSync(process.execPath, command, { encoding: "utf8" });
  expect(again.status, again.stderr).toBe(0);
  const reference = await freshRun(...long);
  await go(reference, long);
  const bytes = (of: string): Buffer => readFileSync(weights(of, "average-step-00000040"));
  expect(bytes(run)).toEqual(bytes(reference));
}, 60_000);
