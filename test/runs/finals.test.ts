// What runs with several players, and with measurements at the end, count as in tables.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { parse } from "csv-parse/sync";
import { expect, test } from "vitest";
import { singleRun } from "../../src/config/sweep.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { readExperiment, writeRunsCsv } from "../../src/runs/experiment.ts";
import { createRunFolder, startRun, updateRun } from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import { fathom } from "../cli/capture.ts";
import { config, layerRows, loss, scratch } from "./folder.ts";

/** A finished run of two players: three steps, none of which has a row `loss`. */
function played(experimentDir: string, seed: number): void {
  const run = singleRun(config(seed));
  const runDir = createRunFolder(experimentDir, run.id);
  startRun(runDir, run);
  const recorder = openRecorder(runDir);
  for (let step = 0; step < 3; step++)
    recorder.metrics(["generator", "discriminator"].map((who) => ({ ...loss(step, 1), name: `${who}/loss` })));
  const measured = { nll: 86 + seed, "nll/standard-error": 0.3, "class/0": 0.1, modes: 10 };
  recorder.metrics(
    Object.entries(measured).map(([name, value]) => ({ ...loss(3, value), split: "test" as const, name })),
  );
  recorder.layers(0, layerRows(0));
  recorder.close();
  writeTables(runDir);
  updateRun(runDir, { status: "done", engine: "cpu", unigramEntropy: 206 });
}

test("steps are counted without a loss, and what was measured at the end stands in runs.csv and compare", async () => {
  const dir = scratch();
  played(dir, 1);
  played(dir, 3);
  const { runs } = readExperiment(dir);
  expect(runs.map(({ row, finals }) => [row.steps, row.finalDevLoss, finals])).toEqual([
    [3, NaN, { nll: 87, modes: 10 }],
    [3, NaN, { nll: 89, modes: 10 }],
  ]);
  writeRunsCsv(dir);
  const rows: Record<string, string>[] = parse(readFileSync(join(dir, "runs.csv")), { columns: true });
  expect(rows.map((row) => [row["steps"], row["finalDevLoss"], row["nll"], row["modes"]])).toEqual([
    ["3", "", "87", "10"],
    ["3", "", "89", "10"],
  ]);
  const [compared] = JSON.parse((await fathom("compare", dir, "--json")).stdout) as { finals: unknown }[];
  expect(compared!.finals).toEqual({ nll: { mean: 88, sd: Math.SQRT2, n: 2 }, modes: { mean: 10, sd: 0, n: 2 } });
  const { stdout } = await fathom("compare", dir);
  expect(stripVTControlCharacters(stdout)).toMatch(/test nll +test modes\n.*88\.00 ± 1\.4 +10\.00 ± 0\.0/);
});
