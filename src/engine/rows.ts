// The parameters of a player as one matrix: R rows of C numbers hold them all, one after the other, each from a row of its own.
// Whatever is done to all of them is then a few operations however deep the network, and sums over a row are short enough for
// float32.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { type Parameters, sizeOf } from "../stage.ts";
import type { Moments } from "../types.ts";

/** C, the numbers a row. */
const rowLength = 512;

/** Where one parameter lies. */
interface LayoutEntry {
  readonly path: string;
  readonly shape: readonly number[];
  readonly size: number;
  /** Its first number among all of them, and the rows it takes. */
  readonly start: number;
  readonly rows: number;
}

/** Where a player's parameters lie among the rows. */
export interface Layout {
  readonly entries: readonly LayoutEntry[];
  /** R. */
  readonly rows: number;
}

/** Lays out the parameters `paths`. */
export function layoutOf(paths: readonly string[], parameters: Parameters): Layout {
  let first = 0;
  const entries = paths.map((path): LayoutEntry => {
    const { shape } = parameters.get(path)!;
    const size = sizeOf(shape);
    const entry = { path, shape, size, start: first * rowLength, rows: Math.ceil(size / rowLength) };
    first += entry.rows;
    return entry;
  });
  return { entries, rows: first };
}

/** The tensors of a layout's paths, zeros behind each, as one: [R, C]. */
export function gather({ entries }: Layout, tensorOf: (path: string) => Tensor): Tensor {
  const pieces = entries.map(({ path, size, rows }) => {
    const flat = tf.reshape(tensorOf(path), [-1]);
    const missing = rows * rowLength - size;
    return tf.reshape(missing ? tf.pad(flat, [[0, missing]]) : flat, [rows, rowLength]);
  });
  return tf.concat(pieces, 0);
}

/** The inverse of {@link gather}: tensors of their own shapes by path. */
export function scatter({ entries }: Layout, rows_RC: Tensor): Map<string, Tensor> {
  const pieces = tf.split(
    rows_RC,
    entries.map(({ rows }) => rows),
    0,
  );
  return new Map(
    entries.map(({ path, shape, size }, i) => {
      const flat = tf.reshape(pieces[i]!, [-1]);
      const own = size % rowLength ? tf.slice(flat, [0], [size]) : flat;
      return [path, tf.reshape(own, [...shape])];
    }),
  );
}

/** The least normal float32: what is divided by it stays finite, and zeros stay 0. */
const tiny = 2 ** -126;

/** Of every row its largest |x| = m and the sum of (x / m)^2, which float32 can hold whatever the size of x: [2, R]. */
export function rowMoments(x_RC: Tensor): Tensor {
  const largest_R1 = tf.max(tf.abs(x_RC), 1, true);
  const shares_R = tf.sum(tf.square(tf.div(x_RC, tf.maximum(largest_R1, tiny))), 1);
  return tf.stack([tf.reshape(largest_R1, [-1]), shares_R]);
}

/** The moments of every path, from what {@link rowMoments} has found: sums over rows in float64. */
export function momentsByPath({ entries, rows }: Layout, found_2R: Float32Array): Map<string, Moments> {
  let row = 0;
  return new Map(
    entries.map(({ path, size, rows: own }) => {
      const parts: Moments[] = [];
      for (const end = row + own; row < end; row++) parts.push(momentsFrom(found_2R[row]!, found_2R[rows + row]!, 0));
      const sumSquares = parts.reduce((sum, part) => sum + part.sumSquares, 0);
      const max = Number.isNaN(sumSquares) ? NaN : parts.reduce((max, part) => Math.max(max, part.max), 0);
      return [path, { sumSquares, max, count: size }];
    }),
  );
}

/** Moments from a largest |x| = m and the sum of (x / m)^2. */
export function momentsFrom(max: number, shares: number, count: number): Moments {
  if (max === Infinity) return { sumSquares: Infinity, max, count };
  const sumSquares = max * max * shares;
  return { sumSquares, max: Number.isNaN(sumSquares) ? NaN : max, count };
}

/** The factor that brings gradients with the row moments `found_2R` down to the norm `limit`, a scalar: 1 where they are below. */
export function clipFactor(found_2R: Tensor, limit: number): Tensor {
  const [largest_R, shares_R] = tf.unstack(found_2R) as [Tensor, Tensor];
  const largest = tf.max(largest_R);
  const relative = tf.div(largest_R, tf.maximum(largest, tiny));
  const norm = tf.mul(largest, tf.sqrt(tf.sum(tf.mul(tf.square(relative), shares_R))));
  return tf.minimum(1, tf.div(limit, tf.maximum(norm, tiny)));
}
