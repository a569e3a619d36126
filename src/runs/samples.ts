// The pictures a run of images leaves in its folder `samples/`: grids of small grey images as PNG files that say themselves
// what they show, so that one file is whole or not there. The only writer and reader of them.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { parse } from "csv-parse/sync";
import { decode, encode } from "fast-png";
import { z } from "zod";
import { makeFolders } from "../folders.ts";
import { isFile, writeWhole } from "./files.ts";

const kinds = ["generated", "reconstructions", "traversal", "manifold"] as const;

const factsSchema = z.object({
  kind: z.enum(kinds),
  step: z.int().min(0),
  epoch: z.number().min(0),
  rows: z.int().min(1).max(10_000),
  columns: z.int().min(1).max(10_000),
  height: z.int().min(1).max(65_536),
  width: z.int().min(1).max(65_536),
  dimensions: z.array(z.int().min(0)).optional(),
  range: z.tuple([z.number(), z.number()]).optional(),
});

/** What a picture says of itself. */
export interface SampleFacts {
  /** `generated`: images of fixed latent variables. `reconstructions`: rows of images, each above a row of what the model
   *  makes of them. `traversal`: a row a latent dimension, which grows to the right. `manifold`: two latent dimensions, the
   *  first to the right, the second up. */
  readonly kind: (typeof kinds)[number];
  /** Updates done. */
  readonly step: number;
  /** Passes over the training images that these are. */
  readonly epoch: number;
  /** Images down and across. */
  readonly rows: number;
  readonly columns: number;
  /** Size of one image, pixels. */
  readonly height: number;
  readonly width: number;
  /** Of `traversal`: the dimension of each row, from 0. */
  readonly dimensions?: readonly number[] | undefined;
  /** Of `traversal` and `manifold`: the first and the last value of a dimension. */
  readonly range?: readonly [low: number, high: number] | undefined;
}

/** Images that stand in a grid, row by row. */
export interface Grid extends SampleFacts {
  /** Grey values [N, height * width] in [0, 1], N <= rows * columns: the last places may be empty. */
  readonly images: Float32Array;
}

/** A grid as it is kept. */
export interface SamplePicture extends SampleFacts {
  readonly png: Uint8Array;
}

/** Means of q(z|x) for a latent variable of two dimensions, image by image. */
export interface LatentPoint {
  readonly x: number;
  readonly y: number;
  readonly label: string;
}

/** Pixels between the images of a grid and around them, and their grey. */
export const GAP = 2;
const GAP_GREY = 0x70;

const folderOf = (runDir: string): string => join(runDir, "samples");
const latentFile = "latent.csv";

/** `generated-step-00000600.png`; of the other kinds there is one, that of the end: `traversal.png`. */
export const sampleName = ({ kind, step }: Pick<SampleFacts, "kind" | "step">): string =>
  kind === "generated" ? `${kind}-step-${String(step).padStart(8, "0")}.png` : `${kind}.png`;

/** Where a run's file of samples lies. */
export const sampleFile = (runDir: string, name: string): string => join(folderOf(runDir), name);

/** A grid as PNG bytes, 8-bit grey: 0 black, 1 white, what is no number black. The same grid gives the same bytes. */
export function gridPng({ images, ...facts }: Grid): Uint8Array {
  const { rows, columns, height, width } = facts;
  const size = { width: columns * (width + GAP) + GAP, height: rows * (height + GAP) + GAP };
  const data = new Uint8Array(size.width * size.height).fill(GAP_GREY);
  const count = images.length / (height * width);
  for (let i = 0; i < count; i++) {
    const top = GAP + Math.floor(i / columns) * (height + GAP);
    const left = GAP + (i % columns) * (width + GAP);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const value = images[(i * height + y) * width + x]!;
        data[(top + y) * size.width + left + x] = value >= 0 ? Math.round(255 * Math.min(1, value)) : 0;
      }
  }
  return encode({ ...size, data, depth: 8, channels: 1, text: { Software: "fathom", Comment: JSON.stringify(facts) } });
}

/** Writes files into a run's `samples/`, each aside and renamed. */
export function writeSamples(runDir: string, files: ReadonlyMap<string, Uint8Array | string>): void {
  if (files.size === 0) return;
  makeFolders(folderOf(runDir));
  for (const [name, contents] of files) writeWhole(sampleFile(runDir, name), contents);
}

/** The means of q(z|x) as the text of `latent.csv`. */
export const latentCsv = (points: readonly LatentPoint[]): string =>
  [
    "mean_1,mean_2,label",
    ...points.map(({ x, y, label }) => `${x.toPrecision(6)},${y.toPrecision(6)},${label}`),
    "",
  ].join("\n");

/** Bytes beyond which a file is none of ours. */
const largest = 1 << 28;
/** The same of `latent.csv`: a line is about 30 bytes. */
const largestTable = 1 << 26;

/** The pictures a run has left, by kind and step. What is not a picture of ours is passed over. */
export function readSamples(runDir: string): SamplePicture[] {
  const pattern = new RegExp(`^(${kinds.join("|")})(-step-\\d{8})?\\.png$`);
  return list(folderOf(runDir))
    .filter((name) => pattern.test(name))
    .sort()
    .flatMap((name) => readSample(sampleFile(runDir, name)) ?? []);
}

/** A picture with at most `rows` and `columns` of its images, those at its upper left; of a traversal or a manifold all, whose
 *  ends must be seen. */
export function cropped(
  picture: SamplePicture,
  most: { readonly rows: number; readonly columns: number },
): SamplePicture {
  const rows = Math.min(picture.rows, most.rows);
  const columns = Math.min(picture.columns, most.columns);
  if (rows === picture.rows && columns === picture.columns) return picture;
  const whole = decode(picture.png);
  const size = { width: columns * (picture.width + GAP) + GAP, height: rows * (picture.height + GAP) + GAP };
  const data = new Uint8Array(size.width * size.height);
  for (let y = 0; y < size.height; y++)
    data.set(whole.data.subarray(y * whole.width, y * whole.width + size.width), y * size.width);
  return { ...picture, rows, columns, png: encode({ ...size, data, depth: 8, channels: 1 }) };
}

/** The means of q(z|x) a run has left; none where there are no such. */
export function readLatent(runDir: string): LatentPoint[] {
  const file = sampleFile(runDir, latentFile);
  if (!isFile(file) || statSync(file).size > largestTable) return [];
  let rows: Record<string, string>[];
  try {
    rows = parse(readFileSync(file), { columns: true, relax_column_count: true });
  } catch {
    return []; // torn or foreign
  }
  return rows
    .map((row) => ({ x: Number(row["mean_1"]), y: Number(row["mean_2"]), label: row["label"] ?? "" }))
    .filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));
}

function readSample(file: string): SamplePicture | undefined {
  try {
    if (!isFile(file) || statSync(file).size > largest) return undefined;
    const png = readFileSync(file);
    if (!isBounded(png)) return undefined;
    const { text, width, height, depth, channels } = decode(png);
    const facts = factsSchema.parse(JSON.parse(text["Comment"] ?? ""));
    const fits =
      width === facts.columns * (facts.width + GAP) + GAP && height === facts.rows * (facts.height + GAP) + GAP;
    return fits && depth === 8 && channels === 1 ? { ...facts, png } : undefined;
  } catch {
    return undefined; // torn or foreign
  }
}

/** Whether a PNG is 8-bit grey, not too large, and unpacks to what its header says: a small file could unpack to a full memory. */
function isBounded(png: Buffer): boolean {
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const size = height * (width + 1); // each row begins with its filter
  if (png.readUInt8(24) !== 8 || png.readUInt8(25) !== 0 || size > largest) return false;
  const packed: Buffer[] = [];
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const type = png.toString("latin1", at + 4, at + 8);
    if (!["IHDR", "IDAT", "tEXt", "IEND"].includes(type)) return false; // others may be packed as well
    if (type === "IDAT") packed.push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  return inflateSync(Buffer.concat(packed), { maxOutputLength: size }).length === size;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
