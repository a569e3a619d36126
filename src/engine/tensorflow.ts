import { messageOf, UserError } from "../errors.ts";
import { eagerEngine } from "./eager.ts";
import type { Engine, EngineKind } from "./engine.ts";

// Variables, so that the compiler does not ask for types of packages that are not installed everywhere.
const gpuPackage: string = "@tensorflow/tfjs-node-gpu";
const cpuPackage: string = "@tensorflow/tfjs-node";

/** TensorFlow's C library on an NVIDIA GPU, through the optional dependency @tensorflow/tfjs-node-gpu. */
export const tensorflowGpu: EngineKind = {
  name: "tensorflow-gpu",
  summary: "the same stages, eagerly, on an NVIDIA GPU through @tensorflow/tfjs-node-gpu",
  async unavailable() {
    const missing = await whyNot(gpuPackage);
    if (missing) return missing;
    const { isUsingGpuDevice } = await nodeBackend(gpuPackage);
    return isUsingGpuDevice
      ? undefined
      : `${gpuPackage} is installed but TensorFlow sees no GPU; check nvidia-smi, CUDA 11.2 and cuDNN 8.1`;
  },
  create: () => create("tensorflow-gpu", gpuPackage),
};

/** TensorFlow's C library on the CPU, through @tensorflow/tfjs-node where the user has installed it. */
export const tensorflow: EngineKind = {
  name: "tensorflow",
  summary: "the same stages, eagerly, on TensorFlow's C library through @tensorflow/tfjs-node",
  unavailable: () => whyNot(cpuPackage),
  create: () => create("tensorflow", cpuPackage),
};

async function create(name: string, packageName: string): Promise<Engine> {
  const missing = await whyNot(packageName);
  if (missing) throw new UserError(`engine ${name}: ${missing}`);
  return eagerEngine(name, "tensorflow");
}

/** Why `packageName` cannot be used here and what to do, or undefined. */
async function whyNot(packageName: string): Promise<string | undefined> {
  try {
    await import(packageName);
    return undefined;
  } catch (error) {
    const [reason] = messageOf(error).split("\n");
    return `${packageName} cannot be loaded (${reason}); install it with "npm install ${packageName}@4.22.0", which downloads TensorFlow's C library`;
  }
}

async function nodeBackend(packageName: string): Promise<{ isUsingGpuDevice: boolean }> {
  await import(packageName);
  const tf = await import("@tensorflow/tfjs-core");
  await tf.setBackend("tensorflow");
  return tf.backend() as unknown as { isUsingGpuDevice: boolean };
}
