// The references of src/engine/float64.ts, and of layers that only tests look at.
import { attend, linear } from "../src/engine/float64.ts";

export * from "../src/engine/float64.ts";

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
