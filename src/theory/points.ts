// What the figures of checks are made of.
import { logMedian, mean } from "../statistics.ts";
import type { CheckPoint } from "../types.ts";

type Where = Pick<CheckPoint, "series" | "panel">;

/** A line as one seed measured it. */
export const measured = (where: Where, seed: number, x: readonly number[], y: readonly number[]): CheckPoint[] =>
  x.map((value, i) => ({ ...where, seed, x: value, y: y[i]! }));

/** A line as a formula has it. */
export const predicted = (where: Where, x: readonly number[], y: readonly number[]): CheckPoint[] =>
  x.map((value, i) => ({ ...where, x: value, y: y[i]! }));

/** A formula that leaves a factor open, times the factor that brings it nearest to what was measured on a logarithmic scale:
 *  `rows` holds the measured values at the places of `shape`, a row a seed. */
export function fitted(shape: readonly number[], rows: readonly (readonly number[])[]): number[] {
  const factor = Math.exp(mean(shape.map((value, i) => Math.log(logMedian(rows.map((row) => row[i]!)) / value))));
  return shape.map((value) => factor * value);
}

/** The seeds 1 to `count`. */
export const seedsUpTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);
