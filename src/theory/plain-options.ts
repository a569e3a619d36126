import type { TransformerOptions } from "../models/transformer.ts";

/** A transformer of these sizes without what theorems do without: LayerNorm and ReLU, no dropout, no shared embeddings, no
 *  label smoothing. */
export const plainOptions = (
  sizes: Pick<TransformerOptions, "residual" | "depth" | "width" | "heads" | "feedForward" | "vocabulary">,
): TransformerOptions => ({
  ...sizes,
  norm: "layer-norm",
  activation: "relu",
  dropout: 0,
  tiedEmbeddings: "none",
  labelSmoothing: 0,
});
