import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";

/** The identity without a gradient: what is computed from the returned tensor counts as constant in `x`. The tape does not see
 *  where it comes from, so nothing is computed for a gradient that would be thrown away. */
export function stopGradient(x: Tensor): Tensor {
  const { dataId, shape, dtype } = x;
  tf.backend().incRef(dataId); // two tensors now hold the data, and each gives it up when it is disposed of
  return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype });
}
