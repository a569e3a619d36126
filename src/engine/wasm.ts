import { messageOf } from "../errors.ts";
import { eagerEngine } from "./eager.ts";
import type { EngineKind } from "./engine.ts";

/** TensorFlow.js's WebAssembly backend. Embedding gradients go through one-hot products, since it has no scatter-add. */
export const wasm: EngineKind = {
  name: "wasm",
  summary: "TensorFlow.js's WebAssembly kernels, eagerly",
  async unavailable() {
    try {
      await import("@tensorflow/tfjs-backend-wasm");
      return undefined;
    } catch (error) {
      return `@tensorflow/tfjs-backend-wasm cannot be loaded (${messageOf(error)}); run npm ci`;
    }
  },
  async create() {
    await import("@tensorflow/tfjs-backend-wasm");
    return eagerEngine("wasm", { backend: "wasm" });
  },
};
