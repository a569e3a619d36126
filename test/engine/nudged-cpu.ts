// TensorFlow.js's plain JavaScript kernels with their rounding made visible: every number that a kernel computes is off by up to two
// float32 roundings, forward and backward. How far results move then says how far two right engines may be apart.
import * as tf from "@tensorflow/tfjs-core";
import type { KernelFunc } from "@tensorflow/tfjs-core";
import { MathBackendCPU } from "@tensorflow/tfjs-backend-cpu";
import { eagerEngine } from "../../src/engine/eager.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { stream } from "../../src/random.ts";

const backend = "nudged-cpu";

/** Kernels that round nothing: they move, choose or count numbers. A maximum that is off would equal none of the numbers it is of. */
const exact = new Set(
  (
    "Abs Cast Concat ExpandDims Fill GatherV2 Identity LeakyRelu Max Maximum Min Minimum Neg OneHot OnesLike Pack PadV2 Relu " +
    "Reshape Select Slice SplitV Step StridedSlice Tile Transpose Unpack ZerosLike"
  ).split(" "),
);

/** The engine, and what moves its numbers another way. */
export async function nudgedCpu(): Promise<{ readonly engine: Engine; nudge(seed: number): void }> {
  let [seed, count] = [0, 0];
  const nudged =
    (kernel: KernelFunc): KernelFunc =>
    (given) => {
      const made = kernel(given);
      const cpu = given.backend as MathBackendCPU;
      const inputs = new Set(Object.values(given.inputs).map((input) => input?.dataId)); // some come back as they are
      for (const tensor of [made].flat())
        if (tensor.dtype === "float32" && !inputs.has(tensor.dataId)) move(cpu.data.get(tensor.dataId).values);
      return made;
    };
  const move = (values: unknown): void => {
    const numbers = values as Float32Array;
    const off = stream(seed, `kernel ${count++}`).uniform(new Float32Array(numbers.length));
    for (let i = 0; i < numbers.length; i++) numbers[i]! *= 1 + 2 ** -22 * (2 * off[i]! - 1);
  };
  tf.registerBackend(backend, () => new MathBackendCPU());
  for (const config of tf.getKernelsForBackend("cpu")) {
    const { kernelName, kernelFunc } = config;
    tf.registerKernel({
      ...config,
      backendName: backend,
      kernelFunc: exact.has(kernelName) ? kernelFunc : nudged(kernelFunc),
    });
  }
  return {
    engine: await eagerEngine(backend, { backend }),
    nudge: (given) => void ([seed, count] = [given, 0]),
  };
}
