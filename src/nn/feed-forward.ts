import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Tensors } from "../stage.ts";
import { activations, type ActivationName } from "./activations.ts";
import { linear, linearParameters } from "./linear.ts";
import { type ParameterShapes, scope } from "./parameters.ts";

/** Parameters of the feed-forward branch: `in` [D, F] and `out` [F, D], each with a bias. `gains` multiply the Xavier
 *  bound of each. */
export function feedForwardParameters(
  width: number,
  hidden: number,
  gains: Readonly<Partial<Record<"in" | "out", number>>> = {},
): ParameterShapes {
  return {
    ...scope("in", linearParameters(width, hidden, gains.in)),
    ...scope("out", linearParameters(hidden, width, gains.out)),
  };
}

/** What may stand within the feed-forward branch beside its own operations. */
export interface InsideFeedForward {
  /** Before the activation. */
  inner?(u_BTF: Tensor): Tensor;
  /** After the activation and its dropout, before the second map. */
  hidden?(h_BTF: Tensor): Tensor;
}

/** Position-wise feed-forward: act(x W_in + b_in) W_out + b_out (Vaswani et al. 2017, equation 2).
 *  `dropout`, if given, holds factors of shape [B, T, F] for the hidden layer. */
export function feedForward(
  x_BTD: Tensor,
  p: Tensors,
  options: {
    activation: ActivationName;
    dropout?: Tensor | undefined;
    inside?: InsideFeedForward;
    /** Shown the activated hidden layer, before dropout. */
    observe?(h_BTF: Tensor): void;
  },
): Tensor {
  const { dropout, inside = {} } = options;
  const unchanged = (x: Tensor): Tensor => x;
  const { inner = unchanged, hidden = unchanged } = inside;
  const h_BTF = activations[options.activation](inner(linear(x_BTD, p["in/weight"]!, p["in/bias"])));
  options.observe?.(h_BTF);
  return linear(hidden(dropout ? tf.mul(h_BTF, dropout) : h_BTF), p["out/weight"]!, p["out/bias"]);
}
