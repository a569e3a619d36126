// The registry of metrics: one line a member.
export { classHistogram } from "./class-histogram.ts";
export { frechetDistance } from "./frechet-distance.ts";
export { importanceWeightedNll } from "./importance-weighted-nll.ts";
export { latentUnits } from "./latent-units.ts";
export { naiveLikelihood } from "./naive-likelihood.ts";
export { parzen } from "./parzen.ts";
