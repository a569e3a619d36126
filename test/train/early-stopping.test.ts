// Early stopping: by the evaluations alone, at the same step whatever interrupts the run, and as a result that is done.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatImageSet, IDX_NAMES } from "../../src/data/image-set.ts";
import { stream } from "../../src/random.ts";
import { reasonToStop } from "../../src/train/early-stopping.ts";
import { readRun, updateRun } from "../../src/runs/run-folder.ts";
import { readMetrics } from "../../src/runs/tables.ts";
import { fathom } from "../cli/capture.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { scratch } from "../runs/folder.ts";
import { debugConfig, freshRun, go, tables } from "./run-folder.ts";

useTemporaryCache();

describe("training with a patience of 3 evaluations, one every 100 steps,", () => {
  const training = { earlyStopping: { patience: 3 }, evaluateEverySteps: 100 };
  const best = { step: 900, loss: 2.3123456 };

  test("goes on for two evaluations after the lowest dev loss, and ends at the third", () => {
    expect(reasonToStop(training, { step: 900, best })).toBeUndefined();
    expect(reasonToStop(training, { step: 1100, best })).toBeUndefined();
    expect(reasonToStop(training, { step: 1200, best })).toBe(
      "stopped early at step 1200: the dev loss has not fallen below 2.31235 (step 900) in 3 evaluations",
    );
  });

  test("does not end where there has been no finite dev loss, nor without a patience", () => {
    expect(reasonToStop(training, { step: 1200, best: null })).toBeUndefined();
    expect(reasonToStop({ evaluateEverySteps: 100 }, { step: 1200, best })).toBeUndefined();
  });
});

/** A learning rate at which the dev loss falls, and rises again: the step at which it was lowest is neither the first nor the last. */
const overrides = [
  "model.depth=1",
  "model.width=8",
  "data.maxLength=12",
  "train.steps=60",
  "train.optimizer.learningRate=0.1",
  "train.evaluateEverySteps=3",
  "train.checkpointEverySteps=4",
  "train.earlyStopping.patience=2",
];
/** Step and dev loss of every evaluation. */
const evaluations = (run: string): { step: number; value: number }[] =>
  readMetrics(run).filter(({ split, name }) => split === "dev" && name === "loss");

test("a run ends at the second evaluation without a lower dev loss, and gives the same bytes whatever interrupts it", async () => {
  const whole = await freshRun(...overrides);
  const outcome = await go(whole, overrides);
  const dev = evaluations(whole);
  const best = dev.reduce((a, b) => (b.value < a.value ? b : a));
  const end = dev.at(-1)!.step;
  expect(best.step).toBeGreaterThan(0);
  expect(end).toBe(best.step + 2 * 3);
  // Never before were there two in a row.
  const lowestBefore = (i: number): number => Math.min(...dev.slice(0, i).map(({ value }) => value));
  const isLower = dev.map(({ value }, i) => value < lowestBefore(i));
  expect(isLower.slice(0, -2).some((lower, i) => !lower && !isLower[i + 1] && i + 2 < isLower.length - 1)).toBe(false);
  expect(outcome).toEqual({
    status: "done",
    reason: `stopped early at step ${end}: the dev loss has not fallen below ${best.value.toPrecision(6)} (step ${best.step}) in 2 evaluations`,
    stoppedAt: end,
  });
  expect(Math.max(...readMetrics(whole).map(({ step }) => step))).toBe(end);
  expect(readRun(whole)!.steps).toBe(end);

  const run = await freshRun(...overrides);
  for (const stopAt of [2, best.step, end - 1])
    expect((await go(run, overrides, (step, stop) => step === stopAt && stop())).status).toBe("interrupted");
  expect(await go(run, overrides)).toEqual(outcome);
  expect(tables(run)).toEqual(tables(whole));
  // The process was killed when everything was written but that the run is done: it ends the same way again.
  updateRun(run, { status: "running", steps: 60 });
  expect(await go(run, overrides)).toEqual(outcome);
  expect(tables(run)).toEqual(tables(whole));
  expect(readRun(run)!.steps).toBe(end);
}, 60_000);

test("a run that comes to its last step in time says nothing of stopping", async () => {
  const patient = [...overrides.filter((o) => !o.includes("steps=60") && !o.includes("patience")), "train.steps=6"];
  const run = await freshRun(...patient, "train.earlyStopping.patience=2");
  expect(await go(run, [...patient, "train.earlyStopping.patience=2"])).toEqual({ status: "done" });
}, 60_000);

test("train says why it ended, status shows a run that is done, and the same command does not go on with it", async () => {
  const out = scratch();
  const args = [debugConfig, ...overrides, "--out", out];
  const { code, stdout } = await fathom("train", ...args);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /: done: stopped early at step \d+: the dev loss has not fallen below [\d.]+ \(step \d+\) in 2 evaluations\n$/,
  );
  const [, end] = /at step (\d+)/.exec(stdout)!;
  const status = await fathom("status", "debug", "--out", out);
  expect(status.stdout).toContain(` ${end}/${end} `);
  expect(status.stdout).toContain(`stopped early at step ${end}`);
  expect(status.stdout).toContain("1 done");
  const again = await fathom("train", ...args);
  expect(again.stdout).toContain(`: done before: stopped early at step ${end}`);
}, 60_000);

test("a VAE stops as well, and leaves the pictures of its end", async () => {
  const folder = scratch();
  const part = (count: number): { images: Uint8Array; labels: Uint8Array } => ({
    images: Uint8Array.from(stream(1, "test pixels").uniform(new Float64Array(64 * count)), (u) => 256 * u),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
  });
  const set = formatImageSet({ name: "tiny", height: 8, width: 8, train: part(40), test: part(10) });
  for (const [role, file] of Object.entries(set))
    writeFileSync(join(folder, IDX_NAMES[role as keyof typeof IDX_NAMES]), file);
  const config = join(folder, "tiny.yaml");
  writeFileSync(
    config,
    `name: tiny
data: {images: ${JSON.stringify(folder)}, validation: 8}
model: {kind: vae, latent: 2, hidden: [8]}
train: {steps: 90, batch: {images: 4}, optimizer: {kind: adam, learningRate: 0.1}, evaluateEverySteps: 4, earlyStopping: {patience: 2}}
metrics: {evaluation: [], final: []}
samples: {epochs: [0]}
`,
  );
  const { code, stdout } = await fathom("train", config, "--out", folder);
  expect(code).toBe(0);
  const [, runDir, end] = /^(.*): done: stopped early at step (\d+)/.exec(stdout)!;
  expect(Number(end)).toBeLessThan(90);
  expect(readdirSync(join(runDir!, "samples")).sort()).toEqual([
    "generated-step-00000000.png",
    `generated-step-${end!.padStart(8, "0")}.png`,
    "latent.csv",
    "manifold.png",
    "reconstructions.png",
    "traversal.png",
  ]);
}, 60_000);
