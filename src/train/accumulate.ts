// Gradient accumulation: the batches of an update are differentiated one after the other, and count as one batch.
import type { Engine, StepOptions, StepResult } from "../engine/engine.ts";
import type { TapReading } from "../probes/probe.ts";
import type { Parameters, Player } from "../stage.ts";
import type { Batch, Dataset, Moments } from "../types.ts";

/** What differentiating the batches of an update gives. */
export type Accumulated = Pick<StepResult, "scalars" | "gradients" | "taps" | "readings">;

/** The N batches of update `number`: those of the steps N number + i, i from 0 to N - 1. */
export const batchesOf = (dataset: Pick<Dataset, "batchAt">, number: number, count: number): Batch[] =>
  Array.from({ length: count }, (_, i) => dataset.batchAt(number * count + i));

/** Targets of all batches. */
export const targetsOf = (batches: readonly Batch[]): number => batches.reduce((sum, { tokens }) => sum + tokens, 0);

/** Differentiates the batches of update `options.step` as if they were one: the loss is the sum of all targets' losses over the
 *  number of all targets (the delayed updates of Ott et al. 2018, Scaling Neural Machine Translation). With t_i the targets of batch
 *  i, T their sum and w_i = t_i / T:
 *
 *    scalars and gradients: sum_i w_i (.)_i, since those of a batch are of its mean over t_i
 *    activations: sums of squares and counts add up, the maximum is the largest
 *    activation gradients: likewise, of w_i dL_i/dx_i, which is dL/dx there
 *    readings: those of the first batch. Shares and extremes over a batch do not add up; these compare with those of runs without
 *      accumulation.
 *
 *  Activations hold the padding of each batch: those of one wide batch would differ where the batches' lengths do.
 *  Batch i draws its noise at step N step + i, so that no two batches share any; what follows from the step by a stage's constants
 *  would follow from that as well, so that accumulation is for models without such (a transformer has none). One batch is left as
 *  the engine gives it, bit for bit; the arrays are then the engine's. Otherwise they are the caller's: float32, in the order of the
 *  batches, each partial sum rounded once. That errs by at most N / 2 units in the last place of the largest of them, no more than
 *  the engine's own float32 sums over targets, so that accumulators in float64 would double the memory for nothing. */
export async function differentiateBatches(
  engine: Engine,
  player: Player,
  parameters: Parameters,
  batches: readonly Batch[],
  options: StepOptions,
): Promise<Accumulated> {
  const [only, ...others] = batches;
  if (others.length === 0) return engine.differentiate(player, parameters, only!, options);
  const targets = targetsOf(batches);
  const scalars: Record<string, number> = {};
  const gradients = new Map<string, Float32Array>();
  let taps: readonly TapReading[] = [];
  let readings: StepResult["readings"] = [];
  for (const [i, batch] of batches.entries()) {
    const step = options.step * batches.length + i;
    const found = await engine.differentiate(player, parameters, batch, { ...options, step });
    const weight = batch.tokens / targets;
    for (const [name, value] of Object.entries(found.scalars)) scalars[name] = (scalars[name] ?? 0) + weight * value;
    for (const [path, gradient] of found.gradients) {
      let sum = gradients.get(path);
      if (!sum) gradients.set(path, (sum = new Float32Array(gradient.length)));
      for (let j = 0; j < sum.length; j++) sum[j]! += weight * gradient[j]!;
    }
    const weighted = found.taps.map((tap) => ({ ...tap, gradient: scaled(tap.gradient, weight) }));
    taps = i === 0 ? weighted : taps.map((tap, j) => joined(tap, weighted[j]!));
    if (i === 0) ({ readings } = found);
  }
  return { scalars, gradients, taps, readings };
}

/** Moments of `factor` times what has these. */
const scaled = ({ sumSquares, max, count }: Moments, factor: number): Moments => ({
  sumSquares: factor ** 2 * sumSquares,
  max: factor * max,
  count,
});

const joined = (a: TapReading, b: TapReading): TapReading => ({
  ...a,
  activation: together(a.activation, b.activation),
  gradient: together(a.gradient, b.gradient),
});

/** Moments of two tensors as of one; NaN stays. */
const together = (a: Moments, b: Moments): Moments => ({
  sumSquares: a.sumSquares + b.sumSquares,
  max: Math.max(a.max, b.max),
  count: a.count + b.count,
});
