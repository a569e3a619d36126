// The op set of src/engine/operations.ts on every engine: each operation on random and on hard shapes and values, forward and
// gradient, against float64.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test as plainTest } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { Engine, EngineKind } from "../../src/engine/engine.ts";
import { operations } from "../../src/engine/operations.ts";
import { compareTwin, deviation, inputsOf, type Twin } from "../../src/engine/twin.ts";
import * as ops from "../../src/ops/index.ts";
import { comparedEngines } from "../engines.ts";

const src = fileURLToPath(new URL("../../src", import.meta.url));

/** Float32 rounding is 6e-8 an operation; the longest sum here has tens of terms, and a mean a hundred times the spread costs a
 *  factor of a hundred. */
const rounding = 1e-5;
/** Cases whose answer is a small difference of large numbers, so that the same rounding is more of it. */
const cancelling: Readonly<Record<string, number>> = {
  // p (g - sum p g) of probabilities near 1, of scores around 30 that are right to 2e-6.
  "scaledDotProductAttention, large logits": 1e-4,
  // x / |x| does not depend on the size of x but for epsilon: a gradient of 1e-5 is left of terms of 1.
  "rmsNormalization, width 1": 1e-4,
};

/** What TensorFlow.js itself (4.22) has no gradient of, or a wrong one that its tape refuses. Loud, and not in the op set of any
 *  stage. */
const isWithoutGradient = (operation: string, what: string): boolean =>
  what === "[0, 5] and [1, 5]" || // summed over an axis of size 0 to one of size 1
  (/^tf\.(maximum|minimum)$/.test(operation) && !/^\[4, 5\] and \[4, 5\]$/.test(what)) || // under broadcasting
  (operation === "tf.matMul" && what.endsWith("which broadcasts")) ||
  (operation === "tf.unstack" && what === "[2, 1] along 1"); // to a single tensor
/** What TensorFlow.js refuses, and what WebGPU's kernels do not take: cases without a single number. */
const isRefused = (engine: string, operation: string, what: string, { inputs }: Twin): boolean =>
  isWithoutGradient(operation, what) ||
  (engine === "onnx on webgpu" &&
    ofSomething.has(operation) &&
    Object.values(inputs).some((shape) => shape.includes(0)));
const ofSomething = new Set(["tf.max", "tf.min", "tf.softmax", "tf.logSoftmax", "linearCrossEntropy", "sinkhorn"]);

const webgpu: EngineKind = {
  ...engines.onnx,
  name: "onnx on webgpu",
  create: (options) => engines.onnx.create({ ...options, provider: "webgpu" }),
};
const withoutWebgpu = await engines.onnx.unavailable({ threads: 1, provider: "webgpu" });
if (withoutWebgpu) console.log(`operations are not tried on provider webgpu: ${withoutWebgpu}`);
const compared = [
  { kind: engines.cpu, test: plainTest },
  ...comparedEngines,
  { kind: webgpu, test: withoutWebgpu ? plainTest.skip : plainTest },
];

describe.each(compared)("on $kind.name", ({ kind, test }) => {
  let engine: Engine;
  beforeAll(async () => {
    if (test !== plainTest.skip) engine = await kind.create({ threads: 1 });
  });
  afterAll(() => engine?.dispose());

  test.each(operations.map((operation) => [operation.name, operation] as const))(
    "%s and its gradient are those of float64, on random and hard shapes and values",
    async (name, { cases }) => {
      for (const [what, twin] of Object.entries(cases)) {
        const where = `${name}, ${what}`;
        if (isRefused(kind.name, name, what, twin)) {
          await expect(compareTwin(twin, engine), where).rejects.toThrow();
          continue;
        }
        const { forward, gradient } = await compareTwin(twin, engine);
        expect(forward, `forward of ${where}`).toBeLessThan(rounding);
        if (!Number.isNaN(gradient))
          expect(gradient, `gradient of ${where}`).toBeLessThan(cancelling[where] ?? rounding);
      }
    },
  );
});

/** What src calls of TensorFlow.js beside operations: the tape, memory, backends, and tensors of data. */
const notOperations = new Set(
  "customGrad grad tidy keep dispose tensor tensor1d tensor2d scalar zeros ones engine env ready backend setBackend getBackend getKernel registerGradient".split(
    " ",
  ),
);
/** Operations that our own stand on, and are tried with them: activations and gathering by their names in src/ops, and those of
 *  gradients. */
const within = new Set([
  "conv2d",
  "conv2dTranspose",
  "relu",
  "leakyRelu",
  "tanh",
  "sigmoid",
  "softplus",
  "oneHot",
  "unsortedSegmentSum",
  "stridedSlice",
]);

const isCode = (file: string): boolean => file.endsWith(".ts");

plainTest("every operation that stages, models and probes call is in the op set", () => {
  const folders = ["ops", "nn", "residual", "models", "probes"];
  const called = new Set<string>();
  for (const folder of folders)
    for (const file of readdirSync(join(src, folder), { recursive: true, encoding: "utf8" }).filter(isCode))
      for (const [, name] of readFileSync(join(src, folder, file), "utf8").matchAll(/\btf\.([a-z]\w*)\(/g))
        called.add(name!);
  expect(called.size).toBeGreaterThan(30);
  const known = new Set(operations.map(({ name }) => name));
  const missing = [...called].filter(
    (name) => !known.has(`tf.${name}`) && !notOperations.has(name) && !within.has(name),
  );
  expect(missing).toEqual([]);
  expect(Object.keys(ops).filter((name) => !known.has(name) && name !== "scatterRows")).toEqual([]);
});

plainTest(
  "a comparison sees a wrong value, a wrong gradient, a number that is not finite and one that is missing",
  async () => {
    const engine = await engines.cpu.create({ threads: 1 });
    const twin = (factor: number, shift: number): Twin => ({
      inputs: { x: [3] },
      apply: ({ x }) => x!.square(),
      reference: ({ x }) => x!.map((v) => factor * v * v + shift),
    });
    const right = await compareTwin(twin(1, 0), engine);
    expect(Math.max(right.forward, right.gradient)).toBeLessThan(rounding);
    const shifted = await compareTwin(twin(1, 0.1), engine);
    expect(shifted.forward).toBeGreaterThan(1e-3);
    expect(shifted.gradient).toBeLessThan(rounding);
    expect((await compareTwin(twin(1.01, 0), engine)).gradient).toBeCloseTo(0.01 / 1.01, 5);
    expect(deviation([NaN, 1], [1, 1])).toBe(Infinity);
    expect(deviation([1], [1, 1])).toBe(Infinity);
    expect(deviation([Infinity, 1], [1, 1])).toBe(Infinity);
    await engine.dispose();
  },
);

plainTest("every operation has a case that is not 0 throughout, which would prove nothing", () => {
  for (const { name, cases } of operations) {
    const largest = Object.values(cases).map((twin) => Math.max(0, ...twin.reference(inputsOf(twin)).map(Math.abs)));
    expect(Math.max(...largest), name).toBeGreaterThan(1e-2);
  }
});
