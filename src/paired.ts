// Paired comparison of two configurations over the seeds that both have: Student's t-test, and Holm's correction where there are several
// comparisons.

import { mean, standardDeviation } from "./statistics.ts";

/** What pairs of values, one pair a seed, say of a difference. */
export interface PairedDifference {
  readonly pairs: number;
  /** The mean difference; NaN of no pairs. */
  readonly difference: number;
  /** Its 95 % interval by Student's t distribution; NaN below two pairs. */
  readonly low: number;
  readonly high: number;
  /** Of a two-sided paired t-test; NaN below two pairs, 1 where the values of every pair are equal. */
  readonly p: number;
}

/** What the differences of pairs say, which are taken to be normally distributed. */
export function pairedDifference(differences: readonly number[]): PairedDifference {
  const pairs = differences.length;
  const difference = mean(differences);
  if (pairs < 2) return { pairs, difference, low: NaN, high: NaN, p: NaN };
  const error = standardDeviation(differences) / Math.sqrt(pairs);
  const p = error === 0 ? Number(difference === 0) : twoSided(difference / error, pairs - 1);
  const half = studentQuantile(0.95, pairs - 1) * error;
  return { pairs, difference, low: difference - half, high: difference + half, p };
}

/** Holm (1979), A simple sequentially rejective multiple test procedure: each p-value so corrected that the chance of one or more
 *  below a level, where there is no difference at all, is at most that level. NaN stays, and does not count as a comparison. */
export function holm(ps: readonly number[]): number[] {
  const order = ps.flatMap((p, i) => (Number.isNaN(p) ? [] : [i])).sort((a, b) => ps[a]! - ps[b]!);
  const corrected = ps.map(() => NaN);
  let largest = 0;
  for (const [place, i] of order.entries()) {
    largest = Math.max(largest, Math.min(1, (order.length - place) * ps[i]!));
    corrected[i] = largest;
  }
  return corrected;
}

/** P(|T| >= |t|) of Student's t distribution. */
export const twoSided = (t: number, degrees: number): number =>
  Math.min(1, Math.max(0, 1 - within(Math.abs(t), degrees)));

/** P(|T| <= t) for a whole number of degrees of freedom: the finite sums of Abramowitz & Stegun (1964), Handbook of Mathematical
 *  Functions, 26.7.3 and 26.7.4. Absolute error of some 1e-16 times the root of the degrees. */
function within(t: number, degrees: number): number {
  const angle = Math.atan(t / Math.sqrt(degrees));
  const cosine = Math.cos(angle);
  const isOdd = degrees % 2 === 1;
  let sum = 0;
  let term = isOdd ? cosine : 1;
  for (let power = isOdd ? 1 : 0; power <= degrees - 2; power += 2) {
    sum += term;
    term *= (cosine * cosine * (power + 1)) / (power + 2);
  }
  return isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}

/** The t with P(|T| <= t) = `inside`, by bisection on the angle atan(t / sqrt(degrees)), which is finite. */
export function studentQuantile(inside: number, degrees: number): number {
  let [low, high] = [0, Math.PI / 2];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (within(Math.sqrt(degrees) * Math.tan(middle), degrees) < inside) low = middle;
    else high = middle;
  }
  return Math.sqrt(degrees) * Math.tan(low);
}
