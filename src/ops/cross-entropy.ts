import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";
import { scatterRows } from "./embedding-lookup.ts";
import { hasKernel } from "./kernel.ts";

// N targets (batch x length), D width, V vocabulary.

/** Negative log-likelihood of every target under a linear softmax layer, nats:
 *  nll_n = logsumexp(z_n) - z_n[label_n], z = x W + b; with label smoothing e (Szegedy et al. 2016, section 7) the target
 *  distribution is (1 - e) onehot + e / V and the result the cross-entropy with it.
 *  Shapes: x_ND, weight_DV, bias_V, labels_N (int32) -> nll_N.
 *
 *  The V-wide gradient p - onehot is never formed: with dy the cotangent of nll,
 *  dx = dy * (p W^T - W^T[labels]), dW = (dy * x)^T p - scatter(dy * x), and the same for b with x = 1.
 *  The only passes over [N, V] are the matrix product, the softmax and the products of the backward. */
export function linearCrossEntropy(x: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: number): Tensor {
  if (hasKernel("LinearCrossEntropy")) return inOneNode(x, weight, bias, labels, smoothing);
  const [width, vocabulary] = weight.shape as [number, number];
  const n = x.shape[0]!;
  return tf.customGrad((...args: unknown[]) => {
    const [x, weight, bias, save] = args as [Tensor, Tensor, Tensor, GradSaveFunc];
    const logits = tf.add(tf.matMul(x as tf.Tensor2D, weight as tf.Tensor2D), bias);
    const p = tf.softmax(logits);
    // logsumexp = max z - log max p; max p >= 1/V, so the logarithm is safe where p[label] would underflow.
    const logSumExp = tf.sub(tf.max(logits, -1), tf.log(tf.max(p, -1)));
    // The label's logit from x and W again: a [N, D] pass instead of an indexed read of [N, V].
    const labelWeights = tf.transpose(tf.gather(weight, labels as tf.Tensor1D, 1)); // [N, D]
    const labelLogits = tf.add(tf.sum(tf.mul(x, labelWeights), -1), tf.gather(bias, labels as tf.Tensor1D));
    const nll = tf.sub(logSumExp, labelLogits);
    const value = smoothing
      ? tf.add(tf.mul(nll, 1 - smoothing), tf.mul(tf.sub(logSumExp, tf.mean(logits, -1)), smoothing))
      : nll;
    save([x, weight, p, labelWeights, labels]); // all the backward reads: a backend may drop what is not saved
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [x, weight, p, labelWeights, labels] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor];
      const dy_N1 = tf.reshape(dy, [n, 1]);
      const keep = 1 - smoothing;
      let target = smoothing ? tf.mul(labelWeights, keep) : labelWeights; // expected row of W^T under the targets
      if (smoothing) target = tf.add(target, tf.mul(tf.mean(weight, 1), smoothing));
      const dx = tf.mul(tf.sub(tf.matMul(p, weight, false, true), target), dy_N1);
      // Weight and bias in one product: the bias is the weight of a constant input 1.
      const scaled = tf.concat([tf.mul(x, dy_N1), dy_N1], 1); // [N, D + 1]
      const expected = scatterRows(smoothing ? tf.mul(scaled, keep) : scaled, labels, vocabulary);
      const spread = tf.mul(tf.sum(scaled, 0, true), smoothing / vocabulary);
      const d = tf.sub(
        tf.matMul(scaled, p, true, false),
        tf.transpose(smoothing ? tf.add(expected, spread) : expected),
      ); // [D + 1, V]
      const dBias = tf.reshape(tf.slice(d, [width, 0], [1, vocabulary]), [vocabulary]);
      return [dx, tf.slice(d, [0, 0], [width, vocabulary]), dBias];
    };
    return { value, gradFunc };
  })(x, weight, bias);
}

/** The same where forward and gradient are a kernel each. Nothing but the inputs is kept. */
function inOneNode(x: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: number): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, weight, bias, save] = args as [Tensor, Tensor, Tensor, GradSaveFunc];
    const value: Tensor = tf.engine().runKernel("LinearCrossEntropy", { x, weight, bias, labels }, { smoothing });
    save([x, weight, bias, labels]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [x, weight, bias, labels] = saved as [Tensor, Tensor, Tensor, Tensor];
      const inputs = { x, weight, bias, labels, dy };
      const found: Tensor[] = tf.engine().runKernel("LinearCrossEntropyGradient", inputs, { smoothing });
      return found.slice(1); // the first are the losses again
    };
    return { value, gradFunc };
  })(x, weight, bias);
}
