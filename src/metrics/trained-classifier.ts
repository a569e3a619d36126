// The classifier that metrics look at generated images through: trained once for a set of images by the project's own trainer
// and kept in the cache folder, so that all runs on that set are measured by the same one.
import { createHash } from "node:crypto";
import path from "node:path";
import { cachedFile, sha256 } from "../data/cache.ts";
import type { ImageExamples } from "../data/images.ts";
import { assert, UserError } from "../errors.ts";
import { classifier } from "../models/classifier.ts";
import { stream } from "../random.ts";
import type { Parameter } from "../stage.ts";
import { initialize } from "../train/initialize.ts";
import { createOptimizer } from "../train/optimizers.ts";
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from "../train/safetensors.ts";
import { learningRateOf } from "../train/schedules.ts";
import { train } from "../train/trainer.ts";
import type { Batch, Dataset } from "../types.ts";
import type { MetricContext, MetricValue } from "./metric.ts";
import { breathe, matrix, outputOfRows } from "./view.ts";

/** A classifier of the images of a set. */
export interface TrainedClassifier {
  readonly classes: number;
  /** Share of the test images whose class it tells. */
  readonly accuracy: number;
  /** SHA-256 of its weights and accuracy. */
  readonly sha256: string;
  /** What the last layer before the classes makes of grey images [count, P]: [count, D]. */
  features(pixels: Float32Array, count: number): Promise<Float32Array>;
  /** The class of each of grey images [count, P]. */
  classify(pixels: Float32Array, count: number): Promise<Uint8Array>;
}

/** What decides how the classifier is trained. */
export interface ClassifierSettings {
  readonly channels: readonly number[];
  readonly features: number;
  readonly dropout: number;
  /** The first of the training file: the same ones for all runs that hold out up to 10,000 of MNIST's, which so share a classifier. */
  readonly images: number;
  /** Images of a step. */
  readonly batch: number;
  readonly epochs: number;
  /** Steps at least: a small set takes more epochs. */
  readonly leastSteps: number;
  readonly learningRate: number;
  /** Pixels by which images are moved at most, in both directions, anew at every step. */
  readonly shift: number;
}

/** Features of an image, the last layer before the classes. */
export const FEATURES = 64;

/** Tells 99.2 % of MNIST's test digits after two minutes on one core. */
const SETTINGS: ClassifierSettings = {
  channels: [16, 32],
  features: FEATURES,
  dropout: 0.2,
  images: 50_000,
  batch: 100,
  epochs: 12,
  leastSteps: 500,
  learningRate: 0.003,
  shift: 1,
};

/** Counts as part of the cache key: raise it when the code makes another classifier of the same settings. */
const VERSION = 1;
/** Of everything random in its training. */
const SEED = 0;
/** What a classifier of MNIST must tell apart: published numbers of such metrics rest on classifiers as good as this. */
const MNIST_ACCURACY = 0.99;

/** The classifier of the context's set, from the cache or trained on its training images, which takes minutes and is told to
 *  `progress`. A cached file that is damaged is a `UserError` that names it. */
export async function trainedClassifier(
  context: MetricContext,
  settings: ClassifierSettings = SETTINGS,
): Promise<TrainedClassifier> {
  const { engine, set, signal } = context;
  const { height, width, name } = set;
  const training = bytesOf(context.examples("train", settings.images));
  const test = context.examples("test");
  const classes = training.labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  const { player, views } = classifier({ ...settings, height, width, classes });
  const parameters = initialize([player], SEED);
  const of = (view: keyof typeof views, pixels: Float32Array, count: number): Promise<Float32Array> =>
    outputOfRows({ engine, parameters, ...(signal && { signal }) }, views[view], "images", pixels, count);
  const classify = async (pixels: Float32Array, count: number): Promise<Uint8Array> =>
    largest(await of("classify", pixels, count), count);

  const key = createHash("sha256")
    .update(JSON.stringify([VERSION, SEED, settings, height, width, test.count]))
    .update(training.pixels)
    .update(training.labels)
    .update(test.labels)
    .digest("hex");
  const file = `classifiers/${path.basename(name)}-${key.slice(0, 16)}.safetensors`;
  const bytes = await cachedFile(
    file,
    (found) => isWhole(found, file),
    async () => {
      await fit(context, settings, { player, parameters }, training);
      const found = await classify(test.grey, test.count);
      const right = found.reduce((sum, label, i) => sum + (label === test.labels[i] ? 1 : 0), 0);
      const accuracy = right / test.count;
      if (name === "mnist" && accuracy < MNIST_ACCURACY) {
        assert(training.count < settings.images, `the classifier of MNIST tells only ${100 * accuracy} % apart`);
        throw new UserError(
          `data.validation: expected at least ${settings.images} training images for the classifier that metrics look through, ` +
            `got ${training.count}, with which it tells only ${(100 * accuracy).toFixed(1)} % apart; hold out fewer`,
        );
      }
      return sealed(parameters, String(accuracy));
    },
  );
  const { tensors, metadata } = decodeSafetensors(bytes, file);
  for (const [path, { data }] of parameters) data.set(tensors.get(path)!.data);
  const accuracy = Number(metadata["accuracy"]);
  return {
    classes,
    accuracy,
    sha256: metadata["sha256"]!,
    features: (pixels, count) => of("features", pixels, count),
    classify,
  };
}

/** What a metric has to say of the classifier that it was made with. */
export const accuracyOf = ({ accuracy, sha256 }: TrainedClassifier): MetricValue => ({
  name: "classifier-accuracy",
  value: accuracy,
  detail: `classifier ${sha256}`,
});

/** Trains in place. */
async function fit(
  context: MetricContext,
  settings: ClassifierSettings,
  { player, parameters }: { player: ReturnType<typeof classifier>["player"]; parameters: Map<string, Parameter> },
  images: ByteImages,
): Promise<void> {
  const { epochs, leastSteps, learningRate: peak } = settings;
  const dataset = shiftedImages(context, settings, images);
  const steps = Math.max(leastSteps, epochs * dataset.stepsPerEpoch);
  const doing = `training the classifier of ${context.set.name}, once for all runs`;
  const schedule = { kind: "cosine", warmupSteps: Math.ceil(steps / 20), final: 0 } as const;
  const optimizer = {
    kind: "adam",
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    learningRate: peak,
  } as const;
  const outcome = await train(
    {
      players: [player],
      parameters,
      optimizers: new Map([[player.name, createOptimizer(optimizer)]]),
      engine: context.engine,
      dataset,
      seed: SEED,
      steps,
      learningRate: learningRateOf(schedule, { peak, steps, width: settings.features }),
      clipNorm: null,
      probes: [],
      isProbed: () => false,
      evaluateEverySteps: steps,
      checkpointEverySteps: steps,
    },
    { step: 0, tokens: 0, seconds: 0, seed: SEED, best: null },
    {
      signal: context.signal ?? new AbortController().signal,
      metrics: () => {},
      layers: () => {},
      readings: () => {},
      checkpoint: () => {},
      progress: ({ step }) => context.progress?.(step / steps, doing),
      reached: () => breathe(context),
    },
  );
  context.signal?.throwIfAborted();
  assert(outcome.status === "done", `the classifier did not train: ${outcome.reason}`);
}

/** Grey images as bytes: a fourth of the memory. */
interface ByteImages {
  readonly count: number;
  /** Grey values [count, P] of 0 to 255. */
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
}

function bytesOf({ count, grey, labels }: ImageExamples): ByteImages {
  const pixels = new Uint8Array(grey.length);
  for (let i = 0; i < pixels.length; i++) pixels[i] = Math.round(255 * grey[i]!);
  return { count, pixels, labels };
}

/** Batches of images in an order of its own for every epoch, each image moved by a few pixels. */
function shiftedImages(
  { set: { height, width } }: MetricContext,
  { batch, shift }: ClassifierSettings,
  { count, pixels, labels }: ByteImages,
): Dataset {
  const rows = Math.min(batch, count);
  const stepsPerEpoch = Math.floor(count / rows);
  const orders = stream(SEED, "classifier/data");
  const shifts = stream(SEED, "classifier/shift");
  const size = height * width;
  let epochAtHand = -1;
  let order = new Uint32Array();
  const batchOf = (chosen: Uint32Array, move: (row: number, axis: 0 | 1) => number): Batch => {
    const data = new Float32Array(chosen.length * size);
    chosen.forEach((image, row) => {
      const [down, right] = [move(row, 0), move(row, 1)];
      for (let y = Math.max(0, down); y < Math.min(height, height + down); y++)
        for (let x = Math.max(0, right); x < Math.min(width, width + right); x++)
          data[row * size + y * width + x] = pixels[image * size + (y - down) * width + (x - right)]! / 255;
    });
    const classes = {
      dtype: "int32",
      shape: [chosen.length],
      data: Int32Array.from(chosen, (i) => labels[i]!),
    } as const;
    return { tensors: { images: matrix(data, chosen.length), classes }, tokens: chosen.length };
  };
  return {
    batchAt(step) {
      const epoch = Math.floor(step / stepsPerEpoch);
      if (epoch !== epochAtHand) {
        order = orders.permutation(count, epoch) as Uint32Array<ArrayBuffer>;
        epochAtHand = epoch;
      }
      const first = (step % stepsPerEpoch) * rows;
      const draws = shifts.uniform(new Float32Array(2 * rows), step);
      const move = (row: number, axis: 0 | 1): number => Math.floor(draws[2 * row + axis]! * (2 * shift + 1)) - shift;
      return batchOf(order.subarray(first, first + rows), move);
    },
    stepsPerEpoch,
    // Its accuracy is measured on test images afterwards; the trainer wants to see a finite loss of something.
    evaluation: {
      dev: [
        batchOf(
          Uint32Array.from({ length: rows }, (_, i) => i),
          () => 0,
        ),
      ],
      test: [],
    },
    unigramEntropy: NaN,
    dimensions: {},
    hashes: {},
  };
}

/** The index of the largest number in each of `count` rows. */
function largest(logits: Float32Array, count: number): Uint8Array {
  const classes = logits.length / count;
  return Uint8Array.from({ length: count }, (_, row) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits[row * classes + c]! > logits[row * classes + best]!) best = c;
    return best;
  });
}

/** SHA-256 of weights and accuracy, which the file carries beside them. */
const sealOf = (tensors: ReadonlyMap<string, StoredTensor>, accuracy: string): string =>
  sha256(encodeSafetensors(tensors, { accuracy }));

const sealed = (tensors: ReadonlyMap<string, StoredTensor>, accuracy: string): Uint8Array =>
  encodeSafetensors(tensors, { accuracy, sha256: sealOf(tensors, accuracy) });

function isWhole(bytes: Uint8Array, file: string): boolean {
  try {
    const { tensors, metadata } = decodeSafetensors(bytes, file);
    return metadata["sha256"] === sealOf(tensors, metadata["accuracy"] ?? "");
  } catch (error) {
    if (error instanceof UserError) return false; // no safetensors file at all
    throw error;
  }
}
