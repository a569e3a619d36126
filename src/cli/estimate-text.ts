// What `fathom train --estimate` prints for people.

import type { RefusedRun, RunEstimate } from "../estimate.ts";
import { durationText, memoryText } from "../report/cost-text.ts";
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

/** `2 h 5 min`, `4 min`; what is shorter in seconds. */
function longText(seconds: number): string {
  if (seconds < 120) return durationText(seconds);
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
