// What a run costs: the time of its steps and its memory. Both differ from machine to machine and from run to run, so
// they stand in run.json and in no table.

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

/** The largest memory this process has had resident (maxRSS, which Node gives in KiB), bytes. Everything of the process
 *  counts, so it is a run's own only where the run has a process of its own, or the process has forgotten what was before it
 *  (src/cli/serve.ts), as in the commands. */
export const peakMemoryBytes = (): number => process.resourceUsage().maxRSS * 1024;

/** What this process has resident now, bytes. */
export const residentBytes = (): number => process.memoryUsage.rss();
