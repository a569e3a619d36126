// The largest learning rate a model bears, read off one run: the rate is ramped up in a straight line until training
// breaks (Chen & Wei 2026, Keel, where the ramp goes to 0.05 in 5000 steps). The training loss alone is judged: a dev loss
// also rises where the model overfits and training is sound.

import type { MetricRow } from "../types.ts";
import { median, runningMedian } from "../statistics.ts";

/** How training ended on a ramp.
 *
 *  All rules read the running median of the training loss over 4 % of the steps (11 to 201), which keeps edges sharp and
 *  does not see single batches. The *margin* is 0.3 nats, or 8 sigma / sqrt(window) where the batches' noise sigma makes that
 *  larger: what noise alone does not reach. The loss has *left for good* at the last step on which it is within the margin
 *  of its lowest value so far, if at least a window of steps follows; then the end is
 *  - `spike` where it rises by 1 nat (or two margins) or more within one window, there or later;
 *  - `stagnation` where it was never more than the margin below the unigram entropy: the model learnt token frequencies
 *    at most;
 *  - `silent degradation` otherwise: the loss climbs slowly and never comes back.
 *
 *  `diverged` is a run that ended in numbers that are not finite, whatever came before. A loss that has not left is
 *  `stagnation` too where it was never below the unigram entropy by the margin and came within half a margin of its lowest
 *  value in the first two thirds of the run (later than that it is still falling), and `none` otherwise: the run survived. */
export type RampEnd = "diverged" | "spike" | "silent degradation" | "stagnation" | "none";

/** Where the ramp became too steep to bear. */
export interface RampLimit {
  readonly kind: RampEnd;
  /** The last sound step: the last before the loss left for good or stopped being finite; of `stagnation` the step on
   *  which it stopped falling; of `none` the last of the run. */
  readonly step: number;
  /** The learning rate of that step. */
  readonly learningRate: number;
  /** The running median of the training loss at that step; nats a target. */
  readonly loss: number;
}

/** A run's training loss beside its learning rate, as far as the loss is finite. */
export interface RampCurve {
  readonly steps: readonly number[];
  readonly rates: readonly number[];
  readonly losses: readonly number[];
  /** Running median of the losses. */
  readonly smooth: readonly number[];
  /** Steps the running median looks over. */
  readonly window: number;
}

/** Nats below which a rise, or a fall below the unigram entropy, is put down to noise. */
export const smallestMargin = 0.3;
const smallestJump = 1;
const stillFallingAfter = 2 / 3;

/** The training losses and learning rates of a run's metrics, by step, up to the first loss that is not finite. */
export function rampCurve(metrics: readonly MetricRow[]): RampCurve {
  const rates = new Map(trainRows(metrics, "learning-rate").map(({ step, value }) => [step, value]));
  const rows = trainRows(metrics, "loss").filter(({ step }) => rates.has(step));
  const broken = rows.findIndex(({ value }) => !Number.isFinite(value));
  const finite = broken < 0 ? rows : rows.slice(0, broken);
  const losses = finite.map(({ value }) => value);
  const radius = Math.min(100, Math.max(5, Math.round(losses.length / 50)));
  return {
    steps: finite.map(({ step }) => step),
    rates: finite.map(({ step }) => rates.get(step)!),
    losses,
    smooth: runningMedian(losses, radius),
    window: 2 * radius + 1,
  };
}

const trainRows = (metrics: readonly MetricRow[], name: string): MetricRow[] =>
  metrics.filter((row) => row.split === "train" && row.name === name).sort((a, b) => a.step - b.step);

/** Whether the learning rate rises over a run: a linear ramp may also fall. */
export const rises = ({ rates }: Pick<RampCurve, "rates">): boolean => rates.length > 1 && rates.at(-1)! > rates[0]!;

/** Where training broke on the ramp, by the rules at {@link RampEnd}. `diverged`: whether the run ended in numbers that are not
 *  finite; `unigramEntropy` in nats, NaN where it is not known (then nothing is `stagnation`). Undefined of a run without
 *  a single finite loss. */
export function rampLimit(
  curve: RampCurve,
  { diverged, unigramEntropy }: { readonly diverged: boolean; readonly unigramEntropy: number },
): RampLimit | undefined {
  const { smooth, window } = curve;
  if (smooth.length === 0) return undefined;
  const last = smooth.length - 1;
  const at = (kind: RampEnd, i: number): RampLimit => ({
    kind,
    step: curve.steps[i]!,
    learningRate: curve.rates[i]!,
    loss: smooth[i]!,
  });
  const lowest = smooth.reduce((low, loss) => Math.min(low, loss), Infinity);
  const margin = Math.max(smallestMargin, (8 * noiseOf(curve)) / Math.sqrt(window));
  const sound = lastSound(smooth, margin);
  const left = last - sound >= window;
  if (diverged) return at("diverged", left ? sound : last);
  const jump = Math.max(smallestJump, 2 * margin);
  const jumps = smooth.some((loss, i) => i >= sound && smooth[Math.min(last, i + window)]! - loss >= jump);
  // Within the last window nothing can show whether it comes back; it has not.
  const ended = !left && smooth[last]! - smooth[sound]! >= jump;
  if ((left && jumps) || ended) return at("spike", sound);
  const stopped = smooth.findIndex((loss) => loss <= lowest + margin / 2);
  const learnt = !(lowest > unigramEntropy - margin);
  if (!learnt && (left || stopped < stillFallingAfter * last)) return at("stagnation", stopped);
  return left ? at("silent degradation", sound) : at("none", last);
}

/** The last place on which the loss is within `margin` of its lowest value so far. */
function lastSound(smooth: readonly number[], margin: number): number {
  let lowest = Infinity;
  let sound = 0;
  for (const [i, loss] of smooth.entries()) {
    lowest = Math.min(lowest, loss);
    if (loss <= lowest + margin) sound = i;
  }
  return sound;
}

/** Standard deviation of the batches' noise, from the differences of neighbours: their median is 0.6745 sqrt(2) sigma for
 *  normal noise, and neither the fall nor a jump moves it. Steps on which the loss has exploded do not count. */
function noiseOf({ losses, smooth }: RampCurve): number {
  const differences = losses.flatMap((loss, i) =>
    i > 0 && smooth[i]! <= smooth[0]! + smallestJump ? Math.abs(loss - losses[i - 1]!) : [],
  );
  return differences.length < 10 ? 0 : median(differences) / (0.6745 * Math.SQRT2);
}
