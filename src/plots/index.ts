// The registry of figures: one line a member.
export { activationGradientByLayer } from "./activation-gradient-by-layer.ts";
export { angularDistance } from "./angular-distance.ts";
export { attentionEntropy } from "./attention-entropy.ts";
export { attentionLogit } from "./attention-logit.ts";
export { branchShare } from "./branch-share.ts";
export { deadUnits } from "./dead-units.ts";
export { distanceFromInit } from "./distance-from-init.ts";
export { expectedGradient } from "./expected-gradient.ts";
export { gradientByDepth } from "./gradient-by-depth.ts";
export { gradientByLayer } from "./gradient-by-layer.ts";
export { gradientCoherence } from "./gradient-coherence.ts";
export { gradientHeatmap } from "./gradient-heatmap.ts";
export { learningRateLimit } from "./learning-rate-limit.ts";
export { lossCurves } from "./loss-curves.ts";
export { modelUpdate } from "./model-update.ts";
export { noiseScale } from "./noise-scale.ts";
export { updateRatio } from "./update-ratio.ts";
