// The op set: every operation that stages are written in, those of TensorFlow.js and those of src/ops, each on random and on hard
// shapes and values, with a twin in float64 loops. One entry an operation; test/engine/operations.test.ts asks for those missing.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import * as ops from "../ops/index.ts";
import { stream } from "../random.ts";
import { sizeOf } from "../stage.ts";
import type { HostTensor } from "../types.ts";
import * as float64 from "./float64.ts";
import { inputsOf, type Operation, type Twin } from "./twin.ts";

type Shape = readonly number[];
type Cases = Record<string, Twin>;

const floats = (shape: Shape, data: ArrayLike<number>): HostTensor => ({
  dtype: "float32",
  shape,
  data: Float32Array.from(data),
});
const ids = (shape: Shape, data: readonly number[]): HostTensor => ({
  dtype: "int32",
  shape,
  data: Int32Array.from(data),
});
const normals = (purpose: string, size: number, scale = 1, shift = 0): Float64Array =>
  stream(1, purpose)
    .normal(new Float64Array(size))
    .map((z) => shift + scale * z);
const named = (shape: Shape): string => `[${shape.join(", ")}]`;

/** The element of an array of shape `from` that stands at place `i` of an array of shape `to`, to which it broadcasts. */
function placeIn(from: Shape, to: Shape, i: number): number {
  let [place, stride, rest] = [0, 1, i];
  for (let axis = to.length - 1; axis >= 0; axis--) {
    const index = rest % to[axis]!;
    rest = Math.floor(rest / to[axis]!);
    const own = axis - (to.length - from.length);
    if (own < 0) break;
    if (from[own] !== 1) place += index * stride;
    stride *= from[own]!;
  }
  return place;
}

/** Element by element over shapes that broadcast. */
function broadcast(shapes: readonly Shape[], f: (...xs: number[]) => number) {
  const to = shapes.reduce((a, b) => tf.broadcast_util.assertAndGetBroadcastShape([...a], [...b]));
  return (arrays: readonly Float64Array[]): Float64Array =>
    Float64Array.from({ length: sizeOf(to) }, (_, i) =>
      f(...arrays.map((array, k) => array[placeIn(shapes[k]!, to, i)]!)),
    );
}

/** A function of one number, on a matrix, a scalar, single columns, no rows at all, and on `hard` values, in whose name the case
 *  goes. `domain` moves what is drawn to where the function is smooth. */
function unary(
  apply: (x: Tensor) => Tensor,
  f: (x: number) => number,
  { domain = (x: number) => x, hard = {} }: { domain?: (x: number) => number; hard?: Record<string, number[]> } = {},
): Cases {
  const twin = (shape: Shape, x: ArrayLike<number>): Twin => ({
    inputs: { x: shape },
    values: { x },
    apply: ({ x }) => apply(x!),
    reference: ({ x }) => x!.map(f),
  });
  const shapes: Shape[] = [[4, 5], [], [3, 1, 2], [0, 5]];
  return {
    ...Object.fromEntries(shapes.map((shape) => [named(shape), twin(shape, normals("x", sizeOf(shape)).map(domain))])),
    ...Object.fromEntries(Object.entries(hard).map(([what, values]) => [what, twin([values.length], values)])),
  };
}

const positive = (x: number): number => 0.5 + Math.abs(x);
const pairs: readonly (readonly [Shape, Shape])[] = [
  [
    [4, 5],
    [4, 5],
  ],
  [[4, 5], [5]],
  [
    [4, 1],
    [1, 5],
  ],
  [[], [3, 2]],
  [[2, 3, 1], [1]],
  [[1], [1, 1]],
  [
    [0, 5],
    [1, 5],
  ],
  [[2, 0], []],
];

/** A function of two numbers, on shapes that broadcast one way, the other and both. */
const binary = (
  apply: (a: Tensor, b: Tensor) => Tensor,
  f: (a: number, b: number) => number,
  [domainA, domainB] = [(x: number) => x, (x: number) => x],
  hard: Record<string, [number[], number[]]> = {},
): Cases => {
  const twin = (a: Shape, b: Shape, values: Twin["values"]): Twin => ({
    inputs: { a, b },
    values: values!,
    apply: ({ a, b }) => apply(a!, b!),
    reference: ({ a: x, b: y }) => broadcast([a, b], f)([x!, y!]),
  });
  return {
    ...Object.fromEntries(
      pairs.map(([a, b]) => [
        `${named(a)} and ${named(b)}`,
        twin(a, b, { a: normals("a", sizeOf(a)).map(domainA), b: normals("b", sizeOf(b)).map(domainB) }),
      ]),
    ),
    ...Object.fromEntries(Object.entries(hard).map(([what, [a, b]]) => [what, twin([a.length], [b.length], { a, b })])),
  };
};

/** A choice between numbers by comparing a with b: where it holds a, elsewhere twice b. */
const comparison = (compare: (a: Tensor, b: Tensor) => Tensor, holds: (a: number, b: number) => boolean): Cases =>
  binary(
    (a, b) =>
      tf.where(
        compare(ops.stopGradient(a), ops.stopGradient(b)),
        tf.mul(a, tf.onesLike(b)),
        tf.mul(tf.onesLike(a), tf.mul(b, 2)),
      ),
    (a, b) => (holds(a, b) ? a : 2 * b),
  );

/** A reduction over axes, the others kept or not. */
function reduction(
  apply: (x: Tensor, axes: number[] | undefined, keepDims: boolean) => Tensor,
  reduce: (xs: readonly number[]) => number,
  {
    ofNothing = true,
    hard = {},
    isDifferentiated = true,
  }: { ofNothing?: boolean; hard?: Record<string, number[]>; isDifferentiated?: boolean } = {},
): Cases {
  const twin = (shape: Shape, axes: number[] | undefined, keepDims: boolean, x: ArrayLike<number>): Twin => {
    const over = new Set(axes?.map((axis) => (axis + shape.length) % shape.length) ?? shape.map((_, i) => i));
    const kept = shape.map((d, i) => (over.has(i) ? 1 : d));
    return {
      ...(isDifferentiated
        ? { inputs: { x: shape }, values: { x } }
        : { inputs: {}, constants: { x: floats(shape, x) } }),
      apply: ({ x }) => apply(x!, axes, keepDims),
      reference: ({ x }) => {
        const groups = Array.from({ length: sizeOf(kept) }, (): number[] => []);
        x!.forEach((value, i) => groups[placeIn(kept, shape, i)]!.push(value));
        return Float64Array.from(groups, reduce);
      },
    };
  };
  const list: [Shape, number[] | undefined, boolean][] = [
    [[4, 5], undefined, false],
    [[4, 5], [-1], true],
    [[2, 3, 4], [0, 2], false],
    [[3, 1], [1], false],
    [[1], [0], false],
    [[0, 5], [1], false],
    // Sums of nothing are 0; there is no largest of nothing, and a mean is 0 / 0.
    ...(ofNothing ? [[[0, 5], [0], false] as [Shape, number[], boolean]] : []),
  ];
  const what = (shape: Shape, axes: number[] | undefined, keepDims: boolean): string =>
    `${named(shape)} over ${axes ? `axis ${axes.join(", ")}` : "all"}${keepDims ? ", kept" : ""}`;
  return {
    ...Object.fromEntries(list.map((args) => [what(...args), twin(...args, normals("x", sizeOf(args[0])))])),
    ...Object.fromEntries(
      Object.entries(hard).map(([what, values]) => [what, twin([1, values.length], [1], false, values)]),
    ),
  };
}

/** A function that moves numbers about: `from(i)` says which element of x stands at place i of what comes out. */
const rearranging = (shape: Shape, apply: (x: Tensor) => Tensor, size: number, from: (i: number) => number): Twin => ({
  inputs: { x: shape },
  apply: ({ x }) => apply(x!),
  reference: ({ x }) => Float64Array.from({ length: size }, (_, i) => x![from(i)]!),
});
const same = (shape: Shape, apply: (x: Tensor) => Tensor): Twin => rearranging(shape, apply, sizeOf(shape), (i) => i);

/** Rows of a softmax, and of another function of it. */
const overRows = (apply: (x: Tensor) => Tensor, f: (row: readonly number[]) => readonly number[]): Cases => {
  const twin = (shape: Shape, x: ArrayLike<number>): Twin => ({
    inputs: { x: shape },
    values: { x },
    apply: ({ x }) => apply(x!),
    reference: ({ x }) => {
      const width = shape.at(-1)!;
      const rows = Array.from({ length: sizeOf(shape) / width }, (_, n) => [
        ...x!.subarray(n * width, (n + 1) * width),
      ]);
      return Float64Array.from(rows.flatMap(f));
    },
  });
  return {
    "[4, 5]": twin([4, 5], normals("x", 20)),
    "[2, 3, 4]": twin([2, 3, 4], normals("x", 24)),
    "[3, 1]": twin([3, 1], normals("x", 3)),
    "[0, 5]": twin([0, 5], []),
    "logits of 1000": twin([4, 5], normals("x", 20, 2, 1000)),
    "logits far apart": twin([4, 5], normals("x", 20, 30)),
    "a masked row": twin([2, 3], [0.5, -1e4, 0.25, -1e4, -1e4, -1e4]),
  };
};

const matrixProduct = (
  a: Shape,
  b: Shape,
  transposeA = false,
  transposeB = false,
  values: Record<string, ArrayLike<number>> = {},
): Twin => ({
  inputs: { a, b },
  values,
  apply: ({ a, b }) => tf.matMul(a!, b!, transposeA, transposeB),
  reference({ a: x, b: y }) {
    const [rows, inner] = transposeA ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
    const columns = b.at(transposeB ? -2 : -1)!;
    const [leftA, leftB] = [a.slice(0, -2), b.slice(0, -2)];
    const batch = tf.broadcast_util.assertAndGetBroadcastShape([...leftA], [...leftB]);
    return Float64Array.from({ length: sizeOf(batch) * rows * columns }, (_, place) => {
      const [m, i, j] = [Math.floor(place / rows / columns), Math.floor(place / columns) % rows, place % columns];
      const [startA, startB] = [placeIn(leftA, batch, m) * rows * inner, placeIn(leftB, batch, m) * inner * columns];
      let sum = 0;
      for (let k = 0; k < inner; k++)
        sum +=
          x![startA + (transposeA ? k * rows + i : i * inner + k)]! *
          y![startB + (transposeB ? j * inner + k : k * columns + j)]!;
      return sum;
    });
  },
});

const gathered = (table: Shape, places: HostTensor, apply: (table: Tensor, ids: Tensor) => Tensor): Twin => ({
  inputs: { table },
  constants: { places },
  apply: ({ table, places }) => apply(table!, places!),
  reference: ({ table: x, places: at }) => {
    const width = sizeOf(table.slice(1));
    return Float64Array.from(
      { length: at!.length * width },
      (_, i) => x![at![Math.floor(i / width)]! * width + (i % width)]!,
    );
  },
});

/** Attention of B x H heads, T queries, S keys, head width K; keys from `seen[b]` on are hidden in example b. */
function attention(
  [batch, heads, queries, keys, width]: [number, number, number, number, number],
  seen: readonly number[],
  { scale = 1, dropout }: { scale?: number; dropout?: HostTensor } = {},
): Twin {
  const [q, k] = [
    [batch, heads, queries, width],
    [batch, heads, keys, width],
  ];
  const mask = floats(
    [batch, 1, 1, keys],
    Array.from({ length: batch * keys }, (_, i) => (i % keys < seen[Math.floor(i / keys)]! ? 0 : -1e9)),
  );
  return {
    inputs: { q: q!, k: k!, v: k! },
    values: { q: normals("q", sizeOf(q!), scale), k: normals("k", sizeOf(k!), scale) },
    constants: { mask, ...(dropout && { dropout }) },
    apply: ({ q, k, v, mask, dropout }) => ops.scaledDotProductAttention(q!, k!, v!, mask!, dropout),
    reference: ({ q, k, v, dropout }) =>
      float64.attend(
        q!,
        k!,
        v!,
        { heads: batch * heads, queries, keys, width },
        (h, _, s) => s >= seen[Math.floor(h / heads)]!,
        dropout,
      ),
  };
}

/** The twin with its inputs as constants. */
const forwardOnly = (twin: Twin): Twin => {
  const arrays = inputsOf(twin);
  const inputs = Object.entries(twin.inputs).map(([name, shape]) => [name, floats(shape, arrays[name]!)] as const);
  return { ...twin, inputs: {}, constants: { ...twin.constants, ...Object.fromEntries(inputs) } };
};

/** What one head looks at: T queries, S keys, head width K. */
const scored = (
  apply: (q: Tensor, k: Tensor, mask: Tensor) => Tensor,
  toRow: (scores: readonly number[]) => readonly number[],
  scale = 1,
): Twin => ({
  inputs: { q: [1, 2, 3, 4], k: [1, 2, 5, 4] },
  values: { q: normals("q", 24, scale) },
  apply: ({ q, k }) => apply(q!, k!, tf.scalar(-1)),
  reference: ({ q, k }) =>
    Float64Array.from(
      Array.from({ length: 6 }, (_, row) => {
        const scores = Array.from({ length: 5 }, (_, s) => {
          let dot = 0;
          for (let i = 0; i < 4; i++) dot += q![row * 4 + i]! * k![(Math.floor(row / 3) * 5 + s) * 4 + i]!;
          return dot / 2 - 1; // sqrt(4), and the mask
        });
        return toRow(scores);
      }).flat(),
    ),
});

const crossEntropy = (
  [n, width, vocabulary]: [number, number, number],
  smoothing: number,
  scale = 1,
  labels = Array.from({ length: n }, (_, i) => (5 * i) % vocabulary),
): Twin => ({
  inputs: { x: [n, width], weight: [width, vocabulary], bias: [vocabulary] },
  values: { x: normals("x", n * width, scale) },
  constants: { labels: ids([n], labels) },
  apply: ({ x, weight, bias, labels }) => ops.linearCrossEntropy(x!, weight!, bias!, labels!, smoothing),
  reference: ({ x, weight, bias, labels }) => float64.crossEntropy(x!, weight!, bias!, labels!, smoothing),
});

/** `rows` rows of logits, `samples` of them for each image; pixels of 0, 1, and between. */
const bernoulli = (rows: number, samples: number, pixels: number, scale = 1): Twin => ({
  inputs: { logits: [rows, pixels] },
  values: { logits: normals("logits", rows * pixels, scale) },
  constants: {
    images: floats(
      [rows / samples, pixels],
      Array.from({ length: (rows / samples) * pixels }, (_, i) => [0, 1, 0.3, 1, 0.9][i % 5]!),
    ),
  },
  apply: ({ logits, images }) => ops.bernoulliLogLikelihood(logits!, images!),
  reference: ({ logits, images }) =>
    Float64Array.from({ length: rows }, (_, n) => {
      let sum = 0;
      for (let i = 0; i < pixels; i++) {
        const [l, x] = [logits![n * pixels + i]!, images![Math.floor(n / samples) * pixels + i]!];
        sum += x * l - Math.max(l, 0) - Math.log1p(Math.exp(-Math.abs(l)));
      }
      return sum;
    }),
});

const normalization = (shape: Shape, hasBias: boolean, epsilon = 1e-5, x?: ArrayLike<number>): Twin => {
  const width = shape.at(-1)!;
  return {
    inputs: { x: shape, gain: [width], ...(hasBias && { bias: [width] }) },
    ...(x && { values: { x } }),
    apply: ({ x, gain, bias }) => ops.layerNormalization(x!, gain!, bias, epsilon),
    reference: ({ x, gain, bias = new Float64Array(width) }) => float64.layerNorm(x!, gain!, bias, epsilon),
  };
};
const rmsNormalization = (shape: Shape, scale = 1): Twin => ({
  inputs: { x: shape, gain: [shape.at(-1)!] },
  values: { x: normals("x", sizeOf(shape), scale) },
  apply: ({ x, gain }) => ops.rmsNormalization(x!, gain!, 1e-5),
  reference: ({ x, gain }) => float64.rmsNorm(x!, gain!, 1e-5),
});
const inverseRms = (shape: Shape, scale = 1): Twin => ({
  inputs: { x: shape },
  values: { x: normals("x", sizeOf(shape), scale) },
  apply: ({ x }) => ops.inverseRms(x!, 1e-2),
  reference: ({ x }) =>
    Float64Array.from({ length: sizeOf(shape.slice(0, -1)) }, (_, i) => {
      const width = shape.at(-1)!;
      const row = x!.subarray(width * i, width * (i + 1));
      return 1 / Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / width + 1e-2);
    }),
});
const sinkhorn = (n: number, count: number, iterations: number, scale = 1): Twin => ({
  inputs: { logits: [n, n, count] },
  values: { logits: normals("logits", n * n * count, scale) },
  apply: ({ logits }) => ops.sinkhorn(logits!, iterations),
  reference: ({ logits }) => float64.sinkhorn(logits!, n, count, iterations),
});
const spectralNorm = (rows: number, columns: number): Twin => ({
  inputs: { w: [rows, columns] },
  apply: ({ w }) => ops.spectralNorm(w!, 40),
  reference: ({ w }) => {
    const largest = float64.largestSingularValue(w!, rows, columns);
    return w!.map((v) => v / largest);
  },
});

/** Images, rows, columns, channels, out channels, kernel, stride, padding. */
const convolutions = [
  [2, 6, 6, 2, 3, 4, 2, 1],
  [1, 7, 5, 1, 2, 3, 2, 0], // odd sizes, batch 1, one channel
  [3, 5, 6, 2, 1, 5, 1, 2],
  [2, 6, 5, 1, 1, 3, 2, 2], // the last rows are reached by no place of the kernel, or by the padding alone
  [1, 3, 3, 2, 2, 3, 1, 0], // down to one number
  [2, 4, 4, 2, 2, 1, 1, 0],
  [0, 4, 4, 2, 2, 3, 1, 1], // no images
].map(float64.convolutionSizes);
const overConvolutions = (twin: (s: float64.ConvolutionSizes) => Twin): Cases =>
  Object.fromEntries(
    convolutions.map((s) => [
      `${s.images} x ${s.rows} x ${s.columns} x ${s.channels} to ${s.outChannels}, kernel ${s.kernel}, stride ${s.stride}, ` +
        `padding ${s.padding}`,
      twin(s),
    ]),
  );

const far = { "far out": [-85, -40, -20, -10, -1e-3, 1e-3, 10, 20, 85] };

const tensorflow: Readonly<Record<string, Cases>> = {
  add: binary(tf.add, (a, b) => a + b),
  sub: binary(tf.sub, (a, b) => a - b),
  mul: binary(tf.mul, (a, b) => a * b),
  div: binary(tf.div, (a, b) => a / b, [(x) => x, positive], {
    "by small numbers": [
      [1, -2, 3],
      [1e-3, -2e-3, 1e-2],
    ],
  }),
  maximum: binary(tf.maximum, Math.max),
  minimum: binary(tf.minimum, Math.min),
  pow: binary(tf.pow, Math.pow, [positive, (x) => x], {
    "to 0, 1 and -2": [
      [2, 0.5, 3],
      [0, 1, -2],
    ],
  }),
  greater: comparison(tf.greater, (a, b) => a > b),
  greaterEqual: comparison(tf.greaterEqual, (a, b) => a >= b),
  less: comparison(tf.less, (a, b) => a < b),
  lessEqual: comparison(tf.lessEqual, (a, b) => a <= b),
  equal: comparison(tf.equal, (a, b) => a === b),
  logicalAnd: comparison(
    (a, b) => tf.logicalAnd(tf.greater(a, 0), tf.greater(b, a)),
    (a, b) => a > 0 && b > a,
  ),
  where: binary(
    (a, b) => tf.where(tf.greater(ops.stopGradient(tf.mul(a, b)), 0), tf.add(a, b), tf.sub(a, b)),
    (a, b) => (a * b > 0 ? a + b : a - b),
  ),
  neg: unary(tf.neg, (x) => -x),
  abs: unary(tf.abs, Math.abs),
  square: unary(tf.square, (x) => x * x, { hard: { large: [1e3, -1e2, 3e3] } }),
  sqrt: unary(tf.sqrt, Math.sqrt, { domain: positive, hard: { small: [1e-3, 2e-2, 1e4] } }),
  rsqrt: unary(tf.rsqrt, (x) => 1 / Math.sqrt(x), { domain: positive, hard: { small: [1e-2, 2e-2, 1e4] } }),
  reciprocal: unary(tf.reciprocal, (x) => 1 / x, { domain: positive }),
  exp: unary(tf.exp, Math.exp, { hard: { "from -80 to 20": [-80, -20, 0, 20] } }),
  log: unary(tf.log, Math.log, { domain: positive, hard: { small: [1e-2, 1e-3, 1e6] } }),
  erf: unary(tf.erf, float64.erf, { hard: { "far out": [-9, -3, 3, 9] } }),
  atan: unary(tf.atan, Math.atan, { hard: { "far out": [-30, 30] } }),
  step: unary(
    (x) => tf.mul(tf.step(x, 0.25), x),
    (x) => (x > 0 ? x : 0.25 * x),
  ),
  cast: unary(
    (x) => tf.mul(tf.cast(tf.greater(ops.stopGradient(x), 0.1), "float32"), x),
    (x) => (x > 0.1 ? x : 0),
  ),
  clone: unary(
    (x) => tf.add(tf.clone(x), x),
    (x) => 2 * x,
  ),
  onesLike: unary(
    (x) => tf.add(tf.onesLike(x), x),
    (x) => 1 + x,
  ),
  zerosLike: unary(
    (x) => tf.add(tf.zerosLike(x), tf.square(x)),
    (x) => x * x,
  ),
  fill: unary(
    (x) => tf.mul(tf.fill(x.shape, 2.5), x),
    (x) => 2.5 * x,
  ),
  sum: reduction(tf.sum, (xs) => xs.reduce((a, b) => a + b, 0), { hard: { "that nearly cancels": [1e4, 1, -1e4, 2] } }),
  mean: reduction(tf.mean, (xs) => xs.reduce((a, b) => a + b, 0) / xs.length, { ofNothing: false }),
  max: reduction(tf.max, (xs) => Math.max(...xs), { ofNothing: false, hard: { negative: [-3e3, -2e3] } }),
  min: reduction(tf.min, (xs) => Math.min(...xs), { ofNothing: false, hard: { positive: [3e3, 2e3] } }),
  // Forward alone: TensorFlow.js's gradient wants axes counted from the front, and a cumulative product.
  prod: reduction(tf.prod, (xs) => xs.reduce((a, b) => a * b, 1), { isDifferentiated: false }),
  softmax: overRows(tf.softmax, float64.softmax),
  logSoftmax: overRows(tf.logSoftmax, (row) => {
    const max = Math.max(...row);
    const sum = row.reduce((total, z) => total + Math.exp(z - max), 0);
    return row.map((z) => z - max - Math.log(sum));
  }),
  matMul: {
    "[4, 3] [3, 5]": matrixProduct([4, 3], [3, 5]),
    "[3, 4] [5, 3], both transposed": matrixProduct([3, 4], [5, 3], true, true),
    "[1, 3] [3, 1]": matrixProduct([1, 3], [3, 1]),
    "[3, 1] [1, 2]": matrixProduct([3, 1], [1, 2]),
    "[2, 3, 4, 2] [2, 3, 2, 5]": matrixProduct([2, 3, 4, 2], [2, 3, 2, 5]),
    "[2, 4, 3] [2, 5, 3], the second transposed": matrixProduct([2, 4, 3], [2, 5, 3], false, true),
    "[2, 4, 3] [1, 3, 5], which broadcasts": matrixProduct([2, 4, 3], [1, 3, 5]),
    "[1, 1, 3, 4] [1, 1, 3, 2], the first transposed": matrixProduct([1, 1, 3, 4], [1, 1, 3, 2], true),
    "[0, 3] [3, 5]": matrixProduct([0, 3], [3, 5]),
    "[2, 0] [0, 3]": matrixProduct([2, 0], [0, 3]),
    "[3, 64] [64, 2] of thousands": matrixProduct([3, 64], [64, 2], false, false, { a: normals("a", 192, 1000) }),
  },
  reshape: {
    "[4, 3] to [2, 6]": same([4, 3], (x) => tf.reshape(x, [2, 6])),
    "[1, 1] to []": same([1, 1], (x) => tf.reshape(x, [])),
    "[0, 3] to [3, 0]": same([0, 3], (x) => tf.reshape(x, [3, 0])),
  },
  expandDims: {
    "[4, 3]": same([4, 3], (x) => tf.expandDims(x, 1)),
    "[0, 3]": same([0, 3], (x) => tf.expandDims(x, -1)),
  },
  squeeze: {
    "[4, 1, 3]": same([4, 1, 3], (x) => tf.squeeze(x, [1])),
    "[1, 1]": same([1, 1], (x) => tf.squeeze(x)),
  },
  transpose: {
    "[4, 3]": rearranging(
      [4, 3],
      (x) => tf.transpose(x),
      12,
      (i) => (i % 4) * 3 + Math.floor(i / 4),
    ),
    "[2, 3, 4, 5] by 0, 2, 1, 3": rearranging(
      [2, 3, 4, 5],
      (x) => tf.transpose(x, [0, 2, 1, 3]),
      120,
      (i) => {
        const [a, b, c, d] = [Math.floor(i / 60), Math.floor(i / 15) % 4, Math.floor(i / 5) % 3, i % 5];
        return ((a * 3 + c) * 4 + b) * 5 + d;
      },
    ),
    "[1, 3]": same([1, 3], (x) => tf.transpose(x)),
    "[0, 3]": same([0, 3], (x) => tf.transpose(x)),
  },
  concat: {
    "[2, 3] and [2, 1] along 1": {
      inputs: { a: [2, 3], b: [2, 1] },
      apply: ({ a, b }) => tf.concat([a!, b!], 1),
      reference: ({ a, b }) => Float64Array.of(...a!.subarray(0, 3), b![0]!, ...a!.subarray(3), b![1]!),
    },
    "[0, 3], [2, 3] along 0": {
      inputs: { a: [0, 3], b: [2, 3] },
      apply: ({ a, b }) => tf.concat([a!, b!], 0),
      reference: ({ b }) => b!,
    },
  },
  stack: {
    "three of [2, 2] along 1": {
      inputs: { a: [2, 2], b: [2, 2], c: [2, 2] },
      apply: ({ a, b, c }) => tf.stack([a!, b!, c!], 1),
      reference: ({ a, b, c }) =>
        Float64Array.from([0, 1].flatMap((row) => [a!, b!, c!].flatMap((x) => [...x.subarray(2 * row, 2 * row + 2)]))),
    },
    "one scalar": same([], (x) => tf.stack([x])),
  },
  unstack: {
    "[3, 2] along 0": {
      inputs: { x: [3, 2] },
      apply: ({ x }) => {
        const [a, b, c] = tf.unstack(x!) as [Tensor, Tensor, Tensor];
        return tf.add(tf.mul(a, b), c);
      },
      reference: ({ x }) => Float64Array.from([0, 1], (i) => x![i]! * x![2 + i]! + x![4 + i]!),
    },
    "[2, 1] along 1": same([2, 1], (x) => tf.unstack(x, 1)[0]!),
  },
  split: {
    "[2, 4] in halves": {
      inputs: { x: [2, 4] },
      apply: ({ x }) => {
        const [a, b] = tf.split(x!, 2, 1) as [Tensor, Tensor];
        return tf.mul(a, b);
      },
      reference: ({ x }) => Float64Array.from([0, 1, 4, 5], (i) => x![i]! * x![i + 2]!),
    },
    "[3, 2] in 1 and 2 rows, of which the first goes": rearranging(
      [3, 2],
      (x) => tf.split(x, [1, 2], 0)[1]!,
      4,
      (i) => 2 + i,
    ),
    "[2, 3] in 0 and 3 columns": same([2, 3], (x) => tf.split(x, [0, 3], 1)[1]!),
  },
  slice: {
    "[4, 5]": rearranging(
      [4, 5],
      (x) => tf.slice(x, [1, 2], [2, -1]),
      6,
      (i) => (1 + Math.floor(i / 3)) * 5 + 2 + (i % 3),
    ),
    "no rows": rearranging(
      [4, 5],
      (x) => tf.slice(x, [1, 0], [0, 5]),
      0,
      (i) => i,
    ),
    "one number": rearranging(
      [3],
      (x) => tf.slice(x, [2], [1]),
      1,
      () => 2,
    ),
  },
  tile: {
    "[2, 3] by 2 and 1": rearranging(
      [2, 3],
      (x) => tf.tile(x, [2, 1]),
      12,
      (i) => i % 6,
    ),
    "[1] by 4": rearranging(
      [1],
      (x) => tf.tile(x, [4]),
      4,
      () => 0,
    ),
    "[0, 3] by 2": rearranging(
      [0, 3],
      (x) => tf.tile(x, [2, 1]),
      0,
      (i) => i,
    ),
  },
  pad: {
    "[2, 3]": {
      inputs: { x: [2, 3] },
      apply: ({ x }) =>
        tf.pad(x!, [
          [1, 0],
          [0, 2],
        ]),
      reference: ({ x }) => Float64Array.of(0, 0, 0, 0, 0, x![0]!, x![1]!, x![2]!, 0, 0, x![3]!, x![4]!, x![5]!, 0, 0),
    },
  },
  gather: {
    "[5, 3], a row twice": gathered([5, 3], ids([3], [1, 4, 1]), (x, i) => tf.gather(x, i as tf.Tensor1D)),
    "no ids": gathered([5, 3], ids([0], []), (x, i) => tf.gather(x, i as tf.Tensor1D)),
    "one row": gathered([1, 3], ids([2], [0, 0]), (x, i) => tf.gather(x, i as tf.Tensor1D)),
  },
};

const own: Readonly<Record<Exclude<keyof typeof ops, "scatterRows">, Cases>> = {
  relu: unary(ops.relu, (x) => Math.max(x, 0)),
  leakyRelu: unary(
    (x) => ops.leakyRelu(x, 0.3),
    (x) => Math.max(x, 0.3 * x),
  ),
  gelu: unary(ops.gelu, (x) => (x * (1 + float64.erf(x / Math.SQRT2))) / 2, { hard: { "far out": [-12, -5, 5, 12] } }),
  tanh: unary(ops.tanh, Math.tanh, { hard: { "far out": [-30, -9, 1e-3, 9, 30] } }),
  sigmoid: unary(ops.sigmoid, (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))), { hard: far }),
  softplus: unary(ops.softplus, (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), { hard: far }),
  stopGradient: {
    "[4, 5]": {
      inputs: { x: [4, 5] },
      values: { x: normals("stopped", 20) },
      apply: ({ x }) => tf.mul(x!, ops.stopGradient(tf.square(x!))),
      // The square is that of the inputs as drawn, whatever x is moved to.
      reference: ({ x }) => x!.map((v, i) => v * Math.fround(normals("stopped", 20)[i]!) ** 2),
    },
  },
  watchGradient: unary(
    (x) => ops.watchGradient(x, () => {}),
    (x) => x,
  ),
  scaledDotProductAttention: {
    "masked keys": attention([2, 2, 3, 5, 4], [4, 3]),
    "dropout on its probabilities": attention([2, 2, 3, 5, 4], [4, 3], {
      dropout: floats(
        [2, 2, 3, 5],
        Array.from({ length: 60 }, (_, i) => (i % 3 ? 1.5 : 0)),
      ),
    }),
    // Forward alone: scores that a mask swallows get a gradient all the same, as softmax's formula has it.
    "an example all masked": forwardOnly(attention([2, 1, 2, 3, 2], [3, 0])),
    "one query, one key": attention([1, 1, 1, 1, 3], [1]),
    "large logits": attention([1, 2, 3, 4, 4], [4], { scale: 3 }),
    "large logits behind a mask": attention([2, 2, 3, 5, 4], [4, 2], { scale: 4 }),
    "no examples": attention([0, 2, 3, 5, 4], []),
  },
  maskedSoftmax: {
    // The second and the last number of every row are hidden.
    "[2, 5]": forwardOnly({
      inputs: { s: [2, 5] },
      values: { s: normals("s", 10, 20) },
      apply: ({ s }) => ops.maskedSoftmax(s!, tf.tensor1d([0, -1e9, 0, 0, -1e9])),
      reference: ({ s }) =>
        Float64Array.from(
          [0, 5].flatMap((start) => {
            const [a, , b, c] = s!.subarray(start, start + 5);
            const [pa, pb, pc] = float64.softmax([a!, b!, c!]);
            return [pa!, 0, pb!, pc!, 0];
          }),
        ),
    }),
  },
  attentionScores: { "two heads": scored(ops.attentionScores, (row) => row) },
  attentionProbabilities: {
    "two heads": scored(ops.attentionProbabilities, float64.softmax),
    "large logits": scored(ops.attentionProbabilities, float64.softmax, 30),
  },
  linearCrossEntropy: {
    "[4, 3] to 6": crossEntropy([4, 3, 6], 0),
    "label smoothing": crossEntropy([4, 3, 6], 0.1),
    "one row, one word": crossEntropy([1, 1, 1], 0),
    "large logits": crossEntropy([4, 3, 6], 0.1, 30),
    "no rows": crossEntropy([0, 3, 6], 0.1),
    "repeated labels": crossEntropy([3, 2, 4], 0, 1, [2, 2, 2]),
  },
  embeddingLookup: {
    "a repeated id": gathered([5, 3], ids([2, 2], [1, 4, 1, 0]), ops.embeddingLookup),
    "no ids": gathered([5, 3], ids([0, 2], []), ops.embeddingLookup),
    "one row": gathered([1, 1], ids([1], [0]), ops.embeddingLookup),
  },
  bernoulliLogLikelihood: {
    "two images": bernoulli(2, 1, 12),
    "three samples of each": bernoulli(6, 3, 12),
    "a prime number of pixels": bernoulli(5, 5, 67),
    "large logits": bernoulli(2, 1, 12, 40),
    "one pixel": bernoulli(2, 1, 1),
  },
  layerNormalization: {
    "[2, 3, 6]": normalization([2, 3, 6], true),
    "without bias": normalization([2, 3, 6], false),
    "epsilon as large as the variance": normalization([2, 3, 6], true, 1),
    "a mean 100 times the spread": normalization([4, 8], true, 1e-5, normals("x", 32, 1, 100)),
    "large numbers": normalization([4, 8], true, 1e-5, normals("x", 32, 1e4)),
    "width 1": normalization([3, 1], true),
    "a constant row": normalization([2, 4], true, 1e-5, [3, 3, 3, 3, 1, 2, 3, 5]),
    "no rows": normalization([0, 4], true),
  },
  rmsNormalization: {
    "[2, 3, 6]": rmsNormalization([2, 3, 6]),
    "large numbers": rmsNormalization([2, 3, 6], 1e4),
    "width 1": rmsNormalization([3, 1]),
    "no rows": rmsNormalization([0, 4]),
  },
  inverseRms: { "[2, 3, 6]": inverseRms([2, 3, 6]), "width 1": inverseRms([3, 1]), "no rows": inverseRms([0, 4]) },
  sinkhorn: {
    "two matrices, three iterations": sinkhorn(3, 2, 3),
    "one number": sinkhorn(1, 1, 2),
    "logits far apart": sinkhorn(3, 2, 3, 5),
    "no matrices": sinkhorn(3, 0, 2),
  },
  spectralNorm: { "[6, 3]": spectralNorm(6, 3), "[4, 1]": spectralNorm(4, 1), "[1, 4]": spectralNorm(1, 4) },
  convolution: overConvolutions((s) => {
    const { x, w } = float64.convolutionShapes(s);
    return {
      inputs: { x, w },
      apply: ({ x, w }) => ops.convolution(x!, w!, s),
      reference: ({ x, w }) => float64.convolve(x!, w!, s),
    };
  }),
  transposedConvolution: overConvolutions((s) => {
    const { y, w } = float64.convolutionShapes(s);
    const options = { ...s, outputSize: [s.rows, s.columns] as const };
    return {
      inputs: { y, w },
      apply: ({ y, w }) => ops.transposedConvolution(y!, w!, options),
      reference: ({ y, w }) => float64.transposedConvolve(y!, w!, s),
    };
  }),
  filterGradient: overConvolutions((s) => {
    const { x, y } = float64.convolutionShapes(s);
    const options = { ...s, kernelSize: [s.kernel, s.kernel] as const };
    return {
      inputs: { x, y },
      apply: ({ x, y }) => ops.filterGradient(x!, y!, options),
      reference: ({ x, y }) => float64.gradientOfKernel(x!, y!, s),
    };
  }),
};

/** Every operation of the op set: TensorFlow.js's as `tf.add`, those of src/ops by their name. `scatterRows` has no gradient of its
 *  own and is part of that of `embeddingLookup`. */
export const operations: readonly Operation[] = [
  ...Object.entries(tensorflow).map(([name, cases]) => ({ name: `tf.${name}`, cases })),
  ...Object.entries(own).map(([name, cases]) => ({ name, cases })),
];
