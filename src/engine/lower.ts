// Operators written as several others: those that only ONNX Runtime's CPU kernels have, and those that a provider lacks
// or computes wrong.
import type { Constant, Graph, Node, ValueInfo } from "./graph.ts";

/** What a lowering works with: it appends nodes that end in the node's own outputs. */
interface Writer {
  info(name: string): ValueInfo;
  /** Appends a node with one output, whose name it returns; a fresh one where none is given. */
  node(op: string, inputs: readonly string[], shape: readonly number[], more?: Partial<Node>): string;
  scalar(value: number): string;
  integers(values: readonly number[]): string;
}

type Lowering = (node: Node, writer: Writer) => void;

/** FusedMatMul(A, B) = alpha A' B', where the last two axes of A and B may be swapped. */
const fusedMatMul: Lowering = ({ inputs, outputs, attributes }, w) => {
  const [a, b] = inputs.map((name, i) => {
    const { shape } = w.info(name);
    if (!attributes[i === 0 ? "transA" : "transB"]) return name;
    const perm = [...shape.keys()];
    perm.splice(-2, 2, shape.length - 1, shape.length - 2);
    return w.node(
      "Transpose",
      [name],
      perm.map((axis) => shape[axis]!),
      { attributes: { perm } },
    );
  });
  const { shape } = w.info(outputs[0]!);
  const alpha = (attributes["alpha"] as { float: number } | undefined)?.float ?? 1;
  if (alpha === 1) w.node("MatMul", [a!, b!], shape, { outputs });
  else w.node("Mul", [w.node("MatMul", [a!, b!], shape), w.scalar(alpha)], shape, { outputs });
};

/** FusedGemm: a Gemm, and the activation of its result, of which only ReLU is used. */
const fusedGemm: Lowering = ({ inputs, outputs, attributes: given }, w) => {
  const { shape } = w.info(outputs[0]!);
  const attributes = Object.fromEntries(Object.entries(given).filter(([name]) => name !== "activation"));
  w.node("Relu", [w.node("Gemm", inputs, shape, { attributes })], shape, { outputs });
};

/** softplus(x) = max(x, 0) + log(1 + exp(-|x|)). Below x = -17 that is 0 in float32, where the true value is under
 *  4.2e-8. */
const softplus: Lowering = ({ inputs, outputs }, w) => {
  const { shape } = w.info(outputs[0]!);
  const small = w.node("Exp", [w.node("Neg", [w.node("Abs", inputs, shape)], shape)], shape);
  const rest = w.node("Log", [w.node("Add", [small, w.scalar(1)], shape)], shape);
  w.node("Add", [w.node("Relu", inputs, shape), rest], shape, { outputs });
};

/** Conv with channels filled up with zeros to a multiple of 4 where WebGPU's kernel (runtime 1.30) was found to be
 *  wrong: where they are a multiple of 3 but not of 4, and more than 3, as when it reads them three at a time. The like
 *  is reported in github.com/microsoft/onnxruntime/issues/29651. */
const convolution: Lowering = (node, w) => {
  const { shape } = w.info(node.outputs[0]!);
  const channels = w.info(node.inputs[0]!).shape[1]!;
  const isRight = channels % 4 === 0 || channels % 3 !== 0 || channels === 3;
  const filled = (name: string): string => {
    const given = w.info(name).shape;
    const full = given.with(1, 4 * Math.ceil(channels / 4));
    const rest = given.with(1, full[1]! - channels);
    // Not Pad, whose pads the runtime permutes on the CPU where it moves a transpose past it.
    return w.node("Concat", [name, w.node("Expand", [w.scalar(0), w.integers(rest)], rest)], full, {
      attributes: { axis: 1 },
    });
  };
  const inputs = isRight ? node.inputs : node.inputs.map((name, i) => (i < 2 ? filled(name) : name));
  w.node("Conv", inputs, shape, { outputs: node.outputs, attributes: node.attributes });
};

/** LayerNormalization over the last axis, centred before it is squared. WebGPU's kernel (runtime 1.30) takes the variance as mean(x^2)
 *  - mean(x)^2, which is wrong by 5e-4 of the result where the mean is a hundred times the spread; so written it is 3e-6. */
const layerNormalization: Lowering = ({ inputs: [x, gain, bias], outputs, attributes }, w) => {
  const { shape } = w.info(x!);
  const rows = shape.with(-1, 1);
  const [y, mean, inverseStd] = outputs;
  const named = (name: string | undefined): Partial<Node> => (name ? { outputs: [name] } : {});
  const last = w.integers([shape.length - 1]);
  const average = (of: string, more: Partial<Node> = {}): string =>
    w.node("ReduceMean", [of, last], rows, { attributes: { keepdims: 1 }, ...more });
  const centred = w.node("Sub", [x!, average(x!, named(mean))], shape);
  const variance = average(w.node("Mul", [centred, centred], shape));
  const { float: epsilon } = attributes["epsilon"] as { float: number };
  const std = w.node("Sqrt", [w.node("Add", [variance, w.scalar(epsilon)], rows)], rows);
  const xHat = w.node("Mul", [centred, w.node("Reciprocal", [std], rows, named(inverseStd))], shape);
  const scaled = w.node("Mul", [xHat, gain!], shape, bias ? {} : { outputs: [y!] });
  if (bias) w.node("Add", [scaled, bias], shape, { outputs: [y!] });
};

const lowerings = {
  Conv: convolution,
  FusedGemm: fusedGemm,
  FusedMatMul: fusedMatMul,
  LayerNormalization: layerNormalization,
  Softplus: softplus,
} as const satisfies Record<string, Lowering>;

/** An operator that can be written with others. */
export type Lowered = keyof typeof lowerings;

/** The graph with every node of `operators` written with others, all of the ONNX standard. */
export function lower(graph: Graph, operators: readonly Lowered[]): Graph {
  const nodes: Node[] = [];
  const values = new Map(graph.values);
  const constants = new Map<string, Constant>(graph.constants);
  for (const node of graph.nodes) {
    const op = operators.find((name) => name === node.op);
    if (!op) {
      nodes.push(node);
      continue;
    }
    let made = 0;
    lowerings[op](node, {
      info: (name) => (values.get(name) ?? constants.get(name))!,
      node(op, inputs, shape, { attributes = {}, outputs = [`${node.outputs[0]}.${made++}`] } = {}) {
        nodes.push({ op, domain: "", inputs, outputs, attributes });
        values.set(outputs[0]!, { shape, dtype: "float32" });
        return outputs[0]!;
      },
      scalar(value) {
        const name = `float.${value}`;
        constants.set(name, { shape: [], dtype: "float32", data: Float32Array.of(value) });
        return name;
      },
      integers(values) {
        const name = `integers.${values.join(".")}`;
        constants.set(name, { shape: [values.length], dtype: "int64", data: BigInt64Array.from(values, BigInt) });
        return name;
      },
    });
  }
  return { nodes, values, constants };
}
