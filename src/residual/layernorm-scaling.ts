import * as tf from "@tensorflow/tfjs-core";
import type { ResidualScheme } from "./scheme.ts";

/** LayerNorm Scaling: x' = x + F(LN(x) / sqrt(l)) with l the layer's number from 1, the same for all sublayers of a layer.
 *  It keeps pre-LN's variance from growing with depth. Sun et al. 2025 (NeurIPS), equation 12;
 *  lmsdss/LayerNorm-Scaling, peft_pretraining/modeling_llama.py. */
export const layernormScaling: ResidualScheme = {
  name: "layernorm-scaling",
  summary: "x' = x + F(LN(x) / sqrt(l)), l the layer's number (Sun et al. 2025)",
  equation: "x' = x + F(LN(x) / sqrt(l)); LN after each stack",
  paper: "Sun et al., The Curse of Depth in Large Language Models",
  year: 2025,
  remarks:
    "The number starts again in each stack: the paper has one stack only. Its norm is rms-norm, and its matrices start from " +
    "a normal distribution without depth scaling. Of residual MLP blocks each counts as a layer.",
  finalNorm: true,
  warmupExpected: true,
  constants: ({ layer }) => ({ scale: 1 / Math.sqrt(layer + 1) }),
  connect: (x, branch, { norm, constant }) => tf.add(x, branch(tf.mul(norm(x), constant("scale")))),
};
