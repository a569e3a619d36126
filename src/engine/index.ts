// The registry of engines: one line a member.
export { cpu } from "./cpu.ts";
export { onnx } from "./onnx.ts";
export { tensorflow, tensorflowGpu } from "./tensorflow.ts";
export { wasm } from "./wasm.ts";
