// Runs of configs/debug.yaml, a few steps of it, for tests of what runs leave behind.
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadRun } from "../../src/config/load.ts";
import { loadRegistries } from "../../src/config/registries.ts";
import { singleRun } from "../../src/config/sweep.ts";
import { executeRun } from "../../src/run.ts";
import { createRunFolder, startRun } from "../../src/runs/run-folder.ts";
import type { Outcome } from "../../src/train/trainer.ts";

export const debugConfig = fileURLToPath(new URL("../../configs/debug.yaml", import.meta.url));

/** An empty run folder for configs/debug.yaml with overrides. */
export async function freshRun(...overrides: string[]): Promise<string> {
  const { config } = loadRun(debugConfig, overrides, await loadRegistries());
  const run = singleRun(config);
  const runDir = createRunFolder(mkdtempSync(join(tmpdir(), "fathom-run-")), run.id);
  startRun(runDir, run);
  return runDir;
}

/** Runs (or goes on with) the run in `runDir`; `afterStep` may stop it by aborting or throwing. `lines` takes what it says. */
export async function go(
  runDir: string,
  overrides: readonly string[],
  afterStep: (step: number, stop: () => void) => void = () => {},
  lines: string[] = [],
): Promise<Outcome> {
  const { config } = loadRun(debugConfig, overrides, await loadRegistries());
  const controller = new AbortController();
  return executeRun(config, runDir, {
    signal: controller.signal,
    say: (line) => void lines.push(line),
    onProgress: ({ step }) => afterStep(step, () => controller.abort()),
  });
}

/** A run's tables as text, without the one column that tells the time; `readings` empty where there is no such table. */
export function tables(runDir: string): { metrics: string; layers: string; readings: string } {
  const lines = readFileSync(join(runDir, "metrics.csv"), "utf8").split("\n");
  const metrics = lines.map((line) => line.split(",").toSpliced(2, 1).join(",")).join("\n");
  const readings = join(runDir, "readings.csv");
  return {
    metrics,
    layers: readFileSync(join(runDir, "layers.csv"), "utf8"),
    readings: existsSync(readings) ? readFileSync(readings, "utf8") : "",
  };
}
