// How a stream's variance grows with depth: what the three variance laws measure.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Engine, StepResult } from "../engine/engine.ts";
import { schemeOf } from "../models/residual-stream.ts";
import type { TransformerOptions } from "../models/transformer.ts";
import { type ResidualScheme, type Stack, stacks, type Sublayer, sublayersOf } from "../residual/scheme.ts";
import { groupBy } from "../statistics.ts";
import { readingsAt, redrawn } from "./encoder-only.ts";
import { randomSentences, translationSetting, translator } from "./translation.ts";

/** Sizes of the networks of the variance laws. */
export const varianceSizes = { layers: 32, width: 128 };
/** Under which conditions they are measured. */
export const varianceSetting = `${translationSetting}, ${varianceSizes.layers} layers each side, D = ${varianceSizes.width}`;
/** One draw of the weights strays by sqrt(2 / D) from the mean, see `peri-ln-variance`: the median of nine by half of that. */
export const varianceSeeds = 9;

/** Var of one stack in one network: mean square of the elements. Branches have mean 0 at initialisation, embeddings with
 *  their positions do not quite; what is added to them is the same either way. */
export interface Variances {
  readonly stack: Stack;
  readonly seed: number;
  /** Of the embedding. */
  readonly start: number;
  /** Of the stream after every layer. */
  readonly stream: readonly number[];
  /** Of the mean over positions of what the encoder's self-attention reads, by layer. */
  readonly average: readonly number[];
  /** Of every sublayer's branch, by layer. */
  readonly branch: Readonly<Partial<Record<Sublayer, readonly number[]>>>;
}

const variances = (taps: StepResult["taps"]): number[] =>
  taps.map(({ activation: { sumSquares, count } }) => sumSquares / count);

/** The scheme with a tap on the mean over positions of what the encoder's self-attention reads. */
function showingAverages(residual: TransformerOptions["residual"]): ResidualScheme {
  const scheme = schemeOf({ residual });
  return {
    ...scheme,
    name: `${scheme.name} with averages shown`,
    connect(x, branch, here) {
      if (here.stack !== "encoder" || here.sublayer !== "self-attention") return scheme.connect(x, branch, here);
      const shown = (y: Tensor): Tensor => {
        const average = tf.mean(y, 1, true);
        return tf.add(tf.sub(y, average), here.measure("average", average));
      };
      return scheme.connect(x, (y, after) => branch(shown(y), after), here);
    },
  };
}

/** Measures a transformer under `residual` at initialisation, once a seed and stack. */
export async function measureVariances(
  engine: Engine,
  residual: TransformerOptions["residual"],
  seeds: readonly number[],
  { layers, width } = varianceSizes,
): Promise<Variances[]> {
  const player = translator(showingAverages(residual), layers, width);
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
        average: variances(readingsAt(taps, stack, "self-attention/average")),
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
