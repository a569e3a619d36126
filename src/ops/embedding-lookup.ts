import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";
import { kernelOr } from "./kernel.ts";

/** Rows of `table_VD` at `ids` (int32, any shape): [...ids.shape, D]. */
export function embeddingLookup(table: Tensor, ids: Tensor): Tensor {
  const [vocabulary, width] = table.shape as [number, number];
  return tf.customGrad((...args: unknown[]) => {
    const [table, save] = args as [Tensor, GradSaveFunc];
    save([ids]);
    const value = tf.gather(table as tf.Tensor2D, ids as tf.Tensor1D);
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor =>
      scatterRows(tf.reshape(dy, [-1, width]), tf.reshape(saved[0]!, [-1]), vocabulary);
    return { value, gradFunc };
  })(table);
}

/** Sum of the rows `x_ND` at their row numbers `ids_N`: y[ids[n]] += x[n], y of shape [rows, D]. */
export function scatterRows(x: Tensor, ids: Tensor, rows: number): Tensor {
  return kernelOr("ScatterRows", { x, ids }, { rows }, () => tf.unsortedSegmentSum(x, ids as tf.Tensor1D, rows));
}
