// Successive halving with real training in child processes, which run the built program.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Rung } from "../../src/halving.ts";
import type { RunRow } from "../../src/types.ts";
import { fathom } from "./capture.ts";

interface Result {
  readonly experiment: string;
  readonly runs: readonly RunRow[];
}

const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
const short = ["model.depth=1", "train.steps=8", "train.evaluateEverySteps=2"];
const parameters =
  "  parameters:\n    train.optimizer.learningRate: {values: [0.00001, 0.003, 0.0000001, 0.0001]}\n  seeds: [1, 2]\n";

test("at each step the better half of the configurations goes on, with the numbers that they have without halving", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-halving-"));
  const file = join(out, "c.yaml");
  writeFileSync(file, `${debug}sweep:\n${parameters}  halving: {from: 2}\n`);
  const sweep = async (...more: string[]): Promise<Result> =>
    JSON.parse((await fathom("sweep", file, ...short, "--out", out, "--json", ...more)).stdout) as Result;
  const { experiment, runs } = await sweep();
  const rateOf = (row: { config: RunRow["config"] }): unknown => row.config["train.optimizer.learningRate"];
  expect(runs.map((row) => [rateOf(row), row.steps, row.status])).toEqual([
    [0.00001, 2, "done"],
    [0.00001, 2, "done"],
    [0.003, 8, "done"],
    [0.003, 8, "done"],
    [0.0000001, 2, "done"],
    [0.0000001, 2, "done"],
    [0.0001, 4, "done"],
    [0.0001, 4, "done"],
  ]);
  expect(runs[4]!.reason).toMatch(
    /^stopped at step 2 by successive halving: dev loss \d\.\d+ over 2 seeds, place 4 of 4, of which 2 go on$/,
  );
  expect(runs[2]!.reason).toBe("");
  const { rungs } = JSON.parse(readFileSync(join(experiment, "halving.json"), "utf8")) as { rungs: Rung[] };
  expect(rungs.map(({ step, ranked }) => [step, ranked.map((one) => [rateOf(one), one.goesOn])])).toEqual([
    [
      2,
      [
        [0.003, true],
        [0.0001, true],
        [0.00001, false],
        [0.0000001, false],
      ],
    ],
    [
      4,
      [
        [0.003, true],
        [0.0001, false],
      ],
    ],
  ]);
  expect(rungs[0]!.ranked[3]!.devLoss).toBeCloseTo((runs[4]!.finalDevLoss + runs[5]!.finalDevLoss) / 2, 5);

  // Again it changes nothing; and a run that is lost is made again as far as it had come.
  const table = (id: string): string => readFileSync(join(experiment, "runs", id, "layers.csv"), "utf8");
  const tables = runs.map(({ id }) => table(id));
  for (const lost of [runs[2]!, runs[7]!]) rmSync(join(experiment, "runs", lost.id), { recursive: true });
  const again = await sweep();
  expect(again.runs.map(({ reason, steps }) => [reason, steps])).toEqual(
    runs.map(({ reason, steps }) => [reason, steps]),
  );
  expect(runs.map(({ id }) => table(id))).toEqual(tables);

  // With more configurations those that were stopped take no place, and a sweep without it is resumed without it.
  writeFileSync(file, `${debug}sweep:\n${parameters.replace("[0.00001", "[0.001, 0.00001")}  halving: {from: 2}\n`);
  const grown = await sweep();
  expect(grown.runs.filter((row) => rateOf(row) === 0.001).map((row) => row.steps)).toEqual([8, 8]);
  const file_ = join(experiment, "halving.json");
  const [second] = (JSON.parse(readFileSync(file_, "utf8")) as { rungs: Rung[] }).rungs.slice(1);
  expect(second!.ranked.map(rateOf)).not.toContain(0.00001);
  writeFileSync(file, `${debug}sweep:\n${parameters}`);
  expect((await sweep()).runs.map((row) => row.steps)).toEqual(grown.runs.map((row) => row.steps));
  expect(existsSync(file_)).toBe(false);

  // Without halving.
  writeFileSync(file, debug + "sweep:\n  seeds: [1]\n");
  const [alone] = (await sweep("train.optimizer.learningRate=0.003", "name=alone")).runs;
  expect(readFileSync(join(out, "alone", "runs", alone!.id, "layers.csv"), "utf8")).toBe(tables[2]);
});

test("an interrupted comparison stops nothing, and is made once all runs are there", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-halving-"));
  const file = join(out, "c.yaml");
  writeFileSync(file, `${debug}sweep:\n${parameters}  halving: {from: 2}\n`);
  const interrupted = fathom("sweep", file, ...short, "--out", out, "--json", "--jobs", "1");
  await expect
    .poll(async () => (await import("../../src/runs/experiment.ts")).statusOf(firstRun(out)), { timeout: 60_000 })
    .toBe("stale"); // it waits at its step
  process.emit("SIGINT");
  const { code, stdout } = await interrupted;
  expect(code).toBe(130);
  const { experiment, runs } = JSON.parse(stdout) as Result;
  expect(runs.some((row) => row.status === "done")).toBe(false);
  expect(runs[0]!.reason).toBe("waits at step 2 for the other runs");
  const resumed = JSON.parse((await fathom("resume", experiment, "--json")).stdout) as Result;
  expect(resumed.runs.map((row) => row.steps)).toEqual([2, 2, 8, 8, 2, 2, 4, 4]);
  expect((await fathom("resume", experiment, "--stale")).stderr).toContain("--stale: expected without sweep.halving");
});

/** The folder of the first run of the experiment below `out`. */
function firstRun(out: string): string {
  try {
    const [line] = readFileSync(join(out, "debug", "manifest.jsonl"), "utf8").split("\n");
    return join(out, "debug", "runs", (JSON.parse(line!) as { id: string }).id);
  } catch {
    return join(out, "none");
  }
}
