// The ways to run a manifest, one line each.

export { kubernetes } from "./kubernetes.ts";
export { local } from "./local.ts";
export { queue } from "./queue.ts";
export { slurm } from "./slurm.ts";
