// Several residual streams where a plain transformer has one, as hyper-connections have them. The n streams of a token
// stand side by side in the last axis, [B, T, n D], or [B, n D] where there is no time: their sums over streams are small
// matrix products, one a token, and what reads all of a token's streams at once reads one row.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { inverseRms, sinkhorn } from "../ops/index.ts";

// B batch, T length, D width, N streams, M = B T tokens (rows of what has no time), K outputs of a linear map.

/** n streams that are all x: [..., D] -> [..., n D]. */
export const copies = (x: Tensor, n: number): Tensor => tf.concat(new Array<Tensor>(n).fill(x), -1);

/** The sum of the n streams: [..., n D] -> [..., D]. */
export function sumOfStreams(x: Tensor, n: number): Tensor {
  const positions = x.shape.slice(0, -1);
  return tf.sum(tf.reshape(x, [...positions, n, x.shape.at(-1)! / n]), positions.length);
}

/** The streams of every token as the rows of a matrix: [..., n D] -> [M, n, D], the same memory. */
export const rowsOf = (x: Tensor, n: number): Tensor => tf.reshape(x, [-1, n, x.shape.at(-1)! / n]);

/** How a branch meets n streams, for every token: its input is sum_s read[s] H_s, and stream t becomes
 *  sum_s mix[t, s] H_s + write[t] F. */
export interface Connection {
  readonly read_M1N: Tensor;
  readonly mix_MNN: Tensor;
  readonly write_M1N: Tensor;
}

/** H' = mix H + write F(read H), in the shape of `x` [..., n D]. */
export function connectStreams(
  x: Tensor,
  n: number,
  { read_M1N, mix_MNN, write_M1N }: Connection,
  branch: (x: Tensor) => Tensor,
): Tensor {
  const width = x.shape.at(-1)! / n;
  const streams_MND = rowsOf(x, n);
  const f = branch(tf.reshape(tf.matMul(read_M1N, streams_MND), [...x.shape.slice(0, -1), width]));
  const added_MND = tf.matMul(write_M1N, tf.reshape(f, [-1, 1, width]), true);
  return tf.reshape(tf.add(tf.matMul(mix_MNN, streams_MND), added_MND), x.shape);
}

/** RMSNorm(x) W over the last axis, transposed: x [..., D], W [D, K] -> [K, M]. The norm has no gain, for W's rows can hold
 *  it; it divides the K products of a token rather than the D numbers they are of. */
export function normalizedProducts(x: Tensor, weight_DK: Tensor): Tensor {
  const x_MD = tf.reshape(x, [-1, x.shape.at(-1)!]);
  const products_KM = tf.matMul(weight_DK as tf.Tensor2D, x_MD as tf.Tensor2D, true, true);
  return tf.mul(products_KM, tf.reshape(inverseRms(x_MD, 1e-5), [1, -1]));
}

/** A doubly stochastic matrix for every token from its logits: [N, N, M] -> [M, N, N], see {@link sinkhorn}. */
export const doublyStochastic = (logits_NNM: Tensor, iterations: number): Tensor =>
  tf.transpose(sinkhorn(logits_NNM, iterations), [2, 0, 1]);
