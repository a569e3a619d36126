// Numbers about the forward that stages offer to probes: each a tensor of rank 1, one number or one a head. All are means or
// extremes over every position of the batch, padding included, as the norms at the taps are: a quarter of the positions and
// more where sentences differ in length.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { attentionScores, maskedSoftmax } from "../ops/index.ts";

// B batch, T length (queries), S keys, D width, H heads, K head width, F feed-forward width.

/** Entropy of each head's attention rows in parts of that of even attention: -sum_s p log p / log n with n the number of keys a query
 *  may see, the mean over batch and queries that may see more than one. 0 where a head attends to one key alone, 1 where to
 *  all alike, whatever the length of sentences. -sum_s p log p = log sum_s exp(s) - sum_s p s. Returns [H].
 *  Zhai et al. 2023 (sigma-reparam) follow it in nats. */
export function attentionEntropy(q_BHTK: Tensor, k_BHSK: Tensor, mask: Tensor): Tensor {
  const scores_BHTS = attentionScores(q_BHTK, k_BHSK, mask);
  // As attention has them, so that in one graph they are the same values.
  const product_BHTS = tf.mul(tf.matMul(q_BHTK, k_BHSK, false, true), 1 / Math.sqrt(q_BHTK.shape.at(-1)!));
  const p_BHTS = maskedSoftmax(product_BHTS, mask);
  // max p >= 1 / S, so that its logarithm is safe; p is 0 or 1e-22 where a key is hidden, and a masked score, -1e9, times p nothing.
  const logSumExp_BHT = tf.sub(tf.max(scores_BHTS, -1), tf.log(tf.max(p_BHTS, -1)));
  const entropy_BHT = tf.sub(logSumExp_BHT, tf.sum(tf.mul(p_BHTS, scores_BHTS), -1));
  // The mask is 0 at keys that may be seen: of every query [T], or of every sentence [B, 1, 1].
  const visible = tf.sum(tf.exp(mask), -1);
  const counts = tf.cast(tf.greater(visible, 1.5), "float32");
  const shares_BHT = tf.mul(tf.div(entropy_BHT, tf.log(tf.maximum(visible, 2))), counts);
  const weights_BHT = tf.mul(tf.onesLike(entropy_BHT), counts);
  return tf.div(tf.sum(shares_BHT, [0, 2]), tf.maximum(tf.sum(weights_BHT, [0, 2]), 1));
}

/** Largest attention score of each head before the softmax, q k / sqrt(K), masked pairs left out. Returns [H]. By rows
 *  first, whose largest the entropy has as well. Its growth goes before divergence (Wortsman et al. 2023, section 3.1). */
export const largestAttentionLogit = (q_BHTK: Tensor, k_BHSK: Tensor, mask: Tensor): Tensor =>
  tf.max(tf.max(attentionScores(q_BHTK, k_BHSK, mask), -1), [0, 2]);

/** Share of hidden units that are above 0 at no position of the batch: [..., F] -> [1]. By sums of what is above 0, since a maximum
 *  over rows costs three times as much. */
export function deadUnits(h_BTF: Tensor): Tensor {
  const positions = h_BTF.shape.slice(0, -1).map((_, axis) => axis);
  const above_F = tf.sum(tf.relu(h_BTF), positions);
  return tf.reshape(tf.mean(tf.cast(tf.lessEqual(above_F, 0), "float32")), [1]);
}

/** Angle between x and y over the last axis in parts of pi, arccos(cos(x, y)) / pi, its mean over all positions: 0 where a layer
 *  changes nothing but the length, 1/2 where it leaves nothing of the direction. Returns [1]. By half the angle in the triangle of
 *  sides a = |x|, b = |y|, d = |x - y|: tan^2 = (d^2 - (a - b)^2) / ((a + b)^2 - d^2), which is 0 for equal vectors, where arccos
 *  would make an angle of float32's rounding. Gromov et al. 2024; Sun et al. 2025 (Curse of Depth), section 3. */
export function angularDistance(x: Tensor, y: Tensor): Tensor {
  const squares = (t: Tensor): Tensor => tf.sum(tf.square(t), -1);
  const [a, b, d2] = [tf.sqrt(squares(x)), tf.sqrt(squares(y)), squares(tf.sub(x, y))];
  const opposite = tf.maximum(tf.sub(d2, tf.square(tf.sub(a, b))), 0);
  // Least normal number: the angle of opposite vectors is pi, and that of a vector of zeros 0.
  const adjacent = tf.maximum(tf.sub(tf.square(tf.add(a, b)), d2), 2 ** -126);
  return tf.reshape(tf.mul(tf.mean(tf.atan(tf.sqrt(tf.div(opposite, adjacent)))), 2 / Math.PI), [1]);
}

/** How much of a sublayer's output x' is the branch's doing: the share of |x'|^2 that does not lie along x'_0, what the scheme makes of
 *  the stream and a branch of zeros: 1 - (x' x'_0)^2 / (|x'|^2 |x'_0|^2), products over the whole batch. For x' = x + F with F
 *  orthogonal to x it is |F|^2 / (|F|^2 + |x|^2), and a norm after the sum, which scales both, changes nothing: 0 at ReZero's start,
 *  1/2 where branch and stream are of one size, 1 where nothing is left of the stream. Returns [1]. */
export function branchShare(withBranch: Tensor, without: Tensor): Tensor {
  const product = (a: Tensor, b: Tensor): Tensor => tf.sum(tf.mul(a, b));
  const sizes = tf.mul(product(withBranch, withBranch), product(without, without));
  const along = tf.div(tf.square(product(withBranch, without)), tf.maximum(sizes, 2 ** -126));
  return tf.reshape(tf.maximum(tf.sub(1, along), 0), [1]);
}
