import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";

// N rows, P pixels, B images, K samples of each image.

/** Log-likelihood in nats of pixels under independent Bernoulli variables with these logits, summed over the pixels:
 *  log p(x | l) = sum_p x_p l_p - log(1 + exp(l_p)) (Kingma & Welling 2014, appendix C.1).
 *  Shapes: logits_NP, x_BP with values in [0, 1] -> [N], where N = B K: rows b K ... b K + K - 1 belong to x_b.
 *  Gradient: dl = dy (x - sigmoid(l)); x gets none.
 *
 *  As x l - max(l, 0) + log sigmoid(|l|), where nothing overflows or cancels. Sigmoids of magnitudes lie in [1/2, 1], so the
 *  logarithm, the dearest of these functions, is taken of products of up to 64 of them, which are at least 2^-64. */
export function bernoulliLogLikelihood(logits: Tensor, x: Tensor): Tensor {
  const [n, pixels] = logits.shape as [number, number];
  const b = x.shape[0]!;
  const factors = largestDivisor(pixels, 64);
  const byImage = (t: Tensor): Tensor => tf.reshape(t, [b, n / b, -1]);
  return tf.customGrad((...args: unknown[]) => {
    const [logits, save] = args as [Tensor, GradSaveFunc];
    save([logits, x]);
    const products = tf.prod(tf.reshape(tf.sigmoid(tf.abs(logits)), [n, pixels / factors, factors]), -1);
    // x . l as a product of matrices reads both once and repeats nothing.
    const agreed = tf.reshape(tf.matMul(byImage(logits), tf.reshape(x, [b, 1, pixels]), false, true), [n]);
    const value = tf.add(tf.sub(agreed, tf.sum(tf.relu(logits), -1)), tf.sum(tf.log(products), -1));
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor => {
      const [logits, x] = saved as [Tensor, Tensor];
      const residual_BKP = tf.sub(tf.reshape(x, [b, 1, pixels]), tf.sigmoid(byImage(logits)));
      return tf.reshape(tf.mul(residual_BKP, byImage(dy)), [n, pixels]);
    };
    return { value, gradFunc };
  })(logits);
}

/** The largest divisor of `n` that is at most `limit`. */
function largestDivisor(n: number, limit: number): number {
  let divisor = Math.min(n, limit);
  while (n % divisor) divisor--;
  return divisor;
}
