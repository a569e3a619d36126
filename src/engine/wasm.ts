import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { messageOf, UserError } from "../errors.ts";
import { sizeOf } from "../stage.ts";
import { eagerEngine } from "./eager.ts";
import type { EngineKind } from "./engine.ts";
import { addHeapKernels } from "./heap.ts";

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
  async create({ recompute }) {
    await import("@tensorflow/tfjs-backend-wasm");
    addKernels();
    const view = (x: tf.Tensor): Float32Array => (tf.backend() as BackendWasm).typedArrayFromHeap(x) as Float32Array;
    const engine = await eagerEngine("wasm", { backend: "wasm", keepsTape: !recompute, view });
    refuseWhatDoesNotFit((tf.findBackend("wasm") as unknown as { wasm: HeapModule }).wasm);
    return engine;
  },
};

interface HeapModule {
  _malloc(bytes: number): number;
}

const guarded = new WeakSet<HeapModule>();

/** Makes memory that is used up an error. TensorFlow.js (4.22) does not look whether it got any, and would go on at address 0, where
 *  tensors lie over each other. */
function refuseWhatDoesNotFit(module: HeapModule): void {
  if (guarded.has(module)) return;
  guarded.add(module);
  const allocate = module._malloc.bind(module);
  module._malloc = (bytes) => {
    const at = allocate(bytes);
    if (at === 0 && bytes > 0)
      throw new UserError(
        `engine wasm: expected ${(bytes / 2 ** 20).toFixed(1)} MiB more of WebAssembly's memory, of which there is 4 GiB at most, got none; ` +
          "set train.recompute: true (of a transformer), make train.batch, model.depth or model.width smaller, or use engine onnx",
      );
    return at;
  };
}

/** Puts kernels of our own in place, for all engines of this kind. */
function addKernels(): void {
  if (areAdded) return;
  areAdded = true;
  fillReductionsOfNothing();
  addScatter();
  addHeapKernels();
}

let areAdded = false;

/** Gives sums and products over no numbers at all what they come to: TensorFlow.js's kernels (4.22) leave in the result what its
 *  memory held before. */
function fillReductionsOfNothing(): void {
  for (const [kernelName, nothing] of Object.entries({ Prod: 1, Sum: 0 })) {
    const kernel = tf.getKernel(kernelName, "wasm");
    const kernelFunc: tf.KernelFunc = (call) => {
      const backend = call.backend as BackendWasm;
      const inputs = Object.values(call.inputs) as tf.TensorInfo[];
      if (inputs.every(({ shape }) => sizeOf(shape))) return kernel.kernelFunc(call);
      const result = kernel.kernelFunc(call) as tf.TensorInfo;
      if (sizeOf(result.shape)) backend.typedArrayFromHeap(result).fill(nothing);
      return result;
    };
    tf.unregisterKernel(kernelName, "wasm");
    tf.registerKernel({ ...kernel, kernelFunc });
  }
}

/** The sum of rows by row number, which TensorFlow.js's WebAssembly (4.22) has no kernel for: y[segmentIds[n]] += x[n]. */
function addScatter(): void {
  const kernelName = "UnsortedSegmentSum";
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
