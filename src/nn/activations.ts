import type { Tensor } from "@tensorflow/tfjs-core";
import { gelu, relu } from "../ops/index.ts";

/** Activation functions of the feed-forward branch by the name used in configs. */
export const activations = { relu, gelu } satisfies Record<string, (x: Tensor) => Tensor>;

export type ActivationName = keyof typeof activations;
