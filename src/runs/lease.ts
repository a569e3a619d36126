// Who may work on a run: a lease that beats. Nothing rests on process ids or on clocks of other machines, so it holds on a shared
// file system too: a holder is alive while its file keeps changing, as seen by the claimant's own clock. Only that a holder is dead is
// known at once where it was a process of this very kernel and there is none of its number any more.
//
// A lease is a sequence of files 000001.json, 000002.json ... Each is made with O_EXCL, so exactly one claimant makes it;
// the highest belongs to the holder, earlier ones to those before. Files are never removed: releasing marks the file, and
// a claimant makes the next one where the last is released or has stopped changing.

import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { withRoom } from "../folders.ts";
import { ensureFolder } from "./files.ts";

/** Name of the lease's folder within a run's. */
export const leaseFolder = "lease";

/** How often a holder beats, and how long a claimant watches a silent one before it takes over. */
export interface LeaseTimes {
  readonly beatSeconds: number;
  readonly staleSeconds: number;
}
const defaultTimes: LeaseTimes = { beatSeconds: 1, staleSeconds: 10 };

/** A held lease. */
export interface Lease {
  /** Number of this lease: 1 for the first. */
  readonly generation: number;
  /** Aborted when another process took over, after this one was stopped for long: then write nothing more. */
  readonly lost: AbortSignal;
  /** Looks now whether the lease is lost, and aborts `lost` if so: the word of the beating thread waits for the event loop. */
  isLost(): boolean;
  /** Gives the lease back. */
  release(): Promise<void>;
}

// Beats overwrite the file in place, always as long: a disk that is full stops no beat, and empties no file.
const length = 512;

// The holder's thread may be in a long computation: the beat needs a thread of its own.
const beatingThread = `
const { parentPort, workerData } = require("node:worker_threads");
const { existsSync, writeFileSync } = require("node:fs");
let beat = 0;
setInterval(() => {
  if (existsSync(workerData.next)) parentPort.postMessage("lost");
  else try {
    const text = JSON.stringify({ ...workerData.holder, beat: ++beat }).padEnd(workerData.length);
    writeFileSync(workerData.file, text, { flag: "r+" });
  } catch {}
}, workerData.milliseconds);
`;

/** Claims the lease of a run's folder. Undefined where a living process holds it; where a silent one does, calls `onWatch`
 *  and watches it for `staleSeconds` first. */
export async function claim(
  runDir: string,
  times: LeaseTimes = defaultTimes,
  onWatch: (seconds: number) => void = () => {},
): Promise<Lease | undefined> {
  const folder = join(runDir, leaseFolder);
  ensureFolder(folder);
  const last = latest(folder);
  if (last > 0 && (await isHeld(path(folder, last), times, onWatch))) return undefined;

  const generation = last + 1;
  const holder = { host: hostname(), pid: process.pid, kernel: kernel(), started: new Date().toISOString() };
  const file = path(folder, generation);
  try {
    withRoom(file, () => writeFileSync(file, JSON.stringify({ ...holder, beat: 0 }).padEnd(length), { flag: "wx" }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined; // somebody else was faster
    throw error;
  }
  const lost = new AbortController();
  const thread = new Worker(beatingThread, {
    eval: true,
    workerData: { file, next: path(folder, generation + 1), holder, length, milliseconds: times.beatSeconds * 1000 },
  });
  const lose = (): void => lost.abort(new Error("another process took over this run"));
  thread.on("message", lose);
  thread.unref();
  const isLost = (): boolean => {
    if (!lost.signal.aborted && existsSync(path(folder, generation + 1))) lose();
    return lost.signal.aborted;
  };
  return {
    generation,
    lost: lost.signal,
    isLost,
    async release() {
      await thread.terminate();
      if (isLost()) return;
      try {
        writeFileSync(file, JSON.stringify({ ...holder, released: true }).padEnd(length), { flag: "r+" });
      } catch {
        // The next claimant watches its silence instead. How the run has ended must not be hidden by this.
      }
    },
  };
}

/** Whether a run seems to be held now, for display: its file changed lately by the file system's clock. */
export function seemsHeld(runDir: string): boolean {
  const folder = join(runDir, leaseFolder);
  const last = latest(folder);
  if (last === 0) return false;
  const text = read(path(folder, last));
  if (isReleased(text) || isDead(text)) return false;
  return Date.now() - statSync(path(folder, last)).mtimeMs < 2 * defaultTimes.staleSeconds * 1000;
}

/** Watches the holder's file until it changes (held) or stays the same for `staleSeconds` (abandoned). */
async function isHeld(
  file: string,
  { beatSeconds, staleSeconds }: LeaseTimes,
  onWatch: (seconds: number) => void,
): Promise<boolean> {
  const first = read(file);
  if (isReleased(first) || isDead(first)) return false;
  const start = performance.now();
  const end = start + staleSeconds * 1000;
  // Living holders show themselves within a beat or two: most waits need no word.
  let told = false;
  while (performance.now() < end) {
    await sleep((beatSeconds * 1000) / 4);
    const now = read(file);
    if (isReleased(now)) return false;
    if (now !== first) return true;
    if (!told && performance.now() - start > 2000 * beatSeconds) {
      told = true;
      onWatch(staleSeconds);
    }
  }
  return false;
}

function latest(folder: string): number {
  if (!existsSync(folder)) return 0;
  const generations = readdirSync(folder).map((name) => Number(/^(\d{6,9})\.json$/.exec(name)?.[1] ?? 0));
  // Only what this file would name so: another name of the same number is none of ours.
  return generations.reduce((last, one) => (one > last && existsSync(path(folder, one)) ? one : last), 0);
}

const path = (folder: string, generation: number): string =>
  join(folder, `${String(generation).padStart(6, "0")}.json`);
const read = (file: string): string => readFileSync(file, "utf8");
const isReleased = (text: string): boolean => text.includes('"released":true');

/** Names the running kernel, and what of its processes this one sees: where both are the same so are process ids. Empty where the
 *  system does not tell (Linux does). */
function kernel(): string {
  try {
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return "";
  }
}

/** Whether the holder is known to have ended. Its number may be another's by now: then its silence tells. */
function isDead(text: string): boolean {
  try {
    const holder = JSON.parse(text) as { kernel?: unknown; pid?: unknown };
    if (!(Number.isInteger(holder.pid) && Number(holder.pid) > 0) || holder.kernel === "" || holder.kernel !== kernel())
      return false;
    process.kill(Number(holder.pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH"; // not where the text is damaged
  }
}
