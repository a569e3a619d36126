// How much memory a run will take, from its configuration and data alone, and whether that much is there. Nothing is
// allocated: the network's programs are recorded, and its plans laid out on buffers that are only counted.
import { buildModel, type Model, type RunData } from "./build.ts";
import { isKind, type RunConfig } from "./config/schema.ts";
import type { Program } from "./engine/compile.ts";
import { type Footprint, footprint } from "./engine/footprint.ts";
import type { Reused } from "./engine/reuse.ts";
import { engineText, requireEngine } from "./engine/select.ts";
import { UserError } from "./errors.ts";
import { metricsNamed } from "./evaluate.ts";
import { accumulateOf, optimizerOf, recomputes, recordingProbes } from "./prepare.ts";
import { memoryText } from "./report/cost-text.ts";
import { residentBytes } from "./runs/cost.ts";
import { parameterSpecs, type Player, sizeOf, type Stage } from "./stage.ts";
import { createOptimizer } from "./train/optimizers.ts";
import type { Batch, Dataset } from "./types.ts";

/** A share of a run's memory, bytes. */
export interface MemoryPart {
  readonly name: string;
  readonly bytes: number;
}

/** What a run's process will have resident at most. */
export interface MemoryEstimate {
  /** The engine that is meant. */
  readonly engine: string;
  /** From the largest down. */
  readonly parts: readonly MemoryPart[];
  /** The sum of the parts. */
  readonly bytes: number;
  /** Whether all of it is known: what engines other than `onnx` hold beside weights, gradients and optimizer state is not. */
  readonly isComplete: boolean;
  /** Of what there is to be, this much is resident already. */
  readonly residentBytes: number;
  /** What the engine will need, for it to make buffers once and for all, and compile nothing again. */
  readonly laidOut: Pick<Footprint, "buffers" | "compiled">;
}

/** ONNX Runtime keeps what a session's values have taken in an arena of the session's own: once as they were allocated one by one at
 *  its first run, and once more as the one block that it lays them out in from then on. */
const arenasAWorkspace = 2;
/** What a session holds beside, a program without values: graph, kernels, and the least an arena asks for. Measured: see
 *  `estimateMemory`. */
const sessionBytes = 0.35 * 2 ** 20;
/** What V8 and the runtime take in their first hundreds of steps: compiled code, young generation, arrays not yet collected.
 *  Measured. */
const startUpBytes = 48 * 2 ** 20;
/** JavaScript's heap a stage: the calls of its plans, and rows on their way into files. Measured. */
const stageHeapBytes = 0.4 * 2 ** 20;

/** Estimates the memory of the run of `config`, whose data is loaded, in this process; `programBytes` were resident before that, unless an
 *  earlier run of the network left what is `reused`: then what that one found is meant. With
 *  n parameters in float32:
 *
 *    what is resident now: program, libraries, data
 *    + 4 n bytes of weights + 4 n for each slot of the optimizer + 4 n of gradients
 *    + buffers between stages: what each stage writes and keeps for its backward, at the largest shape of batch, exactly
 *    + over all programs, each shape of batch having its own: 2 x most bytes alive at once between its nodes + 0.35 MiB
 *    + 48 MiB + 0.4 MiB a stage of JavaScript's heap
 *    + what probes copy: 4 n for the start, 12 n for gradients of several batches
 *    + 4 n of gradients summed over the batches of an update, where there are several
 *    + 4 n (1 + slots) for writing a checkpoint, or 20 n for averaging them, whichever is more
 *    + the images that metrics of a run's end have before them.
 *
 *  The two constants of the heap and that of a session are what was measured on Linux with Node 20 beyond what the rest explains. Not
 *  in it: samples, and tensors within metrics. */
export async function estimateMemory(
  config: RunConfig,
  { dataset, images }: Pick<RunData, "dataset" | "images">,
  programBytes = 0,
  reused?: Reused,
): Promise<MemoryEstimate> {
  const resident = residentBytes();
  const found = reused?.found ?? {
    program: programBytes || resident,
    data: programBytes ? resident - programBytes : 0,
  };
  if (reused) reused.found = found;
  const { players, views } = buildModel(config, dataset);
  const { kind, provider = "cpu" } = await requireEngine(config.engine, { threads: config.threads, keepGraphs: false });
  const isComplete = kind.name === "onnx" && provider === "cpu";
  const engine = provider === "cpu" ? kind.name : engineText({ kind: kind.name, provider });
  const weights = bytesOfParameters(players.flatMap(({ stages }) => stages));
  const optimizers = players.reduce((sum, { name, stages }) => {
    const { slots } = createOptimizer(optimizerOf(config, name));
    return sum + slots.length * bytesOfParameters(stages.filter(({ frozen }) => !frozen));
  }, 0);
  const needs = new Set(recordingProbes(config.probes.record).flatMap((probe) => probe.needs));
  const stages = players.reduce((sum, player) => sum + player.stages.length, 0);
  const known: MemoryPart[] = [
    { name: "program and libraries", bytes: found.program },
    { name: "data", bytes: found.data },
    { name: "weights", bytes: weights },
    { name: "optimizer state", bytes: optimizers },
    {
      name: "copies that probes compare with",
      bytes: (needs.has("start") ? 1 : 0) * weights + (needs.has("batches") ? 3 : 0) * weights,
    },
    { name: "gradients summed over batches", bytes: accumulateOf(config) > 1 ? weights : 0 },
    // An average: sums in float64, the mean, and a file with what was read of it; by then no checkpoint is written.
    {
      name: "a checkpoint while it is written",
      bytes: Math.max(weights + optimizers, averagesCheckpoints(config) ? 5 * weights : 0),
    },
    { name: "images that metrics look at", bytes: imagesOfMetrics(config, { views, images }) },
    { name: "JavaScript's heap", bytes: startUpBytes + stages * stageHeapBytes },
  ];
  const laidOut = isComplete ? await planned(config, players, dataset, reused) : footprint();
  const ofSessions = programsOf(laidOut).reduce(
    (total, { workspace }) => total + sessionBytes + arenasAWorkspace * workspace,
    0,
  );
  if (reused) reused.bytes = ofSessions;
  const sum = (wanted: (purpose: string) => boolean): number =>
    [...laidOut.buffers].reduce((total, [purpose, bytes]) => total + (wanted(purpose) ? bytes : 0), 0);
  const isGradient = (purpose: string): boolean => purpose.startsWith("gradient of ");
  const parts: MemoryPart[] = [
    ...known,
    { name: "gradients", bytes: isComplete ? sum(isGradient) : weights },
    { name: "activations and their gradients", bytes: sum((purpose) => !isGradient(purpose)) },
    { name: "sessions of the runtime", bytes: ofSessions },
  ].flatMap(({ name, bytes }) => (bytes > 0 ? [{ name, bytes: Math.round(bytes) }] : []));
  return {
    engine,
    parts: parts.sort((a, b) => b.bytes - a.bytes),
    bytes: parts.reduce((total, { bytes }) => total + bytes, 0),
    isComplete,
    residentBytes: resident,
    laidOut,
  };
}

const averagesCheckpoints = ({ train }: RunConfig): boolean =>
  "averageCheckpoints" in train && train.averageCheckpoints !== undefined;

/** Metrics that look at images through a classifier, which is trained on all training images where it is not cached. */
const classifying: readonly string[] = ["class-histogram", "frechet-distance"];

/** Bytes of the images, as float32, that the metrics of a run have before them at its end. */
function imagesOfMetrics(
  config: RunConfig,
  { views, images }: { readonly views: Model["views"]; readonly images: RunData["images"] },
): number {
  if (!images || !("metrics" in config)) return 0;
  const { set, facts } = images;
  const { evaluation, final } = config.metrics;
  const asked = metricsNamed([...evaluation, ...final], { views, config }).map(({ name }) => name);
  const count =
    (asked.length > 0 ? facts.counts.test : 0) +
    (asked.some((name) => classifying.includes(name)) ? facts.counts.train : 0);
  return 4 * set.height * set.width * count;
}

/** Bytes of the parameters of stages, those that several share counted once. */
const bytesOfParameters = (stages: readonly Stage[]): number =>
  [...parameterSpecs([{ name: "", scalars: [], stages }]).values()].reduce(
    (sum, { shape }) => sum + 4 * sizeOf(shape),
    0,
  );

const programsOf = ({ compiled }: Pick<Footprint, "compiled">): Program[] =>
  [...compiled.values()].flatMap(({ stage: { forward, backward } }) => (backward ? [forward, backward] : [forward]));

/** All that the engine lays out in training and evaluation. */
async function planned(
  config: RunConfig,
  players: readonly Player[],
  dataset: Dataset,
  reused: Reused | undefined,
): Promise<Footprint> {
  const laidOut = footprint(reused?.compiled);
  const probes = recordingProbes(config.probes.record);
  const needs = new Set(probes.flatMap((probe) => probe.needs));
  const probed = {
    training: true,
    recompute: recomputes(config),
    taps: needs.has("taps") ? ("plain" as const) : ("none" as const),
    readings: probes.flatMap(({ reads }) => reads ?? []),
  };
  const plain = { training: true, recompute: probed.recompute, taps: "none", readings: [] } as const;
  // Measured steps beside others, or differentiations of further batches that are not measured.
  const kinds = config.probes.everySteps === 1 && !needs.has("batches") ? [probed] : [probed, plain];
  const { training, evaluation } = batchesByShape(config, dataset);
  for (const player of players) {
    for (const { batch } of training) for (const kind of kinds) await laidOut.add(player, batch, kind);
    for (const { batch } of evaluation) await laidOut.add(player, batch, { ...plain, training: false });
  }
  return laidOut;
}

/** A batch of a shape, and how many there are of it. */
export interface ShapedBatch {
  readonly batch: Batch;
  readonly count: number;
}

/** Steps and evaluation batches that are looked at for their shapes: more than an epoch of most corpora. */
const lookedAt = 1000;

/** One batch of every shape that training and an evaluation come to. Batches of images all have one shape, but for the last of an
 *  evaluation. */
export function batchesByShape(
  config: RunConfig,
  dataset: Dataset,
): { training: readonly ShapedBatch[]; evaluation: readonly ShapedBatch[] } {
  const { dev } = dataset.evaluation;
  if (!isKind(config, "transformer")) {
    const last = dev.at(-1)!;
    const evaluation = [
      { batch: dev[0]!, count: dev.length - 1 },
      { batch: last, count: 1 },
    ];
    return {
      training: [{ batch: dataset.batchAt(0), count: dataset.stepsPerEpoch }],
      evaluation: evaluation.filter(({ count }) => count > 0),
    };
  }
  const trained = (config.train.steps ?? Infinity) * accumulateOf(config);
  const steps = Math.min(trained, dataset.stepsPerEpoch, lookedAt);
  const byShape = (batches: Iterable<Batch>): ShapedBatch[] => {
    const found = new Map<string, { batch: Batch; count: number }>();
    for (const batch of batches) {
      const shape = batch.tensors["source"]!.shape.join();
      const known = found.get(shape);
      if (known) known.count++;
      else found.set(shape, { batch, count: 1 });
    }
    return [...found.values()];
  };
  return {
    training: byShape(Array.from({ length: steps }, (_, step) => dataset.batchAt(step))),
    evaluation: byShape(dev.slice(0, lookedAt)),
  };
}

/** How far estimates have been too high: 11 % of 22 configurations (results/LOG.md). */
const tooHigh = 1.11;

/** Refuses a run as {@link judgeMemory} does, and gives its warning. */
export function checkMemory(...given: Parameters<typeof judgeMemory>): string | undefined {
  const { warning, refusal } = judgeMemory(...given);
  if (refusal !== undefined) throw new UserError(refusal);
  return warning;
}

/** Whether a run fits into what its process may have beyond what it has already (src/runs/available.ts): refused where it does
 *  not even if the estimate is too high, with a warning where it takes more than four fifths. */
export function judgeMemory(
  estimate: Omit<MemoryEstimate, "laidOut">,
  available: number,
): { readonly warning?: string; readonly refusal?: string } {
  const { bytes, parts, residentBytes, isComplete, engine } = estimate;
  const more = bytes - residentBytes;
  if (more <= 0.8 * available) return {};
  const least = isComplete ? "about" : `at least (what engine ${engine} itself needs is not known)`;
  const largest = parts
    .slice(0, 3)
    .map(({ name, bytes }) => `${name} ${memoryText(bytes)}`)
    .join(", ");
  const need = `memory: this run needs ${least} ${memoryText(bytes)}, and ${memoryText(residentBytes + available)} are available (largest parts: ${largest})`;
  if (more <= available) return { warning: `${need}: it may just fit` };
  if (more <= tooHigh * available) return { warning: `${need}: it may not fit` };
  return {
    refusal:
      `${need}; make train.batch, model.depth, model.width or data.maxLength smaller, set train.recompute: true (of a transformer), run ` +
      `fewer runs at once (--jobs), or use a ` +
      `machine with more memory`,
  };
}
