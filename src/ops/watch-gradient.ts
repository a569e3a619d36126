import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";

/** The identity on `x` that shows `seen` the gradient dL/dx when the tape comes by. Only what is computed from the returned
 *  tensor counts. */
export function watchGradient(x: Tensor, seen: (dx: Tensor) => void): Tensor {
  return tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, GradSaveFunc];
    save([]);
    const gradFunc = (dx: Tensor): Tensor => {
      seen(dx);
      return dx;
    };
    return { value: tf.clone(x), gradFunc };
  })(x);
}
