// Killed at any moment, then the same command: the run ends with the same bits as one that was never interrupted. That is all of
// its weights, the optimizers' state and its tables, but for the column `seconds` of metrics.csv, which is wall-clock time.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { beforeAll, describe, expect, test } from "vitest";
import { stream } from "../../src/random.ts";
import { readRun } from "../../src/runs/run-folder.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { scratch } from "../runs/folder.ts";
import { bin, buildIfStale } from "../train/build.ts";
import { failAt } from "./file-system.mjs";
import { go, results, runOf, writeConfigs } from "./tiny.ts";

useTemporaryCache();
const folder = scratch();
beforeAll(() => {
  writeConfigs(folder);
  buildIfStale();
});

const kill = new URL("./kill.mjs", import.meta.url).href;

/** A whole number from 1 to `most`, the `i`-th of a seeded stream. */
const draw = (purpose: string, i: number, most: number): number =>
  1 + Math.floor(most * stream(1, `${purpose}/${i}`).uniform(new Float64Array(1))[0]!);

/** `fathom train` in a process of its own, which kills itself at the `at`-th change of the file system that matches. Returns that
 *  change; undefined where the run ended before. The lease of the process before goes first: for ten seconds it would be watched,
 *  which others test. */
function train(file: string, out: string, runDir: string, at: number, matching = "."): string | undefined {
  rmSync(join(runDir, "lease"), { force: true, recursive: true });
  const asked = JSON.stringify({ folder: out, at, matching });
  const { status, signal, stderr } = spawnSync(
    process.execPath,
    ["--import", kill, bin, "train", file, "--out", out, "--json"],
    { encoding: "utf8", env: { ...process.env, FATHOM_TEST_KILL: asked } },
  );
  if (signal === "SIGKILL") return /^killed at (.*)$/m.exec(stderr)![1]!;
  expect(status, stderr).toBe(0);
  return undefined;
}

describe("processes that are killed by SIGKILL at random changes of the file system, and the same command until it is done", () => {
  test.each([
    ["vae", 20],
    ["gan", 3],
    ["transformer", 2],
  ])("%s, at least %d kills", async (kind, least) => {
    const file = join(folder, `${kind}.yaml`);
    const run = await runOf(file);
    const reference = scratch();
    const counted = failAt({ folder: reference, at: Infinity, halt: neverHalts });
    const whole = results((await go(reference, run)).runDir);
    counted.restore();

    const killedAt: string[] = [];
    for (let chain = 0; killedAt.length < least; chain++) {
      const out = scratch();
      const runDir = join(out, kind, "runs", run.id);
      for (let attempt = 0; ; attempt++) {
        const at = draw(`${kind}/${chain}`, attempt, counted.seen.length);
        // The first two of each kind of model are no chance: within a checkpoint, and within a line of the events.
        const [nth, matching] =
          chain > 0 || attempt > 1
            ? [at, undefined]
            : attempt === 0
              ? [2, "writeSync .*/\\.step-.*/(weights|optimizer)\\.safetensors"]
              : [3, "appendFileSync .*/events\\.jsonl"];
        const what = train(file, out, runDir, nth, matching);
        if (what === undefined) break;
        killedAt.push(what);
      }
      expect(results(runDir)).toEqual(whole);
      expect(readRun(runDir)).toMatchObject({ status: "done", reason: "" });
      expect(leftovers(runDir)).toEqual([]);
    }
    expect(killedAt.length).toBeGreaterThanOrEqual(least);
    expect(killedAt).toContainEqual(expect.stringMatching(/\/\.step-.*\.safetensors$/));
    expect(killedAt).toContainEqual(expect.stringMatching(/^appendFileSync .*events\.jsonl$/));
  });
});

// In one process, which is faster: hence not by a signal, but by a file system on which nothing can be changed from then on.
test.each([
  ["vae", "from nothing", undefined, /config\.yaml\.\d+$/],
  ["gan", "from its first checkpoint", /^mkdirSync .*\.step-00000004/, /^writeFileSync .*events\.jsonl\.\d+\.tmp$/],
])(
  "%s, %s: the n-th attempt dies at its n-th change of the file system, until one comes to its end",
  async (kind, _, first, early) => {
    const run = await runOf(join(folder, `${kind}.yaml`));
    const whole = results((await go(scratch(), run)).runDir);
    const out = scratch();
    if (first) {
      const halting = failAt({ folder: out, at: 1, matching: first, halt: dies });
      await expect(go(out, run)).rejects.toThrow("died at mkdirSync");
      halting.restore();
    }
    const died: string[] = [];
    for (let at = 1; ; at++) {
      const halting = failAt({ folder: out, at, halt: dies });
      const attempt = await go(out, run).then(
        () => "done",
        (error: Error) => error.message,
      );
      halting.restore();
      if (halting.seen.length < at) {
        expect(attempt).toBe("done");
        break;
      }
      died.push(halting.seen[at - 1]!);
    }
    const runDir = join(out, "runs", run.id);
    expect(results(runDir)).toEqual(whole);
    expect(leftovers(runDir)).toEqual([]);
    // Every kind of place was among them.
    for (const place of [
      /\.step-\d+\.\d+\/weights\.safetensors$/,
      /\.step-\d+\.\d+\/SHA256SUMS$/,
      /^renameSync .*\.step-/,
      /^appendFileSync .*events\.jsonl$/,
      /run\.json\.\d+$/,
      early,
    ])
      expect(died).toContainEqual(expect.stringMatching(place));
  },
);

test("a run that is started afresh and killed at once goes on, even where its own config.yaml was given", async () => {
  const out = scratch();
  const run = await runOf(join(folder, "vae.yaml"));
  const { runDir } = await go(join(out, "vae"), run);
  const whole = results(runDir);
  const config = join(runDir, "config.yaml");
  for (let at = 1; at <= 6; at++) {
    const asked = JSON.stringify({ folder: runDir, at, matching: "rmSync" });
    const { signal } = spawnSync(process.execPath, ["--import", kill, bin, "train", config, "--out", out, "--afresh"], {
      env: { ...process.env, FATHOM_TEST_KILL: asked },
    });
    expect(signal).toBe("SIGKILL");
    rmSync(join(runDir, "lease"), { recursive: true });
  }
  expect(train(config, out, runDir, 1e9)).toBeUndefined();
  expect(results(runDir)).toEqual(whole);
});

/** What a killed process left half-written. */
const leftovers = (runDir: string): string[] =>
  readdirSync(runDir, { recursive: true, encoding: "utf8" }).filter((name) =>
    /\.tmp$|\.\d+$|(^|\/)\.|damaged/.test(name),
  );

function neverHalts(): never {
  throw new Error("this was to be counted alone");
}

function dies(what: string): never {
  throw new Error(`died at ${what}`);
}
