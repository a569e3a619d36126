// The layers of a transformer once more, as loops over float64 numbers, written from the papers' formulas: what the
// tensor code is compared with. Slow and plain on purpose.

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

/** erf by its Taylor series, 2 / sqrt(pi) * sum (-1)^n x^(2n+1) / (n! (2n+1)): exact enough for |x| < 4. */
export function erf(x: number): number {
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

/** f(alpha x + shift) * gain + bias over rows of `gain.length` numbers, alpha and shift one number each: DyT with tanh, Derf
 *  with erf. */
export function dynamic(
  f: (x: number) => number,
  x: ArrayLike<number>,
  { alpha, shift = [0], gain, bias }: Readonly<Record<string, ArrayLike<number>>>,
): Float64Array {
  const width = gain!.length;
  return Float64Array.from(x, (v, i) => f(alpha![0]! * v + shift[0]!) * gain![i % width]! + bias![i % width]!);
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

/** softmax(q k^T / sqrt(width) + mask) * dropout, times v, for every head; `hidden(h, t, s)` masks, `dropout` may be absent. */
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
      softmax(scores).forEach((p, s) => {
        const weight = p * (dropout?.[(h * queries + t) * keys + s] ?? 1);
        for (let i = 0; i < width; i++) o[(h * queries + t) * width + i]! += weight * v[(h * keys + s) * width + i]!;
      });
    }
  return o;
}

/** Multi-head attention of one example: projections by name (`query/weight`), heads side by side in the columns. */
export function multiHeadAttention(
  x: ArrayLike<number>,
  memory: ArrayLike<number>,
  p: Readonly<Record<string, Float64Array>>,
  heads: number,
  hidden: (query: number, key: number) => boolean,
  dropout?: ArrayLike<number>,
): Float64Array {
  const width = p["query/bias"]!.length;
  const head = width / heads;
  const [queries, keys] = [x.length / width, memory.length / width];
  const project = (input: ArrayLike<number>, name: string): Float64Array =>
    linear(input, p[`${name}/weight`]!, p[`${name}/bias`]!);
  const split = (rows: Float64Array): Float64Array => {
    const length = rows.length / width;
    return Float64Array.from(rows, (_, i) => {
      const [h, rest] = [Math.floor(i / (length * head)), i % (length * head)];
      return rows[Math.floor(rest / head) * width + h * head + (rest % head)]!;
    });
  };
  const [q, k, v] = [project(x, "query"), project(memory, "key"), project(memory, "value")].map(split);
  const sizes = { heads, queries, keys, width: head };
  const o = attend(q!, k!, v!, sizes, (_, t, s) => hidden(t, s), dropout);
  const joined = Float64Array.from(o, (_, i) => {
    const [t, column] = [Math.floor(i / width), i % width];
    return o[(Math.floor(column / head) * queries + t) * head + (column % head)]!;
  });
  return project(joined, "out");
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
