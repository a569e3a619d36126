// The kernels of engine wasm that are our own, beside plain loops or the JavaScript backend: every case that they take, at sizes
// about four, eight and the blocks of a product, and cases that they leave to TensorFlow.js.
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";
import * as tf from "@tensorflow/tfjs-core";
import { beforeAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { layerNormalization } from "../../src/ops/index.ts";
import { stream } from "../../src/random.ts";
import { sizeOf } from "../../src/stage.ts";

/** Half a unit in the last place of a float32 near 1. */
const rounding = 2 ** -24;

beforeAll(async () => {
  await engines.cpu.create({ threads: 1 });
  await engines.wasm.create({ threads: 1 });
});

const normals = (shape: readonly number[], name: string): Float32Array =>
  stream(1, name).normal(new Float32Array(sizeOf(shape)));
const tensor = (shape: readonly number[], name = "x"): tf.Tensor => tf.tensor(normals(shape, name), [...shape]);

/** What `f` gives on both backends. */
async function both(f: () => tf.Tensor): Promise<{ ours: tf.TypedArray; theirs: tf.TypedArray; shapes: number[][] }> {
  const on = async (backend: string) => {
    await tf.setBackend(backend);
    return tf.tidy(() => {
      const y = f();
      return { data: y.dataSync(), shape: y.shape };
    });
  };
  const [theirs, ours] = [await on("cpu"), await on("wasm")];
  return { ours: ours.data, theirs: theirs.data, shapes: [ours.shape, theirs.shape] };
}

/** Copies and sums of two numbers leave nothing to choose. */
async function expectSame(f: () => tf.Tensor, what?: string): Promise<void> {
  const { ours, theirs, shapes } = await both(f);
  expect(shapes[0], what).toEqual(shapes[1]);
  expect([...ours], what).toEqual([...theirs]);
}

describe("products", () => {
  const sizes = [
    [1, 1, 1],
    [3, 5, 2],
    [4, 8, 4],
    [5, 9, 257],
    [6, 12, 3],
    [9, 4, 7],
    [130, 515, 300],
  ] as const;
  const transposes = [false, true].flatMap((a) => [false, true].map((b) => [a, b] as const));

  test.each(sizes)("[%i x %i] over %i, each way transposed", async (m, n, k) => {
    await tf.setBackend("wasm");
    const [a, b] = [normals([m, k], "a"), normals([k, n], "b")];
    const columns = Float32Array.from({ length: k * m }, (_, i) => a[(i % m) * k + Math.floor(i / m)]!);
    const rows = Float32Array.from({ length: n * k }, (_, i) => b[(i % k) * n + Math.floor(i / k)]!);
    for (const [transposeA, transposeB] of transposes) {
      const got = tf.tidy(() => {
        const x = transposeA ? tf.tensor2d(columns, [k, m]) : tf.tensor2d(a, [m, k]);
        const y = transposeB ? tf.tensor2d(rows, [n, k]) : tf.tensor2d(b, [k, n]);
        return tf.matMul(x, y, transposeA, transposeB).dataSync();
      });
      expect(got.length).toBe(m * n);
      let worst = 0;
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let [sum, size] = [0, 0];
          for (let l = 0; l < k; l++) {
            const term = a[i * k + l]! * b[l * n + j]!;
            sum += term;
            size += Math.abs(term);
          }
          worst = Math.max(worst, Math.abs(got[i * n + j]! - sum) / size);
        }
      // k products and k sums, each rounded once.
      expect(worst, `${transposeA}, ${transposeB}`).toBeLessThan(2 * k * rounding);
    }
  });

  test.each([
    { a: [3, 5, 6], b: [3, 6, 9] },
    { a: [5, 6], b: [3, 6, 9] },
    { a: [2, 3, 5, 6], b: [6, 4] },
    { a: [2, 3, 5, 6], b: [2, 3, 6, 4] },
    { a: [2, 1, 5, 6], b: [1, 3, 6, 4] },
    { a: [2, 1, 5, 6], b: [2, 3, 6, 4] },
  ])("of stacks $a and $b", async ({ a, b }) => {
    const { ours, theirs, shapes } = await both(() => tf.matMul(tensor(a, "a"), tensor(b, "b")));
    expect(shapes[0]).toEqual(shapes[1]);
    // Six products of normals a sum: a few units of rounding of numbers up to 10.
    ours.forEach((value, i) => expect(Math.abs(value - theirs[i]!)).toBeLessThan(100 * rounding));
  });

  test.each([
    { a: [2, 0], b: [0, 3] },
    { a: [0, 2], b: [2, 3] },
    { a: [4, 2, 0], b: [4, 0, 3] },
    { a: [0, 2, 5], b: [0, 5, 3] },
  ])("over no numbers, or of none: $a and $b", async ({ a, b }) => {
    await tf.setBackend("wasm");
    // Whatever lay in that memory before.
    tf.tidy(() => void tf.fill([64], 7));
    const { shape, data } = tf.tidy(() => {
      const product = tf.matMul(tensor(a), tensor(b));
      return { shape: product.shape, data: product.dataSync() };
    });
    expect(shape).toEqual([...a.slice(0, -1), 3]);
    expect([...data]).toEqual(Array<number>(sizeOf(shape)).fill(0));
  });

  test("NaN and infinities reach their rows and columns and no others", async () => {
    await tf.setBackend("wasm");
    const a = tf.ones([5, 9]).arraySync() as number[][];
    a[1]![3] = NaN;
    a[4]![8] = Infinity;
    const got = tf.tidy(() => tf.matMul(tf.tensor2d(a), tf.ones([9, 11])).arraySync()) as number[][];
    expect(got.map((row) => row[10])).toEqual([9, NaN, 9, 9, Infinity]);
    expect(got.map((row) => row[0])).toEqual([9, NaN, 9, 9, Infinity]);
  });
});

describe("copies", () => {
  test.each([
    { shape: [3, 5, 7], order: [1, 0, 2] },
    { shape: [3, 5, 7], order: [2, 0, 1] },
    { shape: [3, 5, 7], order: [2, 1, 0] },
    { shape: [2, 3, 4, 8], order: [0, 2, 1, 3] },
    { shape: [2, 3, 4, 5], order: [3, 1, 0, 2] },
    { shape: [2, 3, 3, 2, 5], order: [2, 0, 3, 1, 4] },
    { shape: [2, 3, 3, 2, 5], order: [4, 3, 2, 1, 0] },
    { shape: [2, 1, 3, 1, 5], order: [4, 3, 2, 1, 0] },
    { shape: [6, 7], order: [1, 0] },
    { shape: [2, 3, 4], order: [0, 1, 2] },
    { shape: [2, 0, 4], order: [1, 2, 0] },
  ])("transposing $shape to $order", async ({ shape, order }) => {
    await expectSame(() => tf.transpose(tensor(shape), order));
  });

  test("slices, and what a tensor is unstacked into", async () => {
    await expectSame(() => tf.slice(tensor([6, 5]), [2, 0], [3, 5]));
    await expectSame(() => tf.slice(tensor([6, 5]), [2, 1], [3, 2]));
    await expectSame(() => tf.slice(tensor([20]), [7], [-1]));
    await expectSame(() => tf.slice(tf.tensor1d([1, 2, 3, 4], "int32"), [1], [2]));
    for (const axis of [0, 1, 2]) await expectSame(() => tf.concat(tf.unstack(tensor([3, 2, 5]), axis)));
  });

  test("a clone is the same memory, which goes with the last that holds it", async () => {
    await tf.setBackend("wasm");
    const backend = tf.backend() as BackendWasm;
    const held = backend.numDataIds();
    const x = tensor([3]);
    const y = tf.clone(x);
    expect(backend.getMemoryOffset(y.dataId)).toBe(backend.getMemoryOffset(x.dataId));
    x.dispose();
    expect([...y.dataSync()]).toEqual([...normals([3], "x")]);
    y.dispose();
    expect(backend.numDataIds()).toBe(held);
  });
});

test.each([
  { a: [5, 7], b: [5, 7] },
  { a: [5, 8], b: [8] },
  { a: [7], b: [5, 7] },
  { a: [5, 7], b: [5, 1] },
  { a: [2, 3, 9], b: [2, 3, 1] },
  { a: [2, 3, 9], b: [2, 1, 1] },
  { a: [2, 1], b: [2, 5] },
  { a: [2, 3, 9], b: [3, 9] },
  { a: [2, 3, 9], b: [1, 3, 1] },
  { a: [2, 3, 9], b: [2, 1, 9] },
  { a: [3, 1], b: [1, 4] },
  { a: [], b: [6] },
  { a: [6], b: [1, 1] },
  { a: [1], b: [1, 1] },
  { a: [0, 3], b: [3] },
])("sums, differences and products of $a and $b, either way round", async ({ a, b }) => {
  for (const operation of [tf.add, tf.sub, tf.mul])
    for (const [first, second] of [
      [a, b],
      [b, a],
    ] as const)
      await expectSame(() => operation(tensor(first, "a"), tensor(second, "b")), operation.name);
});

test.each([
  { shape: [3, 9], axes: [[0], [1], [0, 1]] },
  { shape: [1000, 5], axes: [[0], [1]] },
  { shape: [2, 3, 17], axes: [[0], [0, 1], [1, 2], [2], [1], [0, 2]] },
  { shape: [5], axes: [[0], []] },
])("sums and means of $shape over $axes", async ({ shape, axes }) => {
  for (const axis of axes)
    for (const keepDims of [false, true])
      for (const operation of [tf.sum, tf.mean]) {
        const { ours, theirs, shapes } = await both(() => operation(tensor(shape), axis, keepDims));
        const what = `${operation.name} over ${axis}`;
        expect(shapes[0], what).toEqual(shapes[1]);
        // Up to 1000 normals, in another order: their sums stay below 100 or so, and each addition is rounded.
        ours.forEach((value, i) => expect(Math.abs(value - theirs[i]!), what).toBeLessThan(1000 * rounding));
      }
});

test("LayerNorm at widths about those of vectors, with a mean that is far from 0", async () => {
  for (const width of [1, 3, 4, 7, 8, 9, 64]) {
    const { ours, theirs } = await both(() =>
      layerNormalization(tf.add(tensor([5, width]), 10), tensor([width], "gain"), tensor([width], "bias"), 1e-5),
    );
    // Numbers of 10 and a spread of 1 lose a digit.
    ours.forEach((value, i) => expect(Math.abs(value - theirs[i]!), `width ${width}`).toBeLessThan(1e-5));
  }
});
