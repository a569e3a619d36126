// A translation transformer at initialisation on random tokens, for claims about all of it.
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { stream } from "../random.ts";
import type { Player } from "../stage.ts";
import type { Batch } from "../types.ts";
import { plainOptions } from "./plain-options.ts";

const [sentences, length, vocabulary] = [4, 16, 500];

/** How these networks are described in a check's conditions. */
export const translationSetting =
  `encoder-decoder transformer at initialisation (Xavier, q, k and v at 1/sqrt(2)), 4 heads, feed-forward 4 D, ReLU, no ` +
  `dropout, ${sentences} sentences of ${length} random tokens`;

/** A transformer of as many encoder as decoder layers. */
export const translator = (residual: TransformerOptions["residual"], layers: number, width: number): Player =>
  transformer(
    plainOptions({
      residual,
      depth: { encoder: layers, decoder: layers },
      width,
      heads: 4,
      feedForward: 4 * width,
      vocabulary,
    }),
  )[0]!;

/** Sentence pairs of uniformly random tokens without padding. */
export function randomSentences(seed: number): Batch {
  const shape = [sentences, length];
  const size = sentences * length;
  const tokens = (purpose: string): Batch["tensors"][string] => {
    const draws = stream(seed, `theory/${purpose}`).uniform(new Float64Array(size));
    return { dtype: "int32", shape, data: Int32Array.from(draws, (u) => Math.floor(u * vocabulary)) };
  };
  const ones = { dtype: "float32", shape, data: new Float32Array(size).fill(1) } as const;
  const tensors = {
    source: tokens("source"),
    target: tokens("target"),
    labels: tokens("labels"),
    sourceMask: ones,
    labelWeights: ones,
  };
  return { tensors, tokens: size };
}
