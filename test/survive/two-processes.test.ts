// Two processes that are started on the same run: one works, the other says so.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { beforeAll, expect, test } from "vitest";
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

test("of two processes on one run one trains and one says that another works on it, with exit code 75", async () => {
  const file = join(folder, "vae.yaml");
  const out = scratch();
  // As many steps as outlast the other's start.
  const long = ["train.steps=1500", "train.evaluateEverySteps=500", "train.checkpointEverySteps=500"];
  const command = [bin, "train", file, ...long, "--out", out];
  const outcomes = await Promise.all(
    [1, 2].map(async () => {
      const child = spawn(process.execPath, command, { stdio: ["ignore", "ignore", "pipe"] });
      const said = text(child.stderr);
      const [code] = (await once(child, "exit")) as [number];
      return { code, said: await said };
    }),
  );
  const [worked, other] = outcomes.sort((a, b) => a.code - b.code);
  expect(worked!.code, worked!.said).toBe(0);
  expect(other!.code).toBe(75);
  expect(other!.said).toMatch(
    /^fathom: .*: another process works on this run; wait for it, or stop it and try again$/m,
  );
  const [id] = readdirSync(join(out, "vae/runs"));
  const runDir = join(out, "vae/runs", id!);
  expect(readRun(runDir)).toMatchObject({ status: "done", attempts: 1 });
  const { runDir: alone } = await go(scratch(), await runOf(file, ...long));
  expect(results(runDir)).toEqual(results(alone));
});
