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
