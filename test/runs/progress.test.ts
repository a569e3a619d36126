import { appendFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lastProgress } from "../../src/runs/progress.ts";

const record = {
  ...{ id: "x", experiment: "x", hash: "x", status: "running", reason: "", seed: 1, engine: "cpu", steps: 40 },
  ...{ unigramEntropy: null, hashes: {}, attempts: 1, started: "", finished: null, residual: null, details: {} },
  ...{ versions: {}, git: null, machine: { cpu: "", cores: 1, memoryBytes: 1, platform: "" } },
};

/** A run's folder with these lines of events. */
function runWith(...lines: readonly object[]): string {
  const runDir = mkdtempSync(join(tmpdir(), "fathom-progress-"));
  writeFileSync(join(runDir, "run.json"), JSON.stringify(record));
  writeFileSync(join(runDir, "events.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return runDir;
}

const metrics = (
  step: number,
  seconds: number,
  values: Readonly<Record<string, number | string>>,
  split = "train",
) => ({
  type: "metrics",
  rows: Object.entries(values).map(([name, value]) => [step, 100, seconds, split, name, value]),
});

test("how far a run is comes from its last training step, whatever follows that", () => {
  const runDir = runWith(
    metrics(8, 4, { loss: 3, "gradient-norm": 2 }),
    metrics(9, 5, { loss: 2.5, "gradient-norm": 1.5 }),
    metrics(10, 5.5, { loss: 9 }, "dev"),
    { type: "note", step: 10 },
  );
  appendFileSync(join(runDir, "events.jsonl"), '{"type":"metrics","rows":[[10,'); // torn
  const expected = {
    step: 10,
    steps: 40,
    loss: 2.5,
    gradientNorm: 1.5,
    stepsPerSecond: 2,
    secondsLeft: 15,
    seconds: 5,
  };
  expect(lastProgress(runDir)).toEqual(expected);
});

test("megabytes of layer values after it do not hide it", () => {
  const values = Array.from({ length: 300_000 }, (_, i) => i);
  const runDir = runWith(metrics(0, 1, { "player/loss": "NaN" }), { type: "layers", step: 0, header: 0, values });
  expect(lastProgress(runDir)).toMatchObject({ step: 1, loss: NaN, gradientNorm: NaN, secondsLeft: 39 });
});

test("a run that has not made a step has none", () => {
  expect(lastProgress(runWith())).toBeUndefined();
  expect(lastProgress(runWith(metrics(0, 1, { loss: 3 }, "dev")))).toBeUndefined();
  expect(lastProgress(join(tmpdir(), "no-such-run"))).toBeUndefined();
});
