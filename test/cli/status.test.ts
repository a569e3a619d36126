// `fathom status` on runs that were left at various places.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { expect, test, vi } from "vitest";
import type { RunStatus } from "../../src/cli/run-status.ts";
import { claim } from "../../src/runs/lease.ts";
import { leave, planned, plannedExperiment } from "../runs/invented.ts";
import { fathom } from "./capture.ts";

const statusOf = async (dir: string): Promise<RunStatus[]> =>
  JSON.parse((await fathom("status", dir, "--json")).stdout) as RunStatus[];
const textOf = async (dir: string, ...args: string[]): Promise<string> =>
  stripVTControlCharacters((await fathom("status", dir, ...args)).stdout).trimEnd();

test("time left is told at a run's own pace, of runs that have none at that of their configuration, else of the experiment", async () => {
  const runs = [planned(1), planned(2), planned(3), planned(1, 4), planned(2, 4)];
  const dir = plannedExperiment(runs);
  expect((await textOf(dir)).split("\n").at(-1)).toBe("5 pending; 0 of 100 steps; time left unknown of 5");
  leave(dir, runs[0]!, 20, { status: "done", devLoss: 5 });
  leave(dir, runs[1]!, 10);
  leave(dir, runs[3]!, 5, { status: "failed", reason: "no such kernel\nat line 3" });
  const statuses = await statusOf(dir);
  expect(statuses.map((run) => [run.status, run.steps, run.secondsPerStep, run.secondsLeft])).toEqual([
    ["done", 20, 0.5, 0],
    ["stale", 10, 0.5, 5],
    ["pending", 0, null, 10],
    ["failed", 5, 0.5, null],
    ["pending", 0, null, 10],
  ]);
  const lines = (await textOf(dir)).split("\n");
  expect(lines[0]).toMatch(/^run +status +steps +train loss +dev loss +s\/step +left +reason$/);
  expect(lines[1]).toMatch(/^seed=1_\w+ +done +20\/20 +5\.625 +5\.000 +0\.5000 +-$/);
  expect(lines[2]).toMatch(/^seed=2_\w+ +stale +10\/20 +6\.875 +- +0\.5000 +5s$/);
  expect(lines[4]).toMatch(/ failed +5\/20 +7\.500 +- +0\.5000 +- +no such kernel \.\.\.$/);
  expect(lines.at(-1)).toBe(
    "1 done, 1 failed, 1 stale, 2 pending; 35 of 85 steps; about 25s of runs left, none is running",
  );
});

test("what is left is shared by the runs that are running, and takes as long as the longest", async () => {
  const runs = [planned(1), planned(2), planned(3), planned(4)];
  const dir = plannedExperiment(runs);
  const leases = [];
  for (const [i, steps] of [4, 10].entries()) leases.push(await claim(leave(dir, runs[i]!, steps)));
  expect((await textOf(dir)).split("\n").at(-1)).toBe(
    "2 running, 2 pending; 14 of 80 steps; about 17s left at 2 runs at once",
  );
  leave(dir, runs[2]!, 20, { status: "done" });
  leave(dir, runs[3]!, 19, { status: "done" });
  expect((await textOf(dir)).split("\n").at(-1)).toMatch(/about 8s left at 2 runs at once$/);
  for (const lease of leases) await lease!.release();
});

test("runs that successive halving has stopped are done, those that it keeps wait", async () => {
  const runs = [planned(1), planned(1, 4)];
  const dir = plannedExperiment(runs);
  writeFileSync(join(dir, "halving.json"), JSON.stringify({ from: 4, factor: 2, runs: [], rungs: [] }));
  leave(dir, runs[0]!, 4, {
    status: "done",
    steps: 4,
    reason: "stopped at step 4 by successive halving: dev loss 7",
    devLoss: 7,
  });
  leave(dir, runs[1]!, 4, { waitsAt: 4, reason: "waits at step 4 for the other runs", devLoss: 6 });
  const lines = (await textOf(dir)).split("\n");
  expect(lines[1]).toMatch(/ done +4\/4 .* stopped at step 4 by successive halving: dev loss 7$/);
  expect(lines[2]).toMatch(/ waiting +4\/20 .* 8s +waits at step 4 for the other runs$/);
  expect(lines.at(-1)).toBe(
    "1 done (1 stopped early), 1 waiting; 8 of 24 steps; at most 8s of runs left, none is running",
  );
  expect((await statusOf(dir))[1]).toMatchObject({ status: "stale", waitsAt: 4 });
});

test("of many runs those that matter are shown, and the best configurations; --all and --json have every run", async () => {
  const runs = Array.from({ length: 30 }, (_, i) => [planned(1, i + 1), planned(2, i + 1)]).flat();
  const dir = plannedExperiment(runs);
  for (const [i, run] of runs.slice(0, 30).entries())
    leave(dir, run, 2, { status: "done", devLoss: 7 - i / 10 + (run.config.seed - 1) / 5 });
  leave(dir, runs[30]!, 1, { status: "failed", reason: "no such kernel" });
  leave(dir, runs[31]!, 1, { status: "diverged", reason: "loss is NaN at step 1" });
  const text = await textOf(dir);
  const lines = text.split("\n");
  expect(lines.filter((line) => /^seed=/.test(line)).map((line) => line.split(/ +/)[1])).toEqual([
    "failed",
    "diverged",
  ]);
  expect(text).toMatch(/^model.depth +done +dev loss\n +15 +2 +4\.250 ± 0\.071\n +14 +2 +4\.450 ± 0\.071\n/m);
  expect(text).toContain("the best of 15 configurations with runs that are done");
  expect(lines.at(-1)).toMatch(/^30 done, 1 diverged, 1 failed, 28 pending; /);
  expect(lines.length).toBeLessThan(30);
  expect((await textOf(dir, "--all")).split("\n").filter((line) => /^seed=/.test(line))).toHaveLength(60);
  expect(await statusOf(dir)).toHaveLength(60);
});

test("runs of different commits and versions are flagged", async () => {
  const runs = [planned(1), planned(2), planned(3)];
  const dir = plannedExperiment(runs);
  const git = { commit: "a1b2c3d4e5f6", dirty: false };
  const versions = { fathom: "0.1.0", node: "20.19.0" };
  leave(dir, runs[0]!, 2, { status: "done", git, versions });
  leave(dir, runs[1]!, 2, { status: "done", git, versions });
  expect(await textOf(dir)).not.toContain("made");
  leave(dir, runs[2]!, 2, {
    status: "done",
    git: { commit: "d4e5f6a7b8", dirty: true },
    versions: { ...versions, node: "22.0.0" },
  });
  const notes = [
    "runs were made by different code: 2 runs at a1b2c3d, 1 at d4e5f6a (changed since)",
    "runs were made with different versions: 2 runs with node 20.19.0, 1 with node 22.0.0",
  ];
  expect((await textOf(dir)).split("\n").slice(-2)).toEqual(notes);
  expect(stripVTControlCharacters((await fathom("compare", dir)).stdout)).toContain(notes.join("\n"));
  expect((await statusOf(dir)).map((run) => run.git?.commit)).toEqual(["a1b2c3d4e5f6", "a1b2c3d4e5f6", "d4e5f6a7b8"]);
});

test("--watch stays until all runs have ended, and without a terminal prints a line when something has changed", async () => {
  const runs = [planned(1), planned(2)];
  const dir = plannedExperiment(runs);
  leave(dir, runs[0]!, 20, { status: "done" });
  const watching = fathom("status", dir, "--watch");
  await expect.poll(() => vi.mocked(console.log).mock.calls.length).toBe(1);
  leave(dir, runs[1]!, 20, { status: "diverged" });
  const { code, stdout } = await watching;
  expect([code, stdout]).toEqual([
    0,
    "1 done, 1 pending; 20 of 40 steps; about 10s of runs left, none is running\n1 done, 1 diverged\n",
  ]);
  expect(process.listenerCount("SIGINT")).toBe(0);
});

test("--watch is left by an interruption, and with --json prints all runs", async () => {
  const dir = plannedExperiment([planned(1)]);
  const watching = fathom("status", dir, "--watch", "--json");
  await expect.poll(() => vi.mocked(console.log).mock.calls.length).toBe(1);
  process.emit("SIGINT");
  const { code, stdout } = await watching;
  expect(code).toBe(130);
  expect(JSON.parse(stdout)).toMatchObject([{ status: "pending", plannedSteps: 20, secondsLeft: null }]);
});

test("--watch draws over what it has drawn, cut to the terminal", async () => {
  const runs = [planned(1), planned(2)];
  const dir = plannedExperiment(runs);
  leave(dir, runs[0]!, 20, { status: "done", reason: "stopped early ".repeat(8) });
  const { isTTY, columns, rows } = process.stdout;
  let drawn = "";
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => ((drawn += String(text)), true));
  Object.assign(process.stdout, { isTTY: true, columns: 60, rows: 12 });
  try {
    const watching = fathom("status", dir, "--watch");
    await expect.poll(() => drawn).toContain("1 pending");
    leave(dir, runs[1]!, 20, { status: "done" });
    expect((await watching).code).toBe(0);
  } finally {
    spy.mockRestore();
    Object.assign(process.stdout, { isTTY, columns, rows });
  }
  const first = drawn.slice(0, drawn.indexOf("1 pending"));
  expect(first.split("\n").every((line) => stripVTControlCharacters(line).length <= 60)).toBe(true);
  expect(drawn).toContain("\u001b[6A\u001b[0J"); // up over the six lines of the first picture, and clear
  expect(drawn.endsWith("2 done (1 stopped early)\n")).toBe(true);
});

test("a finished run's status rests on the rows that count: the others are not read", async () => {
  const [run] = [planned(1)];
  const dir = plannedExperiment([run!]);
  const file = join(leave(dir, run!, 20, { status: "done", devLoss: 5 }), "metrics.csv");
  const before = await statusOf(dir);
  writeFileSync(file, readFileSync(file, "utf8").replace(/^7,.*$/m, "no row"));
  expect(await statusOf(dir)).toEqual(before);
  writeFileSync(file, readFileSync(file, "utf8").replace(/dev,loss,5/, "dev,loss,five"));
  const { code, stderr } = await fathom("status", dir);
  expect([code, stderr]).toEqual([2, expect.stringContaining(`${file}: expected a table`)]);
});
