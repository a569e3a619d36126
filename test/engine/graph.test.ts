// The passes that simplify graphs, on graphs made by hand; and the compiled stages they come to.
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { type CarryInfo, type CompiledStage, compileStage, type Mode } from "../../src/engine/compile.ts";
import {
  type Attribute,
  type Constant,
  dropDeadNodes,
  fuseNodes,
  mergeDuplicateNodes,
  type Body,
  type Node,
  type ValueInfo,
} from "../../src/engine/graph.ts";
import { cpu, onnx } from "../../src/engine/index.ts";
import { encodeModel } from "../../src/engine/onnx-model.ts";
import { assertNoAliasing, createSession } from "../../src/engine/session.ts";
import { transformer } from "../../src/models/transformer.ts";
import type { Stage } from "../../src/stage.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";

/** `op(inputs) -> output`. */
const node = (op: string, inputs: string[], output: string, attributes: Record<string, Attribute> = {}): Node => ({
  op,
  domain: op === "FusedMatMul" ? "com.microsoft" : "",
  inputs,
  outputs: [output],
  attributes,
});
/** Nodes as text: `Gemm(a, b, bias) -> y {transA: 1}`. */
const text = (nodes: readonly Node[]): string[] =>
  nodes.map(({ op, inputs, outputs, attributes }) => {
    const flags = Object.entries(attributes).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
    return `${op}(${inputs.join(", ")}) -> ${outputs.join(", ")}${flags.join("")}`;
  });

describe("dropping dead nodes", () => {
  const nodes = [node("Exp", ["x"], "a"), node("Log", ["a"], "b"), node("Abs", ["a"], "c"), node("Neg", ["c"], "d")];

  test("keeps what leads to a wanted value, in order, and nothing else", () => {
    expect(text(dropDeadNodes(nodes, ["b"]))).toEqual(["Exp(x) -> a", "Log(a) -> b"]);
    expect(dropDeadNodes(nodes, ["b", "d"])).toEqual(nodes);
    expect(dropDeadNodes(nodes, ["x"])).toEqual([]);
  });

  test("keeps a node of which only the second output is wanted", () => {
    const split = { ...node("Split", ["x"], "p"), outputs: ["p", "q"] };
    expect(dropDeadNodes([split], ["q"])).toEqual([split]);
  });
});

describe("merging duplicates", () => {
  test("one of two equal nodes is left, and those after it read that one, in cascades", () => {
    const { nodes, renamed } = mergeDuplicateNodes([
      node("Exp", ["x"], "a"),
      node("Exp", ["x"], "b"),
      node("Log", ["a"], "c"),
      node("Log", ["b"], "d"), // equal only once b has become a
      node("Add", ["c", "d"], "e"),
    ]);
    expect(text(nodes)).toEqual(["Exp(x) -> a", "Log(a) -> c", "Add(c, c) -> e"]);
    expect([...renamed]).toEqual([
      ["b", "a"],
      ["d", "c"],
    ]);
  });

  test("nodes that differ in an attribute, the order of inputs or the number of outputs are kept apart", () => {
    const nodes = [
      node("Softmax", ["x"], "a", { axis: 0 }),
      node("Softmax", ["x"], "b", { axis: 1 }),
      node("Sub", ["x", "y"], "c"),
      node("Sub", ["y", "x"], "d"),
      { ...node("LayerNormalization", ["x", "g"], "e"), outputs: ["e"] },
      { ...node("LayerNormalization", ["x", "g"], "f"), outputs: ["f", "", "s"] },
    ];
    expect(mergeDuplicateNodes(nodes).nodes).toEqual(nodes);
  });
});

describe("fusing", () => {
  const shapes: Record<string, number[]> = { bias: [4], matrix: [3, 4], column: [3, 1], one: [1], half: [], x: [2, 3] };
  const constants = new Map<string, Constant>([
    ["half", { shape: [], dtype: "float32", data: Float32Array.of(0.5) }],
    ["integer", { shape: [], dtype: "int32", data: Int32Array.of(2) }],
    ["cube", { shape: [1, 1, 1], dtype: "float32", data: Float32Array.of(2) }],
    ["pair", { shape: [2], dtype: "float32", data: Float32Array.of(1, 2) }],
  ]);
  /** The nodes after fusing and dropping, with these outputs. */
  const fused = (nodes: Node[], outputs: string[], known: Record<string, number[]> = shapes): string[] => {
    const values = new Map<string, ValueInfo>();
    for (const name of [...Object.keys(known), ...nodes.flatMap(({ outputs }) => outputs)])
      values.set(name, { shape: known[name] ?? [3, 4], dtype: "float32" });
    const kept = new Set(outputs);
    return text(dropDeadNodes(fuseNodes({ nodes, values, constants }, kept), kept));
  };
  const gemm = node("Gemm", ["a", "b"], "p");

  test("transposes go into a matrix product, on either side, and twice is not at all", () => {
    const transposes = [node("Transpose", ["a"], "at"), node("Transpose", ["b"], "bt")];
    expect(fused([...transposes, node("Gemm", ["at", "bt"], "y")], ["y"])).toEqual([
      "Gemm(a, b) -> y transA=1 transB=1",
    ]);
    const again = node("Gemm", ["at", "b"], "y", { transA: 1, transB: 0 });
    expect(fused([transposes[0]!, again], ["y"])).toEqual(["Gemm(a, b) -> y transA=0 transB=0"]);
  });

  test("a transpose that is read elsewhere as well stays for the others", () => {
    const nodes = [node("Transpose", ["a"], "at"), node("Gemm", ["at", "b"], "y"), node("Exp", ["at"], "z")];
    expect(fused(nodes, ["y", "z"])).toEqual(["Transpose(a) -> at", "Gemm(a, b) -> y transA=1", "Exp(at) -> z"]);
    expect(fused(nodes.slice(0, 2), ["y", "at"])).toEqual(["Transpose(a) -> at", "Gemm(a, b) -> y transA=1"]);
  });

  test("the third input of a Gemm is no matrix to transpose", () => {
    const nodes = [node("Transpose", ["c"], "ct"), node("Gemm", ["a", "b", "ct"], "y")];
    expect(fused(nodes, ["y"])).toEqual(["Transpose(c) -> ct", "Gemm(a, b, ct) -> y"]);
  });

  test.each([[["p", "bias"]], [["bias", "p"]]])("a bias goes into the product: Add(%s)", (inputs) => {
    expect(fused([gemm, node("Add", inputs, "y")], ["y"])).toEqual(["Gemm(a, b, bias) -> y"]);
  });

  test("no bias goes in where the product is read twice, is an output, has one already, or the addend is no vector", () => {
    const add = node("Add", ["p", "bias"], "y");
    const untouched = ["Gemm(a, b) -> p", "Add(p, bias) -> y"];
    expect(fused([gemm, add], ["y", "p"])).toEqual(untouched);
    expect(fused([gemm, add, node("Exp", ["p"], "z")], ["y", "z"])).toEqual([...untouched, "Exp(p) -> z"]);
    expect(fused([gemm, node("Add", ["p", "matrix"], "y")], ["y"])).toEqual(["Gemm(a, b) -> p", "Add(p, matrix) -> y"]);
    const biased = node("Gemm", ["a", "b", "c"], "p");
    expect(fused([biased, add], ["y"])).toEqual(["Gemm(a, b, c) -> p", "Add(p, bias) -> y"]);
  });

  test("nothing goes in that makes the product's shape grow by broadcasting", () => {
    const narrow = { ...shapes, p: [3, 1] };
    expect(fused([gemm, node("Add", ["p", "bias"], "y")], ["y"], narrow)).toHaveLength(2);
    const deeper = { ...shapes, y: [1, 3, 4] };
    expect(fused([gemm, node("Mul", ["p", "cube"], "y")], ["y"], deeper)).toHaveLength(2);
  });

  test("doubling a product is no bias", () => {
    expect(fused([gemm, node("Add", ["p", "p"], "y")], ["y"])).toEqual(["Gemm(a, b) -> p", "Add(p, p) -> y"]);
  });

  test("a constant factor becomes the product's alpha, one after the other", () => {
    const nodes = [gemm, node("Mul", ["p", "half"], "q"), node("Mul", ["half", "q"], "y")];
    expect(fused(nodes, ["y"])).toEqual(['Gemm(a, b) -> y alpha={"float":0.25}']);
    const batched = [node("FusedMatMul", ["a", "b"], "p", { alpha: { float: 3 } }), node("Mul", ["p", "half"], "y")];
    expect(fused(batched, ["y"])).toEqual(['FusedMatMul(a, b) -> y alpha={"float":1.5}']);
  });

  test("no factor goes in where it is no constant scalar, the product has a bias, or somebody else reads it", () => {
    for (const factor of ["one", "integer", "pair"])
      expect(fused([gemm, node("Mul", ["p", factor], "y")], ["y"])).toHaveLength(2);
    const biased = node("Gemm", ["a", "b", "bias"], "p");
    expect(fused([biased, node("Mul", ["p", "half"], "y")], ["y"])).toHaveLength(2);
    expect(fused([gemm, node("Mul", ["p", "half"], "y")], ["y", "p"])).toHaveLength(2);
  });

  test("a scaled and then biased product keeps the two apart: alpha does not touch the bias", () => {
    const nodes = [gemm, node("Mul", ["p", "half"], "q"), node("Add", ["q", "bias"], "y")];
    expect(fused(nodes, ["y"])).toEqual(['Gemm(a, b, bias) -> y alpha={"float":0.5}']);
  });

  test("a sum of squares is one node; a sum of products, and squares read elsewhere, are not", () => {
    const square = node("Mul", ["x", "x"], "s");
    const sum = node("ReduceSum", ["s", "axes"], "y", { keepdims: 1 });
    expect(fused([square, sum], ["y"])).toEqual(["ReduceSumSquare(x, axes) -> y keepdims=1"]);
    expect(fused([square, sum], ["y", "s"])).toHaveLength(2);
    expect(fused([node("Mul", ["x", "z"], "s"), sum], ["y"])).toEqual([
      "Mul(x, z) -> s",
      "ReduceSum(s, axes) -> y keepdims=1",
    ]);
  });
});

describe("compiled stages", () => {
  const carryOf = (differentiable: boolean): Record<string, CarryInfo> => ({
    encoder: { shape: [2, 5, 16], dtype: "float32", differentiable },
    decoder: { shape: [2, 5, 16], dtype: "float32", differentiable },
    sourceMask: { shape: [2, 5], dtype: "float32", differentiable: false },
    labels: { shape: [2, 5], dtype: "int32", differentiable: false },
    labelWeights: { shape: [2, 5], dtype: "float32", differentiable: false },
  });
  const compile = (
    name: string,
    mode: Mode = "train",
    tapped = false,
    residual = "pre-ln",
    labelSmoothing = 0,
  ): CompiledStage => {
    const [player] = transformer(smallTransformer({ residual, labelSmoothing }));
    return compileStage(
      player!.stages.find((stage) => stage.name === name)!,
      carryOf(true),
      mode,
      { taps: tapped ? "plain" : "none", readings: [] },
    );
  };
  const count = (nodes: readonly Node[], op: string): number => nodes.filter((node) => node.op === op).length;

  test.each(["pre-ln", "post-ln"])("the encoder layer's forward of %s is fused", (residual) => {
    const { forward, backward } = compile("encoder/00", "train", false, residual);
    // Queries, keys, values and attention's output, and two of the feed-forward; every one with its bias, one with its ReLU.
    const products = forward.nodes.filter(({ op }) => op === "Gemm" || op === "FusedGemm");
    expect(products).toHaveLength(6);
    expect(count(forward.nodes, "FusedGemm")).toBe(1);
    expect(count(forward.nodes, "Relu")).toBe(0);
    for (const { inputs } of products) expect(inputs).toHaveLength(3);
    expect(count(forward.nodes, "LayerNormalization")).toBe(2);
    // Scores with their scale inside, and the weighted values.
    expect(count(forward.nodes, "FusedMatMul")).toBe(2);
    expect(JSON.stringify(forward.nodes)).toContain(`"alpha":{"float":${Math.fround(0.5)}}`);
    expect(count(forward.nodes, "Softmax")).toBe(1);

    for (const { nodes } of [forward, backward!]) {
      const transposed = new Set(nodes.flatMap(({ op, outputs }) => (op === "Transpose" ? outputs : [])));
      const fed = nodes.filter(({ op, inputs }) => op === "Gemm" && inputs.some((name) => transposed.has(name)));
      expect(text(fed)).toEqual([]);
    }
    expect(count(backward!.nodes, "LayerNormalization")).toBe(2); // x_hat again, in one node each
    expect(count(backward!.nodes, "Softmax")).toBe(0); // the probabilities are kept
    // Two products for each of the forward's six; sums over rows are products too, those of six biases, and of two norms
    // the two of gain and bias and two means.
    expect(count(backward!.nodes, "Gemm")).toBe(2 * 6 + 6 + 2 * (2 + 2));
    expect(count(backward!.nodes, "ReduceSum")).toBe(1); // of attention: rowsum(dO O)
  });

  test.each([0, 0.1])(
    "the output layer keeps nothing that is a vocabulary wide, its logits are within one loop over rows: smoothing %d",
    (labelSmoothing) => {
      const { forward, backward } = compile("output", "turn", false, "pre-ln", labelSmoothing);
      expect(backward).toBeUndefined();
      expect(count(forward.nodes, "Scan")).toBe(1);
      expect(forward.nodes.filter(({ op }) => ["Softmax", "LogSoftmax", "Exp", "OneHot"].includes(op))).toEqual([]);
      const body = forward.nodes.find(({ op }) => op === "Scan")!.attributes["body"] as Body;
      expect(count(body.nodes, "LogSoftmax")).toBe(1);
      expect(count(body.nodes, "Gemm")).toBe(4); // logits, and the gradients of input, weight and bias
    },
  );

  test("taps add outputs, and nothing that the untapped program would not compute", () => {
    const [plain, tapped] = [compile("encoder/00"), compile("encoder/00", "train", true)];
    expect(plain.taps).toEqual([]);
    expect(tapped.taps.map(({ component, point }) => `${component} ${point}`)).toEqual([
      "self-attention branch",
      "self-attention stream",
      "feed-forward branch",
      "feed-forward stream",
      "layer stream",
    ]);
    const measuring = new Set(["ReduceSumSquare", "ReduceMax", "Abs", "Max", "Div", "Concat", "Reshape"]);
    const rest = (nodes: readonly Node[]): number => nodes.filter(({ op }) => !measuring.has(op)).length;
    expect(rest(tapped.forward.nodes)).toBe(rest(plain.forward.nodes));
    expect(rest(tapped.backward!.nodes)).toBe(rest(plain.backward!.nodes));
  });

  test("evaluation computes no gradient, no dropout and no taps", () => {
    const [player] = transformer(smallTransformer({ dropout: 0.5, labelSmoothing: 0.1 }));
    for (const name of ["encoder/00", "decoder/01", "output"]) {
      const stage = player!.stages.find((s) => s.name === name)!;
      const compiled = compileStage(stage, carryOf(false), "evaluate", { taps: "plain", readings: [] });
      expect(compiled.noises).toEqual([]);
      expect(compiled.backward).toBeUndefined();
      expect(compiled.forward.outputs.map(({ role }) => role)).toEqual(compiled.forward.outputs.map(() => "written"));
    }
  });

  test("the gradient of an absolute value is -1 where the step function's usual 0 would be wrong", async () => {
    const w = {
      path: "w",
      shape: [4],
      data: Float32Array.of(-2, -0.5, 0, 3),
      init: { kind: "constant", value: 0 },
    } as const;
    const stage: Stage = {
      name: "absolute",
      stack: "absolute",
      layer: "",
      key: "absolute",
      parameters: { w },
      reads: ["labelWeights"],
      apply: ({ w }, { labelWeights }) => ({ loss: w!.abs().mul(labelWeights!).sum() }),
    };
    const player = { name: "absolute", stages: [stage], scalars: ["loss"] };
    const labelWeights = { dtype: "float32", shape: [4], data: Float32Array.of(1, 2, 3, 4) } as const;
    for (const kind of [onnx, cpu]) {
      const engine = await kind.create({ threads: 1 });
      const options = { step: 0, seed: 1, tapped: false };
      const batch = { tensors: { labelWeights }, tokens: 4 };
      const { scalars, gradients } = await engine.differentiate(player, new Map([["w", w]]), batch, options);
      expect(scalars["loss"]).toBe(2 + 1 + 12);
      expect([...gradients.get("w")!], kind.name).toEqual([-1, -2, -3, 4]); // TensorFlow.js takes -1 at 0
      await engine.dispose();
    }
  });

  test("a parameter that the loss does not see is an error that names the stage and the parameter", () => {
    const stage: Stage = {
      name: "idle",
      stack: "idle",
      layer: "",
      key: "idle",
      parameters: { w: { path: "w", shape: [1], init: { kind: "constant", value: 0 } } },
      reads: ["encoder"],
      apply: (_, { encoder }) => ({ encoder: encoder!.mul(2) }),
    };
    expect(() => compileStage(stage, carryOf(true), "train", { taps: "none", readings: [] })).toThrow(
      /idle.*parameter w/,
    );
  });
});

describe("sessions", () => {
  const values = new Map<string, ValueInfo>(
    ["x", "y", "z"].map((name) => [name, { shape: [2, 2], dtype: "float32" as const }]),
  );
  const nodes = [node("Add", ["x", "x"], "y"), node("Mul", ["x", "y"], "z")];
  const open = () =>
    createSession({ model: encodeModel({ nodes, values, constants: new Map() }, ["x"], ["y", "z"]) }, 1);
  const tensor = (data: number[], shape = [2, 2]) => new ort.Tensor("float32", Float32Array.from(data), shape);

  test("results stand in the buffers they were given, whole buffers or views of one", async () => {
    const session = await open();
    const memory = new Float32Array(10).fill(-1);
    const [y, z] = [memory.subarray(1, 5), memory.subarray(5, 9)].map(
      (part) => new ort.Tensor("float32", part, [2, 2]),
    );
    await session.run({ x: tensor([1, 2, 3, 4]) }, { y: y!, z: z! });
    expect([...memory]).toEqual([-1, 2, 4, 6, 8, 2, 8, 18, 32, -1]);
    await session.run({ x: tensor([0, 0, 0, 1]) }, { y: y!, z: z! });
    expect([...memory]).toEqual([-1, 0, 0, 0, 2, 0, 0, 0, 2, -1]);
    await session.release();
  });

  test("an error of the runtime's is not taken for the refusal that is expected", async () => {
    const session = await open();
    const fetches = { y: tensor([0, 0, 0, 0]), z: tensor([0, 0, 0, 0]) };
    await expect(session.run({ x: tensor([1, 2, 3], [3, 1]) }, fetches)).rejects.toThrow(/invalid dimensions/i);
    await expect(session.run({}, fetches)).rejects.toThrow(/'x' is missing/);
    await session.release();
  });

  test("an error inside a stage names the stage and which way it ran", async () => {
    const { players, parameters } = build(smallTransformer());
    const engine = await onnx.create({ threads: 1 });
    const batch = randomBatch(2, 4, 50);
    const options = { step: 0, seed: 1, tapped: false };
    batch.tensors["target"]!.data[3] = 50; // one past the vocabulary
    await expect(engine.differentiate(players[0]!, parameters, batch, options)).rejects.toThrow(
      /^forward of embedding\/target \(train\), provider cpu: operator Gather \(node \w+\): .*out of data bounds/,
    );
    batch.tensors["target"]!.data[3] = 49;
    const { scalars } = await engine.differentiate(players[0]!, parameters, batch, options);
    expect(Number.isFinite(scalars["loss"])).toBe(true);
    await engine.dispose();
  });

  test("an output that shares memory with an input is refused, overlapping views included", () => {
    const memory = new Float32Array(8);
    const view = (start: number, size: number) =>
      new ort.Tensor("float32", memory.subarray(start, start + size), [size]);
    const check = (feed: ort.Tensor, fetch: ort.Tensor) => () =>
      assertNoAliasing({ x: feed }, { y: fetch }, "forward of encoder/00");
    expect(check(view(0, 4), view(0, 4))).toThrow(/forward of encoder\/00: output y shares its memory with input x/);
    expect(check(view(0, 4), view(3, 4))).toThrow(/shares/);
    expect(check(view(2, 2), view(0, 8))).toThrow(/shares/);
    expect(check(view(0, 4), view(4, 4))).not.toThrow();
    expect(check(view(0, 4), new ort.Tensor("float32", new Float32Array(4), [4]))).not.toThrow();
  });
});
