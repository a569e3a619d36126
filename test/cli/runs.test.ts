// The verbs around a run, with the run itself replaced by one that records three steps: what training computes is tested
// elsewhere.

import { appendFileSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, test, vi } from "vitest";
import type { executeRun } from "../../src/run.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { claim } from "../../src/runs/lease.ts";
import { readRun, updateRun } from "../../src/runs/run-folder.ts";
import { writeTables } from "../../src/runs/tables.ts";
import type { RunRow } from "../../src/types.ts";
import { layerRows, loss } from "../runs/folder.ts";
import { fathom } from "./capture.ts";

const execute = vi.hoisted(() => vi.fn<typeof executeRun>());
vi.mock("../../src/run.ts", () => ({ executeRun: execute }));

const recordThreeSteps: typeof executeRun = async (config, runDir, { onProgress }) => {
  updateRun(runDir, { engine: "cpu", steps: 3, unigramEntropy: 5 });
  const recorder = openRecorder(runDir);
  for (const step of [0, 1, 2]) {
    recorder.metrics([loss(step, 8 - step - config.seed / 10)]);
    recorder.layers(step, layerRows(step));
    onProgress({ step: step + 1, steps: 3, loss: 8 - step, gradientNorm: 1, stepsPerSecond: 9, secondsLeft: 2 - step });
  }
  recorder.metrics([loss(3, 7 - config.seed, "dev")]);
  recorder.close();
  writeTables(runDir);
  return { status: "done", reason: "" };
};

let out: string;
let file: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), "fathom-verbs-"));
  file = join(out, "c.yaml");
  const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
  writeFileSync(file, `${debug}sweep:\n  parameters:\n    model.depth: {values: [1, 2]}\n  seeds: [1, 2]\n`);
  execute.mockReset().mockImplementation(recordThreeSteps);
});

const train = async (...args: string[]) => {
  const result = await fathom("train", file, "--out", out, ...args);
  const { runDir = "" } = result.stdout.startsWith("{") ? (JSON.parse(result.stdout) as { runDir?: string }) : {};
  return { ...result, runDir };
};

test("train leaves the sweep aside and says so, runs once, prints where, and knows when it is done", async () => {
  const first = await train();
  expect(first.code).toBe(0);
  expect(first.stderr).toContain("the sweep section is left aside");
  expect(first.stderr).toMatch(/seed=1_[0-9a-f]{8}: step 1\/3 {2}loss 8\.000/);
  expect(first.stdout).toMatch(/debug\/runs\/seed=1_[0-9a-f]{8}: done\n/);
  const second = await train("--json");
  expect(JSON.parse(second.stdout)).toMatchObject({ status: "done", finishedBefore: true });
  expect(second.stderr).toBe("");
  expect(execute).toHaveBeenCalledTimes(1);
  expect((await train("--afresh", "--quiet")).code).toBe(0);
  expect(execute).toHaveBeenCalledTimes(2);
  expect(readRun(second.runDir)).toMatchObject({ status: "done", attempts: 1, reason: "" });
});

test("the resolved configuration of a run repeats it", async () => {
  const { runDir } = await train("--json", "model.depth=3");
  const again = await fathom("train", join(runDir, "config.yaml"), "--out", join(out, "again"), "--json");
  expect(again.code).toBe(0);
  expect(execute.mock.calls[1]![0]).toEqual(execute.mock.calls[0]![0]);
  expect(execute.mock.calls[1]![0].model.depth).toEqual({ encoder: 3, decoder: 3 });
});

test("a diverged run is a result: exit code 0, recorded with its reason, not run again", async () => {
  execute.mockImplementation(async (config, runDir, options) => ({
    ...(await recordThreeSteps(config, runDir, options)),
    status: "diverged",
    reason: "loss is NaN at step 2",
  }));
  const { code, runDir } = await train("--json");
  expect(code).toBe(0);
  expect(readRun(runDir)).toMatchObject({ status: "diverged", reason: "loss is NaN at step 2" });
  await train();
  expect(execute).toHaveBeenCalledTimes(1);
});

test("an interrupted run exits with 130 and the same command goes on with it", async () => {
  execute.mockImplementationOnce(async (_config, _runDir, { signal }) => {
    process.emit("SIGINT");
    return { status: signal.aborted ? "interrupted" : "done", reason: "" };
  });
  const { code, runDir } = await train("--json");
  expect(code).toBe(130);
  expect(readRun(runDir)).toMatchObject({
    status: "running",
    reason: expect.stringContaining("interrupted") as string,
  });
  expect((await train()).code).toBe(0);
  expect(readRun(runDir)).toMatchObject({ status: "done", attempts: 2 });
  expect(process.listenerCount("SIGINT")).toBe(0);
});

test("a run that fails of ours exits with 1, keeps the reason, and is tried again", async () => {
  execute.mockRejectedValueOnce(new Error("no such kernel"));
  const { code, stderr } = await train();
  expect([code, stderr]).toEqual([1, expect.stringContaining("no such kernel")]);
  expect((await fathom("status", join(out, "debug"))).stdout).toMatch(/failed .*no such kernel/);
  expect((await train()).code).toBe(0);
});

test("a run that another process holds exits with 75", async () => {
  const { runDir } = await train("--json", "train.steps=7");
  const lease = (await claim(runDir))!;
  const { code, stderr } = await train("train.steps=7", "--afresh");
  await lease.release();
  expect([code, stderr]).toEqual([75, expect.stringContaining("another process works on this run")]);
});

test("a run that another process takes over writes nothing more and exits with 75", async () => {
  let left = "";
  execute.mockImplementationOnce(async (_config, runDir, { lost }) => {
    // What a claimant does after a long silence of this process, here seen before its own thread has looked.
    const [file] = readdirSync(join(runDir, "lease"));
    const mine = join(runDir, "lease", file!);
    writeFileSync(mine.replace("000001", "000002"), readFileSync(mine));
    updateRun(runDir, { reason: "the other's" });
    left = readFileSync(join(runDir, "run.json"), "utf8");
    expect(lost!.aborted).toBe(false);
    return { status: "done", reason: "" };
  });
  const { code, stderr } = await train();
  expect(stderr).toContain("another process took over this run");
  expect(code).toBe(75);
  const [id] = readdirSync(join(out, "debug", "runs"));
  expect(readFileSync(join(out, "debug", "runs", id!, "run.json"), "utf8")).toBe(left);
});

test("an interrupted run is told so, a lost one is told apart: saving is for the former only", async () => {
  execute.mockImplementationOnce(async (_config, runDir, { signal, lost }) => {
    const [file] = readdirSync(join(runDir, "lease"));
    const mine = join(runDir, "lease", file!);
    writeFileSync(mine.replace("000001", "000002"), readFileSync(mine));
    await expect.poll(() => lost!.aborted, { timeout: 10_000 }).toBe(true);
    expect(signal.aborted).toBe(false);
    throw new Error("broken on the way");
  });
  const { code, stderr } = await train();
  expect([code, stderr]).toEqual([75, expect.stringContaining("another process took over this run")]);
  const [id] = readdirSync(join(out, "debug", "runs"));
  expect(readRun(join(out, "debug", "runs", id!))).toMatchObject({ status: "running", reason: "" });
});

test("sweep --plan says what would run and why, and writes nothing", async () => {
  const before = await fathom("sweep", file, "--out", out, "--plan", "--json");
  const plan = JSON.parse(before.stdout) as { index: number; id: string; action: string; why: string }[];
  expect(plan.map((p) => [p.index, p.action, p.why])).toEqual([0, 1, 2, 3].map((i) => [i, "run", "new"]));
  expect(plan[0]!.id).toMatch(/^depth=1_seed=1_/);
  await expect(fathom("status", join(out, "debug"))).resolves.toMatchObject({ code: 2 });
});

test("runs of a frozen manifest: each by index, status and comparison over seeds", async () => {
  const { freezePlan, manifestEntries, planRuns } = await import("../../src/runs/manifest.ts");
  const { loadSweep } = await import("../../src/config/load.ts");
  const { loadRegistries } = await import("../../src/config/registries.ts");
  const experiment = join(out, "debug");
  freezePlan(experiment, planRuns(experiment, loadSweep(file, [], await loadRegistries()).runs));
  const planHash = (index: number): string => manifestEntries(experiment, [index])[0]!.hash;
  for (const index of ["0", "1", "2"])
    expect((await fathom("run", "--manifest", experiment, "--index", index)).code).toBe(0);
  const status = await fathom("status", experiment);
  expect(status.stdout).toContain("3 done, 1 pending");
  expect(status.stdout).toMatch(/depth=2_seed=2_\S+ +pending +0\/20/);
  const compared = JSON.parse((await fathom("compare", experiment, "--json")).stdout) as {
    config: RunRow["config"];
    finalDevLoss: object;
    statuses: object;
  }[];
  expect(compared).toHaveLength(2);
  expect(compared[0]).toMatchObject({
    config: { "model.depth": 1 },
    statuses: { done: 2 },
    finalDevLoss: { mean: 5.5, n: 2 },
  });
  expect((compared[0]!.finalDevLoss as { sd: number }).sd).toBeCloseTo(Math.SQRT1_2, 12);
  expect((await fathom("compare", experiment)).stdout).toMatch(/1 +2 done +\S+ ± \S+ +5\.500 ± 0\.71/);
  // Another sweep that plans at the same time may put another run in this place.
  const other = await fathom("run", "--manifest", experiment, "--index", "3", "--hash", "0123456789abcdef");
  expect([other.code, other.stderr]).toEqual([75, expect.stringContaining("run 3 is another one than was planned")]);
  expect((await fathom("run", "--manifest", experiment, "--index", "3", "--hash", planHash(3))).code).toBe(0);
  // A changed YAML adds to the plan and leaves what was planned.
  writeFileSync(file, readFileSync(file, "utf8").replace("values: [1, 2]", "values: [2, 3]"));
  const plan = await fathom("sweep", file, "--out", out, "--plan");
  expect(plan.stderr).toContain("2 runs are added to the 4 planned before");
  expect(plan.stderr).toContain("2 runs planned before are no longer asked for");
  expect(plan.stdout).toMatch(/0 +skip +depth=1_seed=1_\S+ +done/);
  expect(plan.stdout).toMatch(/3 +skip +depth=2_seed=2_\S+ +done/);
  expect(plan.stdout).toMatch(/4 +run +depth=3_seed=1_\S+ +new/);
});

test("runs of train that differ in more than the seed are not averaged; runs.csv, status and compare agree", async () => {
  for (const args of [["seed=1"], ["seed=2"], ["train.clipNorm=1"]]) expect((await train(...args)).code).toBe(0);
  const experiment = join(out, "debug");
  const compared = JSON.parse((await fathom("compare", experiment, "--json")).stdout) as {
    config: RunRow["config"];
    statuses: object;
  }[];
  const byClip = compared.map((c) => [c.config["train.clipNorm"], c.statuses] as const);
  expect(byClip).toHaveLength(2);
  expect(byClip).toEqual(
    expect.arrayContaining([
      [null, { done: 2 }],
      [1, { done: 1 }],
    ]),
  );
  const status = JSON.parse((await fathom("status", experiment, "--json")).stdout) as RunRow[];
  for (const row of status) expect(Object.keys(row.config)).toEqual(["train.clipNorm"]);
  const { writeRunsCsv } = await import("../../src/runs/experiment.ts");
  expect(readFileSync(writeRunsCsv(experiment), "utf8")).toMatch(/^id,status,seed,train\.clipNorm,steps,/);
});

test("damaged files of a run: exit code 2, the file named", async () => {
  const { runDir } = await train("--json");
  const experiment = join(out, "debug");
  const whole = { record: join(runDir, "run.json"), config: join(runDir, "config.yaml") };
  const record = readFileSync(whole.record, "utf8");
  writeFileSync(whole.record, '{"id": "a", "status": "done"}');
  expect((await fathom("report", experiment)).code).toBe(0);
  writeFileSync(whole.record, record);

  appendFileSync(join(runDir, "events.jsonl"), "damaged\n");
  const plotted = await fathom("plot", experiment, "--format", "json");
  expect([plotted.code, plotted.stderr]).toEqual([2, expect.stringMatching(/events\.jsonl:\d+: expected an event/)]);

  writeFileSync(whole.config, "name: [");
  for (const args of [
    ["inspect", runDir],
    ["status", experiment],
    ["report", experiment],
  ]) {
    const { code, stderr } = await fathom(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${whole.config}: expected`)]);
  }
});

test("an experiment is found by its name below --out; --quiet prints nothing", async () => {
  await train();
  for (const verb of ["status", "compare", "report"]) {
    const { code, stdout } = await fathom(verb, "debug", "--out", out);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/./)]);
    expect(await fathom(verb, "debug", "--out", out, "--quiet")).toEqual({ code: 0, stdout: "", stderr: "" });
  }
  expect((await fathom("status", "debugg", "--out", out)).code).toBe(2);
});
