import * as tf from "@tensorflow/tfjs-core";
import type { NamedAttrMap, NamedTensorMap, Tensor } from "@tensorflow/tfjs-core";

/** Whether the current backend has a kernel of this name. */
export const hasKernel = (name: string): boolean => tf.getKernel(name, tf.getBackend()) !== undefined;

/** Runs the kernel `name` where the current backend has one of its own (the recorder fuses it into one graph node), and
 *  the plain composition of TensorFlow.js operations everywhere else. Both give the same tensors. */
export function kernelOr<T extends Tensor | Tensor[]>(
  name: string,
  inputs: NamedTensorMap,
  attributes: NamedAttrMap,
  compose: () => T,
): T {
  return hasKernel(name) ? (tf.engine().runKernel(name, inputs, attributes) as T) : compose();
}
