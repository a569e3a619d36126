// Images as the trainer sees them: a `Dataset` of batches of pixels, and beside it the images themselves and the facts
// that every result has to name. See `loadImageData`.

import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { UserError } from "../errors.ts";
import { stream } from "../random.ts";
import { members, unknownName } from "../registry.ts";
import type { Batch, Dataset } from "../types.ts";
import { IDX_NAMES, readImageFolder, type ImageSet, type LabelledImages } from "./image-set.ts";
import * as imageSets from "./image-sets/index.ts";

/** How grey values v of 0-255 become what a model is given, pixel by pixel.
 *  `dynamic`: 1 with probability v / 255, else 0, drawn anew at every training step (Salakhutdinov & Murray 2008; Burda et
 *  al. 2016). `threshold`: 1 where v >= 128. `none`: v / 255. */
export type Binarization = "dynamic" | "threshold" | "none";

/** The `data` section of a configuration with images, with the batch size and the seed. */
export interface ImageDataOptions {
  /** A name from the registry of image sets, or a folder of IDX files. */
  readonly images: string;
  readonly binarization: Binarization;
  /** Images at the end of the training file that are held out as dev. */
  readonly validation: number;
  /** `images`: of a training step, and of an evaluation batch at most. */
  readonly batch: { readonly images: number };
  readonly seed: number;
}

export type ImageSplit = "train" | "dev" | "test";

/** What a result has to say about its data. */
export interface ImageFacts {
  readonly images: string;
  readonly height: number;
  readonly width: number;
  readonly binarization: Binarization;
  /** Images by split. */
  readonly counts: Readonly<Record<ImageSplit, number>>;
  /** Which images dev is, in a sentence. */
  readonly dev: string;
  /** What losses of dev and test are measured on, in a sentence. */
  readonly evaluation: string;
  /** As `Dataset.hashes`. */
  readonly hashes: Readonly<Record<string, string>>;
}

/** Images of a split, in the order of their file. P = height * width pixels, row-major. */
export interface ImageExamples {
  readonly count: number;
  /** Grey values [count, P] in [0, 1]. */
  readonly grey: Float32Array;
  /** The same images [count, P] as they are evaluated: binarised, where that is asked for. */
  readonly evaluated: Float32Array;
  /** Classes [count]. */
  readonly labels: Uint8Array;
}

/** What `loadImageData` gives. */
export interface ImageData {
  readonly dataset: Dataset;
  /** Size of the images. */
  readonly set: { readonly name: string; readonly height: number; readonly width: number };
  readonly facts: ImageFacts;
  /** The first `count` images of a split, or all there are. Both kinds of pixels are made when they are read. */
  examples(split: ImageSplit, count?: number): ImageExamples;
}

/** Of evaluated images, so that runs of all seeds are scored on the same binary ones. */
const EVALUATION_SEED = 0;
/** Training images that stand in for dev where none are held out. */
const DEV_OF_TRAIN = 5000;

/** Loads a set of images and lays out its batches.
 *
 *  A batch of B images has the tensor `images`, float32 [B, P] in [0, 1], and B tokens. An epoch is floor(n / B) steps in an
 *  order of its own; the images left over wait for the next epoch's order. In evaluation every image comes once, the last
 *  batch may be smaller, and dynamic binarisation is drawn once and for all: it depends on the image's place in its file
 *  alone, not on the run's seed or batch size. Unknown names and impossible sizes are `UserError`s. */
export async function loadImageData(options: ImageDataOptions): Promise<ImageData> {
  const { binarization, seed } = options;
  const set = await loadImageSet(options.images);
  const { name, height, width } = set;
  const pixels = height * width;
  const splits = divide(set, options);
  const rows = options.batch.images;
  const { count } = splits.train;
  if (!Number.isInteger(rows) || rows < 1 || rows > count)
    throw new UserError(`train.batch.images: expected 1 to ${count} images (those of train), got ${rows}`);

  const stepsPerEpoch = Math.floor(count / rows);
  const orderOf = epochOrder(count, seed);
  const fresh = stream(seed, "binarization");
  const training = (step: number): Float32Array => {
    const first = (step % stepsPerEpoch) * rows;
    const order = orderOf(Math.floor(step / stepsPerEpoch));
    const grey = new Uint8Array(rows * pixels);
    for (let row = 0; row < rows; row++) {
      const start = order[first + row]! * pixels;
      grey.set(splits.train.images.subarray(start, start + pixels), row * pixels);
    }
    return binarization === "dynamic"
      ? fresh.bernoulli(new Float32Array(rows * pixels), grey, step)
      : scaled(grey, binarization);
  };
  // The players of a game ask for the same batch one after the other.
  let latest: { readonly step: number; readonly images: Float32Array } | undefined;
  const trainingOnce = (step: number): Float32Array => {
    if (latest?.step !== step) latest = { step, images: training(step) };
    return latest.images;
  };
  const evaluated = (split: Part, from: number, to: number): Float32Array => {
    const grey = split.images.subarray(from * pixels, to * pixels);
    return binarization === "dynamic" ? drawnOnce(split, grey, from, pixels) : scaled(grey, binarization);
  };
  const batches = (split: Part): Batch[] =>
    Array.from({ length: Math.ceil(split.count / rows) }, (_, i) => {
      const [from, to] = [i * rows, Math.min((i + 1) * rows, split.count)];
      return lazyBatch(to - from, pixels, () => evaluated(split, from, to));
    });

  const hashes = { data: dataHash(splits, height, width) };
  return {
    dataset: {
      batchAt: (step) => lazyBatch(rows, pixels, () => trainingOnce(step)),
      stepsPerEpoch,
      evaluation: { dev: batches(splits.dev), test: batches(splits.test) },
      unigramEntropy: unigramEntropy(splits.train, pixels, binarization),
      dimensions: { pixels, height, width },
      hashes,
    },
    set: { name, height, width },
    facts: {
      images: name,
      height,
      width,
      binarization,
      counts: { train: count, dev: splits.dev.count, test: splits.test.count },
      dev: splits.devIs,
      evaluation: EVALUATION[binarization],
      hashes,
    },
    examples(split, most = Infinity) {
      const part = splits[split];
      const count = Math.min(most, part.count);
      return {
        count,
        get grey() {
          return scaled(part.images.subarray(0, count * pixels), "none");
        },
        get evaluated() {
          return evaluated(part, 0, count);
        },
        labels: part.labels.slice(0, count),
      };
    },
  };
}

/** The set of a name, else the one in a folder. What is neither is a `UserError` that lists the known names. */
export async function loadImageSet(nameOrFolder: string): Promise<ImageSet> {
  const known = members(imageSets);
  const source = known.get(nameOrFolder);
  if (source) return source.load();
  if (statSync(nameOrFolder, { throwIfNoEntry: false })?.isDirectory())
    return readImageFolder(nameOrFolder, nameOrFolder);
  throw new UserError(
    `${unknownName("image set", nameOrFolder, [...known.keys()])}, or a folder with the four IDX files of a set (${Object.values(IDX_NAMES).join(", ")}); ` +
      `there is no folder ${nameOrFolder}`,
  );
}

const EVALUATION: Readonly<Record<Binarization, string>> = {
  dynamic: "binary images, drawn once with a fixed seed: the same ones for every run",
  threshold: "binary images: 1 where a grey value is at least 128 of 255",
  none: "grey images, of which no likelihood can be given",
};

/** Images of a split, and where they stand in their file. */
interface Part extends LabelledImages {
  readonly count: number;
  readonly file: "train" | "test";
  /** Number of its first image in that file. */
  readonly first: number;
}

function divide(
  set: ImageSet,
  { validation }: ImageDataOptions,
): Record<ImageSplit, Part> & { readonly devIs: string } {
  const total = set.train.labels.length;
  if (!Number.isInteger(validation) || validation < 0 || validation >= total)
    throw new UserError(
      `data.validation: expected 0 to ${total - 1} of the ${total} training images of ${set.name}, got ${validation}`,
    );
  const pixels = set.height * set.width;
  const part = (file: Part["file"], first: number, end: number): Part => ({
    images: set[file].images.subarray(first * pixels, end * pixels),
    labels: set[file].labels.subarray(first, end),
    count: end - first,
    file,
    first,
  });
  const kept = total - validation;
  const shown = Math.min(DEV_OF_TRAIN, total);
  return {
    train: part("train", 0, kept),
    dev: validation > 0 ? part("train", kept, total) : part("train", 0, shown),
    test: part("test", 0, set.test.labels.length),
    devIs:
      validation > 0
        ? `the last ${validation} images of the training file, held out`
        : `the first ${shown} training images, which are trained on as well`,
  };
}

/** The order of an epoch; that of the epoch at hand is kept. */
function epochOrder(count: number, seed: number): (epoch: number) => Uint32Array {
  const source = stream(seed, "data");
  let epochAtHand = -1;
  let order = new Uint32Array();
  return (epoch) => {
    if (epoch !== epochAtHand) {
      order = source.permutation(count, epoch) as Uint32Array<ArrayBuffer>;
      epochAtHand = epoch;
    }
    return order;
  };
}

/** A batch whose tensors are made when they are read: as floats a set takes four times its bytes. */
function lazyBatch(rows: number, pixels: number, make: () => Float32Array): Batch {
  return {
    get tensors() {
      return { images: { dtype: "float32", shape: [rows, pixels], data: make() } } as const;
    },
    tokens: rows,
  };
}

/** Dynamic binarisation for evaluation: a sequence of its own for every image of a file. */
function drawnOnce({ file, first }: Part, grey: Uint8Array, from: number, pixels: number): Float32Array {
  const source = stream(EVALUATION_SEED, `binarization/evaluation/${file}`);
  const out = new Float32Array(grey.length);
  for (let start = 0; start < grey.length; start += pixels) {
    const end = start + pixels;
    source.bernoulli(out.subarray(start, end), grey.subarray(start, end), first + from + start / pixels);
  }
  return out;
}

/** What the grey values 0-255 become without chance. */
const SCALES = {
  none: Float32Array.from({ length: 256 }, (_, v) => v / 255),
  threshold: Float32Array.from({ length: 256 }, (_, v) => (v >= 128 ? 1 : 0)),
} as const;

function scaled(grey: Uint8Array, binarization: keyof typeof SCALES): Float32Array {
  const scale = SCALES[binarization];
  const out = new Float32Array(grey.length);
  for (let i = 0; i < out.length; i++) out[i] = scale[grey[i]!]!;
  return out;
}

/** Nats an image of the best Bernoulli decoder that ignores its input: the sum over pixels of the entropy
 *  H(m) = -m log m - (1 - m) log(1 - m), m the pixel's mean over the training images. Of grey pixels it is no entropy,
 *  but what the cross-entropy -v log m - (1 - v) log(1 - m) is on average. */
function unigramEntropy({ images, count }: Part, pixels: number, binarization: Binarization): number {
  const scale = SCALES[binarization === "threshold" ? "threshold" : "none"];
  // Whole numbers, so that the sums are exact in any order.
  const ink = Uint32Array.from(scale, (value) => Math.round(255 * value));
  const sums = new Float64Array(pixels);
  for (let start = 0; start < images.length; start += pixels)
    for (let pixel = 0; pixel < pixels; pixel++) sums[pixel]! += ink[images[start + pixel]!]!;
  const term = (p: number): number => (p > 0 ? -p * Math.log(p) : 0);
  return sums.reduce((total, sum) => {
    const mean = sum / (255 * count);
    return total + term(mean) + term(1 - mean);
  }, 0);
}

/** SHA-256 of the images and labels as split, with their numbers and size. */
function dataHash(splits: Record<ImageSplit, Part>, height: number, width: number): string {
  const hash = createHash("sha256");
  for (const split of ["train", "dev", "test"] as const) {
    const { images, labels, count } = splits[split];
    hash
      .update(JSON.stringify([split, count, height, width]))
      .update(images)
      .update(labels);
  }
  return hash.digest("hex");
}
