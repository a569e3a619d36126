import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { maskedSoftmax, scaledDotProductAttention } from "../ops/index.ts";
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
 *  (the same tensor for self-attention). `mask` broadcasts to [B, H, T, S]; dropout factors, if any, have that shape. */
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
  const { heads, inside } = options;
  const [q, k, v] =
    x_BTD === memory_BSD
      ? projectHeads(x_BTD, ["query", "key", "value"], p, { heads, inside })
      : [
          ...projectHeads(x_BTD, ["query"], p, { heads, inside }),
          ...projectHeads(memory_BSD, ["key", "value"], p, { heads, inside }),
        ];
  options.observe?.(q!, k!);
  return attendHeads(q!, k!, v!, p, { ...options, positions: x_BTD.shape.slice(0, -1) });
}

/** The first half of {@link multiHeadAttention}: queries, keys or values of one input, those of `names`, with what stands
 *  `inside` on them: [B, L, D] -> [B, H, L, K] each, or rows [B, D] of one position each -> [B, H, 1, K]. Each is a product of its
 *  own: joining the weights into one product costs more than it gains, at width 256 a third of the forward of attention. */
export function projectHeads(
  input: Tensor,
  names: readonly ("query" | "key" | "value")[],
  p: Tensors,
  { heads, inside }: { readonly heads: number; readonly inside?: InsideAttention | undefined },
): Tensor[] {
  const width = input.shape.at(-1)!;
  const [batch, length] = input.shape as [number, number];
  return names.map((name) => {
    const projected = linear(input, p[`${name}/weight`]!, p[`${name}/bias`]);
    const x_BHLK =
      input.shape.length === 2
        ? tf.reshape(projected, [batch, heads, 1, width / heads]) // heads lie side by side then
        : tf.transpose(tf.reshape(projected, [batch, length, heads, width / heads]), [0, 2, 1, 3]);
    return inside?.projected?.(x_BHLK, name) ?? x_BHLK;
  });
}

/** The second half: what queries find among keys and values, [B, H, T, K] and [B, H, S, K] -> [...positions, D], where `positions`
 *  are [B, T], or [B] of one query a row. */
export function attendHeads(
  q_BHTK: Tensor,
  k_BHSK: Tensor,
  v_BHSK: Tensor,
  p: Tensors,
  options: Joining & { readonly mask: Tensor; readonly dropout?: Tensor },
): Tensor {
  return joinHeads(scaledDotProductAttention(q_BHTK, k_BHSK, v_BHSK, options.mask, options.dropout), p, options);
}

/** The same of one query a row among keys and values `kept` [B, H, C, K] and `own` [B, H, 1, K], which are not joined: that would copy
 *  all that is kept. `mask` is for the kept ones and the own one behind them, [B, 1, 1, C + 1]. */
export function attendKept(
  q_BH1K: Tensor,
  own: { readonly k: Tensor; readonly v: Tensor },
  kept: { readonly k: Tensor; readonly v: Tensor },
  p: Tensors,
  options: Joining & { readonly mask: Tensor },
): Tensor {
  const scaled_BH1K = tf.mul(q_BH1K, 1 / Math.sqrt(q_BH1K.shape.at(-1)!));
  const scores_BH1S = tf.concat(
    [tf.matMul(scaled_BH1K, kept.k, false, true), tf.sum(tf.mul(scaled_BH1K, own.k), -1, true)],
    3,
  );
  const p_BH1S = maskedSoftmax(scores_BH1S, options.mask);
  const [ofKept, ofOwn] = tf.split(p_BH1S, [kept.k.shape[2]!, 1], 3) as [Tensor, Tensor];
  return joinHeads(tf.add(tf.matMul(ofKept, kept.v), tf.mul(ofOwn, own.v)), p, options);
}

/** How heads become rows again. */
interface Joining {
  readonly positions: readonly number[];
  readonly inside?: InsideAttention | undefined;
}

function joinHeads(o_BHTK: Tensor, p: Tensors, { positions, inside }: Joining): Tensor {
  const [, heads, , headWidth] = o_BHTK.shape as [number, number, number, number];
  const unchanged = (x: Tensor): Tensor => x;
  const { heads: mixed = unchanged, joined = unchanged } = inside ?? {};
  const mixed_BHTK = mixed(o_BHTK);
  const o_BTHK = positions.length === 1 ? mixed_BHTK : tf.transpose(mixed_BHTK, [0, 2, 1, 3]);
  const o_BTD = tf.reshape(o_BTHK, [...positions, heads * headWidth]);
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
