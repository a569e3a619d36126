// Two processes that are started on the same run: one works, the other says so.
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { runOne } from "../../src/run-one.ts";
import { readRun } from "../../src/runs/run-folder.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { scratch } from "../runs/folder.ts";
import { bin, buildIfStale } from "../train/build.ts";
import { go, results, runOf, writeConfigs } from "./tiny.ts";

useTemporaryCache();
const folder = scratch();
beforeAll(() => {
  writeConfigs(folder);
  buildIfStale();
});

test("a process on whose run another one works says so, with exit code 75, and leaves the run as it is", async () => {
  const file = join(folder, "vae.yaml");
  const out = scratch();
  const run = await runOf(file);
  // This process trains. In the midst of it, it waits for the other one, while the thread of its lease goes on beating.
  let other: SpawnSyncReturns<string> | undefined;
  const { runDir } = await runOne(join(out, "vae"), run, {
    signal: new AbortController().signal,
    afresh: false,
    keepGraphs: false,
    onProgress({ step }) {
      if (step === 3)
        other ??= spawnSync(process.execPath, [bin, "train", file, "--out", out], {
          encoding: "utf8",
          timeout: 60_000,
        });
    },
    say: () => {},
  });
  expect(other?.status, other?.stderr).toBe(75);
  expect(stripVTControlCharacters(other!.stderr)).toMatch(
    /^fathom: .*: another process works on this run; wait for it, or stop it and try again$/m,
  );
  expect(readRun(runDir)).toMatchObject({ status: "done", attempts: 1 });
  expect(results(runDir)).toEqual(results((await go(scratch(), run)).runDir));
});
