import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";

/** ReLU: max(x, 0). Its gradient is masked by the output, so the input need not be kept. */
export function relu(x: Tensor): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    const value = tf.relu(x);
    save([value]);
    return { value, gradFunc: (dy: Tensor, [y]: Tensor[]) => [tf.mul(dy, tf.step(y!))] };
  })(x);
}

/** GELU in its exact form: x * Phi(x) with Phi(x) = (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016).
 *  Gradient: Phi(x) + x * phi(x). */
export function gelu(x: Tensor): Tensor {
  const phi = (x: Tensor): Tensor => tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    save([x]);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const x = saved[0]!;
      const density = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return [tf.mul(dy, tf.add(phi(x), tf.mul(x, density)))];
    };
    return { value: tf.mul(x, phi(x)), gradFunc };
  })(x);
}

/** Leaky ReLU: x where x > 0, slope x elsewhere (Maas et al. 2013), 0 < slope < 1. Masked by the output, as ReLU is. */
export function leakyRelu(x: Tensor, slope = 0.2): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    const value = tf.leakyRelu(x, slope);
    save([value]);
    return { value, gradFunc: (dy: Tensor, [y]: Tensor[]) => [tf.mul(dy, tf.step(y!, slope))] };
  })(x);
}

// What follows keeps its input and computes its output again in the backward pass. TensorFlow.js keeps the output, which a
// tape takes for a constant: the derivative of that gradient would be wrong. A compiled graph computes it once all the same.

/** Hyperbolic tangent. Gradient: 1 - tanh(x)^2. Differentiable any number of times. */
export function tanh(x: Tensor): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    save([x]);
    const gradFunc = (dy: Tensor, [x]: Tensor[]): Tensor[] => [tf.mul(dy, tf.sub(1, tf.square(tanh(x!))))];
    return { value: tf.tanh(x), gradFunc };
  })(x);
}

/** Logistic function 1 / (1 + exp(-x)). Gradient: sigmoid(x) sigmoid(-x). Differentiable any number of times.
 *  Written out, since ONNX Runtime's own is a rational approximation that is 0 below -18: how small a gradient is that has
 *  vanished could not be seen. Relative error of a few float32 roundings down to x = -87, and 0 below -88.7, where exp(-x)
 *  overflows. */
export function sigmoid(x: Tensor): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    save([x]);
    const gradFunc = (dy: Tensor, [x]: Tensor[]): Tensor[] => [tf.mul(dy, tf.mul(sigmoid(x!), sigmoid(tf.neg(x!))))];
    return { value: tf.reciprocal(tf.add(tf.exp(tf.neg(x)), 1)), gradFunc };
  })(x);
}

/** log(1 + exp(x)), so that -softplus(-x) = log sigmoid(x). Gradient: sigmoid(x), exact where it is tiny, see there. For
 *  the few logits of a loss: ONNX Runtime takes 14 ns an element, ten times what it takes for a sigmoid. */
export function softplus(x: Tensor): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    save([x]);
    return { value: tf.softplus(x), gradFunc: (dy: Tensor, [x]: Tensor[]) => [tf.mul(dy, sigmoid(x!))] };
  })(x);
}
