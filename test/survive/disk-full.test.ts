// No room left on the disk: the run stops with an error that names the file, what was saved before is whole, nothing half-written
// is trusted later, and with room again the same command ends with the same bits.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
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

/** The checkpoints of a run, all of which hold what they held when they were saved; none is half-written. */
function intactCheckpoints(runDir: string): string[] {
  const checkpoints = join(runDir, "checkpoints");
  const names = readdirSync(runDir).includes("checkpoints") ? readdirSync(checkpoints) : [];
  expect(names.filter((name) => !/^(best-)?step-\d{8}$/.test(name))).toEqual([]);
  for (const name of names)
    for (const line of readFileSync(join(checkpoints, name, "SHA256SUMS"), "utf8")
      .trimEnd()
      .split("\n")) {
      const [sum, file] = line.split("  ");
      const bytes = readFileSync(join(checkpoints, name, file!));
      expect(createHash("sha256").update(bytes).digest("hex"), `${name}/${file}`).toBe(sum);
    }
  return names;
}

test.each([
  ["ENOSPC", "no space is left on its disk"],
  ["EDQUOT", "the quota of its disk is used up"],
])("%s at the n-th write of the n-th attempt, halfway through it, until one comes to its end", async (code, words) => {
  const run = await runOf(join(folder, "vae.yaml"));
  const whole = results((await go(scratch(), run)).runDir);
  const out = scratch();
  const runDir = join(out, "runs", run.id);
  const halt = (): never => {
    throw Object.assign(new Error(`${code}: write`), { code, errno: -28, syscall: "write" });
  };
  const named = new Set<string>();
  for (let at = 1; ; at++) {
    const full = failAt({ folder: out, at, halt, matching: /^(write|writeFile|appendFile)Sync / });
    const error: unknown = await go(out, run).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    full.restore();
    if (full.seen.length < at) break;
    // What the lease's release cannot write is no failure of the run.
    if (error === undefined && /lease/.test(full.seen[at - 1]!)) break;
    expect(error).toBeInstanceOf(UserError);
    const [, file, what] = /^(.+): expected room to write it, but (.+); make room/.exec((error as Error).message)!;
    expect(what).toBe(`${words} (${code})`);
    expect(full.seen[at - 1]).toContain(file!.slice(out.length + 1).replace(/\.(\d+|tmp)$/, ""));
    named.add(file!.replace(/.*\//, ""));
    intactCheckpoints(runDir);
  }
  expect(results(runDir)).toEqual(whole);
  for (const file of ["events.jsonl", "run.json", "config.yaml", "weights.safetensors", "metrics.csv"])
    expect(named).toContain(file);
});

// A tmpfs of 1 MiB; whoever may not mount it has the test above.
const disk = join(folder, "disk");
mkdirSync(disk);
const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).status === 0;
afterAll(() => void (isMounted && spawnSync("umount", [disk])));
if (!isMounted)
  console.warn(
    "test/survive/disk-full.test.ts: no real disk is filled, since no file system can be mounted (it takes root)",
  );

// KiB that are left: for the first files, and for a checkpoint or two.
test.skipIf(!isMounted).each([48, 220])("a real disk of which %d KiB are left", async (left) => {
  const file = join(folder, "vae.yaml");
  const overrides = ["model.hidden=[64]", `name=left-${left}`];
  const run = await runOf(file, ...overrides);
  const whole = results((await go(scratch(), run)).runDir);
  for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true });
  const ballast = join(disk, "ballast");
  writeFileSync(ballast, Buffer.alloc((1024 - left) * 1024));
  const train = () =>
    spawnSync(process.execPath, [bin, "train", file, ...overrides, "--out", disk], { encoding: "utf8" });

  const full = train();
  expect(stripVTControlCharacters(full.stderr)).toMatch(
    /^fathom: \S*\/disk\/\S+: (expected room to write it, but no space is left on its disk|.*ENOSPC)/m,
  );
  expect(full.status).toBe(2);
  const runDir = join(disk, `left-${left}`, "runs", run.id);
  intactCheckpoints(runDir);
  const again = train();
  expect(again.status).toBe(2);

  rmSync(ballast);
  const done = train();
  expect(done.status, done.stderr).toBe(0);
  expect(results(runDir)).toEqual(whole);
});
