import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";
import { kernelOr } from "./kernel.ts";

/** [x_hat, 1 / sqrt(var(x) + eps)] over the last axis: the standardised input and the inverse standard deviation. */
function standardize(x: Tensor, epsilon: number): [Tensor, Tensor] {
  return kernelOr("Standardize", { x }, { epsilon }, () => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const inverseStd = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
    return [tf.mul(centred, inverseStd), inverseStd];
  });
}

// Where it is one kernel, for the derivative of LayerNorm's gradient: dx = (d - mean(d) - x_hat mean(d x_hat)) / std of
// x_hat, and -x_hat / (D std^2) of 1 / std.
tf.registerGradient({
  kernelName: "Standardize",
  inputsToSave: ["x"],
  gradFunc: (dy, saved, attributes) => ({
    x: () => {
      const [dXHat, dInverseStd] = dy as Tensor[] as [Tensor, Tensor];
      const [x] = saved as [Tensor];
      const [xHat, inverseStd] = standardize(x, attributes["epsilon"] as number);
      const along = tf.mul(xHat, tf.mean(tf.mul(dXHat, xHat), -1, true));
      const ofXHat = tf.mul(tf.sub(tf.sub(dXHat, tf.mean(dXHat, -1, true)), along), inverseStd);
      const ofInverse = tf.mul(xHat, tf.mul(tf.mul(dInverseStd, tf.square(inverseStd)), -1 / x.shape.at(-1)!));
      return tf.add(ofXHat, ofInverse);
    },
  }),
});

/** LayerNorm: y = (x - mean(x)) / sqrt(var(x) + eps) * gain + bias over the last axis (Ba et al. 2016).
 *  Shapes: x [..., D] -> same; gain, bias [D]; without `bias` nothing is added.
 *  Gradient: with g = dy * gain, dx = (g - mean(g) - x_hat * mean(g * x_hat)) / std. x_hat is recomputed from x in the
 *  backward pass, so nothing but the input has to be kept. */
export function layerNormalization(x: Tensor, gain: Tensor, bias: Tensor | undefined, epsilon: number): Tensor {
  const given = bias ? [x, gain, bias] : [x, gain];
  return tf.customGrad((...args: unknown[]) => {
    const [x, gain] = args as [Tensor, Tensor];
    const bias = args.length > 3 ? (args[2] as Tensor) : undefined;
    const save = args.at(-1) as GradSaveFunc;
    save([x, gain]);
    const value = kernelOr("LayerNormalization", { x, gain, ...(bias && { bias }) }, { epsilon }, () => {
      const scaled = tf.mul(standardize(x, epsilon)[0], gain);
      return bias ? tf.add(scaled, bias) : scaled;
    });
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [x, gain] = saved as [Tensor, Tensor];
      const [xHat, inverseStd] = standardize(x, epsilon);
      const dyXHat = tf.mul(dy, xHat);
      const dx = tf.mul(
        tf.sub(tf.sub(tf.mul(dy, gain), meanTimes(dy, gain)), tf.mul(xHat, meanTimes(dyXHat, gain))),
        inverseStd,
      );
      return [dx, sumToLast(dyXHat), ...(bias ? [sumToLast(dy)] : [])];
    };
    return { value, gradFunc };
  })(...given);
}

/** RMSNorm: y = x / sqrt(mean(x^2) + eps) * gain over the last axis (Zhang & Sennrich 2019, equation 4).
 *  Shapes: x [..., D] -> same; gain [D]. */
export function rmsNormalization(x: Tensor, gain: Tensor, epsilon: number): Tensor {
  const inverseRms = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon));
  return tf.mul(tf.mul(x, inverseRms), gain);
}

/** mean(x * weight) over the last axis, weight [D]: a product of matrices, which reads x once and writes one number a row. */
function meanTimes(x: Tensor, weight: Tensor): Tensor {
  return kernelOr("MeanTimes", { x, weight }, {}, () => tf.mean(tf.mul(x, weight), -1, true));
}

tf.registerGradient({
  kernelName: "MeanTimes",
  inputsToSave: ["x", "weight"],
  gradFunc: (dy, saved) => {
    const [x, weight] = saved as [Tensor, Tensor];
    const share = tf.mul(dy as Tensor, 1 / x.shape.at(-1)!);
    return { x: () => tf.mul(share, weight), weight: () => sumToLast(tf.mul(share, x)) };
  },
});

/** Sum over every axis but the last: [..., D] -> [D]. */
function sumToLast(x: Tensor): Tensor {
  return tf.sum(tf.reshape(x, [-1, x.shape.at(-1)!]), 0);
}
