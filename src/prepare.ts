// From a configuration and its data to everything the trainer needs.

import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { buildModel, loadData, type Model, type RunData } from "./build.ts";
import { averageProblem } from "./config/training-schema.ts";
import { type GanConfig, isKind, type OptimizerConfig, type RunConfig, type VaeConfig } from "./config/schema.ts";
import type { Engine, EngineOptions } from "./engine/engine.ts";
import { interruptible } from "./engine/interruptible.ts";
import { createEngine } from "./engine/select.ts";
import { UserError } from "./errors.ts";
import * as probes from "./probes/index.ts";
import type { Probe } from "./probes/probe.ts";
import { lookup } from "./registry.ts";
import { isFile } from "./runs/files.ts";
import { readConfig, readRun } from "./runs/run-folder.ts";
import { checkpointsOf, findCheckpoint, loadCheckpoint } from "./train/checkpoint.ts";
import { initialize } from "./train/initialize.ts";
import { createOptimizer } from "./train/optimizers.ts";
import { profile } from "./train/profile.ts";
import { learningRateOf } from "./train/schedules.ts";
import { startOf, type Training } from "./train/trainer.ts";

/** What is trained, beside other views of it. */
export interface PreparedTraining extends Training {
  readonly views: Model["views"];
}

/** Everything the trainer needs, at the initial parameters. `given`: what the engine is made with beside what the configuration
 *  says. */
export async function prepare(
  config: RunConfig,
  data: Pick<RunData, "dataset" | "images">,
  given: Pick<EngineOptions, "laidOut" | "reused" | "onProgram" | "recompute"> = {},
): Promise<PreparedTraining> {
  const { dataset } = data;
  const { players, views } = buildModel(config, dataset);
  const { train } = config;
  const accumulate = accumulateOf(config);
  const steps = train.steps ?? stepOfEpoch(train.epochs!, players, dataset, accumulate);
  const average =
    "averageCheckpoints" in train
      ? averageProblem(train.averageCheckpoints ?? 0, steps, train.checkpointEverySteps)
      : undefined;
  if (average !== undefined) throw new UserError(`train.averageCheckpoints: ${average}`);
  const { batches } = config.probes;
  const most = Math.floor(dataset.stepsPerEpoch / accumulate);
  if (batches !== undefined && batches > most)
    throw new UserError(
      `probes.batches: expected at most ${most}, the batches of an epoch${accumulate > 1 ? ` over train.accumulate (${accumulate})` : ""}, ` +
        `got ${batches}: beyond them the same sentences would be compared; lower probes.batches or train.batch`,
    );
  const parameters = initialize(players, config.seed);
  const recompute = recomputes(config);
  const engine = await createEngine(config.engine, { threads: config.threads, recompute, ...given });
  await profile(players, parameters, engine, dataset.batchAt(0), config.seed);
  const width = config.model.width ?? 1;
  const rates = new Map(
    players.map(({ name }) => [
      name,
      learningRateOf(train.schedule, { peak: optimizerOf(config, name).learningRate, steps, width }),
    ]),
  );
  const training: PreparedTraining = {
    players,
    views,
    parameters,
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(optimizerOf(config, name))])),
    engine,
    dataset,
    seed: config.seed,
    steps,
    learningRate: (step, player) => rates.get(player)!(step),
    ...("order" in train && { order: train.order as Training["order"] }),
    ...(accumulate > 1 && { accumulate }),
    clipNorm: train.clipNorm,
    probes: recordingProbes(config.probes.record),
    ...(batches !== undefined && { batches }),
    isProbed: probeSchedule(config.probes, steps),
    evaluateEverySteps: train.evaluateEverySteps,
    ...("earlyStopping" in train && train.earlyStopping && { earlyStopping: train.earlyStopping }),
    checkpointEverySteps: train.checkpointEverySteps,
  };
  return { ...training, start: await startOf(training) };
}

/** The optimizer of a player of this name. */
export const optimizerOf = ({ train }: RunConfig, player: string): OptimizerConfig =>
  "discriminator" in train && player === "discriminator" ? train.discriminator.optimizer : train.optimizer;

/** A trained model of images, opened to be looked at. */
export interface OpenedRun extends Pick<PreparedTraining, "parameters" | "views" | "players"> {
  readonly config: VaeConfig | GanConfig;
  readonly data: RunData;
  /** Gives up once the signal is aborted. */
  readonly engine: Engine;
  /** The step of its parameters. */
  readonly step: number;
  dispose(): Promise<void>;
}

/** Opens the run in `runDir` at its checkpoint of `step`; where none is given at the newest, else at the best one. `UserError`s: no
 *  model of images, no such checkpoint. */
export async function openRun(
  runDir: string,
  { step: wanted, signal }: { readonly step?: number | undefined; readonly signal: AbortSignal },
): Promise<OpenedRun> {
  const config = readConfig(runDir);
  if (isKind(config, "transformer"))
    throw new UserError(`${runDir}: expected a run with model.kind: vae or gan, got transformer; choose another run`);
  const checkpoint = checkpointAt(runDir, wanted);
  const data = await loadData(config);
  const { engine, parameters, views, players } = await prepare(config, data);
  try {
    const { step } = loadCheckpoint(checkpoint, parameters);
    const dispose = (): Promise<void> => engine.dispose();
    return { config, data, engine: interruptible(engine, signal), parameters, views, players, step, dispose };
  } catch (error) {
    await engine.dispose();
    throw error;
  }
}

/** Folder of the run's checkpoint of `step`; where none is given the newest or the best, as `preferred` says, and where there is
 *  none the other. An average of checkpoints is preferred to the best. */
export function checkpointAt(runDir: string, step: number | undefined, preferred: "step" | "best" = "step"): string {
  if (step === undefined) {
    const average = preferred === "best" ? findCheckpoint(runDir, "average") : undefined;
    const newest =
      average ?? findCheckpoint(runDir, preferred) ?? findCheckpoint(runDir, preferred === "step" ? "best" : "step");
    if (newest === undefined)
      throw new UserError(`${runDir}: expected a run with a checkpoint, got none; train it first`);
    return newest;
  }
  const kept = checkpointsOf(runDir);
  const found = kept.findLast((checkpoint) => checkpoint.step === step);
  if (!found)
    throw new UserError(
      `--step: expected a step of which ${runDir} has a checkpoint (${[...new Set(kept.map((one) => one.step))].join(", ") || "none"}), got ${step}`,
    );
  return found.folder;
}

/** Refuses data, by their hashes, that are not those a run was begun with, as run.json or a checkpoint tells: files may have changed
 *  since, and it would go on with other sentences, or pieces of another meaning. */
export function refuseOtherData(
  runDir: string,
  hashes: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>> = readRun(runDir)?.hashes ?? {},
): void {
  for (const [name, hash] of Object.entries(hashes))
    if (before[name] !== undefined && before[name] !== hash)
      throw new UserError(
        `${runDir}: expected the ${name} that the run was begun with (SHA-256 ${before[name].slice(0, 12)}), got another ` +
          `(${hash.slice(0, 12)}); put the corpus' files back as they were, or start over with --afresh`,
      );
}

/** Other runs of an experiment that are looked at: the first tells where all have the same data. */
const siblings = 20;

/** Refuses data that are not those on which other runs of the experiment with the same `data` section were trained: the corpus' files have
 *  changed between two sweeps, and one table would compare models of different sentences. */
export function refuseMixedData(runDir: string, { data }: RunConfig, hashes: Readonly<Record<string, string>>): void {
  const runs = dirname(runDir);
  for (const id of readdirSync(runs).sort().slice(0, siblings)) {
    const dir = join(runs, id);
    const other = dir === runDir ? undefined : readRun(dir);
    if (!other || Object.keys(other.hashes).length === 0) continue;
    const [changed] = Object.entries(hashes).filter(([name, hash]) => (other.hashes[name] ?? hash) !== hash);
    if (!changed) return;
    const [name, hash] = changed;
    if (!isFile(join(dir, "config.yaml")) || !isDeepStrictEqual(readConfig(dir).data, data)) continue;
    throw new UserError(
      `${runDir}: expected the ${name} that ${id} of this experiment was trained on (SHA-256 ${other.hashes[name]!.slice(0, 12)}), ` +
        `got another (${hash.slice(0, 12)}): the corpus' files have changed since. Put them back as they were, or give the experiment ` +
        `another name: in one table models of different data would be compared`,
    );
  }
}

/** Whether a run computes forwards again in its backward instead of keeping them. */
export const recomputes = ({ train }: RunConfig): boolean => "recompute" in train && train.recompute === true;

/** N, batches of an update. */
export const accumulateOf = ({ train }: RunConfig): number => ("accumulate" in train && train.accumulate) || 1;

/** Batches that a step sees: those of the player that sees most. */
export const batchesPerStep = (players: Training["players"], accumulate = 1): number =>
  accumulate * Math.max(...players.map(({ updates = 1 }) => updates));

/** The step before which `epochs` epochs are over, each of which ends when all batches have been seen. */
export const stepOfEpoch = (
  epochs: number,
  players: Training["players"],
  { stepsPerEpoch }: Pick<RunData["dataset"], "stepsPerEpoch">,
  accumulate = 1,
): number => Math.ceil((epochs * stepsPerEpoch) / batchesPerStep(players, accumulate));

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
