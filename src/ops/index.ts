// Tensor functions TensorFlow.js lacks, or whose own gradient keeps or computes more than it must.
export { gelu, relu } from "./activations.ts";
export { attentionProbabilities, attentionScores, scaledDotProductAttention } from "./attention.ts";
export { linearCrossEntropy } from "./cross-entropy.ts";
export { embeddingLookup, scatterRows } from "./embedding-lookup.ts";
export { inverseRms } from "./inverse-rms.ts";
export { layerNormalization, rmsNormalization } from "./layer-normalization.ts";
export { sinkhorn } from "./sinkhorn.ts";
export { watchGradient } from "./watch-gradient.ts";
