// A process that a launcher starts, and what it is sent afterwards: the built program, as `npm test` builds it first.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";
import { afterAll, describe, expect, test } from "vitest";
import { loadSweep } from "../../src/config/load.ts";
import { loadRegistries } from "../../src/config/registries.ts";
import { endOfOutput, launchedVariable, type LauncherMessage, type Order } from "../../src/launchers/launcher.ts";
import { freezePlan, planRuns } from "../../src/runs/manifest.ts";
import { readRun } from "../../src/runs/run-folder.ts";

const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
const debug = fileURLToPath(new URL("../../configs/debug.yaml", import.meta.url));
const experiment = mkdtempSync(join(tmpdir(), "fathom-serve-"));
afterAll(() => rmSync(experiment, { recursive: true, force: true }));

const tiny = ["model.depth=1", "train.steps=2"];
/** A run as each of these, by its place in the manifest: configs/debug.yaml with some changes. */
const [FIRST, SECOND, LARGE, IMPOSSIBLE, NEVER, LONG] = [0, 1, 2, 3, 4, 5] as const;
const registries = await loadRegistries();
const { entries } = planRuns(
  experiment,
  [
    [],
    ["seed=2"],
    // Large are arrays that are given back as a whole, which leaves the process small enough to go on.
    ["model.width=256", "model.feedForward=8192", "train.batch.sentences=1", "train.steps=1", "probes.record=[]"],
    ["data.vocabulary.size=99000"], // more than the corpus allows, which shows only in the run itself
    ["seed=3"],
    ["seed=4", "train.steps=100000"],
  ].flatMap((changes) => loadSweep(debug, [...tiny, ...changes], registries).runs),
);
freezePlan(experiment, { entries, added: entries, earlier: [] });
const folderOf = (index: number): string => join(experiment, "runs", entries[index]!.id);
const commandOf = (index: number): string[] => [program, "run", "--manifest", experiment, "--index", String(index)];
const env = { ...process.env, [launchedVariable]: "1" };

/** Starts a run as launchers do; it is always told that there is room. */
function start(index: number) {
  const child = spawn(process.execPath, commandOf(index), { stdio: ["ignore", "pipe", "pipe", "ipc"], env });
  const said = { output: "", errors: "" };
  child.stdout!.setEncoding("utf8").on("data", (text: string) => void (said.output += text));
  child.stderr!.setEncoding("utf8").on("data", (text: string) => void (said.errors += text));
  // Node 20 emits no "close" of a process whose channel was closed here.
  const ends = [once(child, "exit"), once(child.stdout!, "close"), once(child.stderr!, "close")];
  const code = Promise.all(ends).then(([exit]) => (exit as [number | null])[0]);
  const send = (order: Order): void => void child.send(order, () => {}); // it may have gone
  let onFree: (word: "free") => void = () => {};
  child.on("message", ({ type }: LauncherMessage) => {
    if (type === "memory") send({ type: "room" });
    if (type === "free") onFree(type);
  });
  return {
    said,
    sendJob: (next: number): void => send({ type: "job", args: commandOf(next) }),
    dismiss: (): void => child.disconnect(),
    /** What comes next: its word that it is free, or its exit code, by when all its output is there. */
    freeOrCode: () => Promise.race([code, new Promise<"free">((resolve) => (onFree = resolve))]),
  };
}

/** Rows of a run's metrics.csv, the times aside. */
const metricsOf = (index: number): unknown[] =>
  parse<Record<string, string>>(readFileSync(join(folderOf(index), "metrics.csv"), "utf8"), { columns: true }).map(
    (row) => ({ ...row, seconds: "" }),
  );
const estimateOf = (index: number): number => readRun(folderOf(index))!.details["estimatedMemoryBytes"] as number;
const peakOf = (index: number): number => readRun(folderOf(index))!.details["peakMemoryBytes"] as number;

// Elsewhere a process cannot forget what memory it has had, and ends after its run.
describe.skipIf(!existsSync("/proc/self/clear_refs"))("a process that was launched", () => {
  test("is free after a run, and the next one leaves what it leaves in a process of its own", async () => {
    const child = start(FIRST);
    expect(await child.freeOrCode()).toBe("free");
    expect(readRun(folderOf(FIRST))!.status).toBe("done");
    expect(existsSync(folderOf(SECOND))).toBe(false);
    child.sendJob(SECOND);
    expect(await child.freeOrCode()).toBe("free");
    expect(readRun(folderOf(SECOND))!.status).toBe("done");
    child.dismiss();
    expect(await child.freeOrCode()).toBe(0);
    expect(child.said.output.split(endOfOutput)).toEqual([
      `${folderOf(FIRST)}: done\n`,
      `${folderOf(SECOND)}: done\n`,
      "",
    ]);
    expect(child.said.errors).toBe(endOfOutput.repeat(2));

    const metrics = metricsOf(SECOND);
    expect(metrics.length).toBeGreaterThan(2); // a loss at both steps, and one of dev
    rmSync(folderOf(SECOND), { recursive: true });
    execFileSync(process.execPath, commandOf(SECOND), { stdio: "ignore" });
    expect(metricsOf(SECOND)).toEqual(metrics);
  });

  test("records of a run the memory of that one, not of a larger one before it", async () => {
    const child = start(LARGE);
    expect(await child.freeOrCode()).toBe("free");
    rmSync(folderOf(FIRST), { recursive: true, force: true });
    child.sendJob(FIRST);
    expect(await child.freeOrCode()).toBe("free");
    child.dismiss();
    expect(await child.freeOrCode()).toBe(0);
    // 420 MiB and 220 MiB as measured; in a process of its own the latter has 200 MiB.
    expect(peakOf(FIRST)).toBeLessThan(peakOf(LARGE) - 100 * 2 ** 20);
    // Nor is it thought to need what the larger one has left.
    expect(estimateOf(FIRST)).toBeLessThan(estimateOf(LARGE) - 100 * 2 ** 20);
  });

  test("ends with the code of a run that fails, and takes no more", async () => {
    const child = start(FIRST);
    expect(await child.freeOrCode()).toBe("free");
    child.sendJob(IMPOSSIBLE);
    child.sendJob(NEVER);
    expect(await child.freeOrCode()).toBe(2);
    expect(readRun(folderOf(IMPOSSIBLE))!.status).toBe("failed");
    expect(child.said.errors.split(endOfOutput)[1]).toContain("data.vocabulary.size: expected at most");
    expect(existsSync(folderOf(NEVER))).toBe(false);
  });

  test("ends when the launcher is killed while it waits for a job", async () => {
    const launcher = `
      const { spawn } = require("node:child_process");
      const child = spawn(process.execPath, ${JSON.stringify(commandOf(FIRST))}, { stdio: ["ignore", 1, 2, "ipc"], detached: true });
      child.on("message", ({ type }) => {
        if (type === "memory") child.send({ type: "room" });
        if (type === "free") process.send(child.pid);
      });`;
    const parent = spawn(process.execPath, ["-e", launcher], { stdio: ["ignore", "pipe", "pipe", "ipc"], env });
    // Both write to these pipes, which close when both are gone; a process id may stay until somebody has waited for it.
    let areGone = false;
    parent.once("close", () => (areGone = true));
    for (const stream of [parent.stdout!, parent.stderr!]) stream.resume();
    const [pid] = (await once(parent, "message")) as [number];
    const exit = once(parent, "exit");
    process.kill(pid, 0); // throws where it has ended already
    parent.kill("SIGKILL");
    await exit;
    try {
      await expect.poll(() => areGone, { timeout: 10_000 }).toBe(true);
    } finally {
      if (!areGone) process.kill(pid, "SIGKILL");
    }
  });
});

test("a process whose launcher goes while it starts up makes no run", async () => {
  const child = start(LONG);
  child.dismiss();
  expect(await child.freeOrCode()).toBe(130);
  expect(readRun(folderOf(LONG))?.status).not.toBe("done");
});

test("a process that was launched ends with the code of its first run where that fails", async () => {
  const child = start(entries.length);
  expect(await child.freeOrCode()).toBe(2);
  expect(child.said.errors).toContain(`expected --index from 0 to ${entries.length - 1}`);
  expect(child.said.output).toBe("");
});
