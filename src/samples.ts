// The pictures of a model of images: while it trains, as the run's `samples` ask, and of a trained run on demand.
import { resolve } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { isKind, type RunConfig } from "./config/schema.ts";
import { assert, UserError } from "./errors.ts";
import type { Subject } from "./evaluate.ts";
import { latentDimensions } from "./metrics/latent-units.ts";
import { outputOfRows } from "./metrics/view.ts";
import { batchesPerStep, openRun, stepOfEpoch } from "./prepare.ts";
import { stream } from "./random.ts";
import {
  type Grid,
  gridPng,
  latentCsv,
  type SampleFacts,
  sampleFile,
  sampleName,
  writeSamples,
} from "./runs/samples.ts";
import type { Player } from "./stage.ts";

/** A trained or training model of images; `players` are what it is trained as. */
export interface SampleSubject extends Subject {
  readonly players: readonly Player[];
}

/** What can be drawn on demand. */
export type SampleKind = Exclude<SampleFacts["kind"], "manifold">;

/** Images of `reconstructions` and those of dev that choose the dimensions of `traversal`, at most. */
const RECONSTRUCTED = 40;
const ENCODED = 1000;
/** Rows and columns of a traversal, and of a manifold; its values. */
const TRAVERSED = 10;
const STEPS = 11;
const MANIFOLD = 20;
const RANGE = [-3, 3] as const;

/** The files that a run leaves in `samples/` before step `step` of `steps`, by name: nothing unless an epoch of
 *  `samples.epochs` begins there or training is over. They are functions of the parameters, the seed and the data alone: the
 *  latent variables are the same at every step, and training draws from other streams. */
export async function samplesAt(
  subject: SampleSubject,
  { step, steps }: { readonly step: number; readonly steps: number },
): Promise<Map<string, Uint8Array | string>> {
  const files = new Map<string, Uint8Array | string>();
  const { config, views, players } = subject;
  if (isKind(config, "transformer")) return files;
  const { dataset } = subject.data;
  const due = config.samples.epochs.some((epoch) => stepOfEpoch(epoch, players, dataset) === step);
  if (!due && step !== steps) return files;
  const add = (grid: Grid): void => void files.set(sampleName(grid), gridPng(grid));
  add(await generated(subject, step, { images: config.samples.images, seed: config.seed }));
  if (step !== steps || !("reconstruct" in views)) return files;
  add(await reconstructions(subject, step, RECONSTRUCTED));
  add(await traversal(subject, step));
  if (config.model.latent !== 2) return files;
  add(await manifold(subject, step));
  files.set("latent.csv", latentCsv(await latentPoints(subject)));
  return files;
}

/** What `sampleRun` has drawn, and where it lies. */
export interface SampleResult {
  readonly runDir: string;
  readonly step: number;
  readonly kind: SampleKind;
  /** Images in the picture. */
  readonly images: number;
  readonly file: string;
}

/** Draws a picture of the run in `runDir` at its newest checkpoint, or at that of `step`, into `file`; where none is given,
 *  into the run's `samples/`. `UserError`s: no model of images, no such checkpoint, numbers out of bounds. */
export async function sampleRun(
  runDir: string,
  options: {
    readonly kind: SampleKind;
    /** Images to generate or reconstruct; 64, or 40, if not given. */
    readonly images?: number | undefined;
    readonly file?: string | undefined;
    readonly step?: number | undefined;
    /** Of the latent variables; the run's if not given. */
    readonly seed?: number | undefined;
    readonly signal: AbortSignal;
  },
): Promise<SampleResult> {
  const { kind, images, step: wanted } = options;
  if (kind === "traversal" && images !== undefined)
    throw new UserError(`-n: expected no number of images with --traverse, got ${images}: it draws a row a dimension`);
  checkWhole("-n", images, [1, 10_000]);
  checkWhole("--seed", options.seed, [0, Number.MAX_SAFE_INTEGER]);
  const subject = await openRun(runDir, { step: wanted, signal: options.signal });
  try {
    const { config, step, views } = subject;
    if (kind !== "generated" && !("encode" in views))
      throw new UserError(
        `${runDir}: expected a run with model.kind: vae, which has an encoder, got ${config.model.kind}; leave ` +
          `${kind === "traversal" ? "--traverse" : "--reconstruct"} out`,
      );
    const seed = options.seed ?? config.seed;
    const grid =
      kind === "generated"
        ? await generated(subject, step, { images: images ?? 64, seed })
        : kind === "reconstructions"
          ? await reconstructions(subject, step, images ?? RECONSTRUCTED)
          : await traversal(subject, step);
    const name = `sampled-${kind}-step-${step}${kind === "generated" ? `-seed-${seed}` : ""}.png`;
    const png = gridPng(grid);
    if (options.file === undefined) writeSamples(runDir, new Map([[name, png]]));
    else writeFile(options.file, png);
    const file = options.file === undefined ? sampleFile(runDir, name) : resolve(options.file);
    return { runDir, step, kind, images: grid.images.length / (grid.height * grid.width), file };
  } finally {
    await subject.dispose();
  }
}

function writeFile(file: string, bytes: Uint8Array): void {
  try {
    writeFileAtomic.sync(file, Buffer.from(bytes));
  } catch (error) {
    throw new UserError(
      `${file}: expected a file that can be written, in a folder that is there (${(error as Error).message})`,
    );
  }
}

function checkWhole(name: string, value: number | undefined, [low, high]: readonly [number, number]): void {
  if (value !== undefined && !(Number.isInteger(value) && value >= low && value <= high))
    throw new UserError(`${name}: expected a whole number from ${low} to ${high}, got ${value}`);
}

/** Facts that all pictures of a model share. */
function common(
  { data, players }: SampleSubject,
  step: number,
): Pick<SampleFacts, "step" | "epoch" | "height" | "width"> {
  assert(data.images, "a model of images has images");
  const { height, width } = data.images.set;
  return { step, epoch: (step * batchesPerStep(players)) / data.dataset.stepsPerEpoch, height, width };
}

const latentOf = (config: RunConfig): number => {
  assert(!isKind(config, "transformer"), "a model of images has a latent variable");
  return config.model.latent;
};

/** Images from latent variables z ~ N(0, I), in a grid about as wide as high. */
async function generated(
  subject: SampleSubject,
  step: number,
  { images, seed }: { readonly images: number; readonly seed: number },
): Promise<Grid> {
  const z = stream(seed, "samples").normal(new Float32Array(images * latentOf(subject.config)));
  const columns = Math.ceil(Math.sqrt(images));
  return {
    ...common(subject, step),
    kind: "generated",
    rows: Math.ceil(images / columns),
    columns,
    images: await outputOfRows(subject, subject.views["generate"]!, "latent", z, images),
  };
}

/** The first dev images as they are evaluated, and below each row of them what the decoder makes of the mean of q(z|x). */
async function reconstructions(subject: SampleSubject, step: number, most: number): Promise<Grid> {
  const { count, evaluated } = subject.data.images!.examples("dev", most);
  const made = await outputOfRows(subject, subject.views["reconstruct"]!, "images", evaluated, count);
  const columns = Math.min(10, count);
  const pairs = Math.ceil(count / columns);
  const size = evaluated.length / count;
  const row = columns * size;
  // The last row may be short, and what stands below it must begin on a row of its own: its rest stays black.
  const images = new Float32Array(2 * pairs * row);
  for (let pair = 0; pair < pairs; pair++) {
    images.set(evaluated.subarray(pair * row, (pair + 1) * row), 2 * pair * row);
    images.set(made.subarray(pair * row, (pair + 1) * row), (2 * pair + 1) * row);
  }
  return { ...common(subject, step), kind: "reconstructions", rows: 2 * pairs, columns, images };
}

/** A row for each of the most active latent dimensions: it goes from -3 to 3, the others stay at the mean of q(z|x) of the
 *  first dev image. */
async function traversal(subject: SampleSubject, step: number): Promise<Grid> {
  const latent = latentOf(subject.config);
  const { count, evaluated } = subject.data.images!.examples("dev", ENCODED);
  const moments = await outputOfRows(subject, subject.views["encode"]!, "images", evaluated, count);
  const all = latentDimensions(moments, { count, latent });
  const byVariance = [...all.keys()].sort((a, b) => all[b]!.variance - all[a]!.variance || a - b);
  const active = byVariance.filter((d) => all[d]!.active);
  const dimensions = (active.length > 0 ? active : byVariance).slice(0, TRAVERSED);
  const z = new Float32Array(dimensions.length * STEPS * latent);
  for (const [row, d] of dimensions.entries())
    for (let column = 0; column < STEPS; column++) {
      const at = (row * STEPS + column) * latent;
      z.set(moments.subarray(0, latent), at);
      z[at + d] = between(column, STEPS);
    }
  const images = await outputOfRows(subject, subject.views["generate"]!, "latent", z, dimensions.length * STEPS);
  return {
    ...common(subject, step),
    kind: "traversal",
    rows: dimensions.length,
    columns: STEPS,
    dimensions,
    range: RANGE,
    images,
  };
}

const between = (i: number, n: number): number => RANGE[0] + ((RANGE[1] - RANGE[0]) * i) / (n - 1);

/** Images of latent variables of two dimensions from -3 to 3: the first grows to the right, the second up. */
async function manifold(subject: SampleSubject, step: number): Promise<Grid> {
  const places = Array.from({ length: MANIFOLD ** 2 }, (_, i) => [i % MANIFOLD, Math.floor(i / MANIFOLD)] as const);
  const z = Float32Array.from(
    places.flatMap(([column, row]) => [between(column, MANIFOLD), between(MANIFOLD - 1 - row, MANIFOLD)]),
  );
  const images = await outputOfRows(subject, subject.views["generate"]!, "latent", z, places.length);
  return { ...common(subject, step), kind: "manifold", rows: MANIFOLD, columns: MANIFOLD, range: RANGE, images };
}

/** Means of q(z|x) of all test images, with their classes. */
async function latentPoints(subject: SampleSubject): Promise<{ x: number; y: number; label: string }[]> {
  const { count, evaluated, labels } = subject.data.images!.examples("test");
  const moments = await outputOfRows(subject, subject.views["encode"]!, "images", evaluated, count);
  return Array.from({ length: count }, (_, i) => ({
    x: moments[4 * i]!,
    y: moments[4 * i + 1]!,
    label: String(labels[i]),
  }));
}
