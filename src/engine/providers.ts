// Where compiled graphs run: ONNX Runtime's execution providers, as data. Whether one is there, session.ts tells.
import type { Member } from "../registry.ts";
import type { Lowered } from "./lower.ts";

/** An execution provider. */
export interface Provider extends Member {
  /** Operators that graphs for it have written with others of the ONNX standard. */
  readonly lowered: readonly Lowered[];
  /** Whether its graphs have the output that keeps the runtime's Node binding from copying, see session.ts. */
  readonly halts: boolean;
  /** A shared library of the system that it loads on Linux. */
  readonly library?: string;
  /** What it needs and how to get that, after "it". */
  readonly advice: string;
}

/** The default, and the only one whose graphs hold operators beyond the ONNX standard. */
export const cpuProvider: Provider = {
  name: "cpu",
  summary: "ONNX Runtime's native CPU kernels; everywhere",
  lowered: [],
  halts: true,
  advice: "needs the binary for this platform that npm installs with onnxruntime-node",
};

/** All providers that an engine of compiled graphs knows. */
export const providers: readonly Provider[] = [
  cpuProvider,
  {
    name: "cuda",
    summary: "NVIDIA GPUs, with CUDA, cuDNN and provider libraries that are downloaded",
    lowered: ["FusedGemm", "FusedMatMul"],
    halts: false,
    advice:
      "comes with `ONNXRUNTIME_NODE_INSTALL=1 node node_modules/onnxruntime-node/script/install.js`, which downloads it from " +
      "nuget.org, and needs Linux on x64, an NVIDIA driver, CUDA 12 and cuDNN (docs/gpu.md)",
  },
  {
    name: "webgpu",
    summary: "GPUs through Vulkan, Direct3D 12 or Metal; experimental in the runtime",
    lowered: ["Conv", "FusedGemm", "FusedMatMul", "LayerNormalization", "Softplus"],
    halts: false,
    library: "libvulkan.so.1",
    advice:
      "needs a GPU with a driver for Vulkan (Linux on x64), Direct3D 12 (Windows) or Metal (macOS); on Linux " +
      "with libvulkan1, of which vulkan-tools' `vulkaninfo` shows what there is; Mesa's software Vulkan from version 25 on " +
      "(mesa-vulkan-drivers) will do",
  },
];
