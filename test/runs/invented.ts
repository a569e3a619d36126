// Runs of an experiment as they lie in its folder at some moment, without training.

import { singleRun, type PlannedRun } from "../../src/config/sweep.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { freezePlan, planRuns } from "../../src/runs/manifest.ts";
import { createRunFolder, startRun, updateRun, type RunRecord } from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import { config, layerRows, loss, scratch } from "./folder.ts";

/** A run that is planned, of 20 steps, its depth varied. */
export const planned = (seed: number, depth = 2): PlannedRun => ({
  ...singleRun(config(seed, depth)),
  varied: { "model.depth": depth },
});

/** A new experiment's folder in which these runs are planned. */
export function plannedExperiment(runs: readonly PlannedRun[]): string {
  const dir = scratch();
  freezePlan(dir, planRuns(dir, runs));
  return dir;
}

/** Records `steps` steps of half a second each, with a dev loss at the end if given, and leaves the run as `patch` says: with its tables
 *  where that is done or diverged. */
export function leave(
  experimentDir: string,
  run: PlannedRun,
  steps: number,
  { devLoss, ...patch }: Partial<RunRecord> & { devLoss?: number } = {},
): string {
  const runDir = createRunFolder(experimentDir, run.id);
  startRun(runDir, run);
  const recorder = openRecorder(runDir);
  for (let step = 0; step < steps; step++)
    recorder.metrics([{ ...loss(step, 8 - step / 8), seconds: 0.5 * (step + 1) }]);
  if (devLoss !== undefined) recorder.metrics([{ ...loss(steps, devLoss, "dev"), seconds: 0.5 * steps }]);
  recorder.layers(0, layerRows(0));
  recorder.close();
  if (patch.status === "done" || patch.status === "diverged") writeTables(runDir);
  updateRun(runDir, patch);
  return runDir;
}
