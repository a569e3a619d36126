import * as tf from "@tensorflow/tfjs-core";
import type { ResidualScheme } from "./scheme.ts";

/** Bottom-to-top connection: post-LN, but the layer's input is added once more before the last norm of the layer, so that
 *  one path skips all the other norms. Takase et al. 2022 (Findings of ACL 2023);
 *  takase/b2t_connection, fairseq/modules/transformer_layer.py. */
export const b2t: ResidualScheme = {
  name: "b2t",
  summary: "post-LN with the layer's input added before its last norm (Takase et al. 2022)",
  equation: "h = LN(x + Attn(x)); x' = LN(x + h + FFN(h)), x the layer's input",
  paper: "Takase et al., B2T Connection: Serving Stability and Performance in Deep Transformers",
  year: 2022,
  remarks:
    "The released code also shrinks all matrices by 1 / sqrt(layers), which is `b2t-rescaled` here. Its path skips the norms " +
    "between the sublayers of a layer, of which a residual MLP block has none.",
  finalNorm: false,
  warmupExpected: true,
  attentionOnly: true,
  connect(x, branch, { sublayer, layerInput, norm }) {
    const sum = tf.add(x, branch(x));
    return norm(sublayer === "feed-forward" ? tf.add(layerInput, sum) : sum);
  },
};
