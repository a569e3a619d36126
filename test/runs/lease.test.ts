import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { transpileModule, ModuleKind } from "typescript-5";
import { expect, test } from "vitest";
import { claim, leaseFolder, seemsHeld } from "../../src/runs/lease.ts";
import { scratch } from "./folder.ts";

const times = { beatSeconds: 0.05, staleSeconds: 0.6 };

test("a held lease is not given again; a released one is, at once", async () => {
  const dir = scratch();
  const first = (await claim(dir, times))!;
  expect(first.generation).toBe(1);
  expect(seemsHeld(dir)).toBe(true);
  expect(await claim(dir, times)).toBeUndefined();
  await first.release();
  expect(seemsHeld(dir)).toBe(false);
  const second = (await claim(dir, { ...times, staleSeconds: 1000 }))!;
  expect(second.generation).toBe(2);
  await second.release();
});

test("a lease whose holder fell silent is taken over, and the holder learns of it", async () => {
  const dir = scratch();
  // A holder that beats too slowly to be seen alive: as if its machine had been asleep.
  const sleeper = (await claim(dir, { beatSeconds: 1, staleSeconds: 1000 }))!;
  const lost = new Promise((resolve) => sleeper.lost.addEventListener("abort", resolve));
  const heir = (await claim(dir, { beatSeconds: 0.02, staleSeconds: 0.1 }))!;
  expect(heir.generation).toBe(2);
  await lost;
  await sleeper.release();
  expect(await claim(dir, times)).toBeUndefined(); // the sleeper's release does not free the heir's lease
  await heir.release();
});

test("a damaged lease of a dead process is taken over", async () => {
  const dir = scratch();
  await (await claim(dir, times))!.release();
  writeFileSync(join(dir, leaseFolder, "000002.json"), '{"host":');
  const watched: number[] = [];
  const lease = (await claim(dir, { beatSeconds: 0.02, staleSeconds: 0.2 }, (seconds) => watched.push(seconds)))!;
  expect(lease.generation).toBe(3);
  expect(watched).toEqual([0.2]);
  await lease.release();
});

test("of processes that claim at once exactly one wins; killed, its lease is taken over", async () => {
  const dir = scratch();
  // Plain Node runs the claim in other processes: the module and the helpers it needs, without their types.
  const source = (name: string): string =>
    transpileModule(readFileSync(new URL(`../../src/runs/${name}.ts`, import.meta.url), "utf8"), {
      compilerOptions: { module: ModuleKind.ESNext, target: 9, rewriteRelativeImportExtensions: true },
    }).outputText;
  const ensure =
    "import { mkdirSync } from 'node:fs'; export const ensureFolder = (d) => mkdirSync(d, { recursive: true });";
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  mkdirSync(join(dir, "runs"));
  writeFileSync(join(dir, "folders.js"), "export const withRoom = (file, write) => write();");
  writeFileSync(join(dir, "runs/files.js"), ensure);
  writeFileSync(join(dir, "runs/lease.js"), source("lease"));
  const program = `
    import { claim } from "./runs/lease.js";
    const lease = await claim(process.argv[2], ${JSON.stringify({ beatSeconds: 0.05, staleSeconds: 2 })});
    console.log(lease ? "won" : "lost");
    if (lease) setInterval(() => {}, 1000);`;
  writeFileSync(join(dir, "claim.js"), program);
  const run = scratch();
  const children = [1, 2, 3].map(() =>
    spawn(process.execPath, [join(dir, "claim.js"), run], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  const said = await Promise.all(
    children.map(
      (child) => new Promise<string>((resolve) => child.stdout.once("data", (d) => resolve(String(d).trim()))),
    ),
  );
  expect(said.sort()).toEqual(["lost", "lost", "won"]);
  for (const child of children) child.kill("SIGKILL");
  const lease = (await claim(run, { beatSeconds: 0.05, staleSeconds: 0.3 }))!;
  expect(lease.generation).toBe(2);
  await lease.release();
  expect(readdirSync(join(run, leaseFolder))).toHaveLength(2);
});

test.skipIf(!existsSync("/proc/self/ns/pid"))(
  "a holder of this kernel that is gone is known to be dead at once; one of another kernel is watched",
  async () => {
    const dir = scratch();
    const lease = (await claim(dir, times))!;
    const file = join(dir, leaseFolder, "000001.json");
    const holder = JSON.parse(readFileSync(file, "utf8")) as { kernel: string };
    await lease.release();
    const gone = spawn(process.execPath, ["-e", ""]);
    await once(gone, "exit");
    const left = (kernel: string): void => writeFileSync(file, JSON.stringify({ ...holder, kernel, pid: gone.pid }));
    left("another");
    expect(seemsHeld(dir)).toBe(true);
    const watched: number[] = [];
    const watching = claim(dir, { beatSeconds: 0.05, staleSeconds: 0.3 }, (seconds) => watched.push(seconds));
    await (await watching)!.release();
    expect(watched).toEqual([0.3]);
    const next = scratch();
    await (await claim(next, times))!.release();
    writeFileSync(join(next, leaseFolder, "000001.json"), JSON.stringify({ ...holder, pid: gone.pid }));
    expect(seemsHeld(next)).toBe(false);
    const heir = (await claim(next, { beatSeconds: 1, staleSeconds: 1000 }))!;
    expect(heir.generation).toBe(2);
    await heir.release();
  },
);
