// Words for what a loss did, by rules stated in numbers. They speak of loss alone: an even gradient profile is neither
// necessary nor sufficient for learning, so no gradient norm enters a verdict.

import type { RunRow } from "../types.ts";
import { groupBy } from "../statistics.ts";

/** What became of a run. */
export type Outcome =
  | "learns"
  | "at the unigram line"
  | "still above the unigram line"
  | "diverged"
  | "unfinished"
  /** Without a loss to judge by: that of a player says nothing of how far a game has come. */
  | "finished";

/** Nats around the unigram entropy within which a loss counts as on the line: the loss of one batch or of a small dev
 *  set strays this far without the model having learnt anything from its input. */
export const unigramMargin = 0.1;

/** The outcome of a run by its final dev loss (train loss where there is none) against the unigram entropy. */
export function outcomeOf(row: RunRow): Outcome {
  if (row.status === "diverged") return "diverged";
  const loss = finalLoss(row);
  if (row.status !== "done") return "unfinished";
  if (!Number.isFinite(loss) || !Number.isFinite(row.unigramEntropy)) return "finished";
  if (loss < row.unigramEntropy - unigramMargin) return "learns";
  return loss <= row.unigramEntropy + unigramMargin ? "at the unigram line" : "still above the unigram line";
}

/** The final dev loss, or the final train loss of a run without evaluation. Nats a target. */
export const finalLoss = (row: RunRow): number =>
  Number.isFinite(row.finalDevLoss) ? row.finalDevLoss : row.finalTrainLoss;

/** The step at which a diverged run broke off: as its reason states it, else the steps it took. */
export function divergedStep(row: RunRow): number {
  const stated = /\bstep (\d+)/.exec(row.reason);
  return stated ? Number(stated[1]) : row.steps;
}

/** What became of a configuration's seeds: `learns`, or where they differ `learns in 1, diverged in 2 of 3 seeds`. `line` is how
 *  the line to beat is called. */
export function outcomeWords(rows: readonly RunRow[], line = "unigram line"): string {
  const outcomes = groupBy(
    rows.map((row) => outcomeOf(row).replace("unigram line", line)),
    (outcome) => outcome,
  );
  if (outcomes.size === 1) return [...outcomes.keys()][0]!;
  return `${[...outcomes].map(([outcome, same]) => `${outcome} in ${same.length}`).join(", ")} of ${rows.length} seeds`;
}
