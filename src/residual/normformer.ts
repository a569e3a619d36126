import * as tf from "@tensorflow/tfjs-core";
import { constant, type ParameterShapes } from "../nn/parameters.ts";
import type { ResidualScheme } from "./scheme.ts";

/** NormFormer: pre-LN with a learned factor on each head, a norm after self-attention, and a norm within the feed-forward:
 *  x' = x + LN(W_O [g_1 h_1; ...; g_H h_H]) and x' = x + W_2 LN(act(W_1 LN(x))), heads h_i of LN(x), factors g_i from 1.
 *  Shleifer et al. 2021 (arXiv 2110.09456); facebookresearch/fairseq, fairseq/modules/transformer_layer.py. */
export const normformer: ResidualScheme = {
  name: "normformer",
  summary: "pre-LN with head scales and norms after attention and within the feed-forward (Shleifer et al. 2021)",
  equation: "x' = x + LN(W concat(g_h head_h(LN(x)))), x' = x + W_2 LN(act(W_1 LN(x))); LN after each stack",
  paper: "Shleifer et al., NormFormer: Improved Transformer Pretraining with Extra Normalization",
  year: 2021,
  remarks:
    "The paper is decoder-only, and fairseq adds nothing to the encoder; the encoder's additions are ours. " +
    "Cross-attention is plain pre-LN, as in fairseq. Head factors stand before the output projection, as the paper has " +
    "them; fairseq's code has them after it, where they scale groups of channels. The learned scale of the feed-forward's " +
    "residual, which the paper advises for small models alone, is left out. In residual MLP blocks the norm within the " +
    "feed-forward is all there is of it.",
  finalNorm: true,
  warmupExpected: true,
  norms({ sublayer, network: { width, feedForward } }): Record<string, number> {
    switch (sublayer) {
      case "self-attention":
        return { "self-attention": width, "self-attention-out": width };
      case "cross-attention":
        return { "cross-attention": width };
      case "feed-forward":
        return { "feed-forward": width, "feed-forward-inner": feedForward };
      case "end":
        return { "": width };
    }
  },
  parameters: ({ sublayer, network: { heads } }): ParameterShapes =>
    sublayer === "self-attention" ? { "self-attention/head-scale": constant([heads], 1) } : {},
  connect: (x, branch, { sublayer, norm }) =>
    tf.add(
      x,
      branch(norm(x), (f) => (sublayer === "self-attention" ? norm(f, "self-attention-out") : f)),
    ),
  inside: (here) =>
    here.sublayer === "self-attention"
      ? { heads: (o_BHTK) => tf.mul(o_BHTK, tf.reshape(here.parameter("self-attention/head-scale"), [-1, 1, 1])) }
      : here.sublayer === "feed-forward"
        ? { hidden: (h) => here.norm(h, "feed-forward-inner") }
        : {},
};
