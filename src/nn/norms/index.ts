// The registry of norms: one line a member.
export { layerNorm } from "./layer-norm.ts";
export { rmsNorm } from "./rms-norm.ts";
