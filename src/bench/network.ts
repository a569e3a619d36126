// The network whose training steps are timed, and what a child process measures of it.

import type { EngineOptions } from "../engine/engine.ts";
import { createEngine } from "../engine/select.ts";
import { transformer, type TransformerOptions } from "../models/transformer.ts";
import { recordingProbes } from "../prepare.ts";
import { presets } from "../probes/presets.ts";
import { openRecorder } from "../runs/events.ts";
import { peakMemoryBytes } from "../runs/cost.ts";
import { translationBatch } from "../synthetic.ts";
import { initialize } from "../train/initialize.ts";
import { createOptimizer } from "../train/optimizers.ts";
import { playerStep, startOf, type Training } from "../train/trainer.ts";
import type { Dataset } from "../types.ts";
import { pause } from "./cells.ts";
import { inFolder, runChild } from "./processes.ts";
import type { Shape } from "./work.ts";

/** Sentences, tokens of each, and vocabulary of the batch that all steps are taken on. */
export const stepBatch = { rows: 32, length: 32, vocabulary: 4000 } as const;
/** In words, for what stands under tables. */
export const stepWords =
  `batch ${stepBatch.rows} x ${stepBatch.length} tokens, vocabulary ${stepBatch.vocabulary}, Adam, global norm clipped at 1, gradient ` +
  "norm of every parameter on all sides; fathom's light probes on and written to a file";

/** What a child process measured. */
export interface Timing {
  /** One number a step, after the first and those of warm-up. */
  readonly milliseconds: readonly number[];
  /** Recording, encoding and loading of all stages, of an engine that compiles. */
  readonly compileMilliseconds?: number;
  /** The first step whole: compiling, laying out and first touching the memory. */
  readonly firstStepMilliseconds: number;
  /** When that was done, milliseconds since 1970. */
  readonly firstStepAt: number;
  readonly parameters: number;
  /** Of every step, the first and those of warm-up among them: nats a token. */
  readonly losses: readonly number[];
  /** Largest resident memory of the process, bytes. */
  readonly peakMemory: number;
}

/** What a child process is to do. */
export interface Steps {
  readonly threads: number;
  readonly steps: number;
  /** Steps after the first that are not timed. */
  readonly warmup: number;
  /** `onnx` if not given. */
  readonly engine?: string | undefined;
}

/** Times training steps of this process: forward, backward, the default probes written to a file, clipping, Adam. */
export async function timeSteps(shape: Shape, { threads, steps, warmup, engine }: Steps): Promise<Timing> {
  const light = presets[0]!.record;
  return stepping(shape, { threads, engine, probes: light }, async (step, training) => {
    const milliseconds: number[] = [];
    const losses: number[] = [];
    let firstStepAt = 0;
    for (let i = 0; i < 1 + warmup + steps; i++) {
      const took = await step(light);
      milliseconds.push(took.milliseconds);
      losses.push(took.loss);
      if (i === 0) firstStepAt = Date.now();
    }
    const compileMilliseconds = training.engine.facts()["compileMilliseconds"];
    return {
      milliseconds: milliseconds.slice(1 + warmup),
      ...(compileMilliseconds !== undefined && { compileMilliseconds: Number(compileMilliseconds) }),
      firstStepMilliseconds: milliseconds[0]!,
      firstStepAt,
      parameters: countParameters(training),
      losses,
      peakMemory: peakMemoryBytes(),
    };
  });
}

/** Runs {@link timeSteps} in a fresh process. */
export const timeInChild = (
  { depth, width }: Shape,
  { threads, steps, warmup, engine }: Steps,
): Promise<Timing & { readonly started: number }> =>
  runChild<Timing>([
    ...["--shape", `${depth}x${width}`, "--warmup", String(warmup), "--threads", String(threads)],
    ...["--steps", String(steps), ...(engine === undefined ? [] : ["--engine", engine])],
  ]);

/** The network of a shape. */
export const networkOf = ({ depth, width }: Shape): TransformerOptions => ({
  depth: { encoder: depth, decoder: depth },
  width,
  heads: 4,
  feedForward: 4 * width,
  residual: "pre-ln",
  norm: "layer-norm",
  activation: "relu",
  dropout: 0,
  tiedEmbeddings: "none",
  vocabulary: stepBatch.vocabulary,
  labelSmoothing: 0,
});

/** All numbers that a training learns. */
export const countParameters = ({ parameters }: Pick<Training, "parameters">): number =>
  [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0);

/** A training step with the probes named, what they say written to a file. */
export type TakeStep = (probes: readonly string[]) => Promise<{ milliseconds: number; loss: number }>;

/** How a network in training is made: with which engine (`onnx` if not given), the names of all probes that any step will name, who
 *  hears of the engine's programs and their calls, and what ends it before a step. */
interface Stepping extends Pick<EngineOptions, "threads" | "onProgram" | "onCall"> {
  readonly engine?: string | undefined;
  readonly probes: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Builds a network in training on one batch, does `work` with it, and leaves nothing behind. */
export async function stepping<T>(
  shape: Shape,
  { engine = "onnx", probes, signal, ...options }: Stepping,
  work: (step: TakeStep, training: Training) => Promise<T>,
): Promise<T> {
  const players = transformer(networkOf(shape));
  const adam = { kind: "adam", learningRate: 0.001, beta1: 0.9, beta2: 0.98, epsilon: 1e-9, weightDecay: 0 } as const;
  const batch = translationBatch(stepBatch.rows, stepBatch.length, stepBatch.vocabulary);
  const dataset: Pick<Dataset, "batchAt" | "evaluation"> = {
    batchAt: () => batch,
    evaluation: { dev: [batch], test: [] },
  };
  const bare: Training = {
    players,
    parameters: initialize(players, 1),
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(adam)])),
    engine: await createEngine(engine, options),
    dataset: dataset as Dataset,
    seed: 1,
    steps: 1,
    learningRate: () => adam.learningRate,
    clipNorm: 1,
    probes: [],
    batches: 4, // as where a config does not say
    isProbed: () => true,
    evaluateEverySteps: Infinity,
    checkpointEverySteps: Infinity,
  };
  try {
    const training = { ...bare, start: await startOf({ ...bare, probes: recordingProbes(probes) }) };
    return await inFolder(async (folder) => {
      const recorder = openRecorder(folder);
      let taken = 0;
      const step: TakeStep = async (names) => {
        if (signal) await pause(signal);
        const began = performance.now();
        const probed = { ...training, probes: recordingProbes(names) };
        const { layers, readings, scalars } = await playerStep(probed, players[0]!, batch, taken);
        recorder.layers(taken, layers);
        recorder.readings(taken, readings);
        taken++;
        return { milliseconds: performance.now() - began, loss: scalars["loss"]! };
      };
      try {
        return await work(step, training);
      } finally {
        recorder.close();
      }
    });
  } finally {
    await bare.engine.dispose();
  }
}
