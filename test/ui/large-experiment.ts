// An experiment as large as they get, without training: the same size gives the same numbers. Written by the product's own writers. Tests make
// small ones; of 200 runs, 48 layers and 2000 steps, which take 2.5 GB, the server's times are measured.

import { rmSync } from "node:fs";
import { singleRun, type PlannedRun } from "../../src/config/sweep.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { eventsFile } from "../../src/runs/files.ts";
import { freezePlan, planRuns } from "../../src/runs/manifest.ts";
import { createRunFolder, startRun, updateRun } from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import type { LayerRow, MetricRow } from "../../src/types.ts";
import { config } from "../runs/folder.ts";

/** How large it is to be. */
export interface Size {
  readonly runs: number;
  readonly layers: number;
  readonly steps: number;
  /** Whether runs keep their events beside the tables, as they do; false: as where the large files were not copied along. */
  readonly keepsEvents?: boolean;
}

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The runs of the experiment: seeds of four depths. */
export const plannedRuns = ({ runs, layers, steps }: Size): PlannedRun[] =>
  Array.from({ length: runs }, (_, i) => {
    const depth = Math.max(1, Math.round((layers * (1 + (i % 4))) / 4));
    const resolved = config(1 + Math.floor(i / 4), depth);
    return {
      ...singleRun({ ...resolved, train: { ...resolved.train, steps } }),
      varied: { "model.depth": depth },
    };
  });

/** Writes an experiment's folder: a manifest and the runs, all done. `onRun` is told of each. */
export function writeLargeExperiment(dir: string, size: Size, onRun: (done: number) => void = () => {}): void {
  const runs = plannedRuns(size);
  freezePlan(dir, planRuns(dir, runs));
  for (const [i, run] of runs.entries()) {
    const runDir = createRunFolder(dir, run.id);
    startRun(runDir, run);
    const random = numbers(i + 1);
    const recorder = openRecorder(runDir);
    for (let step = 0; step < size.steps; step++) {
      recorder.metrics(metricRows(step, size.steps, random));
      recorder.layers(step, layerRows(step, size, random));
    }
    recorder.close();
    writeTables(runDir);
    updateRun(runDir, { status: "done", steps: size.steps, engine: "onnx", unigramEntropy: 6.2 });
    if (size.keepsEvents === false) rmSync(eventsFile(runDir));
    onRun(i + 1);
  }
}

function metricRows(step: number, steps: number, random: () => number): MetricRow[] {
  const row = (split: MetricRow["split"], name: string, value: number): MetricRow => ({
    step,
    tokens: 256 * (step + 1),
    seconds: 0.05 * (step + 1),
    split,
    name,
    value,
  });
  const loss = 4 + 3 * Math.exp((-4 * step) / steps) + 0.2 * random();
  return [
    row("train", "loss", loss),
    row("train", "gradient-norm", 0.1 + random()),
    row("train", "learning-rate", 0.001),
    row("train", "nll", loss - 0.1),
    ...(step % 100 === 99 ? [row("dev", "loss", loss + 0.1), row("dev", "loss/en-de", loss + 0.2)] : []),
  ];
}

function layerRows(step: number, { layers }: Size, random: () => number): LayerRow[] {
  return Array.from({ length: layers }, (_, layer) => {
    const l2 = Math.exp(-layer / 10) * (0.5 + random());
    return {
      step,
      player: "model",
      stack: layer < layers / 2 ? "encoder" : "decoder",
      layer: layer < layers / 2 ? layer : layer - Math.ceil(layers / 2),
      component: "layer",
      parameter: "stream",
      quantity: "activation-gradient",
      l2,
      rms: l2 / 64,
      max: l2 * (0.1 + 0.4 * random()),
      count: 4096,
    };
  });
}
