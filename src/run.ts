// The main path; read this first. One run, from its resolved configuration to the files it leaves:
// corpus -> vocabulary -> batches -> trainer (model = list of stages, engine, probes) -> run folder.
import { join } from "node:path";
import type { RunConfig } from "./config/schema.ts";
import { loadTranslationData, type TranslationData } from "./data/batches.ts";
import { createEngine } from "./engine/select.ts";
import { UserError } from "./errors.ts";
import { transformer, type TransformerOptions } from "./models/transformer.ts";
import * as probes from "./probes/index.ts";
import type { Probe } from "./probes/probe.ts";
import { lookup } from "./registry.ts";
import { peakMemoryBytes, stepSeconds } from "./runs/cost.ts";
import { openRecorder } from "./runs/events.ts";
import { writeWhole } from "./runs/files.ts";
import { readRun, updateRun } from "./runs/run-folder.ts";
import { readMetrics, writeTables } from "./runs/tables.ts";
import { describeScheme } from "./residual/describe.ts";
import * as schemes from "./residual/index.ts";
import type { ResidualScheme } from "./residual/scheme.ts";
import type { Parameters, Player } from "./stage.ts";
import { findCheckpoint, loadCheckpoint, saveCheckpoint, type TrainingState } from "./train/checkpoint.ts";
import { initialize } from "./train/initialize.ts";
import { profile } from "./train/profile.ts";
import { createOptimizer } from "./train/optimizers.ts";
import { learningRateOf } from "./train/schedules.ts";
import { type Outcome, startOf, train, type Training } from "./train/trainer.ts";
import type { Dataset, Progress } from "./types.ts";

/** Trains the run of `config` in `runDir`, from its newest checkpoint if there is one, and leaves its files complete.
 *  On `signal` it saves a checkpoint and ends as `interrupted`. Once `lost` is aborted the run belongs to another process:
 *  it then throws the signal's reason before it writes anything more. */
export async function executeRun(
  config: RunConfig,
  runDir: string,
  options: { signal: AbortSignal; lost?: AbortSignal; onProgress: (progress: Progress) => void },
): Promise<Outcome> {
  const { dataset, vocabulary } = await loadData(config);
  const stillOurs = (): void => options.lost?.throwIfAborted();
  const training = await prepare(config, dataset);
  const { engine, parameters, optimizers, steps } = training;
  try {
    const residual = schemeRecord(config, parameters);
    const checkpoint = findCheckpoint(runDir, "step");
    const start: TrainingState = checkpoint
      ? loadCheckpoint(checkpoint, parameters, optimizers)
      : { step: 0, tokens: 0, seconds: 0, seed: config.seed, best: null };
    const details = (): Record<string, unknown> => ({
      ...engine.facts(),
      parameters: [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0),
      vocabulary: dataset.dimensions["vocabulary"],
      stepsPerEpoch: dataset.stepsPerEpoch,
    });
    stillOurs();
    const earlierPeak = Number(readRun(runDir)?.details["peakMemoryBytes"] ?? 0);
    writeWhole(join(runDir, "tokenizer.json"), vocabulary.json);
    updateRun(runDir, {
      engine: engine.name,
      steps,
      unigramEntropy: dataset.unigramEntropy,
      hashes: dataset.hashes,
      residual,
      details: details(),
    });
    const recorder = openRecorder(runDir, checkpoint ? { afterStep: start.step - 1 } : {});
    const began = performance.now();
    const outcome = await train(training, start, {
      signal: options.signal,
      metrics(rows) {
        stillOurs();
        recorder.metrics(rows);
      },
      layers(step, rows) {
        stillOurs();
        recorder.layers(step, rows);
      },
      readings(step, rows) {
        stillOurs();
        recorder.readings(step, rows);
      },
      checkpoint(kind, state) {
        stillOurs();
        recorder.sync(); // a checkpoint must not be ahead of the events it stands for
        saveCheckpoint(runDir, kind, state, parameters, optimizers);
      },
      progress({ step, loss, gradientNorm }) {
        const stepsPerSecond = ((step - start.step) * 1000) / (performance.now() - began);
        const secondsLeft = (steps - step) / stepsPerSecond;
        options.onProgress({ step, steps, loss, gradientNorm, stepsPerSecond, secondsLeft });
      },
    });
    recorder.close();
    stillOurs();
    writeTables(runDir);
    updateRun(runDir, {
      details: {
        ...details(),
        divergence: outcome.divergence,
        stepSeconds: stepSeconds(readMetrics(runDir)),
        peakMemoryBytes: Math.max(earlierPeak, peakMemoryBytes()), // over all attempts
      },
    });
    return outcome;
  } finally {
    await engine.dispose();
  }
}

/** The data a configuration asks for. */
export function loadData(config: RunConfig): Promise<TranslationData> {
  return loadTranslationData({ ...config.data, batch: config.train.batch, seed: config.seed });
}

/** What decides the network of a configuration. */
export const transformerOptions = (
  { model, train: { labelSmoothing } }: RunConfig,
  { dimensions }: Pick<Dataset, "dimensions">,
): TransformerOptions => ({ ...model, vocabulary: dimensions["vocabulary"]!, labelSmoothing });

/** The players of the model a configuration describes. */
export const buildPlayers = (config: RunConfig, dataset: Pick<Dataset, "dimensions">): Player[] =>
  transformer(transformerOptions(config, dataset));

/** The residual scheme at the run's depth for run.json, with what a profiling pass has measured, by path. */
function schemeRecord({ model }: RunConfig, parameters: Parameters): Record<string, unknown> {
  const profiled = [...parameters].flatMap(([path, { init, data }]) =>
    init.kind === "profiled" ? [[path, data[0]!] as const] : [],
  );
  const scheme = lookup<ResidualScheme>("residual scheme", schemes, model.residual);
  return { ...describeScheme(scheme, model), ...(profiled.length && { profiled: Object.fromEntries(profiled) }) };
}

/** Everything the trainer needs, at the initial parameters. */
export async function prepare(config: RunConfig, dataset: Dataset): Promise<Training> {
  const players = buildPlayers(config, dataset);
  const steps = config.train.steps ?? config.train.epochs! * dataset.stepsPerEpoch;
  const { optimizer, schedule, clipNorm, evaluateEverySteps, checkpointEverySteps } = config.train;
  const { batches } = config.probes;
  if (batches !== undefined && batches > dataset.stepsPerEpoch)
    throw new UserError(
      `probes.batches: expected at most ${dataset.stepsPerEpoch}, the batches of an epoch, got ${batches}: beyond them the same ` +
        `sentences would be compared; lower probes.batches or train.batch`,
    );
  const parameters = initialize(players, config.seed);
  const engine = await createEngine(config.engine, { threads: config.threads });
  await profile(players, parameters, engine, dataset.batchAt(0), config.seed);
  const training: Training = {
    players,
    parameters,
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(optimizer)])),
    engine,
    dataset,
    seed: config.seed,
    steps,
    learningRate: learningRateOf(schedule, { peak: optimizer.learningRate, steps, width: config.model.width }),
    clipNorm,
    probes: recordingProbes(config.probes.record),
    ...(batches !== undefined && { batches }),
    isProbed: probeSchedule(config.probes, steps),
    evaluateEverySteps,
    checkpointEverySteps,
  };
  return { ...training, start: await startOf(training) };
}

/** The probes of these names, less those whose rows are among another's. */
export function recordingProbes(names: readonly string[]): Probe[] {
  const named = names.map((name) => lookup<Probe>("probe", probes, name));
  const covered = new Set(named.flatMap(({ covers }) => covers ?? []));
  return named.filter(({ name }) => !covered.has(name));
}

/** Which steps are measured: every n-th, or 0, 1, 2, 4, 8 ..., and the last of `steps` in any case. */
export function probeSchedule({ everySteps }: RunConfig["probes"], steps: number): (step: number) => boolean {
  const isDue = (step: number): boolean => (everySteps !== null ? step % everySteps === 0 : (step & (step - 1)) === 0); // 0 and the powers of two
  return (step) => isDue(step) || step === steps - 1;
}
