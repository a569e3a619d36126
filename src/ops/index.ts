// Tensor functions TensorFlow.js lacks, or whose own gradient keeps or computes more than it must.
export { gelu, leakyRelu, relu, sigmoid, softplus, tanh } from "./activations.ts";
export { attentionProbabilities, attentionScores, maskedSoftmax, scaledDotProductAttention } from "./attention.ts";
export { bernoulliLogLikelihood } from "./bernoulli.ts";
export { convolution, type ConvolutionOptions, filterGradient, transposedConvolution } from "./convolution.ts";
export { linearCrossEntropy } from "./cross-entropy.ts";
export { embeddingLookup, scatterRows } from "./embedding-lookup.ts";
export { inverseRms } from "./inverse-rms.ts";
export { layerNormalization, rmsNormalization } from "./layer-normalization.ts";
export { sinkhorn } from "./sinkhorn.ts";
export { spectralNorm } from "./spectral-norm.ts";
export { stopGradient } from "./stop-gradient.ts";
export { watchGradient } from "./watch-gradient.ts";
