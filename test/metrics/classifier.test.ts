import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ImageExamples } from "../../src/data/images.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/select.ts";
import { classHistogram } from "../../src/metrics/class-histogram.ts";
import { frechetDistance } from "../../src/metrics/frechet-distance.ts";
import type { MetricContext } from "../../src/metrics/metric.ts";
import { type ClassifierSettings, trainedClassifier } from "../../src/metrics/trained-classifier.ts";
import { classifier } from "../../src/models/classifier.ts";
import { stream } from "../../src/random.ts";
import type { Player } from "../../src/stage.ts";
import { initialize } from "../../src/train/initialize.ts";
import { useTemporaryCache } from "../data/temporary-cache.ts";
import { relativeDifference } from "../helpers.ts";
import { contextOf, valueOf } from "./context.ts";

const cache = useTemporaryCache();
const side = 9;

/** Bars that lie, stand and cross, at places of their own, with a little noise: three classes. */
function bars(purpose: string, count: number): ImageExamples {
  const grey = stream(1, purpose).uniform(new Float32Array(count * side * side), 1);
  const places = stream(1, purpose).uniform(new Float32Array(count));
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  grey.forEach((v, at) => (grey[at] = Math.round(255 * 0.2 * v) / 255));
  labels.forEach((label, i) => {
    const place = 2 + Math.floor(places[i]! * (side - 4));
    for (let j = 2; j < side - 2; j++) {
      if (label !== 1) grey[(i * side + place) * side + j] = 1;
      if (label !== 0) grey[(i * side + j) * side + place] = 1;
    }
  });
  return { count, grey, evaluated: grey, labels };
}

const settings: ClassifierSettings = {
  channels: [4, 8],
  features: 8,
  dropout: 0,
  images: 300,
  batch: 30,
  epochs: 15,
  leastSteps: 1,
  learningRate: 0.01,
  shift: 1,
};
const [train, dev, real] = [bars("train", 300), bars("dev", 30), bars("test", 90)];

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine("onnx", { threads: 1 });
});
afterAll(() => engine.dispose());

/** "Generates" the latent variable itself, as pixels. */
const generate: Player = {
  name: "generate",
  stages: [
    {
      name: "generate",
      stack: "generator",
      layer: "",
      key: "latent as pixels",
      parameters: {},
      reads: ["latent"],
      apply: (_, { latent }) => ({ pixels: tf.sigmoid(latent!) }),
    },
  ],
  scalars: [],
  output: "pixels",
};

const context = (overrides: Partial<MetricContext> = {}): MetricContext =>
  contextOf({
    engine,
    parameters: new Map(),
    views: { generate },
    latent: side * side,
    splits: { train, dev, test: real },
    set: { name: "bars", height: side, width: side },
    ...overrides,
  });

const cachedFiles = (): string[] => {
  const folder = path.join(cache, "classifiers");
  return existsSync(folder) ? readdirSync(folder).map((name) => path.join(folder, name)) : [];
};

describe("the classifier", () => {
  test("learns, is kept, and used again", async () => {
    const told: [number, string | undefined][] = [];
    const first = await trainedClassifier(context({ progress: (...args) => told.push(args as never) }), settings);
    expect(first.classes).toBe(3);
    expect(first.accuracy).toBeGreaterThan(0.9); // a third by chance
    expect(told).toHaveLength(150);
    expect(told.at(-1)).toEqual([1, "training the classifier of bars, once for all runs"]);
    expect(cachedFiles()).toHaveLength(1);

    const again = await trainedClassifier(
      context({ progress: () => expect.unreachable("it is trained already") }),
      settings,
    );
    expect(again.sha256).toBe(first.sha256);
    expect(again.accuracy).toBe(first.accuracy);
    expect(await again.features(real.grey, real.count)).toEqual(await first.features(real.grey, real.count));
    const found = await again.classify(real.grey, real.count);
    const right = found.filter((label, i) => label === real.labels[i]).length;
    expect(right / real.count).toBe(first.accuracy);
  });

  test("is another one of other settings or images", async () => {
    await trainedClassifier(context(), { ...settings, epochs: 0 });
    await trainedClassifier(context(), { ...settings, epochs: 0, images: 299 });
    expect(cachedFiles()).toHaveLength(3);
  });

  test("does not depend on the run it is trained for", async () => {
    const ofSeed = (seed: number, images: number) => trainedClassifier(context({ seed, images }), settings);
    expect((await ofSeed(5, 3)).sha256).toBe((await ofSeed(6, 4)).sha256);
    expect(cachedFiles()).toHaveLength(3);
  });

  test.each([
    ["changed", 2, (bytes: Buffer) => void (bytes[bytes.length - 1]! ^= 1)],
    ["said to be better than it is", 3, (bytes: Buffer) => void bytes.write("9", bytes.indexOf('"accuracy":"') + 12)],
    ["cut off", 4, (bytes: Buffer) => void bytes.fill(0, 0, 8)],
  ])("is refused where its file was %s, and the file is named", async (_what, steps, damage) => {
    const before = cachedFiles();
    await trainedClassifier(context(), { ...settings, epochs: 0, leastSteps: steps });
    const [file] = cachedFiles().filter((name) => !before.includes(name));
    const bytes = readFileSync(file!);
    damage(bytes);
    writeFileSync(file!, bytes);
    const used = trainedClassifier(context(), { ...settings, epochs: 0, leastSteps: steps });
    await expect(used).rejects.toThrow(`${file}: expected the cached file as it was written`);
    await expect(used).rejects.toThrow(/delete the file/);
  });

  test("of MNIST that learns too little is not kept; where it had too few images, the key is named", async () => {
    const before = cachedFiles().length;
    const set = { name: "mnist", height: side, width: side };
    const untrained = { ...settings, epochs: 0 };
    await expect(trainedClassifier(context({ set }), { ...untrained, images: 301 })).rejects.toThrow(
      /^data\.validation: expected at least 301 training images .* got 300/,
    );
    await expect(trainedClassifier(context({ set }), untrained)).rejects.toThrow(/^internal error/);
    expect(cachedFiles()).toHaveLength(before);
  });

  test("stops when told to and keeps nothing", async () => {
    const before = cachedFiles().length;
    const controller = new AbortController();
    const progress = (): void => controller.abort(new Error("enough"));
    const stopped = trainedClassifier(context({ progress, signal: controller.signal }), {
      ...settings,
      leastSteps: 500,
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(cachedFiles()).toHaveLength(before);
  });

  test("gives the same in the compiled and in the plain engine", async () => {
    const plain = await createEngine("cpu", { threads: 1 });
    const { views } = classifier({ ...settings, height: side, width: side, classes: 3 });
    const own = initialize([views.classify], 1);
    const images = { dtype: "float32", shape: [5, side * side], data: real.grey.slice(0, 5 * side * side) } as const;
    const logits = (on: Engine) => on.output(views.classify, own, { tensors: { images }, tokens: 5 });
    // Sums of 200 terms in float32.
    expect(relativeDifference(Float32Array.from(await logits(engine)), await logits(plain))).toBeLessThan(1e-5);
  });
});

describe("metrics made with it", () => {
  test("the Fréchet distance is larger than its floor for what are no bars, and names the classifier", async () => {
    const values = await frechetDistance.measure(context({ images: 90 }));
    const distance = valueOf(values, "frechet-distance");
    expect(distance).toBeGreaterThan(3 * valueOf(values, "frechet-distance/floor"));
    expect(valueOf(values, "frechet-distance/floor")).toBeGreaterThan(0);
    expect(valueOf(values, "classifier-accuracy")).toBeGreaterThan(0.9);
    expect(values.at(-1)!.detail).toMatch(/^classifier [0-9a-f]{64}$/);
  });

  test("the Fréchet distance of fewer images than features is refused", async () => {
    const measured = frechetDistance.measure(context({ images: 64 }));
    await expect(measured).rejects.toThrow(/expected at least 65 generated images .*, got 64; ask for more/);
  });

  test("the histogram is of all classes of the set", async () => {
    const values = await classHistogram.measure(context({ images: 40 }));
    const shares = [0, 1, 2].map((c) => valueOf(values, `class/${c}`));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
    expect(values.filter(({ name }) => name.startsWith("class/"))).toHaveLength(3);
    expect(valueOf(values, "classifier-accuracy")).toBeGreaterThan(0.9);
  });
});
