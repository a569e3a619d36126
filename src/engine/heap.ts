// Kernels for TensorFlow.js's WebAssembly backend (heap.wat), on the memory where it keeps its tensors, in place of its own (4.22), which
// take most of a training step: products of transposed matrices, which is what gradients are made of, go through a loop that
// is a tenth as fast as this one, and the identity, slices and transposes of more than two axes copy number by number. Each
// takes the cases it is made for and leaves the rest to the kernel it stands in for.
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import type { KernelFunc, TensorInfo } from "@tensorflow/tfjs-core";
import { assert } from "../errors.ts";
import { sizeOf } from "../stage.ts";
import { wasm } from "./heap.wasm.ts";
import { instantiate } from "./simd.ts";

/** What heap.wat exports: see there. */
interface Loops {
  product(
    ...args: [
      ...pointers: [a: number, b: number, c: number],
      ...sizes: [m: number, n: number, k: number],
      ...transposed: [a: number, b: number],
      ...stack: [count: number, stepA: number, stepB: number],
      work: number,
    ]
  ): void;
  permute(from: number, to: number, run: number, ...countsAndStrides: readonly number[]): void;
  combine(
    operation: number,
    ...args: [a: number, b: number, c: number, rows: number, columns: number, bStep: number, splat: number]
  ): void;
  sumRows(x: number, y: number, rows: number, columns: number, factor: number): void;
  sumColumns(x: number, y: number, rows: number, columns: number): void;
  standardize(x: number, y: number, inverse: number, rows: number, columns: number, epsilon: number): void;
}

type Call = Parameters<KernelFunc>[0] & { readonly backend: BackendWasm };

/** A kernel for some cases: undefined in others. */
type Partial = (call: Call) => TensorInfo | TensorInfo[] | undefined;

/** Puts the kernels in the place of TensorFlow.js's, for all tensors of this process that are on backend "wasm".
 *  To be done once. */
export function addHeapKernels(): void {
  for (const [kernelName, own] of Object.entries(kernels)) {
    const theirs = tf.getKernel(kernelName, "wasm");
    const kernelFunc: KernelFunc = (call) => own(call as Call) ?? theirs.kernelFunc(call);
    if (theirs) tf.unregisterKernel(kernelName, "wasm");
    tf.registerKernel({ ...theirs, kernelName, backendName: "wasm", kernelFunc });
  }
}

/** Bytes of the blocks that a product lays out: 512 x 256, 128 x 256 and 4 x 8 numbers. */
const workBytes = 4 * (512 * 256 + 128 * 256 + 4 * 8);

/** The loops on a backend's memory, and their room to work in. */
function loopsOf({ wasm: module }: BackendWasm): Loops & { readonly work: number } {
  let loops = instances.get(module);
  if (!loops) {
    const { asm, _malloc } = module as unknown as Emscripten;
    assert(asm?.memory, "TensorFlow.js's WebAssembly module shows its memory");
    const { product, permute, combine, sumRows, sumColumns, standardize } = instantiate<Loops>(wasm, { heap: asm });
    loops = { product, permute, combine, sumRows, sumColumns, standardize, work: _malloc(workBytes) };
    instances.set(module, loops);
  }
  return loops;
}

const instances = new WeakMap<object, Loops & { readonly work: number }>();

/** What is used here of a module that Emscripten made. */
interface Emscripten {
  readonly asm: { readonly memory: object };
  _malloc(bytes: number): number;
}

const kernels: Readonly<Record<string, Partial>> = {
  BatchMatMul({ inputs, attrs, backend }) {
    const [a, b] = [inputs["a"] as TensorInfo, inputs["b"] as TensorInfo];
    if (a.dtype !== "float32" || b.dtype !== "float32") return undefined;
    const [transposeA, transposeB] = [Boolean(attrs?.["transposeA"]), Boolean(attrs?.["transposeB"])];
    const stack = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
    const [m, k] = transposeA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
    const [n, inner] = transposeB ? [b.shape.at(-2)!, b.shape.at(-1)!] : [b.shape.at(-1)!, b.shape.at(-2)!];
    const [count, countA, countB] = [sizeOf(stack), sizeOf(a.shape.slice(0, -2)), sizeOf(b.shape.slice(0, -2))];
    // Else both are stacks of other shapes, one of which broadcasts along some axes.
    const isPlain = [countA, countB].every((own) => own === count || own === 1);
    if (k !== inner || !isPlain) return undefined;
    const c = backend.makeOutput([...stack, m, n], "float32");
    if (sizeOf(c.shape) && k === 0) backend.typedArrayFromHeap(c).fill(0);
    else if (sizeOf(c.shape)) {
      const { product, work } = loopsOf(backend);
      const steps = [countA === count ? m * k : 0, countB === count ? k * n : 0] as const;
      const transposed = [Number(transposeA), Number(transposeB)] as const;
      product(at(backend, a), at(backend, b), at(backend, c), m, n, k, ...transposed, count, ...steps, work);
    }
    return c;
  },

  Transpose({ inputs, attrs, backend }) {
    const x = inputs["x"] as TensorInfo;
    if (x.dtype !== "float32" || sizeOf(x.shape) === 0) return undefined;
    const axes = joinAxes(x.shape, attrs!["perm"] as unknown as number[]);
    const inRuns = axes.at(-1)?.stride === 1;
    const outer = inRuns ? axes.slice(0, -1) : axes;
    // Two axes that change places are the one case that TensorFlow.js has a good loop for.
    if (outer.length === 0 || outer.length > 4 || (!inRuns && axes.length < 3)) return undefined;
    while (outer.length < 4) outer.unshift({ size: 1, stride: 0 });
    const shape = (attrs!["perm"] as unknown as number[]).map((axis) => x.shape[axis]!);
    const y = backend.makeOutput(shape, "float32");
    const run = inRuns ? 4 * axes.at(-1)!.size : 4;
    const counts = outer.map(({ size }) => size);
    loopsOf(backend).permute(at(backend, x), at(backend, y), run, ...counts, ...outer.map(({ stride }) => 4 * stride));
    return y;
  },

  // Theirs copies. Tensors do not change, so that two may hold the same numbers.
  Identity({ inputs, backend }) {
    const { dataId, shape, dtype } = inputs["x"] as TensorInfo;
    if (dtype === "string") return undefined;
    backend.incRef(dataId);
    return { dataId, shape, dtype };
  },

  // Theirs brings all of x to JavaScript for every slice.
  Slice({ inputs, attrs, backend }) {
    const x = inputs["x"] as TensorInfo;
    const { begin, size } = attrs as unknown as { begin: number | number[]; size: number | number[] };
    if (x.dtype === "string") return undefined;
    const [first, sizes] = tf.slice_util.parseSliceParams(x, begin, size) as [number[], number[]];
    if (!tf.slice_util.isSliceContinous(x.shape, first, sizes)) return undefined;
    const start = tf.slice_util.computeFlatOffset(first, tf.util.computeStrides(x.shape));
    return part(backend, x, start, sizes);
  },
  Unpack({ inputs, attrs, backend }) {
    const x = inputs["value"] as TensorInfo;
    if (attrs!["axis"] !== 0 || x.dtype === "string") return undefined;
    const [count, ...shape] = x.shape as [number, ...number[]];
    return Array.from({ length: count }, (_, i) => part(backend, x, i * sizeOf(shape), shape));
  },

  Add: combined(0),
  Sub: combined(1),
  Multiply: combined(2),

  Sum(call) {
    return summed(call, 1);
  },
  Mean(call) {
    return summed(call);
  },

  /** See src/ops/layer-normalization.ts. */
  Standardize({ inputs, attrs, backend }) {
    const x = inputs["x"] as TensorInfo;
    const columns = x.shape.at(-1)!;
    const rows = sizeOf(x.shape.slice(0, -1));
    const y = backend.makeOutput(x.shape, "float32");
    const inverse = backend.makeOutput([...x.shape.slice(0, -1), 1], "float32");
    const epsilon = attrs!["epsilon"] as number;
    if (rows && columns)
      loopsOf(backend).standardize(at(backend, x), at(backend, y), at(backend, inverse), rows, columns, epsilon);
    else backend.typedArrayFromHeap(inverse).fill(NaN); // the mean of no numbers
    return [y, inverse];
  },
};

const at = (backend: BackendWasm, { dataId }: TensorInfo): number => backend.getMemoryOffset(dataId);

/** The axes of a permuted tensor with how far apart its neighbours lie in the tensor before, in numbers: without axes of size 1, and
 *  those that stay neighbours as one. */
function joinAxes(shape: readonly number[], order: readonly number[]): { size: number; stride: number }[] {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const joined: { size: number; stride: number }[] = [];
  for (const axis of order) {
    const [size, stride] = [shape[axis]!, strides[axis]!];
    if (size === 1) continue;
    const last = joined.at(-1);
    if (last?.stride === size * stride) joined.splice(-1, 1, { size: last.size * size, stride });
    else joined.push({ size, stride });
  }
  return joined;
}

/** The numbers of `x` from the one at `start` on, as a tensor of `shape`. */
function part(backend: BackendWasm, x: TensorInfo, start: number, shape: number[]): TensorInfo {
  const y = backend.makeOutput(shape, x.dtype);
  const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(y)];
  to.set(from.subarray(start, start + to.length));
  return y;
}

/** a + b, a - b or a b by number, where one is a tensor of the other's shape, its last axes, its first axes with sizes of 1 after
 *  them, or a single number. */
function combined(operation: 0 | 1 | 2): Partial {
  return ({ inputs, backend }) => {
    const [a, b] = [inputs["a"] as TensorInfo, inputs["b"] as TensorInfo];
    if (a.dtype !== "float32" || b.dtype !== "float32") return undefined;
    // a - b has to be taken as it stands, and the other two have no order.
    const [whole, other] = operation !== 1 && sizeOf(b.shape) > sizeOf(a.shape) ? [b, a] : [a, b];
    const rows = rowsOf(whole.shape, other.shape);
    if (!rows) return undefined;
    const c = backend.makeOutput(whole.shape, "float32");
    const [x, y, z] = [whole, other, c].map((tensor) => at(backend, tensor)) as [number, number, number];
    if (sizeOf(c.shape))
      loopsOf(backend).combine(operation, x, y, z, rows.count, rows.columns, rows.step, rows.isSplat ? 1 : 0);
    return c;
  };
}

/** How a tensor of shape `other` goes over the rows of one of shape `whole`, where broadcasting gives that shape: `step` bytes from row
 *  to row, a number a row if `isSplat`. */
function rowsOf(
  whole: readonly number[],
  other: readonly number[],
): { count: number; columns: number; step: number; isSplat: boolean } | undefined {
  const [size, otherSize] = [sizeOf(whole), sizeOf(other)];
  if (other.length > whole.length) return undefined;
  const aligned = [...Array<number>(whole.length - other.length).fill(1), ...other];
  const differs = whole.map((n, axis) => n !== aligned[axis]);
  const [first, last] = [differs.indexOf(true), differs.lastIndexOf(true)];
  if (first === -1) return { count: 1, columns: size, step: 0, isSplat: false };
  if (aligned.some((n, axis) => differs[axis] && n !== 1)) return undefined;
  if (otherSize === 1) return { count: 1, columns: size, step: 0, isSplat: true };
  const [before, after] = [sizeOf(aligned.slice(0, last)), sizeOf(aligned.slice(first))];
  // All that `other` has comes after the axes along which it is repeated, or all before them.
  if (before === 1) return { count: size / otherSize, columns: otherSize, step: 0, isSplat: false };
  if (after === 1) return { count: otherSize, columns: size / otherSize, step: 4, isSplat: true };
  return undefined;
}

/** Sums over the first axes or the last, times `factor`; means without one. */
function summed({ inputs, attrs, backend }: Call, factor?: number): TensorInfo | undefined {
  const x = inputs["x"] as TensorInfo;
  const rank = x.shape.length;
  const axes = tf.util.parseAxisParam(attrs!["axis"] as unknown as number | number[], x.shape).sort((a, b) => a - b);
  if (x.dtype !== "float32" || sizeOf(x.shape) === 0 || axes.length === 0) return undefined;
  const areLast = axes.every((axis, i) => axis === rank - axes.length + i);
  if (!areLast && !axes.every((axis, i) => axis === i)) return undefined;
  if (!areLast && factor === undefined) return undefined;
  const kept = x.shape.filter((_, axis) => !axes.includes(axis));
  const size = sizeOf(x.shape);
  const shape = attrs!["keepDims"] ? x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n)) : kept;
  const y = backend.makeOutput(shape, "float32");
  const count = sizeOf(kept);
  if (areLast) loopsOf(backend).sumRows(at(backend, x), at(backend, y), count, size / count, factor ?? count / size);
  else {
    backend.typedArrayFromHeap(y).fill(0);
    loopsOf(backend).sumColumns(at(backend, x), at(backend, y), size / count, count);
  }
  return y;
}
