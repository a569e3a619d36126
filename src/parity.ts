// How far the engines of this machine agree, for `fathom doctor` and docs/engines.md: every operation against float64, small
// networks trained side by side, and what a step costs.
import { loadavg } from "node:os";
import type { Engine } from "./engine/engine.ts";
import { operations } from "./engine/operations.ts";
import { compareOperation, type OperationParity } from "./engine/twin.ts";
import { createEngine, type EngineChoice, engineText } from "./engine/select.ts";
import { gan } from "./models/gan.ts";
import { transformer } from "./models/transformer.ts";
import { vae } from "./models/vae.ts";
import { stream } from "./random.ts";
import type { Player } from "./stage.ts";
import { median } from "./statistics.ts";
import { translationBatch } from "./synthetic.ts";
import { initialize } from "./train/initialize.ts";
import { createOptimizer } from "./train/optimizers.ts";
import { type Training, trainStep } from "./train/trainer.ts";
import type { Batch, Dataset, HostTensor } from "./types.ts";

/** The engines of these names, each made with one thread: `onnx`, `onnx on webgpu`. */
export async function makeEngines(choices: readonly EngineChoice[]): Promise<Map<string, Engine>> {
  const made = new Map<string, Engine>();
  for (const choice of choices) made.set(engineText(choice), await createEngine(choice, { threads: 1 }));
  return made;
}

/** What each engine makes of every operation. `onEngine` hears of each before it is tried. */
export async function compareOperations(
  working: ReadonlyMap<string, Engine>,
  onEngine: (name: string) => void = () => {},
): Promise<Map<string, OperationParity[]>> {
  const found = new Map<string, OperationParity[]>();
  for (const [name, engine] of working) {
    onEngine(name);
    const parities: OperationParity[] = [];
    for (const operation of operations) parities.push(await compareOperation(operation, engine));
    found.set(name, parities);
  }
  return found;
}

/** A network that is trained by every engine. */
export interface Network {
  readonly name: string;
  readonly players: readonly Player[];
  readonly batchAt: (step: number) => Batch;
}

const [sentences, length, vocabulary] = [4, 8, 50];
const [rows, side] = [8, 6];
/** Batches that are different; then they come again. */
const batches = 16;

/** Rows of a batch. */
function rowsOf({ tensors }: Batch, first: number, count: number): Batch {
  const part = ({ dtype, shape: [, ...rest], data }: HostTensor): HostTensor => {
    const width = rest.reduce((product, d) => product * d, 1);
    return { dtype, shape: [count, ...rest], data: data.slice(first * width, (first + count) * width) };
  };
  const parts = Object.entries(tensors).map(([name, tensor]) => [name, part(tensor)] as const);
  return { tensors: Object.fromEntries(parts), tokens: count };
}

/** A pre-LN transformer of these sizes, with what training usually has: dropout and label smoothing. */
const preLn = (sizes: {
  readonly depth: number;
  readonly width: number;
  readonly feedForward: number;
  readonly vocabulary: number;
}): Player[] =>
  transformer({
    ...sizes,
    depth: { encoder: sizes.depth, decoder: sizes.depth },
    heads: 4,
    residual: "pre-ln",
    norm: "layer-norm",
    activation: "relu",
    dropout: 0.1,
    tiedEmbeddings: "none",
    labelSmoothing: 0.1,
  });

/** A pre-LN transformer, a VAE and a GAN of a few thousand parameters, on random data. */
export function smallNetworks(): Network[] {
  const text = translationBatch(batches * sentences, length, vocabulary);
  const pixels = Float32Array.from(
    stream(1, "parity images").uniform(new Float32Array(batches * rows * side * side)),
    (u, i) => Number(u < 0.2 + 0.6 * Number(i % 3 === 0)),
  );
  const images: Batch = {
    tensors: { images: { dtype: "float32", shape: [batches * rows, side * side], data: pixels } },
    tokens: batches * rows,
  };
  const of = (batch: Batch, count: number) => (step: number) => rowsOf(batch, (step % batches) * count, count);
  const plain = (hidden: readonly number[]) => ({ hidden, activation: "tanh", dropout: 0 }) as const;
  return [
    {
      name: "pre-LN transformer",
      players: preLn({ depth: 2, width: 16, feedForward: 32, vocabulary }),
      batchAt: of(text, sentences),
    },
    {
      name: "VAE",
      players: vae({
        latent: 3,
        pixels: side * side,
        encoder: plain([24, 16]),
        decoder: plain([16, 24]),
        binarized: true,
        objective: "elbo",
        samples: 1,
        beta: 1,
        klWarmupSteps: 0,
        freeBits: 0,
      }).players,
      batchAt: of(images, rows),
    },
    {
      name: "GAN",
      players: gan({
        loss: "non-saturating",
        latent: 3,
        height: side,
        width: side,
        net: { generator: plain([16, 24]), discriminator: plain([24, 16]) },
        spectralNorm: false,
        pixels: "unit",
        instanceNoise: 0,
        discriminatorUpdates: 1,
      }).players,
      batchAt: of(images, rows),
    },
  ];
}

/** A pre-LN transformer of `depth` encoder and decoder layers of width 64, on 32 sentences of 32 random tokens out of 4,000: of the
 *  size of a real experiment, to be timed. */
export function translationNetwork(depth: number): Network {
  const [rows, tokens, vocabulary] = [32, 32, 4000];
  const batch = translationBatch(rows, tokens, vocabulary);
  return {
    name: `${depth} + ${depth} layers of width 64`,
    players: preLn({ depth, width: 64, feedForward: 256, vocabulary }),
    batchAt: () => batch,
  };
}

/** A network under training on an engine: gives the losses of the players at every step. */
function trainer(
  { players, batchAt }: Network,
  engine: Engine,
  isNudged: boolean,
): (step: number) => Promise<number[]> {
  const adam = { kind: "adam", learningRate: 0.002, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
  const parameters = initialize(players, 1);
  for (const [path, { data }] of parameters) {
    if (!isNudged) continue;
    const bits = new Int32Array(data.buffer, data.byteOffset, data.length);
    const signs = stream(1, `nudge/${path}`).normal(new Float64Array(data.length));
    // The next number up or down in size; what is 0, as biases are, becomes the smallest there is.
    data.forEach((x, i) => (bits[i] = x === 0 ? 1 : bits[i]! + Math.sign(signs[i]!)));
  }
  const training: Training = {
    players,
    parameters,
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(adam)])),
    engine,
    dataset: { batchAt } as Dataset,
    seed: 1,
    steps: Infinity,
    learningRate: () => adam.learningRate,
    clipNorm: null,
    probes: [],
    isProbed: () => false,
    evaluateEverySteps: Infinity,
    checkpointEverySteps: Infinity,
  };
  return async (step) => (await trainStep(training, step)).outcomes.map(({ scalars }) => scalars["loss"]!);
}

/** How one engine trains a network beside the first, which is `cpu` where it is among them. */
export interface EngineTraining {
  /** `nudged cpu` is that first engine from parameters each of which is moved by one unit in its last place: what rounding alone does. */
  readonly engine: string;
  /** Largest |loss / loss of the first - 1| of the players in the steps up to each of `steps`. */
  readonly differences: readonly number[];
  /** Median over the steps after the first three. */
  readonly milliseconds: number;
}

/** How a network trains on all engines, step by step in turns, so that what slows the machine slows all. */
export interface NetworkTraining {
  readonly network: string;
  /** Steps that are compared, counted from 1. */
  readonly steps: readonly number[];
  readonly engines: readonly EngineTraining[];
  /** Load of the machine before, over the last minute: 1 for one busy core. */
  readonly load: number;
}

const nudged = (engine: string): string => `nudged ${engine}`;

/** Trains each network for as many steps as the last of `steps` on every engine, and once more on the first, nudged, where that
 *  is asked for. `onNetwork` hears of each before. */
export async function compareTraining(
  working: ReadonlyMap<string, Engine>,
  networks: readonly Network[],
  {
    steps,
    withNudged = false,
    onNetwork = () => {},
  }: {
    readonly steps: readonly number[];
    readonly withNudged?: boolean;
    readonly onNetwork?: (name: string) => void;
  },
): Promise<NetworkTraining[]> {
  const found: NetworkTraining[] = [];
  const last = steps.at(-1)!;
  const [reference, made] = [...working][0]!;
  for (const network of networks) {
    onNetwork(network.name);
    const load = loadavg()[0]!;
    const again = withNudged ? [[nudged(reference), made] as const] : [];
    const sides = [...working, ...again].map(([engine, made]) => ({
      engine,
      step: trainer(network, made, engine === nudged(reference)),
      milliseconds: [] as number[],
      differences: [] as number[],
      largest: 0,
    }));
    for (let step = 0; step < last; step++) {
      const losses = new Map<string, number[]>();
      for (const { engine, step: take, milliseconds } of sides) {
        const began = performance.now();
        losses.set(engine, await take(step));
        milliseconds.push(performance.now() - began);
      }
      const wanted = losses.get(reference)!;
      for (const side of sides) {
        const apart = losses.get(side.engine)!.map((loss, i) => relativeDifference(loss, wanted[i]!));
        side.largest = Math.max(side.largest, ...apart);
        if (steps.includes(step + 1)) side.differences.push(side.largest);
      }
    }
    const trained = sides.map(({ engine, differences, milliseconds }) => ({
      engine,
      differences,
      milliseconds: median(milliseconds.slice(Math.min(3, milliseconds.length - 1))),
    }));
    found.push({ network: network.name, steps, engines: trained, load });
  }
  return found;
}

/** |a / b - 1|; Infinity where one is no number. */
function relativeDifference(a: number, b: number): number {
  const difference = Math.abs(a / b - 1);
  return Number.isNaN(difference) ? Infinity : difference;
}

/** The largest error of an engine over all operations, and where it is: `layerNormalization, a constant row`. */
export function worst(
  parities: readonly OperationParity[],
  which: "forward" | "gradient",
): { error: number; where: string } {
  let found = { error: 0, where: "" };
  for (const parity of parities) {
    const { error, case: what } = parity[which];
    if (error > found.error) found = { error, where: `${parity.operation}, ${what}` };
  }
  return found;
}

/** Above this an error is none of rounding any more, whatever the operation and its numbers, and no difference between losses of a
 *  few steps of small networks. */
export const wrong = 1e-3;

/** What is wrong with an engine; nothing where it differs by rounding alone, and computes every operation in one case at least. */
export function faultsOf(
  engine: string,
  parities: readonly OperationParity[],
  trainings: readonly NetworkTraining[],
): string[] {
  const [forward, gradient] = [worst(parities, "forward"), worst(parities, "gradient")];
  const none = parities.filter((parity) => parity.forward.case === "");
  const apart = trainings.filter(({ engines }) =>
    engines.some((trained) => trained.engine === engine && Math.max(...trained.differences) > wrong),
  );
  return [
    ...(forward.error > wrong ? [`${forward.where} is wrong by ${forward.error.toExponential(1)}`] : []),
    ...(gradient.error > wrong
      ? [`the gradient of ${gradient.where} is wrong by ${gradient.error.toExponential(1)}`]
      : []),
    ...none.slice(0, 3).map(({ operation, refused }) => `it computes no ${operation} (${refused[0]?.reason})`),
    ...(none.length > 3 ? [`nor ${none.length - 3} other operations`] : []),
    ...apart.map(({ network }) => `losses of the ${network} are other ones than those of cpu`),
  ];
}

/** Time of a step in parts of onnx's; NaN without a training. */
export function speedRatio(training: NetworkTraining | undefined, engine: string): number {
  const of = (name: string): number => training!.engines.find((trained) => trained.engine === name)!.milliseconds;
  return training ? of(engine) / of("onnx") : NaN;
}
