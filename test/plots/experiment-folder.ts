// An experiment in memory written as the folder that runs leave, by the writers that runs use.

import { configHash } from "../../src/config/identity.ts";
import { resolver } from "../../src/config/resolve.ts";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { freezePlan, planRuns } from "../../src/runs/manifest.ts";
import { createRunFolder, startRun, updateRun } from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import { names } from "../config/names.ts";

/** Writes `data` into `dir` and gives `dir`. The schemes and depths of its rows must be valid in a configuration. */
export function experimentFolder(dir: string, data: ExperimentData): string {
  const planned = data.runs.map(({ row }) => {
    const resolved = resolver(names).resolve({
      name: data.name,
      seed: row.seed,
      data: { corpus: "typescript-diagnostics", directions: ["en-de"] },
      model: { depth: row.config["model.depth"], width: 16, heads: 2, residual: row.config["model.residual"] },
      train: { steps: 40 },
    });
    if (!resolved.ok) throw new Error(JSON.stringify(resolved.problems));
    return { id: row.id, hash: configHash(resolved.value), varied: row.config, config: resolved.value };
  });
  freezePlan(dir, planRuns(dir, planned));
  for (const [i, { row, metrics, layers }] of data.runs.entries()) {
    const runDir = createRunFolder(dir, row.id);
    startRun(runDir, planned[i]!);
    const recorder = openRecorder(runDir);
    recorder.metrics(metrics);
    const steps = [...new Set(layers.map(({ step }) => step))];
    for (const step of steps)
      recorder.layers(
        step,
        layers.filter((layer) => layer.step === step),
      );
    recorder.close();
    writeTables(runDir);
    updateRun(runDir, {
      status: row.status as "done" | "diverged",
      reason: row.reason,
      engine: row.engine,
      steps: row.steps,
      unigramEntropy: row.unigramEntropy,
      hashes: { segments: "ab".repeat(32), vocabulary: "cd".repeat(32) },
      finished: "2026-11-22T18:03:00.000Z",
    });
  }
  return dir;
}
