// What `--estimate` of `fathom train` and `fathom sweep` prints for people.

import type { Varied } from "../config/identity.ts";
import type { RefusedRun, RunEstimate } from "../estimate.ts";
import { durationText, memoryText } from "../report/cost-text.ts";
import { distinct } from "../statistics.ts";
import { table } from "./table.ts";

/** Memory by parts, and, where it fits, time: a step, an evaluation, all of it. */
export function estimateText(estimate: RunEstimate | RefusedRun): string {
  const { memory, availableBytes } = estimate;
  const { engine, parts, bytes, isComplete, residentBytes } = memory;
  const total = isComplete
    ? `about ${memoryText(bytes)} of memory at most (engine ${engine})`
    : `at least ${memoryText("seenBytes" in estimate ? Math.max(bytes, estimate.seenBytes) : bytes)} of memory: what engine ${engine} itself needs is not known`;
  const rows = parts
    .filter(({ bytes: part }) => part >= 2 ** 19) // what would be 0 MiB
    .map(({ name, bytes: part }) => [name, memoryText(part), `${Math.round((100 * part) / bytes)} %`]);
  const size = [total, table(["part", "memory", "share"], rows)];
  const available = `${memoryText(residentBytes + availableBytes)} are available`;
  if ("refusal" in estimate) return [...size, available].join("\n");
  const { steps, stepSeconds, evaluations, evaluationSeconds, compileSeconds, totalSeconds, seenBytes } = estimate;
  return [
    ...size,
    `${available}; ${memoryText(seenBytes)} were resident at most in the steps timed here`,
    "",
    `${durationText(stepSeconds)} a step, ${durationText(evaluationSeconds)} an evaluation, ${durationText(compileSeconds)} to compile`,
    `${longText(totalSeconds)} in all: ${steps} steps, ${evaluations} evaluations; without checkpoints, samples and metrics of images`,
  ].join("\n");
}

/** What the runs of one configuration, whatever their seeds, take. */
export interface ConfigurationEstimate {
  /** What tells it from the others; the seed is that of its first run. */
  readonly varied: Varied;
  readonly runs: number;
  /** Of one of them. */
  readonly estimate: RunEstimate | RefusedRun;
}

/** One line a configuration, then the largest run, by which a cluster is asked, and all of them. */
export function sweepEstimateText(estimates: readonly ConfigurationEstimate[]): string {
  if (estimates.length === 0) return "nothing to estimate: all runs are finished";
  const keys = distinct(estimates.flatMap(({ varied }) => Object.keys(varied))).filter((key) => key !== "seed");
  const rows = estimates.map(({ varied, runs, estimate }) => [
    ...keys.map((key) => String(varied[key] ?? "")),
    runs,
    memoryText(bytesOf(estimate)),
    ...("refusal" in estimate
      ? ["does not fit here", ""]
      : [durationText(estimate.stepSeconds), longText(estimate.totalSeconds)]),
  ]);
  const timed = estimates.flatMap(({ runs, estimate }) =>
    "refusal" in estimate ? [] : [{ runs, seconds: estimate.totalSeconds }],
  );
  const all = timed.reduce((sum, { runs, seconds }) => sum + runs * seconds, 0);
  const count = timed.reduce((sum, { runs }) => sum + runs, 0);
  const largest = memoryText(Math.max(...estimates.map(({ estimate }) => bytesOf(estimate))));
  return [
    table([...keys, "runs", "memory a run", "a step", "a run"], rows),
    "",
    `the largest run: ${largest}` +
      (timed.length > 0 ? `, the longest ${longText(Math.max(...timed.map(({ seconds }) => seconds)))}` : ""),
    `${longText(all)} for ${count} runs one after the other; without checkpoints, samples, metrics of images and the report`,
  ].join("\n");
}

const bytesOf = ({ memory, ...estimate }: RunEstimate | RefusedRun): number =>
  memory.isComplete || !("seenBytes" in estimate) ? memory.bytes : Math.max(memory.bytes, estimate.seenBytes);

/** `2 h 5 min`, `4 min`; what is shorter in seconds. */
function longText(seconds: number): string {
  if (seconds < 120) return durationText(seconds);
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
