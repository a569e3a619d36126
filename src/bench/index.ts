// What `fathom bench` measures, one line a work. `soak` stands on its own, in src/soak.ts.
export { decode } from "./decode.ts";
export { depth } from "./depth.ts";
export { ganEpoch } from "./gan-epoch.ts";
export { memory } from "./memory.ts";
export { probes } from "./probes.ts";
export { roofline } from "./roofline.ts";
export { start } from "./start.ts";
export { step } from "./step.ts";
export { sweep } from "./sweep.ts";
export { vaeEpoch } from "./vae-epoch.ts";
export { wasm } from "./wasm.ts";
