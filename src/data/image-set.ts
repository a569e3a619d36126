// A set of labelled images, divided into training and test as its makers did, in memory as bytes. On disk it is the four
// IDX files of MNIST, whose names other sets have taken over.

import { existsSync } from "node:fs";
import path from "node:path";
import { UserError } from "../errors.ts";
import type { Member } from "../registry.ts";
import { sha256 } from "./cache.ts";
import { formatIdx, parseIdx, readIdx, type IdxArray } from "./idx.ts";

/** Images of one part of a set, and what they show. */
export interface LabelledImages {
  /** Grey values [n, height, width], row-major: 0 is empty, 255 full ink. */
  readonly images: Uint8Array;
  /** Classes [n], from 0. */
  readonly labels: Uint8Array;
}

/** Images of one size. */
export interface ImageSet {
  /** As it was asked for: a name of the registry, or a folder. */
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly train: LabelledImages;
  readonly test: LabelledImages;
}

/** A member of the registry of image sets. */
export interface ImageSetSource extends Member {
  /** What the set is made of: package and version. */
  readonly version: string;
  load(): Promise<ImageSet>;
}

/** The files of a set by role: the stem of the name, and the dimensions of what is in it. */
const FILES = {
  trainImages: { stem: "train-images", rank: 3 },
  trainLabels: { stem: "train-labels", rank: 1 },
  testImages: { stem: "t10k-images", rank: 3 },
  testLabels: { stem: "t10k-labels", rank: 1 },
} as const;
type Role = keyof typeof FILES;
const ROLES = Object.keys(FILES) as Role[];

/** The four files of a set, by name: `train-images-idx3-ubyte` ... */
export const IDX_NAMES: Readonly<Record<Role, string>> = byRole(({ stem, rank }) => `${stem}-idx${rank}-ubyte`);

/** SHA-256 of the four files, each with its header and not packed. */
export type SetHashes = Readonly<Record<Role, string>>;

function byRole<T>(make: (file: (typeof FILES)[Role], role: Role) => T): Record<Role, T> {
  return Object.fromEntries(ROLES.map((role) => [role, make(FILES[role], role)])) as Record<Role, T>;
}

/** Reads the set in a folder: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
 *  `t10k-labels-idx1-ubyte`; a dot in place of the second hyphen and `.gz` at the end are accepted. A missing or
 *  malformed file is a `UserError`, and so is one that does not fit `hashes`, where they are given. */
export async function readImageFolder(name: string, folder: string, hashes?: SetHashes): Promise<ImageSet> {
  const files = byRole(({ stem, rank }) => findFile(folder, stem, rank));
  const read = await Promise.all(ROLES.map((role) => readIdx(files[role], FILES[role].rank)));
  const arrays = byRole((_, role) => read[ROLES.indexOf(role)]!);
  if (hashes) for (const role of ROLES) checkHash(files[role], arrays[role], hashes[role]);
  return assemble(name, arrays, files);
}

/** The set in the bytes of its four files. */
export function parseImageSet(name: string, bytes: Readonly<Record<Role, Uint8Array>>): ImageSet {
  const arrays = byRole(({ rank }, role) => parseIdx(bytes[role], rank, IDX_NAMES[role]));
  return assemble(name, arrays, IDX_NAMES);
}

/** The bytes of the four files that hold a set. */
export function formatImageSet({ height, width, train, test }: ImageSet): Record<Role, Uint8Array> {
  const images = ({ images, labels }: LabelledImages): Uint8Array =>
    formatIdx({ shape: [labels.length, height, width], data: images });
  const labels = ({ labels }: LabelledImages): Uint8Array => formatIdx({ shape: [labels.length], data: labels });
  return { trainImages: images(train), trainLabels: labels(train), testImages: images(test), testLabels: labels(test) };
}

function findFile(folder: string, stem: string, rank: number): string {
  const names = ["-", "."].flatMap((mark) => ["", ".gz"].map((end) => `${stem}${mark}idx${rank}-ubyte${end}`));
  const found = names.map((name) => path.join(folder, name)).find((file) => existsSync(file));
  if (found) return found;
  throw new UserError(`${folder}: expected one of the files ${names.join(", ")}, got none of them; put it there`);
}

function checkHash(file: string, array: IdxArray, expected: string): void {
  const found = sha256(formatIdx(array));
  if (found !== expected)
    throw new UserError(
      `${file}: expected the file as it was published (SHA-256 ${expected}), got ${found} (damaged or changed); ` +
        `fetch or install it again`,
    );
}

/** The set whose parts fit together, else a `UserError` that names the files. */
function assemble(
  name: string,
  { trainImages, trainLabels, testImages, testLabels }: Readonly<Record<Role, IdxArray>>,
  files: Readonly<Record<Role, string>>,
): ImageSet {
  const [, height = 0, width = 0] = trainImages.shape;
  if (height === 0 || width === 0 || trainImages.shape[0] === 0)
    throw new UserError(`${files.trainImages}: expected images, got ${trainImages.shape.join(" x ")} of them`);
  const [testCount, ...testSize] = testImages.shape;
  if (testCount === 0 || testSize.join() !== [height, width].join())
    throw new UserError(
      `${files.testImages}: expected images of ${height} x ${width} as in ${files.trainImages}, ` +
        `got ${testImages.shape.join(" x ")}; both files must be of one set`,
    );
  for (const [role, labels, images] of [
    ["trainLabels", trainLabels, trainImages],
    ["testLabels", testLabels, testImages],
  ] as const)
    if (labels.shape[0] !== images.shape[0])
      throw new UserError(
        `${files[role]}: expected a label for each of ${images.shape[0]} images, got ${labels.shape[0]}; ` +
          `images and labels must be of one set`,
      );
  return {
    name,
    height,
    width,
    train: { images: trainImages.data, labels: trainLabels.data },
    test: { images: testImages.data, labels: testLabels.data },
  };
}
