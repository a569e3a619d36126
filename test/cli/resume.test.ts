// `fathom resume`, and a launcher's options, with real training in child processes, which run the built program.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import type { RunRow } from "../../src/types.ts";
import { readRun, updateRun } from "../../src/runs/run-folder.ts";
import { fathom } from "./capture.ts";

interface Result {
  readonly experiment: string;
  readonly runs: readonly RunRow[];
}

/** A configuration of tiny runs that differ by seed. */
function tiny(seeds: string): { command: string[]; file: string } {
  const out = mkdtempSync(join(tmpdir(), "fathom-resume-"));
  const file = join(out, "c.yaml");
  const debug = readFileSync(new URL("../../configs/debug.yaml", import.meta.url), "utf8");
  writeFileSync(file, `${debug}sweep:\n  seeds: ${seeds}\n`);
  return { file, command: ["sweep", file, "model.depth=1", "train.steps=2", "--out", out, "--jobs", "1", "--json"] };
}
const parsed = ({ stdout }: { stdout: string }): Result => JSON.parse(stdout) as Result;

test("--max-runs leaves the rest for later, which resume does without the configuration", async () => {
  const { command, file } = tiny("[1, 2, 3]");
  const { experiment, runs } = parsed(await fathom(...command, "--max-runs", "1"));
  expect(runs.map((r) => r.status)).toEqual(["done", "pending", "pending"]);
  rmSync(file);
  const said = await fathom("resume", experiment, "--max-runs", "1", "--jobs", "1");
  expect(said.stderr).toContain("3 runs, 2 not finished\n");
  expect(said.stderr).toContain("1 of them are left for another time (--max-runs)");
  expect(parsed(await fathom("resume", experiment, "--jobs", "1", "--json")).runs.map((r) => r.status)).toEqual([
    "done",
    "done",
    "done",
  ]);
});

test("resume --failed and --stale take those alone, and leave the numbers of a run that was never disturbed", async () => {
  const { command } = tiny("[1, 2, 3]");
  const { experiment, runs } = parsed(await fathom(...command));
  const [failed, stale, pending] = runs.map(({ id }) => join(experiment, "runs", id)) as [string, string, string];
  const layers = [failed, stale, pending].map((dir) => readFileSync(join(dir, "layers.csv"), "utf8"));
  updateRun(failed, { status: "failed", reason: "lightning" });
  updateRun(stale, { status: "running" });
  rmSync(pending, { recursive: true });
  const statuses = (result: Result): string[] => result.runs.map((r) => r.status);
  const resume = async (...flags: string[]): Promise<string[]> =>
    statuses(parsed(await fathom("resume", experiment, "--jobs", "1", "--json", ...flags)));
  expect(await resume("--failed")).toEqual(["done", "stale", "pending"]);
  expect(await resume("--stale")).toEqual(["done", "done", "pending"]);
  expect(await resume()).toEqual(["done", "done", "done"]);
  expect(readRun(failed)!.attempts).toBe(2);
  expect([failed, stale, pending].map((dir) => readFileSync(join(dir, "layers.csv"), "utf8"))).toEqual(layers);
});

test("several indices run in child processes, one that fails stops none, and the worst exit code is given", async () => {
  const { command } = tiny("[1, 2, 3]");
  const { experiment } = parsed(await fathom(...command, "--max-runs", "1"));
  const ended = await fathom("run", "--manifest", experiment, "--index", "2,0");
  expect(ended.code).toBe(0);
  expect(ended.stderr).toMatch(/seed=3_[0-9a-f]{8}: done/);
  expect(existsSync(join(experiment, "runs"))).toBe(true);
  expect(await fathom("run", "--manifest", experiment, "--index", "1,7")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("expected --index from 0 to 2, got 7") as string,
  });
});

test("of several that are tried again one that the user has to repair is left alone, and its exit code given", async () => {
  const { command, file } = tiny("[1]");
  const sweep = "sweep:\n  parameters:\n    data.vocabulary.size: {values: [99000, 500]}\n";
  writeFileSync(file, readFileSync(file, "utf8").replace(/sweep:[^]*/, sweep));
  const { experiment, runs } = parsed(await fathom(...command));
  const [refused, done] = runs.map(({ id }) => join(experiment, "runs", id)) as [string, string];
  expect(readRun(refused)).toMatchObject({ status: "failed", isRefused: true, attempts: 1 });
  updateRun(done, { status: "failed", reason: "lightning" });
  const again = ["run", "--manifest", experiment, "--index", "0,1"];
  expect((await fathom(...again, "--retry")).code).toBe(2);
  expect([refused, done].map((dir) => readRun(dir)!.attempts)).toEqual([1, 2]);
  expect(readRun(done)!.status).toBe("done");
  expect((await fathom(...again)).code).toBe(2);
  expect(readRun(refused)!.attempts).toBe(2);
});

test("options that contradict each other, or that a launcher does not have, are refused", async () => {
  const { command } = tiny("[1]");
  const refused = async (...flags: string[]): Promise<string> => {
    const { code, stderr } = await fathom(...command, ...flags);
    expect(code).toBe(2);
    return stderr;
  };
  expect(await refused("--fail-fast", "--keep-going")).toContain("expected --fail-fast or --keep-going, got both");
  expect(await refused("--max-runs", "0")).toContain("expected --max-runs to be a whole number of 1 or more, got 0");
  expect(await refused("--option", "partition=long")).toContain("launcher local has none, got partition=long");
  expect(await refused("--option", "partition")).toContain("--option: expected name=value, got partition");
  expect((await fathom("resume", "nowhere")).stderr).toContain("expected the folder of a sweep (with manifest.jsonl)");
});

test("a run whose files were damaged stands as such, and resume gives back the bytes it had", async () => {
  const { command } = tiny("[1, 2, 3]");
  const { experiment, runs } = parsed(await fathom(...command));
  const dirs = runs.map(({ id }) => join(experiment, "runs", id));
  const tables = (): string[] => dirs.map((dir) => readFileSync(join(dir, "layers.csv"), "utf8"));
  const before = tables();
  const record = join(dirs[0]!, "run.json");
  writeFileSync(record, readFileSync(record, "utf8").slice(0, 300));
  rmSync(join(dirs[1]!, "layers.csv"));
  writeFileSync(join(dirs[2]!, "layers.csv"), "step,player\n");
  const shown = stripVTControlCharacters((await fathom("status", experiment)).stdout);
  for (const reason of [
    "run.json cannot be read; `fathom resume` makes it anew",
    "layers.csv is missing; `fathom resume` makes it anew",
    "layers.csv has other columns; `fathom resume` makes it anew",
  ])
    expect(shown).toMatch(new RegExp(` damaged .*${reason}`));
  expect(shown).toContain("\n3 damaged; ");
  expect(parsed(await fathom("resume", experiment, "--jobs", "1", "--json")).runs).toMatchObject(
    runs.map(({ id, finalTrainLoss }) => ({ id, finalTrainLoss, status: "done", reason: "" })),
  );
  expect(tables()).toEqual(before);
});

test("a manifest that cannot be read may be removed: finished runs are found again and not run again", async () => {
  const { command } = tiny("[1, 2]");
  const { experiment, runs } = parsed(await fathom(...command, "--max-runs", "1"));
  const manifest = join(experiment, "manifest.jsonl");
  writeFileSync(manifest, "{");
  const { code, stderr } = await fathom(...command);
  expect(code).toBe(2);
  expect(stderr).toContain("remove it and sweep again: finished runs stay in runs/, and are found and not run again");
  rmSync(manifest);
  const again = parsed(await fathom(...command));
  expect(again.runs).toMatchObject(runs.map(({ id }) => ({ id, status: "done" })));
  expect(runs.map(({ id }) => readRun(join(experiment, "runs", id))!.attempts)).toEqual([1, 1]);
});
