// An experiment whose runs have everything in them that an export must carry over: values that are no numbers, rows without a layer,
// readings of heads, a grid of images.

import { openRecorder } from "../../src/runs/events.ts";
import { createRunFolder, startRun, updateRun } from "../../src/runs/run-folder.ts";
import { gridPng, sampleName, writeSamples, type SampleFacts } from "../../src/runs/samples.ts";
import { writeTables } from "../../src/runs/tables.ts";
import type { MetricRow, ReadingRow } from "../../src/types.ts";
import { layerRows } from "../runs/folder.ts";
import { planned, plannedExperiment } from "../runs/invented.ts";

/** When the runs began. */
export const started = "2026-01-02T03:04:05.678Z";

const metric = (step: number, split: MetricRow["split"], name: string, value: number): MetricRow => ({
  step,
  tokens: 2 ** 31 + step, // more than 32 bits hold
  seconds: 0.25 * (step + 1),
  split,
  name,
  value,
});

const reading = (step: number, head: number, value: number): ReadingRow => ({
  step,
  player: "model",
  stack: "encoder",
  layer: 0,
  component: "self-attention",
  parameter: `head-${head}`,
  quantity: "attention-entropy",
  value,
});

const facts: SampleFacts = { kind: "generated", step: 2, epoch: 1, rows: 2, columns: 3, height: 4, width: 5 };

/** Makes runs at depth 2 and 3, and one that is planned at depth 4; gives the experiment's folder and the run ids. */
export function recordedExperiment(): { dir: string; ids: string[] } {
  const runs = [planned(1, 2), planned(1, 3), planned(1, 4)];
  const dir = plannedExperiment(runs);
  for (const [i, run] of runs.slice(0, 2).entries()) {
    const runDir = createRunFolder(dir, run.id);
    startRun(runDir, run);
    const recorder = openRecorder(runDir);
    for (let step = 0; step < 3; step++) {
      const loss = i === 1 && step === 2 ? NaN : 1 / (step + 3);
      recorder.metrics([metric(step, "train", "loss", loss), metric(step, "train", "gradient-norm", 10 ** -step)]);
      const rows = layerRows(step);
      recorder.layers(
        step,
        i === 1 && step === 2 ? rows.map((row) => ({ ...row, l2: Infinity, max: -Infinity })) : rows,
      );
      recorder.readings(step, [reading(step, 0, 0.5), reading(step, 1, 1)]);
    }
    recorder.metrics([metric(3, "dev", "loss", 0.7 + i), metric(3, "dev", "loss/en-de", 0.7 + i)]);
    recorder.close();
    writeSamples(
      runDir,
      new Map([[sampleName(facts), gridPng({ ...facts, images: new Float32Array(6 * 20).fill(0.5) })]]),
    );
    writeTables(runDir);
    updateRun(runDir, { status: i === 0 ? "done" : "diverged", reason: i === 0 ? "" : "the loss", started });
  }
  return { dir, ids: runs.map(({ id }) => id) };
}
