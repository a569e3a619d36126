import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { singleRun, type PlannedRun } from "../../src/config/sweep.ts";
import { UserError } from "../../src/errors.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { readExperiment, statusOf, writeRunsCsv } from "../../src/runs/experiment.ts";
import { claim } from "../../src/runs/lease.ts";
import {
  authorsFile,
  freezePlan,
  keepAuthorsFile,
  keptOverrides,
  manifestEntries,
  planRuns,
  questionIn,
  readManifest,
} from "../../src/runs/manifest.ts";
import {
  clearRun,
  createRunFolder,
  isFinished,
  readConfig,
  readRun,
  runFolder,
  startRun,
  updateRun,
} from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import { config, layerRows, loss, scratch } from "./folder.ts";

/** A planned run whose depth is said to be varied. */
const planned = (seed: number, depth = 2): PlannedRun => ({
  ...singleRun(config(seed, depth)),
  varied: { "model.depth": depth },
});

/** Leaves a run as `executeRun` would. */
function finish(experimentDir: string, run: PlannedRun, status: "done" | "diverged" = "done"): string {
  const runDir = createRunFolder(experimentDir, run.id);
  startRun(runDir, run);
  const recorder = openRecorder(runDir);
  recorder.metrics([loss(0, 8), loss(0, 7.5, "dev"), loss(1, 6), loss(1, 7, "dev")]);
  recorder.layers(0, layerRows(0));
  recorder.close();
  writeTables(runDir);
  updateRun(runDir, {
    status,
    engine: "cpu",
    unigramEntropy: 5.5,
    reason: status === "done" ? "" : "loss is NaN at step 1",
  });
  return runDir;
}

test("a manifest is frozen: a changed plan appends, and changes nothing that was planned", () => {
  const dir = scratch();
  freezePlan(dir, planRuns(dir, [planned(1), planned(2)]));
  const before = readFileSync(join(dir, "manifest.jsonl"), "utf8");
  const plan = planRuns(dir, [planned(2), planned(3)]);
  expect(plan.added.map((e) => [e.index, e.config.seed])).toEqual([[2, 3]]);
  expect(plan.earlier.map((e) => e.config.seed)).toEqual([1]);
  expect(readFileSync(join(dir, "manifest.jsonl"), "utf8")).toBe(before);
  freezePlan(dir, plan);
  expect(readFileSync(join(dir, "manifest.jsonl"), "utf8").startsWith(before)).toBe(true);
  expect(readManifest(dir)).toEqual(plan.entries);
  expect(planRuns(dir, [planned(1), planned(2), planned(3)]).added).toEqual([]);
  expect(manifestEntries(dir, [2])[0]!.config).toEqual(config(3));
  expect(() => manifestEntries(dir, [3])).toThrow("expected --index from 0 to 2, got 3");
});

test("a manifest changed by hand is refused with its line", () => {
  const dir = scratch();
  freezePlan(dir, planRuns(dir, [planned(1), planned(2)]));
  const file = join(dir, "manifest.jsonl");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace('"seed":2', '"seed":7'));
  expect(() => readManifest(dir)).toThrow(/manifest\.jsonl:2: .*does not match its hash/);
  writeFileSync(file, text.replace('"index":0', '"index":5'));
  expect(() => readManifest(dir)).toThrow(UserError);
});

test("a run's name that would leave the folder is refused", () => {
  for (const id of ["../x", "a/b", "", ".hidden", "a\0b"]) expect(() => runFolder("results", id)).toThrow(UserError);
});

test("done means finished with valid results, not that a folder is there", () => {
  const dir = scratch();
  const run = planned(1);
  const runDir = createRunFolder(dir, run.id);
  expect([isFinished(runDir), statusOf(runDir)]).toEqual([false, "pending"]);
  startRun(runDir, run);
  expect([isFinished(runDir), statusOf(runDir)]).toEqual([false, "stale"]);
  finish(dir, run);
  expect([isFinished(runDir), statusOf(runDir)]).toEqual([true, "done"]);
  expect(isFinished(runDir, "another hash")).toBe(false);
  writeFileSync(join(runDir, "layers.csv"), "step,player\n");
  expect([isFinished(runDir), statusOf(runDir)]).toEqual([false, "stale"]);
  finish(dir, run, "diverged");
  expect(statusOf(runDir)).toBe("diverged");
  rmSync(join(runDir, "metrics.csv"));
  expect(isFinished(runDir)).toBe(false);
  writeFileSync(join(runDir, "run.json"), '{"status": "do');
  expect([isFinished(runDir), readRun(runDir)]).toEqual([false, undefined]);
});

test("a run in somebody's hands is running", async () => {
  const dir = scratch();
  const run = planned(1);
  const runDir = createRunFolder(dir, run.id);
  const lease = (await claim(runDir))!;
  startRun(runDir, run);
  expect(statusOf(runDir)).toBe("running");
  clearRun(runDir);
  expect(statusOf(runDir)).toBe("running"); // emptied, but still held
  await lease.release();
  expect(statusOf(runDir)).toBe("pending");
});

test("run.json says what ran where, and a second attempt keeps what the first found", () => {
  const dir = scratch();
  const run = planned(4);
  const runDir = createRunFolder(dir, run.id);
  const first = startRun(runDir, run);
  expect(first).toMatchObject({ id: run.id, hash: run.hash, status: "running", seed: 4, steps: 20, attempts: 1 });
  expect(first.versions).toMatchObject({ fathom: "0.1.0", node: process.versions.node });
  expect(first.machine.cores).toBeGreaterThan(0);
  updateRun(runDir, { engine: "onnx", hashes: { vocabulary: "ab" } });
  expect(startRun(runDir, run)).toMatchObject({
    attempts: 2,
    engine: "onnx",
    hashes: { vocabulary: "ab" },
    started: first.started,
  });
  expect(readConfig(runDir)).toEqual(run.config);
});

test("runs.csv has one row a run: identity, varied keys, final values, absent ones empty", () => {
  const dir = scratch();
  const runs = [planned(1, 2), planned(2, 3), planned(3, 4)];
  freezePlan(dir, planRuns(dir, runs));
  finish(dir, runs[0]!);
  finish(dir, runs[1]!, "diverged");
  writeRunsCsv(dir);
  const lines = readFileSync(join(dir, "runs.csv"), "utf8").trimEnd().split("\n");
  expect(lines).toEqual([
    "id,status,seed,model.depth,steps,seconds,finalTrainLoss,finalDevLoss,bestDevLoss,unigramEntropy,engine,reason",
    `${runs[0]!.id},done,1,2,2,0.5,6,7,7,5.5,cpu,`,
    `${runs[1]!.id},diverged,2,3,2,0.5,6,7,7,5.5,cpu,loss is NaN at step 1`,
    `${runs[2]!.id},pending,3,4,0,0,,,,,,`,
  ]);
});

test("an experiment's folder shows planned runs first, then those trained alone", () => {
  const dir = scratch();
  freezePlan(dir, planRuns(dir, [planned(1)]));
  const alone = singleRun(config(9));
  finish(dir, { ...alone, varied: {} });
  const { runs, manifest } = readExperiment(dir);
  expect(manifest).toHaveLength(1);
  expect(runs.map(({ row }) => [row.seed, row.status])).toEqual([
    [1, "pending"],
    [9, "done"],
  ]);
  expect(runs[1]!.config).toEqual(alone.config);
});

test("a manifest's line that is no run is refused with its line", () => {
  const dir = scratch();
  freezePlan(dir, planRuns(dir, [planned(1)]));
  for (const line of ["null", "{}", "[1", '{"index":1,"id":"a","hash":"b","varied":{}}']) {
    const file = join(dir, "manifest.jsonl");
    writeFileSync(file, `${readFileSync(file, "utf8").split("\n")[0]}\n${line}\n`);
    expect(() => readManifest(dir)).toThrow(/manifest\.jsonl:2: expected a planned run/);
    expect(() => readManifest(dir)).toThrow(UserError);
  }
});

test.each([
  ["broken YAML", "name: [", "config.yaml: expected a run's configuration as it was written"],
  ["an empty file", "", "expected a mapping, got null"],
  ["a key of a wrong type", "depth: [1]", "model.depth: expected"],
  ["a missing key", "heads: none", "model.heads: expected a number"],
])("a run's configuration with %s is the user's error, named", (_name, text, message) => {
  const dir = scratch();
  const runDir = finish(dir, planned(1));
  const file = join(runDir, "config.yaml");
  const key = /^(\w+): /.exec(text)?.[1];
  const whole = readFileSync(file, "utf8");
  writeFileSync(
    file,
    key === "depth" || key === "heads" ? whole.replace(new RegExp(`${key}:.*(\n    .*)*`), text) : text,
  );
  expect(() => readConfig(runDir)).toThrow(message);
  expect(() => readConfig(runDir)).toThrow(UserError);
  expect(() => readExperiment(dir)).toThrow("config.yaml");
});

test("a run may name what this version does not know", () => {
  const runDir = finish(scratch(), planned(1));
  const file = join(runDir, "config.yaml");
  const text = readFileSync(file, "utf8").replace(/^# made with: .*\n/m, "");
  writeFileSync(file, text.replace("pre-ln", "later-scheme"));
  expect(readConfig(runDir).model).toEqual({ ...config(1).model, residual: "later-scheme" });
});

test("a run.json without its parts counts as none: the run is not finished", () => {
  const dir = scratch();
  const run = planned(1);
  const runDir = finish(dir, run);
  writeFileSync(join(runDir, "run.json"), JSON.stringify({ id: run.id, status: "done" }));
  expect([readRun(runDir), isFinished(runDir), statusOf(runDir)]).toEqual([undefined, false, "pending"]);
  expect(readExperiment(dir).runs).toHaveLength(1);
});

test("the question of an author's file is what a person wrote: no file's name, nothing for editors", () => {
  const schema = "# yaml-language-server: $schema=../schema/experiment.schema.json";
  expect(questionIn(`# configs/own-scheme.yaml\n${schema}\nname: a\n`)).toBe("");
  expect(questionIn(`# own.yml\n${schema}\n# does depth hurt\n# post-LN/pre-LN?\nname: a\n`)).toBe(
    "Does depth hurt post-LN/pre-LN?",
  );
  expect(questionIn(`# Question: does it?\n${schema}\n# Command: fathom sweep a.yaml\n`)).toBe("Does it?");
  expect(questionIn("# as in configs/debug.yaml\n")).toBe("As in configs/debug.yaml");
});

test("a folder that is no experiment is refused", () => {
  const dir = scratch();
  mkdirSync(join(dir, "other"));
  expect(() => readExperiment(join(dir, "other"))).toThrow(
    "expected an experiment's folder (with runs/ or manifest.jsonl), got another one",
  );
  expect(() => readExperiment(join(dir, "none"))).toThrow("got none");
  expect(() => readConfig(dir)).toThrow("expected the folder of a run");
});

test("the author's file keeps its overrides; a line of them changed by hand is refused", () => {
  const dir = scratch();
  const kept = () => keptOverrides({ path: authorsFile(dir), text: readFileSync(authorsFile(dir), "utf8") });
  keepAuthorsFile(dir, "name: a\n", []);
  expect(kept()).toEqual([]);
  keepAuthorsFile(dir, "name: a\n", ["train.steps=3"]);
  expect(kept()).toEqual(["train.steps=3"]);
  writeFileSync(authorsFile(dir), readFileSync(authorsFile(dir), "utf8").replace('"]', ""));
  expect(kept).toThrow(UserError);
  expect(kept).toThrow("experiment.yaml: expected a list of overrides");
});
