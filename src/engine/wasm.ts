import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { messageOf } from "../errors.ts";
import { sizeOf } from "../stage.ts";
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
    fillReductionsOfNothing();
    addScatter();
    return eagerEngine("wasm", { backend: "wasm" });
  },
};

/** Gives sums and products over no numbers at all what they come to: TensorFlow.js's kernels (4.22) leave in the result what its
 *  memory held before. */
function fillReductionsOfNothing(): void {
  for (const [kernelName, nothing] of Object.entries({ BatchMatMul: 0, Prod: 1, Sum: 0 })) {
    const kernel = tf.getKernel(kernelName, "wasm");
    if (filled.has(kernel.kernelFunc)) continue;
    const kernelFunc: tf.KernelFunc = (call) => {
      const backend = call.backend as BackendWasm;
      const inputs = Object.values(call.inputs) as tf.TensorInfo[];
      if (inputs.every(({ shape }) => sizeOf(shape))) return kernel.kernelFunc(call);
      const shape = kernelName === "BatchMatMul" ? productShape(call) : undefined;
      // A product of nothing is not even tried: it complains.
      const result = shape ? backend.makeOutput(shape, "float32") : (kernel.kernelFunc(call) as tf.TensorInfo);
      if (sizeOf(result.shape)) backend.typedArrayFromHeap(result).fill(nothing);
      return result;
    };
    filled.add(kernelFunc);
    tf.unregisterKernel(kernelName, "wasm");
    tf.registerKernel({ ...kernel, kernelFunc });
  }
}

/** The sum of rows by row number, which TensorFlow.js's WebAssembly (4.22) has no kernel for: y[segmentIds[n]] += x[n]. */
function addScatter(): void {
  const kernelName = "UnsortedSegmentSum";
  if (tf.getKernel(kernelName, "wasm")) return;
  const kernelFunc: tf.KernelFunc = ({ inputs, attrs, backend }) => {
    const wasm = backend as BackendWasm;
    const [x, ids] = [inputs["x"] as tf.TensorInfo, inputs["segmentIds"] as tf.TensorInfo];
    const segments = attrs!["numSegments"] as unknown as number;
    const result = wasm.makeOutput([segments, ...x.shape.slice(ids.shape.length)], x.dtype);
    const [from, at, to] = [x, ids, result].map((tensor) => wasm.typedArrayFromHeap(tensor));
    to!.fill(0);
    const width = sizeOf(x.shape.slice(ids.shape.length));
    at!.forEach((id, n) => {
      if (id >= 0 && id < segments) for (let i = 0; i < width; i++) to![id * width + i]! += from![n * width + i]!;
    });
    return result;
  };
  tf.registerKernel({ kernelName, backendName: "wasm", kernelFunc });
}

/** Shape of a product of stacks of matrices. */
function productShape({ inputs, attrs }: Parameters<tf.KernelFunc>[0]): number[] {
  const [a, b] = [inputs["a"] as tf.TensorInfo, inputs["b"] as tf.TensorInfo];
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return [...batch, a.shape.at(attrs?.["transposeA"] ? -1 : -2)!, b.shape.at(attrs?.["transposeB"] ? -2 : -1)!];
}

/** Those kernels, once they are in place. */
const filled = new WeakSet<tf.KernelFunc>();
