// What `fathom bench` measures. Work runs in child processes, one at a time; fathom and its peer take turns, so that a
// machine that slows down slows both.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { loadData } from "./build.ts";
import { loadRun } from "./config/load.ts";
import { loadRegistries } from "./config/registries.ts";
import { isKind, type RunConfig } from "./config/schema.ts";
import { loadImageSet } from "./data/images.ts";
import { EOS } from "./data/vocabulary.ts";
import { translate, translateFully } from "./decode.ts";
import { createEngine } from "./engine/select.ts";
import { assert, UserError } from "./errors.ts";
import { decoder } from "./models/decoding.ts";
import { transformer, type TransformerOptions } from "./models/transformer.ts";
import { presets } from "./probes/presets.ts";
import { stream } from "./random.ts";
import { prepare, recordingProbes } from "./prepare.ts";
import { openRecorder } from "./runs/events.ts";
import { extent, median } from "./statistics.ts";
import { translationBatch } from "./synthetic.ts";
import { initialize } from "./train/initialize.ts";
import { createOptimizer } from "./train/optimizers.ts";
import { playerStep, startOf, type Training, trainStep } from "./train/trainer.ts";
import type { Dataset } from "./types.ts";

/** A network to time: encoder and decoder layers each, and width; 4 heads, feed-forward 4 x width, pre-LN. */
export interface Shape {
  readonly depth: number;
  readonly width: number;
}

/** What `bench step` times if not told otherwise: four narrow networks, and one twice as wide where products dominate. */
export const stepShapes: readonly Shape[] = [
  { depth: 2, width: 64 },
  { depth: 6, width: 64 },
  { depth: 24, width: 64 },
  { depth: 24, width: 32 },
  { depth: 6, width: 128 },
];
/** What `bench depth` times. */
export const depthShapes: readonly Shape[] = [6, 50, 100, 200].map((depth) => ({ depth, width: 64 }));

const [batchSize, length, vocabulary] = [32, 32, 4000];

/** What a child process measured. */
export interface Timing {
  /** One number a step, after three steps of warm-up (one for `bench depth`). */
  readonly milliseconds: readonly number[];
  /** Recording, encoding and loading of all stages. */
  readonly compileMilliseconds: number;
  /** The first step whole: compiling, laying out and first touching the memory. */
  readonly firstStepMilliseconds: number;
  readonly parameters: number;
  /** Largest resident memory of the process so far, bytes. */
  readonly peakMemory: number;
}

/** Times training steps of this process: forward, backward, the default probes written to a file, Adam. */
export async function timeSteps(shape: Shape, threads: number, steps: number, warmup: number): Promise<Timing> {
  const { training, step, close } = await stepper(shape, threads, light.record);
  try {
    const milliseconds: number[] = [];
    for (let i = 0; i < 1 + warmup + steps; i++) milliseconds.push(await step(light.record));
    return {
      milliseconds: milliseconds.slice(1 + warmup),
      compileMilliseconds: Number(training.engine.facts()["compileMilliseconds"]),
      firstStepMilliseconds: milliseconds[0]!,
      parameters: countParameters(training),
      peakMemory: process.resourceUsage().maxRSS * 1024,
    };
  } finally {
    await close();
  }
}

/** What the probes of each preset cost in one process: milliseconds of a step without probes, and how much longer a step takes
 *  with them, as a ratio. All take turns, in another order every round, so that what slows the machine for a while slows all,
 *  and each step is compared with that without probes of its own round. A turn is two steps, of which the second counts: the
 *  first finds in the caches what another preset has left there, as no step of a real run does. */
export async function timeProbes(
  shape: Shape,
  threads: number,
  rounds: number,
  warmup: number,
): Promise<{ milliseconds: number[]; ratios: Record<string, number[]> }> {
  const { step, close } = await stepper(shape, threads, full.record);
  try {
    const sets = [{ name: "none", record: [] as readonly string[] }, ...presets];
    const milliseconds: number[] = [];
    const ratios: Record<string, number[]> = Object.fromEntries(presets.map(({ name }) => [name, []]));
    const order = stream(1, "order");
    for (let round = 0; round < warmup + rounds; round++) {
      const took = new Map<string, number>();
      for (const i of order.permutation(sets.length, round)) {
        const { name, record } = sets[i]!;
        await step(record);
        took.set(name, await step(record));
      }
      if (round < warmup) continue;
      const without = took.get("none")!;
      milliseconds.push(without);
      for (const { name } of presets) ratios[name]!.push(took.get(name)! / without);
    }
    return { milliseconds, ratios };
  } finally {
    await close();
  }
}

const networkOf = ({ depth, width }: Shape): TransformerOptions => ({
  depth: { encoder: depth, decoder: depth },
  width,
  heads: 4,
  feedForward: 4 * width,
  residual: "pre-ln",
  norm: "layer-norm",
  activation: "relu",
  dropout: 0,
  tiedEmbeddings: "none",
  vocabulary,
  labelSmoothing: 0,
});

/** What `bench decode` times if not told otherwise. */
export const decodingShapes: readonly Shape[] = [{ depth: 6, width: 64 }];
const decodingWork = [1, 16].flatMap((sentences) => [1, 4].map((beam) => ({ sentences, beam })));
/** Rounds before those that are timed: the first compiles, and JavaScript is compiled by use. */
const decodingWarmup = 3;
/** Tokens of every translation, and of every source, that `bench decode` times. */
export const decodedTokens = { source: 32, target: 64 } as const;

/** One line of `bench decode`. */
export interface DecodingComparison extends Shape {
  /** Translated at once. */
  readonly sentences: number;
  readonly beam: number;
  /** Milliseconds of all of them, with keys and values kept. */
  readonly incremental: Range;
  /** The same by running the whole network on the whole prefix for every token. */
  readonly full: Range;
  /** full / incremental, round by round. */
  readonly ratio: Range;
}

/** Times decoding of random sources with a random network whose translations never end, both ways in turns, after some of each
 *  that are not timed. */
export async function compareDecoding(shape: Shape, threads: number, rounds: number): Promise<DecodingComparison[]> {
  const options = networkOf(shape);
  const parameters = initialize(transformer(options), 1);
  parameters.get("output/projection/bias")!.data[EOS] = -1e4;
  const engine = await createEngine("onnx", { threads });
  const translator = { engine, parameters, decoder: decoder(options) };
  const lines: DecodingComparison[] = [];
  try {
    for (const { sentences, beam } of decodingWork) {
      const draws = stream(1, "sources").uniform(new Float64Array(sentences * decodedTokens.source));
      const ids = Array.from(draws, (draw) => EOS + 1 + Math.floor(draw * (vocabulary - EOS - 1)));
      const sources = Array.from({ length: sentences }, (_, i) =>
        ids.slice(i * decodedTokens.source, (i + 1) * decodedTokens.source),
      );
      const search = { beam, maxLength: decodedTokens.target, lengthPenalty: 0, rows: sentences * beam };
      const timed = async (decode: typeof translate): Promise<number> => {
        const began = performance.now();
        const found = await decode(translator, sources, search);
        const took = performance.now() - began;
        assert(
          found.every(([best]) => best?.ids.length === decodedTokens.target),
          `translations have ${decodedTokens.target} tokens`,
        );
        return took;
      };
      const times: [incremental: number, full: number][] = [];
      for (let round = -decodingWarmup; round < rounds; round++) {
        const pair: [number, number] = [await timed(translate), await timed(translateFully)];
        if (round >= 0) times.push(pair);
      }
      lines.push({
        ...shape,
        sentences,
        beam,
        incremental: rangeOf(times.map(([incremental]) => incremental)),
        full: rangeOf(times.map(([, full]) => full)),
        ratio: rangeOf(times.map(([incremental, full]) => full / incremental)),
      });
    }
  } finally {
    await engine.dispose();
  }
  return lines;
}

const light = presets[0]!;
const full = presets.at(-1)!;

/** A network in training on one batch, and a function that takes a step with some of the probes `names`, writes what they say to
 *  a file, and gives the milliseconds that took. */
async function stepper(shape: Shape, threads: number, names: readonly string[]) {
  const players = transformer(networkOf(shape));
  const adam = { kind: "adam", learningRate: 0.001, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
  const batch = translationBatch(batchSize, length, vocabulary);
  const dataset: Pick<Dataset, "batchAt" | "evaluation"> = {
    batchAt: () => batch,
    evaluation: { dev: [batch], test: [] },
  };
  const bare: Training = {
    players,
    parameters: initialize(players, 1),
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(adam)])),
    engine: await createEngine("onnx", { threads }),
    dataset: dataset as Dataset,
    seed: 1,
    steps: 1,
    learningRate: () => adam.learningRate,
    clipNorm: null,
    probes: [],
    batches: 4, // as where a config does not say
    isProbed: () => true,
    evaluateEverySteps: Infinity,
    checkpointEverySteps: Infinity,
  };
  const training = { ...bare, start: await startOf({ ...bare, probes: recordingProbes(names) }) };
  const folder = mkdtempSync(join(tmpdir(), "fathom-bench-"));
  const recorder = openRecorder(folder);
  let taken = 0;
  return {
    training,
    async step(names: readonly string[]): Promise<number> {
      const began = performance.now();
      const probed = { ...training, probes: recordingProbes(names) };
      const { layers, readings } = await playerStep(probed, players[0]!, batch, taken);
      recorder.layers(taken, layers);
      recorder.readings(taken, readings);
      taken++;
      return performance.now() - began;
    },
    async close(): Promise<void> {
      recorder.close();
      rmSync(folder, { recursive: true, force: true });
      await training.engine.dispose();
    },
  };
}

/** Trainings of which `bench` times an epoch: the configuration, and the same in PyTorch. */
export const epochs = {
  "vae-epoch": { config: "vae-mnist.yaml", overrides: [], peer: "torch_vae.py" },
  "gan-epoch": { config: "gan-losses.yaml", overrides: ["model.loss=non-saturating"], peer: "torch_gan.py" },
} as const;
export type EpochName = keyof typeof epochs;

/** Steps before those that are timed, on either side: networks compiled, memory touched, caches filled. */
const epochWarmup = 20;

async function loadEpoch(what: EpochName, threads: number): Promise<RunConfig> {
  const file = fileURLToPath(new URL(`../configs/baselines/${epochs[what].config}`, import.meta.url));
  return loadRun(file, [...epochs[what].overrides, "engine=onnx", `threads=${threads}`], await loadRegistries()).config;
}

/** What a process measured of the steps of an epoch. */
export interface EpochTiming {
  /** One number a step. */
  readonly milliseconds: readonly number[];
  readonly parameters: number;
}

/** Times training steps of this process as the configuration says: batches drawn, every player's update, gradient norms at every
 *  step, and its probes at the steps it names, written to a file. Evaluations and checkpoints are left out. */
export async function timeEpoch(what: EpochName, threads: number, steps: number): Promise<EpochTiming> {
  const config = await loadEpoch(what, threads);
  const training = await prepare(config, await loadData(config));
  const folder = mkdtempSync(join(tmpdir(), "fathom-bench-"));
  const recorder = openRecorder(folder);
  try {
    const milliseconds: number[] = [];
    for (let step = 0; step < epochWarmup + steps; step++) {
      const began = performance.now();
      for (const { layers, readings } of (await trainStep(training, step)).outcomes) {
        recorder.layers(step, layers);
        recorder.readings(step, readings);
      }
      milliseconds.push(performance.now() - began);
    }
    return { milliseconds: milliseconds.slice(epochWarmup), parameters: countParameters(training) };
  } finally {
    recorder.close();
    rmSync(folder, { recursive: true, force: true });
    await training.engine.dispose();
  }
}

const countParameters = ({ parameters }: Pick<Training, "parameters">): number =>
  [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0);

/** One line of `bench vae-epoch` and `bench gan-epoch`. */
export interface EpochComparison {
  readonly what: EpochName;
  readonly parameters: number;
  /** Of an epoch, each of a batch. */
  readonly steps: number;
  /** Seconds an epoch: the mean of the timed steps of a round, times the steps of an epoch. */
  readonly fathom: Range;
  /** Absent where no PyTorch was found. */
  readonly torch?: Range;
  /** fathom / torch, round by round. */
  readonly ratio?: Range;
}

/** What a peer of an epoch is told, as JSON: a file of grey values 0-255, its images of so many pixels, and how the network is
 *  built and trained; `steps` are timed after `warmup`. */
interface Peer {
  readonly images: string;
  readonly pixels: number;
  readonly batch: number;
  readonly adam: {
    readonly learningRate: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly epsilon: number;
  };
  readonly threads: number;
  readonly warmup: number;
  readonly steps: number;
  readonly latent: number;
  /** Widths of the hidden layers: of a VAE's encoder, or of a GAN's two networks. */
  readonly hidden?: readonly number[] | undefined;
  readonly generator?: readonly number[] | undefined;
  readonly discriminator?: readonly number[] | undefined;
}

/** Compares an epoch with PyTorch: `rounds` times `steps` steps, fathom then PyTorch, each in a process of its own. */
export async function compareEpoch(
  what: EpochName,
  options: { threads: number; rounds: number; steps: number; python: string | undefined },
): Promise<EpochComparison> {
  const { threads, rounds, steps, python } = options;
  const config = await loadEpoch(what, threads);
  assert(!isKind(config, "transformer"), `${what}: a configuration with images`);
  const { set, facts, dataset } = (await loadData(config)).images!;
  const { stepsPerEpoch } = dataset;
  const folder = mkdtempSync(join(tmpdir(), "fathom-bench-"));
  try {
    const images = join(folder, "images");
    const { train } = await loadImageSet(config.data.images);
    const pixels = set.height * set.width;
    writeFileSync(images, train.images.subarray(0, facts.counts.train * pixels));
    const { optimizer, batch } = config.train;
    assert(optimizer.kind === "adam", `${what}: the peer has Adam`);
    const shared = { images, pixels, batch: batch.images, adam: optimizer, threads, warmup: epochWarmup, steps };
    const { latent } = config.model;
    const peer: Peer = isKind(config, "vae")
      ? { ...shared, latent, hidden: config.model.hidden }
      : {
          ...shared,
          latent,
          generator: config.model.generator.hidden,
          discriminator: config.model.discriminator.hidden,
        };
    const secondsOf = ({ milliseconds }: EpochTiming): number =>
      (milliseconds.reduce((sum, time) => sum + time, 0) / milliseconds.length / 1000) * stepsPerEpoch;
    const ours: number[] = [];
    const theirs: number[] = [];
    let parameters = 0;
    for (let round = 0; round < rounds; round++) {
      const timing = await timeEpochInChild(what, threads, steps);
      ours.push(secondsOf(timing));
      parameters = timing.parameters;
      if (!python) continue;
      const torch = await runPeer<EpochTiming>(python, epochs[what].peer, [JSON.stringify(peer)]);
      assert(torch.parameters === parameters, `${what}: ${parameters} parameters, in PyTorch ${torch.parameters}`);
      theirs.push(secondsOf(torch));
    }
    const line = { what, parameters, steps: stepsPerEpoch, fathom: rangeOf(ours) };
    if (!python) return line;
    return { ...line, torch: rangeOf(theirs), ratio: rangeOf(ours.map((time, i) => time / theirs[i]!)) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Median, lowest and highest of several measurements. */
export interface Range {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

function rangeOf(values: readonly number[]): Range {
  const [min, max] = extent(values);
  return { median: median(values), min, max };
}

/** One line of `bench step`. */
export interface StepComparison extends Shape {
  readonly parameters: number;
  /** Milliseconds a step: medians of the rounds. */
  readonly fathom: Range;
  /** Absent where no PyTorch was found. */
  readonly torch?: Range;
  /** fathom / torch, round by round. */
  readonly ratio?: Range;
}

/** What was compared with what, on which machine. */
export interface BenchConditions {
  readonly cpu: string;
  readonly cores: number;
  readonly threads: number;
  readonly rounds: number;
  /** One-minute load average before the first measurement. */
  readonly loadBefore: number;
  readonly torch: string | null;
}

export const conditions = (threads: number, rounds: number, torch: string | null): BenchConditions => ({
  cpu: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  threads,
  rounds,
  loadBefore: loadavg()[0]!,
  torch,
});

/** Compares one shape with PyTorch: `rounds` times, fathom then PyTorch, each in a process of its own. */
export async function compareStep(
  shape: Shape,
  options: { threads: number; rounds: number; steps: number; python: string | undefined },
): Promise<StepComparison> {
  const { threads, rounds, steps, python } = options;
  const ours: number[] = [];
  const theirs: number[] = [];
  let parameters = 0;
  for (let round = 0; round < rounds; round++) {
    const timing = await timeInChild(shape, threads, steps, 3);
    parameters = timing.parameters;
    ours.push(median(timing.milliseconds));
    if (python) theirs.push(median(await timeTorch(python, shape, threads, steps)));
  }
  const line = { ...shape, parameters, fathom: rangeOf(ours) };
  if (!python) return line;
  return { ...line, torch: rangeOf(theirs), ratio: rangeOf(ours.map((time, i) => time / theirs[i]!)) };
}

const run = promisify(execFile);

/** Runs {@link timeSteps} in a fresh process. */
export const timeInChild = (shape: Shape, threads: number, steps: number, warmup: number): Promise<Timing> =>
  runChild<Timing>(["--shape", `${shape.depth}x${shape.width}`, "--warmup", String(warmup)], threads, steps);

/** Runs {@link timeEpoch} in a fresh process. */
const timeEpochInChild = (what: EpochName, threads: number, steps: number): Promise<EpochTiming> =>
  runChild<EpochTiming>(["--epoch", what], threads, steps);

async function runChild<T>(args: readonly string[], threads: number, steps: number): Promise<T> {
  const script = fileURLToPath(new URL("../bin/fathom.js", import.meta.url));
  const counts = ["--threads", String(threads), "--steps", String(steps)];
  const { stdout } = await run(process.execPath, [script, "bench", "child", ...args, ...counts]);
  return JSON.parse(stdout) as T;
}

async function timeTorch(python: string, { depth, width }: Shape, threads: number, steps: number): Promise<number[]> {
  const args = [depth, width, threads, steps].map(String);
  return (await runPeer<{ milliseconds: number[] }>(python, "torch_step.py", args)).milliseconds;
}

/** What a program of scripts/peers prints. */
async function runPeer<T>(python: string, peer: string, args: readonly string[]): Promise<T> {
  const script = fileURLToPath(new URL(`../scripts/peers/${peer}`, import.meta.url));
  const { stdout } = await run(python, [script, ...args]);
  return JSON.parse(stdout) as T;
}

/** A Python that has PyTorch, and PyTorch's version: the one named, else python3 on the path, else Debian's. */
export async function findTorch(named: string | undefined): Promise<{ python: string; version: string } | undefined> {
  for (const python of named ? [named] : ["python3", "/usr/bin/python3"])
    try {
      const { stdout } = await run(python, ["-c", "import torch; print(torch.__version__)"]);
      return { python, version: stdout.trim() };
    } catch {
      if (named)
        throw new UserError(`--python: expected a Python with PyTorch, but "${named} -c 'import torch'" fails`);
    }
  return undefined;
}
