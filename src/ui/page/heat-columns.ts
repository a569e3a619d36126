// Where the columns of a heat map stand: in steps, or one beside the other where steps lie too far apart for that.

import { quantile, thinned } from "../../statistics.ts";
import { ticksOf, type Tick } from "./axes.ts";

/** Gaps between steps that differ by more than this are drawn as columns of equal width: a run recorded at 1, 2, 4 ... 256 would
 *  else be one wide column. */
const evenEnough = 4;

/** The columns of a map. */
export interface Columns {
  /** Where each begins, and the last ends: steps, or numbers of columns from 0. */
  readonly edges: readonly number[];
  /** Whether edges are steps. */
  readonly isInSteps: boolean;
}

/** Columns for recorded `steps`, which rise: those in steps reach half way to their neighbours, and nowhere beyond the first and the last. */
export function columnsOf(steps: readonly number[]): Columns {
  if (!isEven(steps)) return { edges: Array.from({ length: steps.length + 1 }, (_, i) => i), isInSteps: false };
  const middles = steps.slice(1).map((step, i) => (step + steps[i]!) / 2);
  return { edges: [steps[0]!, ...middles, steps.at(-1)!], isInSteps: true };
}

function isEven(steps: readonly number[]): boolean {
  if (steps.length < 2) return false;
  const gaps = steps.slice(1).map((step, i) => step - steps[i]!);
  // The last step of a run is recorded whenever it comes.
  if (gaps.length > 1) gaps.pop();
  return quantile(gaps, 0.9) <= evenEnough * quantile(gaps, 0.1);
}

/** About `wanted` ticks: round steps, or where columns are of equal width the steps of some of them, the first and the last among these. */
export function columnTicks({ edges, isInSteps }: Columns, steps: readonly number[], wanted: number): Tick[] {
  if (isInSteps) return ticksOf({ domain: [edges[0]!, edges.at(-1)!], isLog: false }, wanted);
  return thinned(steps.length, Math.max(2, Math.floor(wanted))).map((i) => ({
    value: i + 0.5,
    label: String(steps[i]),
  }));
}
