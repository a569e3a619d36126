// Operations and layers once more, as loops over float64 numbers, written from the papers' formulas: what the engines are
// compared with, by tests and by `fathom doctor`. Slow and plain on purpose.
import { sizeOf } from "../stage.ts";

/** y = x W + b for rows of x. */
export function linear(x: ArrayLike<number>, weight: ArrayLike<number>, bias: ArrayLike<number>): Float64Array {
  const out = bias.length;
  const width = weight.length / out;
  const rows = x.length / width;
  const y = new Float64Array(rows * out);
  for (let n = 0; n < rows; n++)
    for (let o = 0; o < out; o++) {
      let sum = bias[o]!;
      for (let i = 0; i < width; i++) sum += x[n * width + i]! * weight[i * out + o]!;
      y[n * out + o] = sum;
    }
  return y;
}

/** exp(z) / sum(exp(z)). */
export function softmax(z: readonly number[]): number[] {
  const max = Math.max(...z);
  const e = z.map((x) => Math.exp(x - max));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
}

/** erf by its Taylor series, 2 / sqrt(pi) * sum (-1)^n x^(2n+1) / (n! (2n+1)), where its terms do not cancel, and by Laplace's
 *  continued fraction of 1 - erf(x) beyond. */
export function erf(x: number): number {
  if (Math.abs(x) > 2.5) {
    let fraction = 0;
    for (let n = 100; n > 0; n--) fraction = n / 2 / (Math.abs(x) + fraction);
    return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / (Math.abs(x) + fraction));
  }
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

export const relu = (x: ArrayLike<number>): Float64Array => Float64Array.from(x, (v) => Math.max(v, 0));
export const gelu = (x: ArrayLike<number>): Float64Array =>
  Float64Array.from(x, (v) => v * 0.5 * (1 + erf(v / Math.sqrt(2))));
export const sigmoid = (x: ArrayLike<number>): Float64Array => Float64Array.from(x, (v) => 1 / (1 + Math.exp(-v)));

/** Activations by the name used in configs. */
export const activations: Record<string, (x: ArrayLike<number>) => Float64Array> = {
  relu,
  gelu,
  sigmoid,
  tanh: (x) => Float64Array.from(x, Math.tanh),
  "leaky-relu": (x) => Float64Array.from(x, (v) => Math.max(v, 0.2 * v)),
};

/** LayerNorm over rows of `gain.length` numbers. */
export function layerNorm(
  x: ArrayLike<number>,
  gain: ArrayLike<number>,
  bias: ArrayLike<number>,
  epsilon: number,
): Float64Array {
  const width = gain.length;
  return Float64Array.from(x, (v, i) => {
    const row = Array.from({ length: width }, (_, j) => x[Math.floor(i / width) * width + j]!);
    const mean = row.reduce((a, b) => a + b, 0) / width;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / width;
    return ((v - mean) / Math.sqrt(variance + epsilon)) * gain[i % width]! + bias[i % width]!;
  });
}

/** RMSNorm over rows of `gain.length` numbers. */
export function rmsNorm(x: ArrayLike<number>, gain: ArrayLike<number>, epsilon: number): Float64Array {
  const width = gain.length;
  return Float64Array.from(x, (v, i) => {
    const row = Array.from({ length: width }, (_, j) => x[Math.floor(i / width) * width + j]!);
    const square = row.reduce((a, b) => a + b * b, 0) / width;
    return (v / Math.sqrt(square + epsilon)) * gain[i % width]!;
  });
}

/** `count` matrices [n, n] with entries (i, j) of all side by side: exp, then columns and rows divided by their sums. */
export function sinkhorn(logits: ArrayLike<number>, n: number, count: number, iterations: number): Float64Array {
  const m = Float64Array.from(logits, (z) => Math.exp(z));
  const at = (i: number, j: number, k: number): number => (i * n + j) * count + k;
  const divide = (place: (line: number, along: number, k: number) => number): void => {
    for (let k = 0; k < count; k++)
      for (let line = 0; line < n; line++) {
        let sum = 0;
        for (let along = 0; along < n; along++) sum += m[place(line, along, k)]!;
        for (let along = 0; along < n; along++) m[place(line, along, k)]! /= sum;
      }
  };
  for (let t = 0; t < iterations; t++) {
    divide((j, i, k) => at(i, j, k));
    divide((i, j, k) => at(i, j, k));
  }
  return m;
}

/** Sizes of attention: batch x heads, queries, keys, head width. */
export interface AttentionSizes {
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
}

/** softmax(q k^T / sqrt(width) + mask) * dropout, times v, for every head; `hidden(h, t, s)` masks, `dropout` may be absent. A
 *  query from which all keys are hidden averages their values: that is what finite masks come to, which swallow its scores. */
export function attend(
  q: ArrayLike<number>,
  k: ArrayLike<number>,
  v: ArrayLike<number>,
  { heads, queries, keys, width }: AttentionSizes,
  hidden: (head: number, query: number, key: number) => boolean,
  dropout?: ArrayLike<number>,
): Float64Array {
  const o = new Float64Array(heads * queries * width);
  for (let h = 0; h < heads; h++)
    for (let t = 0; t < queries; t++) {
      const scores = Array.from({ length: keys }, (_, s) => {
        let dot = 0;
        for (let i = 0; i < width; i++) dot += q[(h * queries + t) * width + i]! * k[(h * keys + s) * width + i]!;
        return hidden(h, t, s) ? -Infinity : dot / Math.sqrt(width);
      });
      const seesNone = scores.every((score) => score === -Infinity);
      softmax(seesNone ? scores.map(() => 0) : scores).forEach((p, s) => {
        const weight = p * (dropout?.[(h * queries + t) * keys + s] ?? 1);
        for (let i = 0; i < width; i++) o[(h * queries + t) * width + i]! += weight * v[(h * keys + s) * width + i]!;
      });
    }
  return o;
}

/** Cross-entropy in nats of every row of x W + b with (1 - e) onehot(label) + e / V. */
export function crossEntropy(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  labels: ArrayLike<number>,
  smoothing: number,
): Float64Array {
  const logits = linear(x, weight, bias);
  const vocabulary = bias.length;
  return Float64Array.from(labels, (label, n) => {
    const row = Array.from(logits.subarray(n * vocabulary, (n + 1) * vocabulary));
    const max = Math.max(...row);
    const logSumExp = max + Math.log(row.reduce((sum, z) => sum + Math.exp(z - max), 0));
    return row.reduce((sum, z, i) => {
      const target = (i === label ? 1 - smoothing : 0) + smoothing / vocabulary;
      return sum + target * (logSumExp - z);
    }, 0);
  });
}

/** Sizes of one convolution: `images` of rows x columns x channels, a square kernel, `outChannels`. */
export interface ConvolutionSizes {
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** Sizes from a list in that order. */
export const convolutionSizes = (list: readonly number[]): ConvolutionSizes => {
  const [images, rows, columns, channels, outChannels, kernel, stride, padding] = list as number[];
  return {
    images: images!,
    rows: rows!,
    columns: columns!,
    channels: channels!,
    outChannels: outChannels!,
    kernel: kernel!,
    stride: stride!,
    padding: padding!,
  };
};

/** Sizes of the smaller grid. */
export const smallGrid = ({ rows, columns, kernel, stride, padding }: ConvolutionSizes): [number, number] => [
  Math.floor((rows + 2 * padding - kernel) / stride) + 1,
  Math.floor((columns + 2 * padding - kernel) / stride) + 1,
];

/** Shapes of the larger grid, the smaller, and the kernel. */
export const convolutionShapes = (s: ConvolutionSizes): Record<"x" | "y" | "w", number[]> => ({
  x: [s.images, s.rows, s.columns, s.channels],
  y: [s.images, ...smallGrid(s), s.outChannels],
  w: [s.kernel, s.kernel, s.channels, s.outChannels],
});

/** Shows `visit` every product of the definition: places in x, y and w. */
function forEachProduct(s: ConvolutionSizes, visit: (x: number, y: number, w: number) => void): void {
  const [smallRows, smallColumns] = smallGrid(s);
  for (let b = 0; b < s.images; b++)
    for (let i = 0; i < smallRows; i++)
      for (let j = 0; j < smallColumns; j++)
        for (let k = 0; k < s.kernel; k++)
          for (let l = 0; l < s.kernel; l++) {
            const [row, column] = [i * s.stride + k - s.padding, j * s.stride + l - s.padding];
            if (row < 0 || row >= s.rows || column < 0 || column >= s.columns) continue;
            for (let c = 0; c < s.channels; c++)
              for (let d = 0; d < s.outChannels; d++)
                visit(
                  ((b * s.rows + row) * s.columns + column) * s.channels + c,
                  ((b * smallRows + i) * smallColumns + j) * s.outChannels + d,
                  ((k * s.kernel + l) * s.channels + c) * s.outChannels + d,
                );
          }
}

/** y of x and w. */
export function convolve(x: Float64Array, w: Float64Array, s: ConvolutionSizes): Float64Array {
  const out = new Float64Array(sizeOf(convolutionShapes(s).y));
  forEachProduct(s, (i, j, k) => (out[j]! += x[i]! * w[k]!));
  return out;
}

/** The adjoint in x: of y and w. */
export function transposedConvolve(y: Float64Array, w: Float64Array, s: ConvolutionSizes): Float64Array {
  const out = new Float64Array(sizeOf(convolutionShapes(s).x));
  forEachProduct(s, (i, j, k) => (out[i]! += y[j]! * w[k]!));
  return out;
}

/** The adjoint in w: of x and y. */
export function gradientOfKernel(x: Float64Array, y: Float64Array, s: ConvolutionSizes): Float64Array {
  const out = new Float64Array(sizeOf(convolutionShapes(s).w));
  forEachProduct(s, (i, j, k) => (out[k]! += x[i]! * y[j]!));
  return out;
}

/** The largest singular value of a matrix [rows, columns], by power iteration on w^T w until it moves no more. */
export function largestSingularValue(w: Float64Array, rows: number, columns: number): number {
  let u = new Float64Array(columns).fill(1);
  let norm = 0;
  for (let iteration = 0; iteration < 300; iteration++) {
    const next = new Float64Array(columns);
    for (let r = 0; r < rows; r++) {
      let v = 0;
      for (let c = 0; c < columns; c++) v += w[r * columns + c]! * u[c]!;
      for (let c = 0; c < columns; c++) next[c]! += w[r * columns + c]! * v;
    }
    norm = Math.hypot(...next);
    u = next.map((v) => v / norm);
  }
  return Math.sqrt(norm);
}
