// The output layer with its loss on the CPU: some rows of the logits at a time, so that what is a vocabulary wide stays in the
// processor's cache, and none of it is kept. Until programs are encoded its forward and its gradient are one node each, and where
// a program has both they become one.
import { type Constant, dropDeadNodes, type Graph, type Node, type ValueInfo } from "./graph.ts";

// N targets, R of them at a time, D width, V vocabulary.

/** Bytes of the logits that are there at once. Of those tried, 2 to 4 MiB took the least time where a core has a cache of 2 MiB: a
 *  quarter less than all the 16 MiB of 1024 targets and 4000 words. */
const LOGITS_AT_ONCE = 4 * 2 ** 20;
const FEWEST_ROWS = 32;

/** How many of N targets are done at a time: the most that divide N and fit, or all where only a few would. Few are less than half the
 *  width: every turn reads and writes the D x V gradient of the weight, which would then be more than the turn's own logits. */
export function rowsAtOnce(targets: number, width: number, vocabulary: number): number {
  const most = Math.min(targets, Math.floor(LOGITS_AT_ONCE / (4 * vocabulary)));
  const fewest = Math.max(FEWEST_ROWS, width / 2);
  for (let rows = most; rows >= fewest; rows--) if (targets % rows === 0) return rows;
  return targets;
}

const gradientOp = "LinearCrossEntropyGradient";
const isCrossEntropy = ({ op }: Node): boolean => op === "LinearCrossEntropy" || op === gradientOp;

/** Joins the gradient of an output layer and its forwards: the gradient gives the losses as well, and those without smoothing. */
export function joinCrossEntropies(given: readonly Node[]): readonly Node[] {
  const gradient = given.find(({ op }) => op === gradientOp);
  if (!gradient) return given;
  const inputs = gradient.inputs.slice(0, 4).join();
  // Not those on which the gradient that comes from above depends.
  const before = dropDeadNodes(given.slice(0, given.indexOf(gradient)), [gradient.inputs[4]!]);
  const forward = (smoothing: number): Node | undefined =>
    given.find(
      (node) =>
        node.op === "LinearCrossEntropy" &&
        node.inputs.join() === inputs &&
        smoothingOf(node) === smoothing &&
        !before.includes(node),
    );
  const [smoothed, plain] = [forward(smoothingOf(gradient)), smoothingOf(gradient) ? forward(0) : undefined];
  const [nll, ...gradients] = gradient.outputs;
  const joined = {
    ...gradient,
    outputs: [smoothed?.outputs[0] ?? nll!, ...gradients, ...(plain ? [plain.outputs[0]!] : [])],
  };
  return inOrder(
    given.flatMap((node) => (node === smoothed || node === plain ? [] : node === gradient ? [joined] : [node])),
  );
}

const smoothingOf = ({ attributes }: Node): number => (attributes["smoothing"] as { float: number }).float;

/** The nodes so that each comes after those whose outputs it reads, otherwise as they were. */
function inOrder(nodes: readonly Node[]): Node[] {
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const placed = new Set<Node>();
  const place = (node: Node): void => {
    for (const name of node.inputs) {
      const producer = producers.get(name);
      if (producer && !placed.has(producer)) place(producer);
    }
    placed.add(node);
  };
  nodes.forEach(place);
  return [...placed];
}

/** The graph with its output layers in ONNX. */
export function expandCrossEntropies(graph: Graph): Graph {
  if (!graph.nodes.some(isCrossEntropy)) return graph;
  const [values, constants] = [new Map(graph.values), new Map(graph.constants)];
  const nodes = graph.nodes.flatMap((node) => (isCrossEntropy(node) ? expanded(node, values, constants) : [node]));
  return { nodes, values, constants };
}

/** Log p = log softmax(x W + b), nll_n = -log p_n[label_n]; with smoothing e it is 1 - e of that and e of the mean of -log p. Gradient: with
 *  G = p - (1 - e) onehot - e / V, dx_n = dy_n G_n W', dW = (dy x)' G, db = dy' G, sums that grow with every R rows. */
function expanded(node: Node, values: Map<string, ValueInfo>, constants: Map<string, Constant>): Node[] {
  const [x, weight, bias, labels, dy] = node.inputs as [string, string, string, string, string?];
  const [nll, dx, dWeight, dBias, plain] = node.outputs as [string, string, string, string, string?];
  const smoothing = smoothingOf(node);
  const [targets, width] = values.get(x)!.shape as [number, number];
  const vocabulary = (values.get(weight) ?? constants.get(weight))!.shape[1]!;
  const rows = rowsAtOnce(targets, width, vocabulary);
  const chunks = targets / rows;

  const value = (name: string, shape: readonly number[], dtype: ValueInfo["dtype"] = "float32"): string => {
    values.set(name, { shape, dtype });
    return name;
  };
  const literal = (name: string, shape: readonly number[], data: Float32Array | BigInt64Array): string => {
    constants.set(`${nll}.${name}`, { shape, dtype: data instanceof Float32Array ? "float32" : "int64", data });
    return `${nll}.${name}`;
  };
  const scalar = (number: number): string => literal(`float${number}`, [], Float32Array.of(number));
  const integers = (list: readonly number[]): string =>
    literal(`int${list.join("x")}`, [list.length], BigInt64Array.from(list, BigInt));
  const nodes: Node[] = [];
  const body: Node[] = [];
  const add =
    (to: Node[]) =>
    (op: string, inputs: readonly string[], output: string, attributes: Node["attributes"] = {}): string => {
      to.push({ op, domain: "", inputs, outputs: [output], attributes });
      return output;
    };

  // What is done of R rows.
  const local = (name: string, shape: readonly number[], dtype?: ValueInfo["dtype"]): string =>
    value(`${nll}.${name}`, shape, dtype);
  const [wide, narrow, column] = [
    [rows, vocabulary],
    [rows, width],
    [rows, 1],
  ];
  const [x_RD, labels_R1] = [local("x", narrow), local("labels", column, "int64")];
  const dy_R1 = dy && local("dy", column);
  const sums = dy ? [local("dw", [width, vocabulary]), local("db", [1, vocabulary])] : [];
  const put = add(body);
  const logits = put("Gemm", [x_RD, weight, bias], local("logits", wide));
  const logP = put("LogSoftmax", [logits], local("log-p", wide), { axis: -1 });
  const ofLabel = put("GatherElements", [logP, labels_R1], local("of-label", column), { axis: 1 });
  const share = (of: string, share: number, name: string): string =>
    put("Mul", [of, scalar(-share)], local(name, column));
  let nll_R1 = share(ofLabel, 1 - smoothing, "kept");
  if (smoothing) {
    const mean = put("ReduceMean", [logP, integers([1])], local("mean", column), { keepdims: 1 });
    nll_R1 = put("Add", [nll_R1, share(mean, smoothing, "spread")], local("both", column));
  }
  const outputs = [nll_R1, ...(plain ? [share(ofLabel, 1, "plain")] : [])];
  if (dy_R1) {
    let p = put("Exp", [logP], local("p", wide));
    if (smoothing) p = put("Sub", [p, scalar(smoothing / vocabulary)], local("less", wide));
    const onehot = literal("onehot", column, new Float32Array(rows).fill(smoothing - 1));
    const g_RV = put("ScatterElements", [p, labels_R1, onehot], local("g", wide), { axis: 1, reduction: "add" });
    const along = put("Gemm", [g_RV, weight], local("along", narrow), { transB: 1 });
    const dx_RD = put("Mul", [along, dy_R1], local("dx", narrow));
    const weighted = put("Mul", [x_RD, dy_R1], local("weighted", narrow));
    const dW = put("Gemm", [weighted, g_RV, sums[0]!], local("dw-more", [width, vocabulary]), { transA: 1 });
    const dy_1R = put("Reshape", [dy_R1, integers([1, rows])], local("dy-row", [1, rows]));
    const db = put("Gemm", [dy_1R, g_RV, sums[1]!], local("db-more", [1, vocabulary]));
    outputs.unshift(dW, db);
    outputs.push(dx_RD);
  }

  // All rows, R after R.
  const write = add(nodes);
  const whole = (name: string, shape: readonly number[], dtype?: ValueInfo["dtype"]): string =>
    value(`${nll}.all-${name}`, [chunks, ...shape], dtype);
  const inChunks = (name: string, of: string, shape: readonly number[], dtype?: ValueInfo["dtype"]): string =>
    write("Reshape", [of, integers([chunks, ...shape])], whole(name, shape, dtype));
  const labels64 = write("Cast", [labels], value(`${nll}.labels64`, [targets], "int64"), { to: 7 });
  const scanned = [inChunks("x", x, narrow), inChunks("labels", labels64, column, "int64")];
  if (dy) scanned.push(inChunks("dy", dy, column));
  const zeros = sums.map((sum) => {
    const { shape } = values.get(sum)!;
    return write("ConstantOfShape", [integers(shape)], value(`${sum}-zeros`, shape));
  });
  const [allNll, allDx] = [whole("nll", column), whole("dx", narrow)];
  const allPlain = plain ? [whole("plain", column)] : [];
  const allDb = value(`${nll}.all-db`, [1, vocabulary]);
  nodes.push({
    op: "Scan",
    domain: "",
    inputs: [...zeros, ...scanned],
    outputs: dy ? [dWeight, allDb, allNll, ...allPlain, allDx] : [allNll],
    attributes: {
      num_scan_inputs: scanned.length,
      body: { nodes: body, inputs: [...sums, x_RD, labels_R1, ...(dy_R1 ? [dy_R1] : [])], outputs },
    },
  });
  write("Reshape", [allNll, integers([targets])], nll);
  if (plain) write("Reshape", [allPlain[0]!, integers([targets])], plain);
  if (dy) {
    write("Reshape", [allDx, integers([targets, width])], dx);
    write("Reshape", [allDb, integers([vocabulary])], dBias);
  }
  return nodes;
}
