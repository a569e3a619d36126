// The registry of checks: one line a member.
export { deepnormIsometry } from "./deepnorm-isometry.ts";
export { hyperConnectionsStart } from "./hyper-connections-start.ts";
export { keelProduct } from "./keel-product.ts";
export { layernormScalingVariance } from "./layernorm-scaling-variance.ts";
export { periLnVariance } from "./peri-ln-variance.ts";
export { preLnVariance } from "./pre-ln-variance.ts";
export { seedQ18PostLn } from "./seed-q18-post-ln.ts";
export { seedQ18PreLn } from "./seed-q18-pre-ln.ts";
export { seedQ19Cancellation } from "./seed-q19-cancellation.ts";
export { seedQ19Numbers } from "./seed-q19-numbers.ts";
export { seedQ19Separation } from "./seed-q19-separation.ts";
export { seedQ19Sum } from "./seed-q19-sum.ts";
export { xiongLemma2 } from "./xiong-lemma2.ts";
export { xiongLemma3 } from "./xiong-lemma3.ts";
export { xiongTheorem1 } from "./xiong-theorem1.ts";
