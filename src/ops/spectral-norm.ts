import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { stream } from "../random.ts";
import { sizeOf } from "../stage.ts";
import { stopGradient } from "./stop-gradient.ts";

/** w / sigma(w) with sigma the largest singular value of w as a matrix [K, N], N its last axis and K all others together, as a
 *  kernel [k, k, in, out] is taken (Miyato et al. 2018). sigma = v^T W u, where u and v come from `iterations` steps of power
 *  iteration, v = W u / |W u|, u = W^T v / |W^T v|, and count as constants (their equation 12):
 *  d sigma / dW = v u^T.
 *  Miyato et al. keep u from step to step and iterate once a step. A stage keeps nothing: the start here is a fixed vector.
 *  sigma comes out too small, the Lipschitz constant of the result therefore above 1: of Gaussian matrices [784, 240], whose
 *  singular values lie densest, by 5 to 7 % after 5 iterations, 2 to 3 % after 10 and 0.4 to 2 % after 20 (five drawn); of a
 *  single column, by nothing. A matrix of zeros gives 0 / 0: configurations that start with some are refused. */
export function spectralNorm(w: Tensor, iterations: number): Tensor {
  const width = w.shape.at(-1)!;
  const matrix = tf.reshape(w, [sizeOf(w.shape) / width, width]);
  const fixed = stopGradient(matrix);
  const unit = (x: Tensor): Tensor => tf.div(x, tf.sqrt(tf.add(tf.sum(tf.square(x)), 1e-24)));
  let u = unit(tf.tensor(stream(0, "spectral norm").normal(new Float32Array(width)), [width, 1]));
  let v = unit(tf.matMul(fixed, u));
  for (let i = 1; i < iterations; i++) {
    u = unit(tf.matMul(fixed, v, true, false));
    v = unit(tf.matMul(fixed, u));
  }
  u = unit(tf.matMul(fixed, v, true, false));
  const sigma = tf.sum(tf.mul(v, tf.matMul(matrix, u)));
  return tf.div(w, sigma);
}
