// A TensorFlow.js backend whose kernels record graph nodes instead of computing. Model code runs on it once;
// TensorFlow.js's own gradient tape runs on it too, so the record holds forward and backward.
import * as tf from "@tensorflow/tfjs-core";
import type { DataId, NamedAttrMap, Tensor, TensorInfo } from "@tensorflow/tfjs-core";
import { assert } from "../errors.ts";
import { sizeOf } from "../stage.ts";
import type { Attribute, Constant, ElementType, Node, ValueInfo } from "./graph.ts";

/** A recorded tensor: a value of the graph by name, or literal numbers that have not been needed as one yet. */
interface Recorded {
  name?: string;
  readonly values?: ArrayLike<number>;
  readonly shape: number[];
  readonly dtype: ElementType;
  /** The value of every element, where they are all the same: such constants need no storage. */
  readonly uniform?: number;
}

/** What model code has done so far on the recording backend. */
export class Recorder extends tf.KernelBackend {
  nodes: Node[] = [];
  values = new Map<string, ValueInfo>();
  constants = new Map<string, Constant>();
  readonly #data = new tf.DataStorage<Recorded>(this, tf.engine());
  #names = 0;
  #interned = new Map<string, string>();

  clear(): void {
    this.nodes = [];
    this.values = new Map();
    this.constants = new Map();
    this.#names = 0;
    this.#interned = new Map();
  }

  /** A tensor that stands for a value given from outside, e.g. a parameter. */
  input(name: string, shape: readonly number[], dtype: "float32" | "int32"): Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.#value(name, shape, dtype));
  }

  /** The graph value of a tensor; literal numbers become constants the first time they are asked for. */
  nameOf(tensor: TensorInfo): string {
    const recorded = this.#data.get(tensor.dataId);
    return (recorded.name ??=
      recorded.uniform !== undefined && sizeOf(recorded.shape) > 1
        ? this.node("Expand", [this.scalar(recorded.uniform), this.integers(recorded.shape)], recorded.shape)
        : this.#constant(recorded.values!, recorded.shape, recorded.dtype));
  }

  /** The value of all elements of a literal whose elements are equal. */
  uniformOf(tensor: TensorInfo): number | undefined {
    return this.#data.get(tensor.dataId).uniform;
  }

  /** Appends a node with one output and returns the output's name. */
  node(
    op: string,
    inputs: readonly string[],
    shape: readonly number[],
    attributes: Record<string, Attribute> = {},
    dtype: ElementType = "float32",
    domain = "",
  ): string {
    const name = `v${this.#names++}`;
    this.values.set(name, { shape, dtype });
    this.nodes.push({ op, domain, inputs, outputs: [name], attributes });
    return name;
  }

  /** Appends a node and returns its outputs as tensors. */
  tensors(
    op: string,
    inputs: readonly string[],
    shapes: readonly (readonly number[])[],
    attributes: Record<string, Attribute> = {},
  ): TensorInfo[] {
    const outputs = shapes.map((shape) => {
      const name = `v${this.#names++}`;
      this.values.set(name, { shape, dtype: "float32" });
      return name;
    });
    this.nodes.push({ op, domain: "", inputs, outputs, attributes });
    return outputs.map((name, i) => this.#value(name, shapes[i]!, "float32"));
  }

  /** The tensor of a value that is already in the graph. */
  tensor(name: string): TensorInfo {
    const { shape, dtype } = this.values.get(name)!;
    return this.#value(name, shape, dtype);
  }

  /** A tensor of literal numbers that are all the same. */
  uniform(value: number, shape: readonly number[], dtype: ElementType = "float32"): TensorInfo {
    const dataId = {};
    const size = sizeOf(shape);
    const recorded: Recorded =
      dtype === "float32"
        ? { shape: [...shape], dtype, uniform: value, values: size === 1 ? [value] : [] }
        : { shape: [...shape], dtype, values: new Int32Array(size).fill(value) };
    this.#data.set(dataId, recorded);
    return { dataId, shape: [...shape], dtype: dtype as "float32" };
  }

  /** A tensor of literal numbers as they are. */
  literal(values: Float32Array, shape: readonly number[]): TensorInfo {
    const dataId = {};
    this.#data.set(dataId, { values, shape: [...shape], dtype: "float32" });
    return { dataId, shape: [...shape], dtype: "float32" };
  }

  scalar(value: number): string {
    return this.#intern(`f${value}`, { shape: [], dtype: "float32", data: Float32Array.of(value) });
  }

  /** A constant list of int64, as ONNX wants shapes and axes. */
  integers(values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt);
    return this.#intern(`i${values.join()}`, { shape: [values.length], dtype: "int64", data });
  }

  #value(name: string, shape: readonly number[], dtype: ElementType): TensorInfo {
    const dataId = {};
    if (!this.values.has(name)) this.values.set(name, { shape, dtype });
    this.#data.set(dataId, { name, shape: [...shape], dtype });
    return { dataId, shape: [...shape], dtype: dtype as "float32" };
  }

  #constant(values: ArrayLike<number>, shape: readonly number[], dtype: ElementType): string {
    const make = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;
    assert(dtype !== "int64", "int64 constants are made by integers()");
    const data = make[dtype].from(values);
    const first = data[0];
    const isUniform = data.every((x) => Object.is(x, first));
    const key = isUniform
      ? `${dtype}[${shape.join()}]${Object.is(first, -0) ? "-0" : first}`
      : data.length <= 64
        ? `${dtype}[${shape.join()}]${data.join()}`
        : undefined;
    return this.#intern(key ?? `#${this.#names}`, { shape, dtype, data });
  }

  #intern(key: string, constant: Constant): string {
    const known = this.#interned.get(key);
    if (known) return known;
    const name = `k${this.#names++}`;
    this.constants.set(name, constant);
    this.#interned.set(key, name);
    return name;
  }

  // What TensorFlow.js asks of a backend.
  override write(given: tf.BackendValues, shape: number[], dtype: tf.DataType): DataId {
    const dataId = {};
    const values = given as ArrayLike<number>;
    const first = values[0];
    let uniform = dtype === "float32" && first !== undefined;
    for (let i = 1; uniform && i < values.length; i++) uniform = values[i] === first;
    this.#data.set(dataId, { values, shape, dtype: dtype as ElementType, ...(uniform ? { uniform: first! } : {}) });
    return dataId;
  }
  override move(dataId: DataId, values: tf.BackendValues, shape: number[], dtype: tf.DataType): void {
    this.#data.set(dataId, { values: values as ArrayLike<number>, shape, dtype: dtype as ElementType });
  }
  override readSync(dataId: DataId): Float32Array {
    const { values } = this.#data.get(dataId);
    assert(values, "a stage read the value of a tensor; stages only build operations");
    return Float32Array.from(values);
  }
  override read(dataId: DataId): Promise<Float32Array> {
    return Promise.resolve(this.readSync(dataId));
  }
  override disposeData(): boolean {
    return true;
  }
  override refCount(): number {
    return 1;
  }
  override incRef(): void {}
  override numDataIds(): number {
    return this.#data.numDataIds();
  }
  override floatPrecision(): 32 {
    return 32;
  }
  override epsilon(): number {
    return 1e-7;
  }
  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }
}

/** Operators that a record may hold: those of the ONNX standard, or also those written for the runtime's CPU kernels. */
export type Operators = "standard" | "cpu";

/** Runs `build` with the recording backend current and an empty record; restores the backend that was. */
export function record<T>(operators: Operators, build: (recorder: Recorder) => T): T {
  const backendName = `fathom-recorder-${operators}`;
  if (!tf.findBackendFactory(backendName)) {
    tf.registerBackend(backendName, () => new Recorder());
    registerKernels(backendName, operators === "cpu" ? { ...kernels, ...cpuKernels } : kernels);
  }
  const engine = tf.engine();
  const previous = engine.backendName;
  void tf.setBackend(backendName); // synchronous for a synchronous factory
  const recorder = tf.backend() as Recorder;
  recorder.clear();
  try {
    let built: T;
    // Not as the tidy's result, in which it looks for tensors: at every byte of a model.
    tf.tidy(() => void (built = build(recorder)));
    return built!;
  } finally {
    recorder.clear();
    if (previous) void tf.setBackend(previous);
  }
}

type Inputs = Record<string, TensorInfo> & TensorInfo[];
type Kernel = (inputs: Inputs, attributes: NamedAttrMap, recorder: Recorder) => TensorInfo | TensorInfo[];

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);
const broadcast = tf.broadcast_util.assertAndGetBroadcastShape;

/** One ONNX node with the broadcast shape of its inputs. Literals of equal elements shrink to scalars, and the identities
 *  x * 1, x / 1, x + 0, x - 0, which TensorFlow.js's gradients are full of, to nothing. */
function arithmetic(op: "Add" | "Sub" | "Mul" | "Div"): Kernel {
  const neutral = op === "Add" || op === "Sub" ? 0 : 1;
  const commutes = op === "Add" || op === "Mul";
  return ({ a, b }, _, recorder) => {
    const shape = broadcast(a!.shape, b!.shape);
    const [uniformA, uniformB] = [recorder.uniformOf(a!), recorder.uniformOf(b!)];
    if (uniformA !== undefined && uniformB !== undefined) {
      return recorder.uniform(Math.fround(onNumbers[op](uniformA, uniformB)), shape);
    }
    if (uniformB === neutral && same(shape, a!.shape)) return alias(a!, shape);
    if (commutes && uniformA === neutral && same(shape, b!.shape)) return alias(b!, shape);
    const expand = (x: TensorInfo): TensorInfo =>
      recorder.tensor(recorder.node("Expand", [recorder.nameOf(x), recorder.integers(shape)], shape, {}));
    if (uniformB === neutral) return expand(a!);
    if (commutes && uniformA === neutral) return expand(b!);
    const nameA = uniformA !== undefined && same(shape, b!.shape) ? recorder.scalar(uniformA) : recorder.nameOf(a!);
    const nameB = uniformB !== undefined && same(shape, a!.shape) ? recorder.scalar(uniformB) : recorder.nameOf(b!);
    return recorder.tensor(recorder.node(op, [nameA, nameB], shape, {}, a!.dtype as ElementType));
  };
}

const onNumbers = {
  Add: (a: number, b: number) => a + b,
  Sub: (a: number, b: number) => a - b,
  Mul: (a: number, b: number) => a * b,
  Div: (a: number, b: number) => a / b,
};

/** The same data under another shape of the same size. */
const alias = (x: TensorInfo, shape: number[]): TensorInfo => ({ dataId: x.dataId, shape, dtype: x.dtype });

const elementwise =
  (op: string, dtype?: ElementType): Kernel =>
  (inputs, _, recorder) => {
    const tensors = Object.values(inputs).filter(Boolean);
    const shape = tensors.map(({ shape }) => shape).reduce(broadcast);
    const type = dtype ?? (tensors[0]!.dtype as ElementType);
    return recorder.tensor(
      recorder.node(
        op,
        tensors.map((t) => recorder.nameOf(t)),
        shape,
        {},
        type,
      ),
    );
  };

/** What `op` makes of every number of `x`; where that is another tensor under a new shape, of the other: next to the product that made
 *  it, with which it can become one, and which the runtime then writes where it is wanted without a copy. */
function onReshaped(
  x: TensorInfo,
  recorder: Recorder,
  op: (name: string, shape: readonly number[]) => string,
): TensorInfo {
  const name = recorder.nameOf(x);
  const producer = recorder.nodes.find(({ outputs }) => outputs[0] === name);
  if (producer?.op !== "Reshape") return recorder.tensor(op(name, x.shape));
  const [source] = producer.inputs;
  const { shape } = (recorder.values.get(source!) ?? recorder.constants.get(source!))!;
  return reshape(recorder.tensor(op(source!, shape)), x.shape, recorder);
}

/** Axes as ONNX input, keepdims as attribute. */
const reduction =
  (op: string): Kernel =>
  ({ x }, { axis, reductionIndices, keepDims }, recorder) => {
    // Max and Min call their axes differently.
    const axes = tf.util.parseAxisParam((axis ?? reductionIndices) as number | number[], x!.shape);
    if (!axes.length) return alias(x!, x!.shape);
    const uniform = recorder.uniformOf(x!);
    const reduced = new Set(axes);
    const shape = x!.shape.flatMap((d, i) => (reduced.has(i) ? (keepDims ? [1] : []) : [d]));
    if (uniform !== undefined && op === "ReduceSum")
      return recorder.uniform(uniform * axes.reduce((n, i) => n * x!.shape[i]!, 1), shape);
    const inputs = [recorder.nameOf(x!), recorder.integers(axes)];
    return recorder.tensor(recorder.node(op, inputs, shape, { keepdims: keepDims ? 1 : 0 }));
  };

function reshape(x: TensorInfo, shape: readonly number[], recorder: Recorder): TensorInfo {
  if (same(x.shape, shape)) return alias(x, [...shape]);
  const uniform = recorder.uniformOf(x);
  if (uniform !== undefined) return recorder.uniform(uniform, shape);
  const inputs = [recorder.nameOf(x), recorder.integers(shape)];
  // Without `allowzero` a 0 would mean the input's own size there.
  const attributes: Record<string, number> = shape.includes(0) ? { allowzero: 1 } : {};
  return recorder.tensor(recorder.node("Reshape", inputs, shape, attributes, x.dtype as ElementType));
}

function transpose(x: TensorInfo, order: readonly number[], recorder: Recorder): TensorInfo {
  if (order.every((from, to) => from === to)) return alias(x, x.shape);
  const shape = order.map((i) => x.shape[i]!);
  return recorder.tensor(recorder.node("Transpose", [recorder.nameOf(x)], shape, { perm: order }));
}

/** Sum of x[n] at ids[n], along the first axis. */
function scatterRows(x: TensorInfo, ids: TensorInfo, rows: number, recorder: Recorder): TensorInfo {
  const shape = x.shape.with(0, rows);
  const zeros = recorder.node("ConstantOfShape", [recorder.integers(shape)], shape);
  // Reshaped before it is cast: WebGPU reshapes no int64.
  const indices = cast(reshape(ids, [x.shape[0]!, 1], recorder), "int64", recorder);
  return recorder.tensor(recorder.node("ScatterND", [zeros, indices, recorder.nameOf(x)], shape, { reduction: "add" }));
}

/** The attributes of a convolution of square steps and equal padding on all sides. */
const windows = (kernel: readonly number[], stride: number, padding: number): Record<string, readonly number[]> => ({
  kernel_shape: kernel,
  strides: [stride, stride],
  pads: [padding, padding, padding, padding],
});

/** Whether a convolution or a product of matrices has nothing to add up: from such a convolution ONNX Runtime does not return. */
const isEmpty = (...given: readonly TensorInfo[]): boolean => given.some(({ shape }) => sizeOf(shape) === 0);

const cast = (x: TensorInfo, dtype: ElementType, recorder: Recorder): string =>
  recorder.node("Cast", [recorder.nameOf(x)], x.shape, { to: onnxTypes[dtype] }, dtype);

/** The largest float32. */
const LARGEST = 3.4028234663852886e38;

/** ONNX's numbers for element types. */
export const onnxTypes: Record<ElementType, number> = { float32: 1, int32: 6, int64: 7, bool: 9 };

const sum = reduction("ReduceSum");

const last = (shape: readonly number[], count: number): number[] => shape.slice(shape.length - count);

const kernels: Record<string, Kernel> = {
  Add: arithmetic("Add"),
  Sub: arithmetic("Sub"),
  Multiply: arithmetic("Mul"),
  RealDiv: arithmetic("Div"),
  Maximum: elementwise("Max"),
  Minimum: elementwise("Min"),
  Pow: elementwise("Pow"),
  Greater: elementwise("Greater", "bool"),
  GreaterEqual: elementwise("GreaterOrEqual", "bool"),
  Less: elementwise("Less", "bool"),
  LessEqual: elementwise("LessOrEqual", "bool"),
  Equal: elementwise("Equal", "bool"),
  LogicalAnd: elementwise("And", "bool"),
  LogicalNot: elementwise("Not", "bool"),
  Neg: elementwise("Neg"),
  Abs: elementwise("Abs"),
  Atan: elementwise("Atan"),
  Exp: elementwise("Exp"),
  Log: elementwise("Log"),
  Sqrt: elementwise("Sqrt"),
  Erf: elementwise("Erf"),
  Relu: ({ x }, _, r) => onReshaped(x!, r, (name, shape) => r.node("Relu", [name], shape)),
  LeakyRelu: ({ x }, { alpha }, r) =>
    r.tensor(r.node("LeakyRelu", [r.nameOf(x!)], x!.shape, { alpha: { float: alpha as number } })),
  Sigmoid: elementwise("Sigmoid"),
  Tanh: elementwise("Tanh"),
  Softplus: elementwise("Softplus"),
  Reciprocal: elementwise("Reciprocal"),
  Square: ({ x }, _, r) => r.tensor(r.node("Mul", [r.nameOf(x!), r.nameOf(x!)], x!.shape)),
  Rsqrt: ({ x }, _, r) => r.tensor(r.node("Reciprocal", [r.node("Sqrt", [r.nameOf(x!)], x!.shape)], x!.shape)),
  // TensorFlow.js's step is 1 where x > 0 and alpha elsewhere: 0, the slope of a leaky ReLU, but -1 in the gradient of abs.
  Step: ({ x }, { alpha }, r) => {
    const otherwise = alpha as number;
    if (otherwise < 0) {
      const positive = r.node("Greater", [r.nameOf(x!), r.scalar(0)], x!.shape, {}, "bool");
      return r.tensor(r.node("Where", [positive, r.scalar(1), r.scalar(otherwise)], x!.shape));
    }
    // min(max(x * 3.4e38, 0), 1) is the step of every normal number, and runs on vectors: a comparison and a cast take twice as long.
    const step = r.node("HardSigmoid", [r.nameOf(x!)], x!.shape, { alpha: { float: LARGEST }, beta: { float: 0 } });
    return r.tensor(otherwise ? r.node("Max", [step, r.scalar(otherwise)], x!.shape) : step);
  },
  Identity: ({ x }) => alias(x!, x!.shape),
  Cast: ({ x }, { dtype }, r) =>
    dtype === x!.dtype ? alias(x!, x!.shape) : r.tensor(cast(x!, dtype as ElementType, r)),
  Select: ({ condition, t, e }, _, r) => {
    const shape = [condition!, t!, e!].map(({ shape }) => shape).reduce(broadcast);
    return r.tensor(
      r.node(
        "Where",
        [condition!, t!, e!].map((x) => r.nameOf(x)),
        shape,
      ),
    );
  },
  Reshape: ({ x }, { shape }, r) => reshape(x!, tf.util.inferFromImplicitShape(shape as number[], sizeOf(x!.shape)), r),
  ExpandDims: ({ input }, { dim }, r) => {
    const shape = [...input!.shape];
    shape.splice((dim as number) < 0 ? (dim as number) + shape.length + 1 : (dim as number), 0, 1);
    return reshape(input!, shape, r);
  },
  Transpose: ({ x }, { perm }, r) => transpose(x!, perm as number[], r),
  Sum: sum,
  Mean: reduction("ReduceMean"),
  Max: reduction("ReduceMax"),
  Min: reduction("ReduceMin"),
  Prod: reduction("ReduceProd"),
  Softmax: ({ logits }, { dim }, r) =>
    r.tensor(r.node("Softmax", [r.nameOf(logits!)], logits!.shape, { axis: dim as number })),
  LogSoftmax: ({ logits }, { axis }, r) =>
    r.tensor(r.node("LogSoftmax", [r.nameOf(logits!)], logits!.shape, { axis: axis as number })),
  BatchMatMul: ({ a, b }, { transposeA, transposeB }, r) => {
    const [m, n] = [a!.shape.at(transposeA ? -1 : -2)!, b!.shape.at(transposeB ? -2 : -1)!];
    const flags = { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 };
    const batch = broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2));
    const shape = [...batch, m, n];
    // Sums of nothing: ONNX Runtime (1.30) sets only the first of several products to 0, and crashes where it fuses a transpose of
    // an empty tensor into them.
    if (isEmpty(a!, b!)) return r.uniform(0, shape);
    if (sizeOf(batch) === 1) {
      // Gemm is for matrices, and the product that takes a bias.
      const [a2, b2] = [reshape(a!, last(a!.shape, 2), r), reshape(b!, last(b!.shape, 2), r)];
      return reshape(r.tensor(r.node("Gemm", [r.nameOf(a2), r.nameOf(b2)], [m, n], flags)), shape, r);
    }
    const inputs = [r.nameOf(a!), r.nameOf(b!)];
    return r.tensor(
      r.node("FusedMatMul", inputs, shape, { ...flags, alpha: { float: 1 } }, "float32", "com.microsoft"),
    );
  },
  GatherV2: ({ x, indices }, { axis }, r) => {
    const shape = [...x!.shape.slice(0, axis as number), ...indices!.shape, ...x!.shape.slice((axis as number) + 1)];
    return r.tensor(r.node("Gather", [r.nameOf(x!), r.nameOf(indices!)], shape, { axis: axis as number }));
  },
  UnsortedSegmentSum: ({ x, segmentIds }, { numSegments }, r) => scatterRows(x!, segmentIds!, numSegments as number, r),
  Concat: (inputs, { axis }, r) => {
    const tensors = Object.values(inputs);
    const [at] = tf.util.parseAxisParam(axis as number, tensors[0]!.shape);
    const shape = [...tensors[0]!.shape];
    shape[at!] = tensors.reduce((sum, t) => sum + t.shape[at!]!, 0);
    return r.tensor(
      r.node(
        "Concat",
        tensors.map((t) => r.nameOf(t)),
        shape,
        { axis: at! },
      ),
    );
  },
  Pack: (inputs, { axis }, r) => {
    const tensors = Object.values(inputs);
    const at = axis as number;
    const one = [...tensors[0]!.shape.slice(0, at), 1, ...tensors[0]!.shape.slice(at)];
    const shape = one.with(at, tensors.length);
    return r.tensor(
      r.node(
        "Concat",
        tensors.map((t) => r.nameOf(reshape(t, one, r))),
        shape,
        { axis: at },
      ),
    );
  },
  Unpack: ({ value }, { axis }, r) => {
    const at = axis as number;
    const count = value!.shape[at]!;
    const one = value!.shape.with(at, 1);
    const sizes = r.integers(new Array<number>(count).fill(1));
    const parts = r.tensors("Split", [r.nameOf(value!), sizes], new Array(count).fill(one), { axis: at });
    return parts.map((part) => reshape(part, value!.shape.toSpliced(at, 1), r));
  },
  SplitV: ({ x }, { numOrSizeSplits, axis }, r) => {
    const [at] = tf.util.parseAxisParam(axis as number, x!.shape);
    const sizes = tf.backend_util.prepareSplitSize(x as Tensor, numOrSizeSplits as number[] | number, at);
    const shapes = sizes.map((size) => x!.shape.with(at!, size));
    return r.tensors("Split", [r.nameOf(x!), r.integers(sizes)], shapes, { axis: at! });
  },
  Slice: ({ x }, { begin, size }, r) => {
    const starts = begin as number[];
    const sizes = (size as number[]).map((s, i) => (s === -1 ? x!.shape[i]! - starts[i]! : s));
    const lists = [starts, starts.map((s, i) => s + sizes[i]!), starts.map((_, i) => i)].map((l) => r.integers(l));
    return r.tensor(r.node("Slice", [r.nameOf(x!), ...lists], sizes, {}, x!.dtype as ElementType));
  },
  PadV2: ({ x }, { paddings, constantValue }, r) => {
    const ends = paddings as [number, number][];
    const shape = x!.shape.map((d, i) => d + ends[i]![0] + ends[i]![1]);
    const pads = [...ends.map(([before]) => before), ...ends.map(([, after]) => after)];
    const inputs = [r.nameOf(x!), r.integers(pads), r.scalar(constantValue as number)];
    return r.tensor(r.node("Pad", inputs, shape));
  },
  Tile: ({ x }, { reps }, r) => {
    const shape = x!.shape.map((d, i) => d * (reps as number[])[i]!);
    return r.tensor(r.node("Tile", [r.nameOf(x!), r.integers(reps as number[])], shape));
  },
  Fill: (_, { shape, value, dtype }, r) =>
    r.uniform(value as number, shape as number[], (dtype as ElementType) ?? "float32"),
  ZerosLike: ({ x }, _, r) => r.uniform(0, x!.shape, x!.dtype as ElementType),
  OnesLike: ({ x }, _, r) => r.uniform(1, x!.shape, x!.dtype as ElementType),
  // fathom's own kernels: one node where TensorFlow.js would need many (see src/ops).
  LayerNormalization: ({ x, gain, bias }, { epsilon }, r) => {
    const inputs = [x!, gain!, ...(bias ? [bias] : [])].map((t) => r.nameOf(t));
    const attributes = { axis: -1, epsilon: { float: epsilon as number } };
    return r.tensor(r.node("LayerNormalization", inputs, x!.shape, attributes));
  },
  Standardize: ({ x }, { epsilon }, r) => {
    const ones = r.nameOf({ ...r.uniform(1, [x!.shape.at(-1)!]) });
    const rows = x!.shape.with(-1, 1);
    const attributes = { axis: -1, epsilon: { float: epsilon as number } };
    const [xHat, , inverseStd] = r.tensors(
      "LayerNormalization",
      [r.nameOf(x!), ones],
      [x!.shape, rows, rows],
      attributes,
    );
    return [xHat!, inverseStd!];
  },
  ScatterRows: ({ x, ids }, { rows }, r) => scatterRows(x!, ids!, rows as number, r),
  // ONNX wants channels before rows and columns, and kernels as [D, C, K, K].
  Convolution: ({ x, w }, { stride, padding, sizes }, r) => {
    if (isEmpty(x!, w!)) return r.uniform(0, [x!.shape[0]!, ...(sizes as number[]), w!.shape[3]!]);
    const kernel = transpose(w!, [3, 2, 0, 1], r);
    const shape = [x!.shape[0]!, w!.shape[3]!, ...(sizes as number[])];
    const attributes = windows(kernel.shape.slice(2), stride as number, padding as number);
    const inputs = [r.nameOf(transpose(x!, [0, 3, 1, 2], r)), r.nameOf(kernel)];
    return transpose(r.tensor(r.node("Conv", inputs, shape, attributes)), [0, 2, 3, 1], r);
  },
  TransposedConvolution: ({ y, w }, { stride, padding, size }, r) => {
    if (isEmpty(y!, w!)) return r.uniform(0, [y!.shape[0]!, ...(size as number[]), w!.shape[2]!]);
    const kernel = transpose(w!, [3, 2, 0, 1], r);
    const [step, pad, sizes] = [stride as number, padding as number, size as number[]];
    // Rows and columns at the end that no place of the kernel reaches.
    const rest = sizes.map((s, i) => s - ((y!.shape[1 + i]! - 1) * step - 2 * pad + kernel.shape[2 + i]!));
    const attributes = { ...windows(kernel.shape.slice(2), step, pad), output_padding: rest };
    const shape = [y!.shape[0]!, w!.shape[2]!, ...sizes];
    const inputs = [r.nameOf(transpose(y!, [0, 3, 1, 2], r)), r.nameOf(kernel)];
    return transpose(r.tensor(r.node("ConvTranspose", inputs, shape, attributes)), [0, 2, 3, 1], r);
  },
  // A convolution again, of channels that stand for images with images that stand for channels: y is the kernel, whose
  // elements lie `stride` apart. Where the stride does not divide the size, the result has more places than the kernel.
  ConvolutionFilterGradient: ({ x, y }, { stride, padding, kernelSize }, r) => {
    const [step, pad, sizes] = [stride as number, padding as number, kernelSize as number[]];
    if (isEmpty(x!, y!)) return r.uniform(0, [...sizes, x!.shape[3]!, y!.shape[3]!]);
    const [images, kernel] = [transpose(x!, [3, 0, 1, 2], r), transpose(y!, [3, 0, 1, 2], r)];
    const places = sizes.map((_, i) => images.shape[2 + i]! + 2 * pad - (kernel.shape[2 + i]! - 1) * step);
    const attributes = { ...windows(kernel.shape.slice(2), 1, pad), dilations: [step, step] };
    const shape = [images.shape[0]!, kernel.shape[0]!, ...places];
    let w = r.node("Conv", [r.nameOf(images), r.nameOf(kernel)], shape, attributes);
    if (!same(places, sizes)) {
      const lists = [[0, 0], sizes, [2, 3]].map((l) => r.integers(l));
      w = r.node("Slice", [w, ...lists], [...shape.slice(0, 2), ...sizes]);
    }
    return transpose(r.tensor(w), [2, 3, 0, 1], r);
  },
};

/** The sum of a matrix' rows as its product with a row of ones, as gradients of biases are: half the time of a reduction. */
function sumOfRows(x: TensorInfo, keepDims: boolean, recorder: Recorder): TensorInfo {
  const [rows, columns] = x.shape as [number, number];
  const shape = keepDims ? [1, columns] : [columns];
  const ones = recorder.nameOf(recorder.literal(new Float32Array(rows).fill(1), [1, rows]));
  return reshape(recorder.tensor(recorder.node("Gemm", [ones, recorder.nameOf(x)], [1, columns])), shape, recorder);
}

/** Kernels in place of several operations where the runtime's CPU kernels run the graph. */
const cpuKernels: Record<string, Kernel> = {
  Sum: (inputs, attributes, r) => {
    const { x } = inputs;
    const axes = tf.util.parseAxisParam(attributes["axis"] as number | number[], x!.shape);
    const areRows = axes.join() === "0" && x!.shape.length === 2 && !isEmpty(x!) && r.uniformOf(x!) === undefined;
    return areRows ? sumOfRows(x!, Boolean(attributes["keepDims"]), r) : sum(inputs, attributes, r);
  },
  MeanTimes: ({ x, weight }, _, r) => {
    const width = x!.shape.at(-1)!;
    const rows = sizeOf(x!.shape) / width;
    const inputs = [reshape(x!, [rows, width], r), reshape(weight!, [width, 1], r)].map((t) => r.nameOf(t));
    const mean = r.node("Gemm", inputs, [rows, 1], { alpha: { float: 1 / width } });
    return reshape(r.tensor(mean), x!.shape.with(-1, 1), r);
  },
  // Of scores S and a mask of 0 and large negative numbers. The runtime's exponential gives numbers below float32's normal ones for what
  // is far below a row's largest score, and reckoning with those takes fifty times as long. Hidden scores are therefore not
  // lowered by 1e9, but to 50 below the lowest of all: exp(-50) = 2e-22 beside a sum of at least 1 is lost in rounding. A score that
  // is not a number makes all rows with a hidden score so: the loss is none then, and a translation is refused.
  MaskedSoftmax: ({ scores, mask }, _, r) => {
    const s = r.nameOf(scores!);
    const lowest = r.node("ReduceMin", [s], [], { keepdims: 0 });
    const hidden = r.node("Less", [r.nameOf(mask!), r.scalar(0)], mask!.shape, {}, "bool");
    const most = r.node("Where", [hidden, r.node("Sub", [lowest, r.scalar(50)], []), r.scalar(LARGEST)], mask!.shape);
    return r.tensor(r.node("Softmax", [r.node("Min", [s, most], scores!.shape)], scores!.shape, { axis: -1 }));
  },
  // Written out by cross-entropy.ts when the program is encoded.
  LinearCrossEntropy: ({ x, weight, bias, labels }, { smoothing }, r) => {
    if (isEmpty(x!)) return r.uniform(0, [0]);
    const inputs = [x!, weight!, bias!, labels!].map((t) => r.nameOf(t));
    return r.tensor(
      r.node("LinearCrossEntropy", inputs, [x!.shape[0]!], { smoothing: { float: smoothing as number } }),
    );
  },
  LinearCrossEntropyGradient: ({ x, weight, bias, labels, dy }, { smoothing }, r) => {
    const inputs = [x!, weight!, bias!, labels!, dy!].map((t) => r.nameOf(t));
    const shapes = [dy!.shape, x!.shape, weight!.shape, bias!.shape];
    if (isEmpty(x!)) return shapes.map((shape) => r.uniform(0, shape));
    return r.tensors("LinearCrossEntropyGradient", inputs, shapes, { smoothing: { float: smoothing as number } });
  },
};

function registerKernels(backendName: string, kernels: Readonly<Record<string, Kernel>>): void {
  for (const [kernelName, kernel] of Object.entries(kernels))
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs, backend }) => kernel(inputs as unknown as Inputs, attrs ?? {}, backend as Recorder),
    });
}
