import * as tf from "@tensorflow/tfjs-core";
import type { ResidualScheme } from "./scheme.ts";

/** HybridNorm: attention normalises its queries, keys and values instead of its input, y = x + Attn(N(q), N(k), N(v));
 *  the feed-forward reads, and is added to, the normalised stream: x' = N(y) + FFN(N(y)). Zhuo et al. 2025 (arXiv 2503.04598);
 *  BryceZhuo/HybridNorm, dense_model/olmo/model.py. */
export const hybridnorm: ResidualScheme = {
  name: "hybridnorm",
  summary: "norms on q, k and v in attention, post-norm feed-forward (Zhuo et al. 2025)",
  equation: "y = x + Attn(N(q), N(k), N(v)); x' = N(y) + FFN(N(y)); N after each stack",
  paper: "Zhuo et al., HybridNorm: Towards Stable and Efficient Transformer Training via Hybrid Normalization",
  year: 2025,
  remarks:
    "The norms of queries, keys and values are over each head, with gains that the heads share, as in the released code " +
    "by a second-hand reading of it. The paper is decoder-only: giving cross-attention the same norms, keys and values " +
    "being those of the encoder's output, is ours. That a final norm follows was not confirmed; the last feed-forward " +
    "would else leave the stream without one. The paper's norm is rms-norm. The paper's HybridNorm* differs in the " +
    "first layer, whose attention and feed-forward are pre-norm there. Weights start as elsewhere in fathom; the paper " +
    "draws them from Megatron's normal distribution. Without attention it would be post-ln, each norm a block later: " +
    "residual MLP blocks have no such scheme.",
  finalNorm: true,
  warmupExpected: true,
  attentionOnly: true,
  norms({ sublayer, network: { width, heads } }): Record<string, number> {
    switch (sublayer) {
      case "feed-forward":
        return { "feed-forward": width };
      case "end":
        return { "": width };
      default:
        return Object.fromEntries(["query", "key", "value"].map((which) => [`${sublayer}-${which}`, width / heads]));
    }
  },
  connect(x, branch, { sublayer, norm }) {
    const u = sublayer === "feed-forward" ? norm(x) : x;
    return tf.add(u, branch(u));
  },
  inside: ({ sublayer, norm }) => ({ projected: (x_BHLK, which) => norm(x_BHLK, `${sublayer}-${which}`) }),
};
