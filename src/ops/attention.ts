import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";
import { kernelOr } from "./kernel.ts";

// B batch, H heads, T queries, S keys, K head width.

/** Scaled dot-product attention: O = softmax(Q K^T / sqrt(K) + mask) V (Vaswani et al. 2017, equation 1).
 *  Shapes: q_BHTK, k_BHSK, v_BHSK -> o_BHTK; mask broadcasts to [B, H, T, S] and holds 0 or a large negative number;
 *  dropout_BHTS, if given, multiplies the probabilities.
 *  Gradient: dS = P * (dP - rowsum(dO * O)), since rowsum(dP * P) = rowsum(dO * O): a row of O is shorter than a row of
 *  P (Dao et al. 2022, FlashAttention, equation 4). */
export function scaledDotProductAttention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, dropout?: Tensor): Tensor {
  const scale = 1 / Math.sqrt(q.shape.at(-1)!);
  return tf.customGrad((...args: unknown[]) => {
    const [q, k, v, save] = args as [Tensor, Tensor, Tensor, GradSaveFunc];
    const scores = tf.mul(tf.matMul(q, k, false, true), scale);
    const p = maskedSoftmax(scores, mask);
    const dropped = dropout ? tf.mul(p, dropout) : p;
    const value = tf.matMul(dropped, v);
    save([q, k, v, p, value, ...(dropout ? [dropout] : [])]);
    const gradFunc = (dO: Tensor, saved: Tensor[]): Tensor[] => {
      const [q, k, v, p, o, dropout] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor?];
      const dV = tf.matMul(dropout ? tf.mul(p, dropout) : p, dO, true, false);
      const dDropped = tf.matMul(dO, v, false, true);
      const dP = dropout ? tf.mul(dDropped, dropout) : dDropped;
      const dScores = tf.mul(p, tf.sub(dP, tf.sum(tf.mul(dO, o), -1, true)));
      return [tf.mul(tf.matMul(dScores, k), scale), tf.mul(tf.matMul(dScores, q, true, false), scale), dV];
    };
    return { value, gradFunc };
  })(q, k, v);
}

/** softmax(S + mask) over the last axis, where the mask holds 0 or a large negative number. Has no gradient of its own. */
export const maskedSoftmax = (scores: Tensor, mask: Tensor): Tensor =>
  kernelOr("MaskedSoftmax", { scores, mask }, {}, () => tf.softmax(tf.add(scores, mask)));

/** Attention scores S_BHTS = Q K^T / sqrt(K) + mask, as {@link scaledDotProductAttention} has them: beside it in one
 *  graph their product is not computed twice. */
export function attentionScores(q: Tensor, k: Tensor, mask: Tensor): Tensor {
  return tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(q.shape.at(-1)!)), mask);
}

/** Attention probabilities alone, P_BHTS = softmax(S): what is hidden has 0, where {@link maskedSoftmax} may leave 1e-22. */
export const attentionProbabilities = (q: Tensor, k: Tensor, mask: Tensor): Tensor =>
  tf.softmax(attentionScores(q, k, mask));
