// How a stream's variance grows with depth: what the three variance laws measure.
import type { Engine, StepResult } from "../engine/engine.ts";
import type { TransformerOptions } from "../models/transformer.ts";
import { type Stack, type Sublayer, sublayersOf } from "../residual/scheme.ts";
import { groupBy } from "../statistics.ts";
import { readingsAt, redrawn } from "./encoder-only.ts";
import { randomSentences, translationSetting, translator } from "./translation.ts";

/** Sizes of the networks of the variance laws. */
export const varianceSizes = { layers: 32, width: 128 };
/** Under which conditions they are measured. */
export const varianceSetting = `${translationSetting}, ${varianceSizes.layers} layers each side, D = ${varianceSizes.width}`;
/** One draw of the weights strays by sqrt(2 / D) from the mean, see `peri-ln-variance`: the median of nine by half of that. */
export const varianceSeeds = 9;

export const stacks: readonly Stack[] = ["encoder", "decoder"];

/** Var of one stack in one network: mean square of the elements. Branches have mean 0 at initialisation, embeddings with
 *  their positions do not quite; what is added to them is the same either way. */
export interface Variances {
  readonly stack: Stack;
  readonly seed: number;
  /** Of the embedding. */
  readonly start: number;
  /** Of the stream after every layer. */
  readonly stream: readonly number[];
  /** Of every sublayer's branch, by layer. */
  readonly branch: Readonly<Partial<Record<Sublayer, readonly number[]>>>;
}

const variances = (taps: StepResult["taps"]): number[] =>
  taps.map(({ activation: { sumSquares, count } }) => sumSquares / count);

/** Measures a transformer under `residual` at initialisation, once a seed and stack. */
export async function measureVariances(
  engine: Engine,
  residual: TransformerOptions["residual"],
  seeds: readonly number[],
  { layers, width } = varianceSizes,
): Promise<Variances[]> {
  const player = translator(residual, layers, width);
  const { parameters, draw } = redrawn([player]);
  const found: Variances[] = [];
  for (const seed of seeds) {
    draw(seed);
    const { taps } = await engine.differentiate(player, parameters, randomSentences(seed), {
      step: 0,
      seed,
      tapped: true,
    });
    for (const stack of stacks)
      found.push({
        stack,
        seed,
        start: variances(readingsAt(taps, "embedding", stack === "encoder" ? "source" : "target"))[0]!,
        stream: variances(readingsAt(taps, stack, "layer")),
        branch: Object.fromEntries(
          sublayersOf[stack].map((sublayer) => [sublayer, variances(readingsAt(taps, stack, sublayer, "branch"))]),
        ),
      });
  }
  return found;
}

/** Var(x_l) - Var(x_0), by layer. */
export const growthOf = ({ start, stream }: Variances): number[] => stream.map((variance) => variance - start);

/** The numbers of the layers, from 1. */
export const layerNumbers = ({ stream }: Variances): number[] => stream.map((_, i) => i + 1);

/** The stacks of every seed. */
export const bySeed = (found: readonly Variances[]): Variances[][] => [
  ...groupBy(found, ({ seed }) => String(seed)).values(),
];

export const ofStack = (found: readonly Variances[], stack: Stack): Variances[] =>
  found.filter((one) => one.stack === stack);
