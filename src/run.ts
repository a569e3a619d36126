// The main path; read this first. One run, from its resolved configuration to the files it leaves:
// corpus -> vocabulary -> batches -> trainer (model = list of stages, engine, probes) -> run folder.
import { join } from "node:path";
import { loadData } from "./build.ts";
import type { RunConfig } from "./config/schema.ts";
import type { ImageSplit } from "./data/images.ts";
import { UserError } from "./errors.ts";
import { evaluateMetrics, type Evaluated, metricDetails, metricRows, metricsNamed } from "./evaluate.ts";
import { checkMemory, estimateMemory, type MemoryEstimate } from "./memory.ts";
import { prepare, refuseMixedData, refuseOtherData } from "./prepare.ts";
import { reusedFor } from "./engine/reuse.ts";
import { lookup } from "./registry.ts";
import { describeScheme } from "./residual/describe.ts";
import * as schemes from "./residual/index.ts";
import type { ResidualScheme } from "./residual/scheme.ts";
import { availableBytes } from "./runs/available.ts";
import { peakMemoryBytes, residentBytes, restartPeak, stepSeconds } from "./runs/cost.ts";
import { openRecorder, verifyEvents } from "./runs/events.ts";
import { writeWhole } from "./runs/files.ts";
import { graphKeeper } from "./runs/graphs.ts";
import { readRun, updateRun, writeConfig } from "./runs/run-folder.ts";
import { writeSamples } from "./runs/samples.ts";
import { readMetrics, writeTables } from "./runs/tables.ts";
import { samplesAt } from "./samples.ts";
import type { Parameters } from "./stage.ts";
import { averageCheckpoints, averagedSteps, type Averaging } from "./train/average.ts";
import { findCheckpoint, resumeCheckpoint, saveCheckpoint, type TrainingState } from "./train/checkpoint.ts";
import { type Outcome, train, type Training } from "./train/trainer.ts";
import type { CompiledProgram, Dataset, Progress } from "./types.ts";

/** What loading the data ends with where the signal came first. */
class Stopped extends Error {}

/** Trains the run of `config` in `runDir`, from its newest checkpoint if there is one, and leaves its files complete.
 *  On `signal` it saves a checkpoint and ends as `interrupted`. Once `lost` is aborted the run belongs to another process:
 *  it then throws the signal's reason before it writes anything more. */
export async function executeRun(
  config: RunConfig,
  runDir: string,
  options: {
    signal: AbortSignal;
    lost?: AbortSignal;
    onProgress: (progress: Progress) => void;
    /** Takes a line for people. */
    say?: (line: string) => void;
    /** Whether compiled programs are kept in `graphs/`. */
    keepGraphs?: boolean;
    /** Other runs of the network may come before and after it in this process: what it compiles and loads is left for them. */
    reuse?: boolean | undefined;
    /** The step at whose evaluation it is to wait, where it is not to train to its end. */
    until?: number | undefined;
    /** Waits until runs beside this one leave it the memory that it needs. */
    makeRoom?: ((memory: MemoryEstimate) => Promise<void>) | undefined;
  },
): Promise<Outcome> {
  let programBytes = residentBytes();
  let reached: Progress = { step: 0, steps: 0, loss: NaN, gradientNorm: NaN, stepsPerSecond: NaN, secondsLeft: NaN };
  const data = await loadData(config, (doing) => {
    if (options.signal.aborted) throw new Stopped();
    options.onProgress({ ...reached, doing });
  }).catch((error: unknown) => {
    if (error instanceof Stopped) return undefined;
    throw error;
  });
  if (!data) return { status: "interrupted" };
  const { dataset } = data;
  const stillOurs = (): void => options.lost?.throwIfAborted();
  const reused = options.reuse
    ? await reusedFor(networkOf(config, dataset.hashes), () => {
        restartPeak();
        programBytes = residentBytes(); // with this run's data, which cannot be told from it now
      })
    : undefined;
  const memory = await estimateMemory(config, data, programBytes, reused);
  await options.makeRoom?.(memory);
  if (options.signal.aborted) return { status: "interrupted" };
  const warning = checkMemory(memory, availableBytes());
  if (warning !== undefined) options.say?.(warning);
  const { views, ...prepared } = await prepare(config, data, {
    laidOut: memory.laidOut,
    reused,
    ...(options.keepGraphs && { onProgram: keptGraphs(runDir, stillOurs) }),
  });
  const { engine, parameters, optimizers, steps } = prepared;
  const subject = { engine, parameters, views, data, config, players: prepared.players };
  /** What is measured of a split; undefined where the signal came first. */
  const measured = async (names: readonly string[], split: ImageSplit): Promise<Evaluated[] | undefined> => {
    const { signal } = options;
    const onProgress = (doing: string, share: number): void =>
      options.onProgress({ ...reached, doing: `${doing} ${Math.floor(100 * share)} %` });
    try {
      return await evaluateMetrics(subject, names, split, { signal, onProgress });
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  };
  let measuredWith: Record<string, string> = {};
  const averaging = averagingOf(config);
  /** What would be averaged if training ended at this step: a later end needs none that is older. */
  const needed = (step: number): number[] => (averaging ? averagedSteps(step, averaging) : []);
  let averaged: readonly number[] = [];
  const asked = "metrics" in config ? config.metrics : { evaluation: [], final: [] };
  const training: Training = {
    ...prepared,
    until: options.until,
    ...(asked.evaluation.length > 0 && {
      async metrics() {
        const evaluated = await measured(asked.evaluation, "dev");
        return evaluated && metricRows(evaluated);
      },
    }),
  };
  reached = { ...reached, steps };
  try {
    metricsNamed([...asked.evaluation, ...asked.final], subject); // one that cannot be is refused now, not after training
    const residual = schemeRecord(config, parameters);
    if (findCheckpoint(runDir, "step")) refuseOtherData(runDir, dataset.hashes);
    refuseMixedData(runDir, config, dataset.hashes);
    stillOurs();
    const verify = ({ step, events, hashes }: TrainingState): void => {
      if (!events || !hashes)
        throw new UserError(
          `${runDir}: expected the checkpoint of step ${step} to tell of its events and data, got none; it is damaged`,
        );
      verifyEvents(runDir, events);
    };
    const resumed = resumeCheckpoint(runDir, parameters, optimizers, verify, needed);
    // What run.json tells is lost where that was damaged.
    if (resumed) refuseOtherData(runDir, dataset.hashes, resumed.state.hashes);
    const start: TrainingState = resumed?.state ?? { step: 0, tokens: 0, seconds: 0, seed: config.seed, best: null };
    for (const { folder, reason } of resumed?.passedOver ?? [])
      options.say?.(`${reason}; passed over: it lies in ${folder} now, and the run goes on from step ${start.step}`);
    const details = (): Record<string, unknown> => ({
      ...engine.facts(),
      parameters: [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0),
      ...data.details,
      stepsPerEpoch: dataset.stepsPerEpoch,
    });
    stillOurs();
    const earlierPeak = Number(readRun(runDir)?.details["peakMemoryBytes"] ?? 0);
    for (const [name, text] of Object.entries(data.files)) writeWhole(join(runDir, name), text);
    const record = updateRun(runDir, {
      engine: engine.name,
      steps,
      unigramEntropy: dataset.unigramEntropy,
      hashes: dataset.hashes,
      residual,
      details: details(),
    });
    writeConfig(runDir, record, config); // with the engine that was chosen
    const recorder = openRecorder(runDir, resumed ? { afterStep: start.step - 1, bytes: start.events?.bytes } : {});
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
      async reached(step, isLast) {
        const files = await samplesAt(subject, { step, steps: isLast ? step : steps });
        stillOurs();
        writeSamples(runDir, files);
      },
      checkpoint(kind, state) {
        stillOurs();
        recorder.sync(); // a checkpoint must not be ahead of the events it stands for
        const events = recorder.before(state.step);
        const whole = { ...state, events, hashes: dataset.hashes };
        saveCheckpoint(runDir, kind, whole, parameters, optimizers, needed(state.step));
      },
      progress({ step, loss, gradientNorm }) {
        const stepsPerSecond = ((step - start.step) * 1000) / (performance.now() - began);
        // The first steps compile.
        const secondsLeft = step - start.step < 5 ? NaN : (steps - step) / stepsPerSecond;
        reached = { step, steps, loss, gradientNorm, stepsPerSecond, secondsLeft };
        options.onProgress(reached);
      },
      ...(averaging && {
        average(state) {
          const due = averagedSteps(state.step, averaging);
          if (due.length < averaging.count)
            options.say?.(
              `averaged ${due.length} checkpoints of ${averaging.count}: training ended before there were more`,
            );
          const average = averageCheckpoints(runDir, due, parameters);
          averaged = average.steps;
          for (const reason of average.leftOut)
            options.say?.(`${reason}; left out of the average, which is that of the steps ${averaged.join(", ")}`);
          stillOurs();
          saveCheckpoint(runDir, "average", state, average.parameters, optimizers);
          return average.parameters;
        },
      }),
      async finish(row) {
        if (asked.final.length === 0) return;
        // Whatever becomes of the metrics, what was trained is there to be read.
        writeTables(runDir);
        const evaluated = await measured(asked.final, "test");
        stillOurs();
        if (!evaluated) return;
        recorder.metrics(metricRows(evaluated).map(([name, value]) => row(name, value)));
        measuredWith = metricDetails(evaluated);
      },
    });
    recorder.close();
    stillOurs();
    writeTables(runDir);
    updateRun(runDir, {
      ...(outcome.stoppedAt !== undefined && { steps: outcome.stoppedAt }),
      details: {
        ...details(),
        divergence: outcome.divergence,
        ...(averaged.length > 0 && { averagedSteps: averaged }),
        ...(Object.keys(measuredWith).length > 0 && { metrics: measuredWith }),
        stepSeconds: stepSeconds(readMetrics(runDir)),
        peakMemoryBytes: Math.max(earlierPeak, peakMemoryBytes()), // over all attempts
        estimatedMemoryBytes: memory.isComplete ? memory.bytes : null,
      },
    });
    return outcome;
  } finally {
    await engine.dispose();
  }
}

/** What the programs of a run follow from: all but where its weights start, how far each step goes, and what of it is recorded. */
function networkOf(config: RunConfig, hashes: Dataset["hashes"]): string {
  const train = { ...config.train, optimizer: null, schedule: null, steps: null };
  return JSON.stringify([{ ...config, name: null, seed: null, probes: null, train }, hashes]);
}

/** What is averaged at the end; undefined where nothing is. */
const averagingOf = ({ train }: RunConfig): Averaging | undefined =>
  "averageCheckpoints" in train && train.averageCheckpoints !== undefined
    ? { count: train.averageCheckpoints, checkpointEverySteps: train.checkpointEverySteps }
    : undefined;

/** Keeps the programs that the engine compiles, for as long as the run is ours. */
function keptGraphs(runDir: string, stillOurs: () => void): (program: CompiledProgram) => void {
  const keep = graphKeeper(runDir);
  return (program) => {
    stillOurs();
    keep(program);
  };
}

/** The residual scheme at the run's depth for run.json, with what a profiling pass has measured, by path; null where there is
 *  none. */
function schemeRecord({ model }: RunConfig, parameters: Parameters): Record<string, unknown> | null {
  const { residual, depth, width, feedForward } = model;
  if (residual === undefined || depth === undefined) return null;
  const profiled = [...parameters].flatMap(([path, { init, data }]) =>
    init.kind === "profiled" ? [[path, data[0]!] as const] : [],
  );
  const scheme = lookup<ResidualScheme>("residual scheme", schemes, residual);
  const network = {
    depth: depth as Record<string, number>,
    width: width!,
    feedForward: feedForward!,
    heads: "heads" in model ? model.heads : 0,
  };
  return { ...describeScheme(scheme, network), ...(profiled.length && { profiled: Object.fromEntries(profiled) }) };
}
