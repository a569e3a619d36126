import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Tensors } from "../stage.ts";
import { activations, type ActivationName } from "./activations.ts";
import { linear, linearParameters } from "./linear.ts";
import { type ParameterShapes, scope } from "./parameters.ts";

/** Parameters of the feed-forward branch: `in` [D, F] and `out` [F, D], each with a bias. */
export function feedForwardParameters(width: number, hidden: number): ParameterShapes {
  return { ...scope("in", linearParameters(width, hidden)), ...scope("out", linearParameters(hidden, width)) };
}

/** Position-wise feed-forward: act(x W_in + b_in) W_out + b_out (Vaswani et al. 2017, equation 2).
 *  `dropout`, if given, holds factors of shape [B, T, F] for the hidden layer. */
export function feedForward(x_BTD: Tensor, p: Tensors, activation: ActivationName, dropout?: Tensor): Tensor {
  const hidden_BTF = activations[activation](linear(x_BTD, p["in/weight"]!, p["in/bias"]!));
  return linear(dropout ? tf.mul(hidden_BTF, dropout) : hidden_BTF, p["out/weight"]!, p["out/bias"]!);
}
