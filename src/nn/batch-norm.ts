import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Tensors } from "../stage.ts";
import { constant, type ParameterShapes } from "./parameters.ts";

const epsilon = 1e-5;

/** Parameters of batch normalisation: gain [C], one; bias [C], zero. */
export const batchNormParameters = (channels: number): ParameterShapes => ({
  gain: constant([channels], 1),
  bias: constant([channels], 0),
});

/** Batch normalisation: (x - mean) / sqrt(var + 1e-5) * gain + bias, where mean and variance of each channel are taken over
 *  the batch and all positions (Ioffe & Szegedy 2015, algorithm 1). Shapes: x [..., C] -> same.
 *  Always with the batch's own statistics, in evaluation too: a stage keeps no running averages. What is said about one
 *  example therefore depends on those it stands beside, and a batch of one vector is normalised to the bias. */
export function batchNorm(x: Tensor, p: Tensors): Tensor {
  const rows = tf.reshape(x, [-1, x.shape.at(-1)!]);
  const centred = tf.sub(rows, tf.mean(rows, 0, true));
  const inverseStd = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 0, true), epsilon));
  return tf.reshape(tf.add(tf.mul(centred, tf.mul(inverseStd, p["gain"]!)), p["bias"]!), x.shape);
}
