// The compiled form of a stage: a list of nodes in execution order, and passes that simplify it. Node names are ONNX
// operators; nothing here knows TensorFlow.js or ONNX Runtime.

/** Element types inside graphs. Only float32 and int32 cross to JavaScript, and bool between a stage's two halves. */
export type ElementType = "float32" | "int32" | "int64" | "bool";

export interface ValueInfo {
  readonly shape: readonly number[];
  readonly dtype: ElementType;
}

/** ONNX attributes: integers, integer lists, strings, floats under `float`, and bodies of loops. */
export type Attribute = number | readonly number[] | string | { readonly float: number } | Body;

/** Nodes that are run many times, on values of their own and those of the graph around them. */
export interface Body {
  readonly nodes: readonly Node[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

export interface Node {
  readonly op: string;
  /** `com.microsoft` for ONNX Runtime's own operators, else empty. */
  readonly domain: string;
  /** Names of values; an empty name is an absent optional input. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Constant extends ValueInfo {
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
}

/** Nodes with all they refer to. `values` describes every node output and graph input, `constants` the literals. */
export interface Graph {
  readonly nodes: readonly Node[];
  readonly values: ReadonlyMap<string, ValueInfo>;
  readonly constants: ReadonlyMap<string, Constant>;
}

/** Drops nodes none of whose outputs `wanted` needs. */
export function dropDeadNodes(nodes: readonly Node[], wanted: Iterable<string>): Node[] {
  const needed = new Set(wanted);
  const kept: Node[] = [];
  for (const node of nodes.toReversed())
    if (node.outputs.some((name) => needed.has(name))) {
      kept.push(node);
      for (const input of node.inputs) needed.add(input);
    }
  return kept.reverse();
}

/** Merges nodes that compute the same thing. Returns the nodes left and, for every dropped output, the name to use. */
export function mergeDuplicateNodes(nodes: readonly Node[]): { nodes: Node[]; renamed: ReadonlyMap<string, string> } {
  const seen = new Map<string, readonly string[]>();
  const renamed = new Map<string, string>();
  const kept: Node[] = [];
  for (const original of nodes) {
    const node = { ...original, inputs: original.inputs.map((name) => renamed.get(name) ?? name) };
    const identity = JSON.stringify([node.op, node.domain, node.inputs, node.attributes, node.outputs.length]);
    const first = seen.get(identity);
    if (first) node.outputs.forEach((name, i) => renamed.set(name, first[i]!));
    else {
      seen.set(identity, node.outputs);
      kept.push(node);
    }
  }
  return { nodes: kept, renamed };
}

/** What a fusion rule may ask about the graph while it is rewritten from front to back. */
interface View {
  /** The node, as rewritten so far, whose first output is `name`. */
  producer(name: string): Node | undefined;
  /** Whether exactly one node reads `name` and it is no output of the graph. */
  isPrivate(name: string): boolean;
  shape(name: string): readonly number[];
  /** The value of a float constant of one element. */
  scalar(name: string): number | undefined;
}

/** A rule turns a node into one that does more, and names the producers it has swallowed. */
type Rule = (node: Node, view: View) => { node: Node; swallowed: readonly string[] } | undefined;

/** Whether `node` has the shape of the value `name` it would be fused with: broadcasting may have made it larger. */
const keepsShape = (node: Node, name: string, view: View): boolean =>
  view.shape(node.outputs[0]!).join() === view.shape(name).join();

const isProduct = (node: Node | undefined): node is Node =>
  node?.op === "FusedMatMul" || (node?.op === "Gemm" && node.inputs.length === 2);

/** Gemm(Transpose(A), B) becomes Gemm(A, B, transA), and the same for B. */
const transposeIntoGemm: Rule = (node, view) => {
  if (node.op !== "Gemm") return undefined;
  const attributes: Record<string, Attribute> = { ...node.attributes };
  const inputs = node.inputs.map((name, i) => {
    const source = i < 2 ? view.producer(name) : undefined;
    if (source?.op !== "Transpose") return name;
    const flag = i === 0 ? "transA" : "transB";
    attributes[flag] = attributes[flag] ? 0 : 1;
    return source.inputs[0]!; // the Transpose is dropped as dead if nobody else reads it
  });
  return { node: { ...node, inputs, attributes }, swallowed: [] };
};

/** Add(Gemm(A, B), bias) becomes Gemm(A, B, bias). */
const biasIntoGemm: Rule = (node, view) => {
  if (node.op !== "Add") return undefined;
  for (const [i, name] of node.inputs.entries()) {
    const product = view.producer(name);
    const bias = node.inputs[1 - i]!;
    if (product?.op !== "Gemm" || product.inputs.length > 2 || !view.isPrivate(name)) continue;
    if (view.shape(bias).length !== 1 || !keepsShape(node, name, view)) continue;
    return { node: { ...product, inputs: [...product.inputs, bias], outputs: node.outputs }, swallowed: [name] };
  }
  return undefined;
};

/** Mul(product, constant scalar) becomes the product with that alpha. */
const scaleIntoProduct: Rule = (node, view) => {
  if (node.op !== "Mul") return undefined;
  for (const [i, name] of node.inputs.entries()) {
    const product = view.producer(name);
    const factor = view.scalar(node.inputs[1 - i]!);
    if (factor === undefined || !isProduct(product) || !view.isPrivate(name) || !keepsShape(node, name, view)) continue;
    const alpha = (product.attributes["alpha"] as { float: number } | undefined)?.float ?? 1;
    const attributes = { ...product.attributes, alpha: { float: alpha * factor } };
    return { node: { ...product, outputs: node.outputs, attributes }, swallowed: [name] };
  }
  return undefined;
};

/** ReduceSum(Mul(x, x)) becomes ReduceSumSquare(x). */
const squareIntoSum: Rule = (node, view) => {
  const square = node.op === "ReduceSum" ? view.producer(node.inputs[0]!) : undefined;
  if (square?.op !== "Mul" || square.inputs[0] !== square.inputs[1] || !view.isPrivate(node.inputs[0]!))
    return undefined;
  const inputs = [square.inputs[0]!, ...node.inputs.slice(1)];
  return { node: { ...node, op: "ReduceSumSquare", inputs }, swallowed: [node.inputs[0]!] };
};

/** Relu(Gemm(A, B, bias)) becomes FusedGemm(A, B, bias), which applies it to what it has just written. */
const reluIntoGemm: Rule = (node, view) => {
  const [input] = node.inputs;
  const gemm = node.op === "Relu" ? view.producer(input!) : undefined;
  if (gemm?.op !== "Gemm" || !view.isPrivate(input!)) return undefined;
  const attributes = { ...gemm.attributes, activation: "Relu" };
  return {
    node: { ...gemm, op: "FusedGemm", domain: "com.microsoft", outputs: node.outputs, attributes },
    swallowed: [input!],
  };
};

const rules: readonly Rule[] = [transposeIntoGemm, biasIntoGemm, scaleIntoProduct, squareIntoSum, reluIntoGemm];

/** Fuses neighbouring nodes into one where the value in between has no other reader and is not in `kept` (outputs of the
 *  graph): transposes, biases and scalar factors into matrix products, squares into sums. */
export function fuseNodes(graph: Graph, kept: ReadonlySet<string>): Node[] {
  const readers = new Map<string, number>();
  for (const { inputs } of graph.nodes) for (const name of inputs) readers.set(name, (readers.get(name) ?? 0) + 1);
  const rewritten = new Map<string, Node>();
  const view: View = {
    producer: (name) => rewritten.get(name),
    isPrivate: (name) => readers.get(name) === 1 && !kept.has(name),
    shape: (name) => (graph.values.get(name) ?? graph.constants.get(name))!.shape,
    scalar: (name) => {
      const constant = graph.constants.get(name);
      return constant?.dtype === "float32" && constant.data.length === 1 ? Number(constant.data[0]) : undefined;
    },
  };
  for (const original of graph.nodes) {
    let node = original;
    for (const rule of rules) {
      const fused = rule(node, view);
      if (!fused) continue;
      node = fused.node;
      for (const name of fused.swallowed) rewritten.delete(name);
    }
    rewritten.set(node.outputs[0]!, node);
  }
  return [...rewritten.values()];
}
