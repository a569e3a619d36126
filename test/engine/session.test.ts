// What is said of a program that the runtime refuses, or fails at: real programs and a real runtime.
import * as tf from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import { sessionFailure } from "../../src/engine/diagnose.ts";
import type { Node, ValueInfo } from "../../src/engine/graph.ts";
import { onnx } from "../../src/engine/index.ts";
import { encodeModel } from "../../src/engine/onnx-model.ts";
import { cpuProvider, type Provider, providers } from "../../src/engine/providers.ts";
import { createSession, missingProvider } from "../../src/engine/session.ts";
import { UserError } from "../../src/errors.ts";
import type { Player, Stage } from "../../src/stage.ts";
import type { CompiledProgram } from "../../src/types.ts";

const webgpu = providers.find(({ name }) => name === "webgpu")!;
const hasWebgpu = (await missingProvider(webgpu)) === undefined;

/** y = op(x, x) and z = exp(y), all [2, 3]. */
const model = (op: string, domain: string, provider: Provider, attributes: Node["attributes"] = {}): Uint8Array => {
  const values = new Map<string, ValueInfo>(["x", "y", "z"].map((name) => [name, { shape: [2, 3], dtype: "float32" }]));
  const nodes: Node[] = [
    { op, domain, inputs: ["x", "x"], outputs: ["y"], attributes },
    { op: "Exp", domain: "", inputs: ["y"], outputs: ["z"], attributes: {} },
  ];
  return encodeModel({ nodes, values, constants: new Map() }, ["x"], ["z"], { halts: provider.halts });
};

/** What is said of a model, of which no session can be built. */
async function failureOf(bytes: Uint8Array, provider: Provider): Promise<Error> {
  const built = createSession({ model: bytes }, 1, provider);
  const error: unknown = await built.then(
    () => expect.fail("a session was built"),
    (reason: unknown) => reason,
  );
  return sessionFailure({ model: bytes }, provider, "forward of here (train)", error);
}

describe("a session that cannot be built", () => {
  test("an operator that there is not is named with its node, and nothing else is", async () => {
    const error = await failureOf(model("NoSuchOperator", "", cpuProvider), cpuProvider);
    expect(error.message).toMatch(
      /^forward of here \(train\), provider cpu: no session can be built: operator NoSuchOperator \(node y\): /,
    );
    expect(error.message).toMatch(/engine: cpu runs the same model without graphs, and --keep-graphs keeps this one$/);
    expect(error.message).not.toContain("Exp");
    expect(error).not.toBeInstanceOf(UserError);
  });

  test("an operator whose shapes contradict each other is named", async () => {
    const error = await failureOf(model("MatMul", "", cpuProvider), cpuProvider);
    expect(error.message).toMatch(/operator MatMul \(node y\): .*[Ii]ncompatible dimensions/);
  });

  test.skipIf(!hasWebgpu)("what a provider has no kernel for is not left to the CPU", async () => {
    const bytes = model("FusedMatMul", "com.microsoft", webgpu, { transA: 0, transB: 0 });
    const square = model("Add", "", webgpu);
    await (await createSession({ model: square }, 1, webgpu)).release();
    const error = await failureOf(bytes, webgpu);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /provider webgpu: no session can be built: operator com\.microsoft\.FusedMatMul \(node y\)/,
    );
  });
});

/** A stage that multiplies what does not fit: [2, 4, 4] by [2, 3, 3]. TensorFlow.js's own matMul would refuse. */
const broken: Stage = {
  name: "middle/03",
  key: "broken",
  stack: "middle",
  layer: 3,
  parameters: { factor: { path: "factor", shape: [2, 3, 3], init: { kind: "constant", value: 1 } } },
  reads: ["x"],
  apply: ({ factor }, { x }) => {
    const flags = { transposeA: false, transposeB: false };
    return { loss: tf.sum(tf.engine().runKernel("BatchMatMul", { a: x!, b: factor! }, flags) as tf.Tensor) };
  },
};
const player: Player = { name: "model", stages: [broken], scalars: ["loss"] };

test("the engine names stage, mode, provider and operator of a program that is wrong, and keeps it before it fails", async () => {
  const kept: CompiledProgram[] = [];
  const engine = await onnx.create({ threads: 1, onProgram: (program) => kept.push(program) });
  const factor = { ...broken.parameters["factor"]!, data: new Float32Array(18).fill(1) };
  const x = { dtype: "float32", shape: [2, 4, 4], data: new Float32Array(32) } as const;
  const evaluated = engine.evaluate(player, new Map([["factor", factor]]), { tensors: { x }, tokens: 1 });
  await expect(evaluated).rejects.toThrow(
    /^forward of middle\/03 \(evaluate\), provider cpu: no session can be built: operator com\.microsoft\.FusedMatMul \(node \w+\): /,
  );
  expect(kept.map(({ stage, mode, direction }) => [stage, mode, direction])).toEqual([
    ["middle/03", "evaluate", "forward"],
  ]);
  await engine.dispose();
});
