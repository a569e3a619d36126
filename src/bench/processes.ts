// Child processes of `fathom bench`: everything that is timed runs in a process of its own, one at a time unless several at once
// are what is timed.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { messageOf } from "../errors.ts";

const run = promisify(execFile);

/** Those that are running. */
const children = new Set<ChildProcess>();

/** Ends all that are running: what waits for one of them then fails. */
export function endChildren(): void {
  for (const child of children) child.kill();
}

function noted<T extends ChildProcess>(child: T): T {
  children.add(child);
  return child.once("close", () => children.delete(child)).once("error", () => children.delete(child));
}

/** The command line's own program. */
export const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
/** Where the peers' programs lie. */
export const peerFolder = fileURLToPath(new URL("../../scripts/peers/", import.meta.url));

/** No measurement takes as long, compiling included; milliseconds. */
const patience = 20 * 60 * 1000;

/** What a program prints on stdout, and its time from being started to its end. Throws an error of one line where it fails: the last
 *  that it said. */
export async function output(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ stdout: string; started: number; seconds: number }> {
  const started = Date.now();
  const began = performance.now();
  try {
    const running = run(command, args, { timeout: patience, maxBuffer: 2 ** 26, env });
    noted(running.child);
    const { stdout } = await running;
    return { stdout, started, seconds: (performance.now() - began) / 1000 };
  } catch (error) {
    const { code, killed, stderr = "" } = error as { code?: unknown; killed?: boolean; stderr?: string };
    if (code === "ENOENT") throw new Error("there is no such program", { cause: error });
    if (killed) throw new Error(`it took more than ${patience / 60_000} minutes`, { cause: error });
    throw new Error(stderr.trim().split("\n").at(-1)?.trim() || messageOf(error), { cause: error });
  }
}

/** The last line of JSON that a program prints, and when it was started (milliseconds since 1970). */
export async function jsonOf<T>(
  command: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<T & { readonly started: number }> {
  const { stdout, started } = await output(command, args, env);
  return { ...(JSON.parse(stdout.trim().split("\n").at(-1)!) as T), started };
}

/** What a fresh process of `fathom bench child` measures. Its folders lie in one of ours: where it is ended it can remove none. */
export const runChild = <T>(args: readonly string[]): Promise<T & { readonly started: number }> =>
  inFolder((folder) =>
    jsonOf<T>(process.execPath, [program, "bench", "child", ...args], { ...process.env, TMPDIR: folder }),
  );

/** Starts fathom with these arguments, its errors shown; what ends it at once, and a promise of its exit code. */
export function startFathom(args: readonly string[]): { ended: Promise<number | null>; kill(): void } {
  const child = noted(spawn(process.execPath, [program, ...args], { stdio: ["ignore", "ignore", "inherit"] }));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve).once("error", () => resolve(1)));
  return { ended, kill: () => void child.kill("SIGKILL") };
}

/** Does something in a folder of its own, which is gone afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "fathom-bench-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
