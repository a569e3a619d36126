// Batches of images: order, binarisation and evaluation, on a small set whose images are told apart by their grey values,
// and on the real MNIST where numbers count.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { formatImageSet, IDX_NAMES } from "../../src/data/image-set.ts";
import { loadImageData, type ImageData, type ImageDataOptions } from "../../src/data/images.ts";
import { UserError } from "../../src/errors.ts";
import type { Batch } from "../../src/types.ts";

const folder = mkdtempSync(path.join(tmpdir(), "fathom-image-data-"));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** 23 training images and 7 test images of 3 x 2; image i of a file begins with the grey values i and 128 + i. */
beforeAll(() => {
  const part = (count: number): { images: Uint8Array; labels: Uint8Array } => ({
    images: Uint8Array.from(Array.from({ length: count }, (_, i) => [i, 128 + i, 0, 255, 127, 128]).flat()),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 10),
  });
  const bytes = formatImageSet({ name: "small", height: 3, width: 2, train: part(23), test: part(7) });
  for (const [role, file] of Object.entries(bytes))
    writeFileSync(path.join(folder, IDX_NAMES[role as keyof typeof IDX_NAMES]), file);
});

const load = (options: Partial<ImageDataOptions> = {}): Promise<ImageData> =>
  loadImageData({ images: folder, binarization: "none", validation: 3, batch: { images: 6 }, seed: 1, ...options });
const pixelsOf = (batch: Batch): number[] => [...batch.tensors.images!.data];
/** Numbers of the images of a batch of grey ones, read off their first pixel. */
const numbersOf = (batch: Batch): number[] =>
  pixelsOf(batch).flatMap((value, i) => (i % 6 === 0 ? [Math.round(255 * value)] : []));
const epochOf = ({ dataset }: ImageData, epoch: number): number[] =>
  Array.from({ length: dataset.stepsPerEpoch }, (_, i) => i + epoch * dataset.stepsPerEpoch).flatMap((step) =>
    numbersOf(dataset.batchAt(step)),
  );

describe("training", () => {
  test("gives B rows of P pixels in [0, 1], and counts images", async () => {
    const { dataset, set } = await load();
    const batch = dataset.batchAt(0);
    expect(batch.tensors.images).toMatchObject({ dtype: "float32", shape: [6, 6] });
    expect(Object.keys(batch.tensors)).toEqual(["images"]);
    expect(batch.tokens).toBe(6);
    expect(set).toMatchObject({ height: 3, width: 2 });
    expect(dataset.dimensions).toEqual({ pixels: 6, height: 3, width: 2 });
    const [number] = numbersOf(batch);
    const grey = [number!, 128 + number!, 0, 255, 127, 128].map((v) => Math.fround(v / 255));
    expect(pixelsOf(batch).slice(0, 6)).toEqual(grey);
  });

  test("takes every image at most once an epoch, in another order each, never one held out", async () => {
    const data = await load();
    expect(data.dataset.stepsPerEpoch).toBe(3); // 20 images, 6 a step
    const epochs = Array.from({ length: 20 }, (_, e) => epochOf(data, e));
    for (const epoch of epochs) expect(new Set(epoch).size).toBe(18);
    expect(new Set(epochs.map(String)).size).toBe(20);
    // Of 20 images 2 are left out an epoch: of 20 epochs one image misses all with probability 1e-20.
    expect([...new Set(epochs.flat())].sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  test("takes each image exactly once where the batch divides them", async () => {
    const data = await load({ batch: { images: 5 } });
    for (const epoch of [0, 1, 7])
      expect(epochOf(data, epoch).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });

  test("is a function of seed and step: resumed steps equal those in sequence, chance included", async () => {
    const one = await load({ binarization: "dynamic" });
    const sequence = Array.from({ length: 9 }, (_, step) => pixelsOf(one.dataset.batchAt(step)));
    const resumed = await load({ binarization: "dynamic" });
    for (const step of [8, 2, 5, 5]) expect(pixelsOf(resumed.dataset.batchAt(step))).toEqual(sequence[step]);
    const other = await load({ binarization: "dynamic", seed: 2 });
    expect(pixelsOf(other.dataset.batchAt(0))).not.toEqual(sequence[0]);
  });
});

describe("evaluation", () => {
  test("shows every image of dev and test once, in order, the last batch being smaller", async () => {
    const data = await load({ validation: 8 });
    const { dev, test } = data.dataset.evaluation;
    expect(dev.map(numbersOf)).toEqual([
      [15, 16, 17, 18, 19, 20],
      [21, 22],
    ]);
    expect(test.map(numbersOf)).toEqual([[0, 1, 2, 3, 4, 5], [6]]);
    expect(test.map(({ tokens, tensors }) => [tokens, tensors.images!.shape])).toEqual([
      [6, [6, 6]],
      [1, [1, 6]],
    ]);
    expect(data.facts).toMatchObject({
      counts: { train: 15, dev: 8, test: 7 },
      dev: "the last 8 images of the training file, held out",
      binarization: "none",
      hashes: data.dataset.hashes,
    });
  });

  test("draws dynamic binarisation once: the same for all seeds, batch sizes and splits of the file", async () => {
    const flat = (batches: readonly Batch[]): number[] => batches.flatMap(pixelsOf);
    const one = await load({ binarization: "dynamic" });
    const other = await load({ binarization: "dynamic", seed: 9, batch: { images: 4 }, validation: 8 });
    const test = flat(one.dataset.evaluation.test);
    expect(flat(other.dataset.evaluation.test)).toEqual(test);
    expect(flat(one.dataset.evaluation.test)).toEqual(test);
    expect(flat(other.dataset.evaluation.dev).slice(5 * 6)).toEqual(flat(one.dataset.evaluation.dev));
    expect(new Set(test)).toEqual(new Set([0, 1]));
    expect([...one.examples("test").evaluated]).toEqual(test);
  });

  test("of a run that holds nothing out is on the first training images, and the facts say so", async () => {
    const data = await load({ validation: 0 });
    expect(data.facts.counts).toEqual({ train: 23, dev: 23, test: 7 });
    expect(data.facts.dev).toBe("the first 23 training images, which are trained on as well");
    expect(data.dataset.evaluation.dev.flatMap(numbersOf)).toEqual(Array.from({ length: 23 }, (_, i) => i));
  });
});

test("a threshold makes 128 and more of 255 a 1, in training and evaluation", async () => {
  const { dataset, examples } = await load({ binarization: "threshold" });
  const expected = [0, 1, 0, 1, 0, 1];
  for (const batch of [dataset.batchAt(0), ...dataset.evaluation.test])
    for (let row = 0; row < batch.tokens; row++)
      expect(pixelsOf(batch).slice(row * 6, (row + 1) * 6)).toEqual(expected);
  expect([...examples("dev", 1).evaluated]).toEqual(expected);
});

test("examples are the first of a split, grey and as evaluated, with their classes", async () => {
  const { examples } = await load({ binarization: "threshold" });
  const { count, grey, evaluated, labels } = examples("dev", 2);
  expect([count, grey.length, evaluated.length]).toEqual([2, 12, 12]);
  expect(Math.round(255 * grey[6]!)).toBe(21);
  expect([...labels]).toEqual([0, 1]);
  expect(examples("test", 100).count).toBe(7);
  expect(examples("train").count).toBe(20);
});

test("the hash of the data changes with the split, and with nothing that is drawn", async () => {
  const hash = async (options: Partial<ImageDataOptions>): Promise<string> =>
    (await load(options)).dataset.hashes.data!;
  const before = await hash({});
  expect(before).toMatch(/^[0-9a-f]{64}$/);
  expect(await hash({ seed: 5, batch: { images: 2 }, binarization: "dynamic" })).toBe(before);
  expect(await hash({ validation: 4 })).not.toBe(before);
});

test.each([
  [{ validation: 23 }, /data\.validation: expected 0 to 22 of the 23 training images of .*, got 23/],
  [{ validation: -1 }, /data\.validation: .* got -1/],
  [{ batch: { images: 21 } }, /train\.batch\.images: expected 1 to 20 images \(those of train\), got 21/],
  [{ batch: { images: 0 } }, /train\.batch\.images: .* got 0/],
])("%o is refused", async (options, message) => {
  await expect(load(options)).rejects.toThrow(UserError);
  await expect(load(options)).rejects.toThrow(message);
});

describe("mnist", () => {
  const options: ImageDataOptions = {
    images: "mnist",
    binarization: "dynamic",
    validation: 5000,
    batch: { images: 1000 },
    seed: 3,
  };

  let data: ImageData;
  let means: Float64Array;
  let variances: Float64Array;
  /** Adds up the pixels of images and, where asked for, their squares. */
  const addUp = (images: Float32Array, sums: Float64Array, squares = new Float64Array(784)): void => {
    for (let start = 0; start < images.length; start += 784)
      for (let pixel = 0; pixel < 784; pixel++) {
        const value = images[start + pixel]!;
        sums[pixel]! += value;
        squares[pixel]! += value * value;
      }
  };
  beforeAll(async () => {
    data = await loadImageData(options);
    const [sums, squares] = [new Float64Array(784), new Float64Array(784)];
    addUp(data.examples("train").grey, sums, squares);
    means = sums.map((sum) => sum / 55_000);
    variances = sums.map((sum, pixel) => sum - squares[pixel]!); // of the sum of the draws: sum p (1 - p)
  });

  test("binarised anew over an epoch has each pixel's mean", () => {
    const { dataset } = data;
    const drawn = new Float64Array(784);
    for (let step = 0; step < dataset.stepsPerEpoch; step++)
      addUp(dataset.batchAt(step).tensors.images!.data as Float32Array, drawn);
    // 5.5 standard deviations: of 784 normal numbers one lies beyond with probability 3e-5. Below a variance of 100 a sum
    // of rare ones is not normal. A chance is off by 2^-17 at most: by 0.4 of 55,000, a twentieth of a deviation.
    const tested = [...variances.keys()].filter((pixel) => variances[pixel]! > 100);
    expect(tested.length).toBeGreaterThan(400);
    const deviations = tested.map((p) => Math.abs(drawn[p]! - 55_000 * means[p]!) / Math.sqrt(variances[p]!));
    expect(Math.max(...deviations)).toBeLessThan(5.5);
    expect([...drawn].filter((sum, pixel) => means[pixel] === 0 && sum > 0)).toEqual([]);
  });

  test("has the entropy of independent pixels, 206 nats an image, as written down slowly", () => {
    expect(data.facts.counts).toEqual({ train: 55_000, dev: 5000, test: 10_000 });
    const entropy = means.reduce((sum, m) => (m > 0 ? sum - m * Math.log(m) - (1 - m) * Math.log(1 - m) : sum), 0);
    // Grey values are rounded to 24 bits here, and dH/dm = log((1 - m) / m) is below 20.
    expect(Math.abs(data.dataset.unigramEntropy / entropy - 1)).toBeLessThan(1e-6);
    expect(data.dataset.unigramEntropy).toBeCloseTo(206.02, 2);
  });
});
