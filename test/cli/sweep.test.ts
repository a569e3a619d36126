// A whole sweep with real training in child processes, which run the built program: `npm test` builds it first.

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { RunRow } from "../../src/types.ts";
import { fathom } from "./capture.ts";

interface Result {
  readonly experiment: string;
  readonly report: string | null;
  readonly runs: readonly RunRow[];
}

test("a sweep leaves table, figures and report; again it runs only what is not finished; a failure stops nothing else", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-sweep-"));
  const file = join(out, "c.yaml");
  const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
  // The second vocabulary is larger than the corpus allows, which shows only in the run itself.
  const sweep = "sweep:\n  parameters:\n    data.vocabulary.size: {values: [500, 99000]}\n";
  writeFileSync(file, debug + sweep);
  const command = ["sweep", file, "model.depth=1", "train.steps=2", "--out", out, "--jobs", "2", "--json"];

  const first = await fathom(...command);
  expect(first.code).toBe(2); // the one failure is the user's
  const result = JSON.parse(first.stdout) as Result;
  expect(result.runs.map((r) => [r.config["data.vocabulary.size"], r.status, r.steps])).toEqual([
    [500, "done", 2],
    [99000, "failed", 0],
  ]);
  expect(result.runs[1]!.reason).toContain("data.vocabulary.size: expected at most");
  expect(result.report && existsSync(result.report)).toBe(true);
  expect(existsSync(join(result.experiment, "plots", "gradient-by-layer.svg"))).toBe(true);
  const csv = readFileSync(join(result.experiment, "runs.csv"), "utf8").split("\n");
  expect(csv[0]).toBe(
    "id,status,seed,data.vocabulary.size,steps,seconds,finalTrainLoss,finalDevLoss,bestDevLoss,unigramEntropy,engine,reason",
  );

  const [doneRun, failedRun] = result.runs.map((r) => join(result.experiment, "runs", r.id)) as [string, string];
  const written = statSync(join(doneRun, "layers.csv")).mtimeMs;
  rmSync(failedRun, { recursive: true });
  const plan = JSON.parse((await fathom(...command, "--plan")).stdout) as { action: string; why: string }[];
  expect(plan).toMatchObject([
    { action: "skip", why: "done" },
    { action: "run", why: "planned before, not begun" },
  ]);
  const second = await fathom(...command);
  expect((JSON.parse(second.stdout) as Result).runs.map((r) => r.status)).toEqual(["done", "failed"]);
  // --quiet prints errors only, and this is one.
  const quiet = await fathom(...command.filter((word) => word !== "--json"), "--quiet");
  expect(quiet.stdout).toBe("");
  expect(quiet.stderr).toMatch(/^fathom: .*: failed: .*data\.vocabulary\.size: expected at most/);
  expect(statSync(join(doneRun, "layers.csv")).mtimeMs).toBe(written);
});

test("short runs follow each other in one process, and leave the numbers they would leave in processes of their own", async () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-sweep-"));
  const file = join(out, "c.yaml");
  const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
  writeFileSync(file, `${debug}sweep:\n  seeds: [1, 2, 3]\n`);
  const command = ["sweep", file, "model.depth=1", "train.steps=2", "--out", out, "--jobs", "1", "--json"];
  const { experiment, runs } = JSON.parse((await fathom(...command)).stdout) as Result;
  expect(runs.map((r) => r.status)).toEqual(["done", "done", "done"]);
  const inRun = (id: string, file: string): string => readFileSync(join(experiment, "runs", id, file), "utf8");
  const holders = runs.map(({ id }) => (JSON.parse(inRun(id, "lease/000001.json")) as { pid: number }).pid);
  expect(new Set(holders).size).toBe(1);
  const last = runs[2]!.id;
  const layers = inRun(last, "layers.csv");
  expect(inRun(last, "log.txt")).toBe(`${join(experiment, "runs", last)}: done\n`);

  rmSync(join(experiment, "runs", last), { recursive: true });
  await fathom("run", "--manifest", experiment, "--index", "2");
  expect(inRun(last, "layers.csv")).toBe(layers);
});
