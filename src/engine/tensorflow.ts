// TensorFlow's C library, through the Node addons of @tensorflow/tfjs-node (CPU) and @tensorflow/tfjs-node-gpu.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import util from "node:util";
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
  async unavailable(options) {
    const missing = await whyNot(gpuPackage, options?.threads);
    if (missing) return missing;
    const { isUsingGpuDevice } = await backendOf();
    return isUsingGpuDevice
      ? undefined
      : `${gpuPackage} is installed but its TensorFlow sees no GPU; ${mayHaveGpu() ? "CUDA_VISIBLE_DEVICES may hide it, or its CUDA and cuDNN are not those this TensorFlow wants (TF_CPP_MIN_LOG_LEVEL=0 says which it looked for; docs/gpu.md)" : "NVIDIA's driver shows no device here (nvidia-smi, /dev/nvidia0)"}`;
  },
  create: (options) => create("tensorflow-gpu", gpuPackage, options),
};

/** TensorFlow's C library on the CPU, through @tensorflow/tfjs-node where the user has installed it. */
export const tensorflow: EngineKind = {
  name: "tensorflow",
  summary: "the same stages, eagerly, on TensorFlow's C library through @tensorflow/tfjs-node",
  unavailable: (options) => whyNot(cpuPackage, options?.threads),
  create: (options) => create("tensorflow", cpuPackage, options),
};

async function create(name: string, packageName: string, { threads }: { readonly threads: number }): Promise<Engine> {
  const missing = await whyNot(packageName, threads);
  if (missing) throw new UserError(`engine ${name}: ${missing}`);
  const { binding, isUsingGpuDevice } = await backendOf();
  // What TensorFlow was told, which the environment may have said before, or an engine made earlier in this process.
  const { TF_NUM_INTRAOP_THREADS, TF_ENABLE_ONEDNN_OPTS, CUDA_VISIBLE_DEVICES } = process.env;
  const facts = {
    threads: Number(TF_NUM_INTRAOP_THREADS ?? threads),
    tensorflow: binding.TF_Version,
    oneDnn: TF_ENABLE_ONEDNN_OPTS ?? "",
    device: isUsingGpuDevice ? "gpu" : "cpu",
    ...(isUsingGpuDevice && { visibleDevices: CUDA_VISIBLE_DEVICES ?? "all" }),
  };
  // On the CPU the host's loops update faster: 0.7 of the time a step, 6 + 6 layers of width 64.
  return eagerEngine(name, { backend: "tensorflow", facts, ...(isUsingGpuDevice && { isRemote: true }) });
}

/** Why `packageName` cannot be used here and what to do, or undefined. */
async function whyNot(packageName: string, threads?: number): Promise<string | undefined> {
  settings(threads);
  try {
    // Only where it is installed is it of interest that the other is in its way.
    if (other && other !== packageName) {
      createRequire(import.meta.url).resolve(packageName);
      return `${other} is loaded, and a process can have only one of the two`;
    }
    await import(packageName);
    other = packageName;
    return undefined;
  } catch (error) {
    const [reason] = messageOf(error).split("\n");
    const script = fileURLToPath(new URL("../../scripts/install-libtensorflow", import.meta.url));
    const gpu = packageName === gpuPackage ? " --gpu" : "";
    return `${packageName} cannot be loaded (${reason}); install it with ${script}${gpu}, which needs Python's pip and a C++ compiler, or with npm install --no-save ${packageName}@4.22.0, which downloads TensorFlow 2.9`;
  }
}

/** The addon of the two that this process has loaded. */
let other: string | undefined;

/** What has to be said before TensorFlow is loaded, and only then is listened to. What the user has set stays. */
function settings(threads?: number): void {
  const { env } = process;
  env["TF_CPP_MIN_LOG_LEVEL"] ??= "2"; // errors
  env["TF_FORCE_GPU_ALLOW_GROWTH"] ??= "true"; // take the GPU's memory as it is needed, not all at once
  env["TF_ENABLE_ONEDNN_OPTS"] ??= "0"; // sums in the same order whatever the number of threads
  env["TF_DETERMINISTIC_OPS"] ??= "1";
  if (threads !== undefined) {
    env["TF_NUM_INTRAOP_THREADS"] ??= String(threads);
    env["TF_NUM_INTEROP_THREADS"] ??= "1";
  }
  // Functions that Node 23 took away, and that tfjs-node 4.22 calls.
  const removed: Record<string, unknown> = util as unknown as Record<string, unknown>;
  removed["isNullOrUndefined"] ??= (value: unknown) => value === null || value === undefined;
  removed["isArray"] ??= Array.isArray;
}

/** Whether NVIDIA's driver shows a device, or may: a container need not have the first, Windows' subsystem for Linux has one of
 *  its own, and Windows none. */
export const mayHaveGpu = (): boolean =>
  process.platform === "win32" || readdirSync("/dev").some((name) => /^(nvidia\d+|dxg)$/.test(name));

async function backendOf(): Promise<{ isUsingGpuDevice: boolean; binding: { TF_Version: string } }> {
  const tf = await import("@tensorflow/tfjs-core");
  await tf.setBackend("tensorflow");
  return tf.backend() as unknown as { isUsingGpuDevice: boolean; binding: { TF_Version: string } };
}
