// The registry of on-demand instruments: one line a member.
export { hessian } from "./hessian.ts";
export { layerJacobian } from "./layer-jacobian.ts";
export { layerRemoval } from "./layer-removal.ts";
export { lossSurface } from "./loss-surface.ts";
export { stackJacobian } from "./stack-jacobian.ts";
