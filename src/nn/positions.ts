import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";

/** Sinusoidal positions [L, D]: sin(t / 10000^(2i/D)) at even, cos at odd columns (Vaswani et al. 2017, section 3.5). */
export function sinusoidalPositions(length: number, width: number): Tensor {
  const values = new Float32Array(length * width);
  for (let t = 0; t < length; t++)
    for (let i = 0; i < width; i++) {
      const angle = t / 10000 ** ((i - (i % 2)) / width);
      values[t * width + i] = i % 2 ? Math.cos(angle) : Math.sin(angle);
    }
  return tf.tensor2d(values, [length, width]);
}
