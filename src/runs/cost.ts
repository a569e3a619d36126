// What a run costs: the time of its steps and its memory. Both differ from machine to machine and from run to run, so
// they stand in run.json and in no table.

import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { median, round } from "../statistics.ts";
import type { MetricRow } from "../types.ts";

/** Steps left out at the start: they compile, and warm caches up. */
const warming = 5;

/** Median seconds of a training step: from the record before it (a step's, or an evaluation's) to its own. That is forward,
 *  backward, probes, update and writing what was measured, without evaluation. The first five steps are left out, or half of
 *  them where there are fewer than ten. NaN where no step was recorded. */
export function stepSeconds(metrics: readonly MetricRow[]): number {
  const durations: number[] = [];
  let current = -1;
  let began = 0;
  let latest = 0;
  for (const { split, step, seconds } of metrics) {
    if (split === "train") {
      if (step !== current) {
        current = step;
        began = latest;
        durations.push(0);
      }
      durations[durations.length - 1] = seconds - began; // a step of several players is recorded in parts
    }
    latest = seconds;
  }
  return round(median(durations.slice(Math.min(warming, Math.floor(durations.length / 2)))));
}

/** The largest memory this process has had resident, bytes: Linux's VmHWM, which `restartPeak` sets back, elsewhere maxRSS (which on Linux
 *  begins with what the parent had). Everything of the process counts, so it is a run's own only where the run has a process of its
 *  own, or the process has forgotten what was before it, as in the commands. */
export function peakMemoryBytes(): number {
  return statusBytes("VmHWM") ?? process.resourceUsage().maxRSS * 1024;
}

/** Bytes that Linux tells of a process, this one if not another is given (proc(5), status); undefined where there is no such. */
export function statusBytes(field: "VmHWM" | "VmRSS", pid: number | "self" = "self"): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    const [, kibibytes] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text) ?? [];
    return kibibytes === undefined ? undefined : 1024 * Number(kibibytes);
  } catch {
    return undefined;
  }
}

/** Gives back what nobody holds any more, and sets the largest memory that this process has had to what it has now (proc(5),
 *  clear_refs): the next run's is then its own, but for some 10 MB that stay of each. False where the system has no such thing. */
export function restartPeak(): boolean {
  collectGarbage();
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}

/** What Node has with --expose-gc: arrays that nobody holds any more would otherwise wait for memory to run short. Another thread gives
 *  them back after that, which the next collection, here one of few milliseconds, waits for. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options?: { readonly type: "minor" }) => void;
  collect();
  collect({ type: "minor" });
}

/** What this process has resident now, bytes. */
export const residentBytes = (): number => process.memoryUsage.rss();
