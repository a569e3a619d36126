// Estimates of log p(x) as logarithms of means: log 1/S sum_s w_s, whose terms differ by hundreds of nats and are summed in
// float64.
import type { HostTensor } from "../types.ts";
import type { MetricContext } from "./metric.ts";
import { breathe, matrix } from "./view.ts";

/** Samples, times images where each has its own, in a call: more than that fall out of the cache between two operations of the
 *  decoder and are slower. */
export const ROWS = 1000;

/** log w of the images [B, P] and `k` fresh samples, [B, k]; `call` counts the calls, so that every one can have draws of its own. */
type Weigh = (images: HostTensor, k: number, call: number) => Promise<Float32Array>;

/** log 1/S sum_s w_s of every image [count, P], for each S of `samples` (ascending), nats: [samples, count]. Of one sequence of
 *  draws it takes the first S, so that what changes from one S to the next is the number of samples alone. `group` images go
 *  together. */
export async function logMeans(
  context: MetricContext,
  { pixels, count, samples, group }: { pixels: Float32Array; count: number; samples: readonly number[]; group: number },
  weigh: Weigh,
): Promise<Float64Array[]> {
  const width = pixels.length / count;
  const estimates = samples.map(() => new Float64Array(count));
  let call = 0;
  for (let from = 0; from < count; from += group) {
    const rows = Math.min(group, count - from);
    const images = matrix(pixels.subarray(from * width, (from + rows) * width), rows);
    const totals = Array.from({ length: rows }, emptyExpSum);
    let done = 0;
    for (const [i, end] of samples.entries()) {
      while (done < end) {
        const k = Math.min(ROWS, end - done);
        const logWeights = await weigh(images, k, call++);
        totals.forEach((total, row) => addExps(total, logWeights, row * k, (row + 1) * k));
        done += k;
        await breathe(context);
      }
      totals.forEach((total, row) => (estimates[i]![from + row] = logMean(total)));
    }
    context.progress?.((from + rows) / count);
  }
  return estimates;
}

/** A running sum of exponentials, exp(largest) * sum, of `count` terms. */
export interface ExpSum {
  largest: number;
  sum: number;
  count: number;
}

/** Of no terms yet. */
export const emptyExpSum = (): ExpSum => ({ largest: -Infinity, sum: 0, count: 0 });

/** Adds exp(x) for the `terms` from `start` to `end`, in logarithms, nats. */
export function addExps(total: ExpSum, terms: ArrayLike<number>, start: number, end: number): void {
  let { largest } = total;
  for (let i = start; i < end; i++) if (terms[i]! > largest) largest = terms[i]!;
  total.count += end - start;
  if (largest === -Infinity) return; // all of it 0
  let sum = total.sum === 0 ? 0 : total.sum * Math.exp(total.largest - largest);
  for (let i = start; i < end; i++) {
    const below = terms[i]! - largest;
    // A million terms of exp(-50) are 2e-16 of the largest: what float64 cannot see.
    if (below > -50) sum += Math.exp(below);
  }
  total.largest = largest;
  total.sum = sum;
}

/** The logarithm of the mean of what was added. */
export const logMean = ({ largest, sum, count }: ExpSum): number => largest + Math.log(sum / count);
