// The registry of probes: one line a member.
export { activationGradient } from "./activation-gradient.ts";
export { activationRms } from "./activation-rms.ts";
export { angularDistance } from "./angular-distance.ts";
export { attentionEntropy } from "./attention-entropy.ts";
export { attentionLogit } from "./attention-logit.ts";
export { branchShare } from "./branch-share.ts";
export { deadUnits } from "./dead-units.ts";
export { distanceFromInit } from "./distance-from-init.ts";
export { expectedGradient } from "./expected-gradient.ts";
export { gradientCoherence } from "./gradient-coherence.ts";
export { gradientNorm } from "./gradient-norm.ts";
export { modelUpdate } from "./model-update.ts";
export { noiseScale } from "./noise-scale.ts";
export { parameterNorm } from "./parameter-norm.ts";
export { updateRatio } from "./update-ratio.ts";
