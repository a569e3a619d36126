import type { Tensor } from "@tensorflow/tfjs-core";
import { gelu, leakyRelu, relu, sigmoid, tanh } from "../ops/index.ts";

/** Activation functions by the name used in configs. */
export const activations = {
  relu,
  gelu,
  tanh,
  sigmoid,
  "leaky-relu": (x: Tensor) => leakyRelu(x),
} satisfies Record<string, (x: Tensor) => Tensor>;

export type ActivationName = keyof typeof activations;
