import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { scaledDotProductAttention } from "../ops/index.ts";
import type { Tensors } from "../stage.ts";
import { linear, linearParameters } from "./linear.ts";
import { type ParameterShapes, scope } from "./parameters.ts";

// B batch, T query length, S key length, D width, H heads, K head width (D / H).

/** Parameters of multi-head attention: query, key, value and out, each [D, D] with a bias. `gains` multiply the Xavier
 *  bound of each. */
export function attentionParameters(
  width: number,
  gains: Readonly<Partial<Record<"query" | "key" | "value" | "out", number>>> = {},
): ParameterShapes {
  return {
    ...scope("query", linearParameters(width, width, gains.query)),
    ...scope("key", linearParameters(width, width, gains.key)),
    ...scope("value", linearParameters(width, width, gains.value)),
    ...scope("out", linearParameters(width, width, gains.out)),
  };
}

/** What may stand within attention beside its own operations: residual schemes put norms and scales there. */
export interface InsideAttention {
  /** On the projected queries, keys or values, split into heads. */
  projected?(x_BHLK: Tensor, which: "query" | "key" | "value"): Tensor;
  /** On what the heads give, before they are joined. */
  heads?(o_BHTK: Tensor): Tensor;
  /** On the joined heads, before the output projection. */
  joined?(o_BTD: Tensor): Tensor;
}

/** Multi-head attention (Vaswani et al. 2017, section 3.2): queries from `x_BTD`, keys and values from `memory_BSD`
 *  (the same tensor for self-attention). `mask` broadcasts to [B, H, T, S]; dropout factors, if any, have that shape.
 *  Projections that read the same tensor are one matrix product over their concatenated weights. */
export function multiHeadAttention(
  x_BTD: Tensor,
  memory_BSD: Tensor,
  p: Tensors,
  options: {
    heads: number;
    mask: Tensor;
    dropout?: Tensor;
    inside?: InsideAttention;
    /** Shown the queries and keys as the scores are made of them, by head. */
    observe?(q_BHTK: Tensor, k_BHSK: Tensor): void;
  },
): Tensor {
  const [batch, length, width] = x_BTD.shape as [number, number, number];
  const { heads, inside = {} } = options;
  const unchanged = (x: Tensor): Tensor => x;
  const { projected = unchanged, heads: mixed = unchanged, joined = unchanged } = inside;
  const project = (input_BLD: Tensor, names: readonly string[]): Tensor[] => {
    const parts = names.length;
    const weight = tf.concat(
      names.map((name) => p[`${name}/weight`]!),
      1,
    );
    const biases = names.flatMap((name) => p[`${name}/bias`] ?? []);
    const joint = linear(input_BLD, weight, biases.length ? tf.concat(biases, 0) : undefined);
    // [B, L, parts, H, K] -> [parts, B, H, L, K]: every part contiguous, so that splitting is cheap.
    const parted = tf.transpose(
      tf.reshape(joint, [batch, input_BLD.shape[1]!, parts, heads, width / heads]),
      [2, 0, 3, 1, 4],
    );
    // TensorFlow.js cannot differentiate unstack into one part.
    return parts === 1 ? [tf.squeeze(parted, [0])] : tf.unstack(parted, 0);
  };
  const [q, k, v] =
    x_BTD === memory_BSD
      ? project(x_BTD, ["query", "key", "value"])
      : [...project(x_BTD, ["query"]), ...project(memory_BSD, ["key", "value"])];
  const [q_BHTK, k_BHSK] = [projected(q!, "query"), projected(k!, "key")];
  options.observe?.(q_BHTK, k_BHSK);
  const o_BHTK = scaledDotProductAttention(q_BHTK, k_BHSK, projected(v!, "value"), options.mask, options.dropout);
  const o_BTD = tf.reshape(tf.transpose(mixed(o_BHTK), [0, 2, 1, 3]), [batch, length, width]);
  return linear(joined(o_BTD), p["out/weight"]!, p["out/bias"]);
}

// Large enough that exp underflows to exactly 0 beside any real score, finite so that no inf - inf arises.
const MASKED = -1e9;

/** Additive mask [T, T] that hides every later position: 0 on and below the diagonal. */
export function causalMask(length: number): Tensor {
  const values = new Float32Array(length * length);
  for (let t = 0; t < length; t++) values.fill(MASKED, t * length + t + 1, (t + 1) * length);
  return tf.tensor2d(values, [length, length]);
}

/** Additive mask [B, 1, 1, S] that hides padding, from `mask_BS` with 1 at tokens and 0 at padding. */
export function paddingMask(mask_BS: Tensor): Tensor {
  const [batch, length] = mask_BS.shape as [number, number];
  return tf.reshape(tf.mul(tf.sub(mask_BS, 1), -MASKED), [batch, 1, 1, length]);
}
