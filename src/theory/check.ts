// What `fathom verify` runs: a claim of the seed or of a paper as a program. A check builds the objects the claim is about,
// computes what the formula predicts, measures the same on the engine, and compares.
import type { Engine } from "../engine/engine.ts";
import type { TransformerOptions } from "../models/transformer.ts";
import type { Member } from "../registry.ts";
import type { Parameter, Player } from "../stage.ts";
import { extent, median } from "../statistics.ts";
import type { Batch, CheckFigure, Claim } from "../types.ts";

/** A network and real data for it. */
export interface Trained {
  readonly options: TransformerOptions;
  readonly player: Player;
  /** As they are after training. */
  readonly parameters: Map<string, Parameter>;
  /** As they were before. */
  readonly initial: Map<string, Parameter>;
  /** A few real sentence pairs the network has not been trained on. */
  readonly batch: Batch;
  /** Dev loss in nats a target token, before and after training, and the unigram entropy to compare with. */
  readonly loss: { readonly before: number; readonly after: number; readonly unigram: number };
}

/** What a check may use. */
export interface Laboratory {
  readonly engine: Engine;
  /** A small translation transformer trained from its initialisation for `steps` on the corpus that is always there.
   *  Asked for twice, it is trained once. */
  trained(options: { residual: string; depth: number; width: number; steps: number; seed: number }): Promise<Trained>;
}

/** What a check found. */
export interface Finding {
  readonly claims: readonly Claim[];
  readonly figure: CheckFigure;
}

/** A claim, or a few that belong together, as a program. */
export interface Check extends Member {
  /** Where it is claimed: paper and theorem or equation, or the seed's question. */
  readonly source: string;
  /** Under which conditions the claim is made, and those it is tested under. */
  readonly conditions: string;
  run(laboratory: Laboratory): Promise<Finding>;
}

/** How far a measurement is from a prediction, in parts of the prediction; of a prediction of 0 the measurement itself. */
export const relativeError = (measured: number, predicted: number): number =>
  predicted === 0 ? Math.abs(measured) : Math.abs(measured - predicted) / Math.abs(predicted);

/** The one of `values` that is furthest from `centre`; NaN where one of them is. */
export const furthest = (values: readonly number[], centre: number): number =>
  values.reduce((a, b) => (Number.isNaN(a) || Math.abs(a - centre) >= Math.abs(b - centre) ? a : b), values[0] ?? NaN);

/** What a claim is made from: the numbers measured, one a seed. */
export interface ClaimInput {
  readonly name: string;
  readonly statement: string;
  readonly predicted: number;
  /** One number, or one a seed, of which the median counts. */
  readonly measured: number | readonly number[];
  /** Of several numbers the one furthest from the prediction counts instead: for claims about every seed. */
  readonly worst?: true;
  readonly tolerance: number;
  /** An interval that what counts has to lie in besides, where the source gives one. */
  readonly within?: readonly [low: number, high: number];
  /** Where the claim as it was stated is `claimed`, and `predicted` comes from the formula in `text` instead. */
  readonly correction?: { readonly claimed: number; readonly text: string };
}

/** Compares. A corrected claim that turns out to hold as it was stated holds, and is compared with what was stated; one whose
 *  correction does not hold fails. */
export function claim({ measured: given, worst, correction, ...input }: ClaimInput): Claim {
  const values = typeof given === "number" ? [given] : given;
  const countsFor = (predicted: number): number => (worst ? furthest(values, predicted) : median(values));
  const { tolerance, within } = input;
  const agrees = (predicted: number): boolean => {
    const measured = countsFor(predicted);
    return (
      relativeError(measured, predicted) <= tolerance && (!within || (measured >= within[0] && measured <= within[1]))
    );
  };
  const asStated = correction !== undefined && agrees(correction.claimed);
  const predicted = asStated ? correction.claimed : input.predicted;
  const measured = countsFor(predicted);
  const [low, high] = extent(values);
  return {
    ...input,
    predicted,
    measured,
    relativeError: relativeError(measured, predicted),
    verdict: !agrees(predicted) ? "fails" : correction && !asStated ? "corrected" : "holds",
    ...(correction && !asStated && { correction }),
    ...(values.length > 1 && { spread: { seeds: values.length, low, high } }),
  };
}
