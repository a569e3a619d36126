import { existsSync } from "node:fs";
import { UserError } from "../errors.ts";
import { lookup } from "../registry.ts";
import type { Engine, EngineKind } from "./engine.ts";
import * as engines from "./index.ts";

/** Makes the engine a config names. `auto` is `tensorflow-gpu` where TensorFlow sees a GPU, else `onnx`. Throws a
 *  `UserError` that says what is missing where the engine cannot work on this machine. */
export async function createEngine(name: string, options: { readonly threads: number }): Promise<Engine> {
  const kind = name === "auto" ? await automatic() : lookup<EngineKind>("engine", engines, name);
  const missing = await kind.unavailable();
  if (missing) throw new UserError(`engine: ${kind.name} cannot work here: ${missing}; or use engine: auto`);
  return kind.create(options);
}

/** The engine `auto` stands for on this machine. */
export async function automatic(): Promise<EngineKind> {
  // Loading TensorFlow takes seconds: only where the NVIDIA driver shows a device at all.
  const hasDevice = existsSync("/dev/nvidia0") || process.platform === "win32";
  return hasDevice && !(await engines.tensorflowGpu.unavailable()) ? engines.tensorflowGpu : engines.onnx;
}
