// What `fathom train --estimate` says of a run before it is begun: memory from the network's plans, time from a few of its
// steps. Nothing is written.
import { loadData } from "./build.ts";
import type { RunConfig } from "./config/schema.ts";
import { batchesByShape, judgeMemory, estimateMemory, type MemoryEstimate, type ShapedBatch } from "./memory.ts";
import { prepare } from "./prepare.ts";
import { availableBytes } from "./runs/available.ts";
import { peakMemoryBytes, residentBytes } from "./runs/cost.ts";
import { evaluateSplit, trainStep } from "./train/trainer.ts";
import { median } from "./statistics.ts";

/** What a run will cost. */
export interface RunEstimate {
  readonly memory: Omit<MemoryEstimate, "laidOut">;
  /** What this process could have beside what it has, bytes. */
  readonly availableBytes: number;
  /** The most that was resident in the steps timed here: evaluations of all shapes, but no checkpoint. */
  readonly seenBytes: number;
  readonly steps: number;
  /** Seconds of a training step: forward, backward, probes and update, in the mean over the shapes of batches and over steps that are
   *  measured and those that are not. */
  readonly stepSeconds: number;
  /** Seconds of an evaluation of the dev split. */
  readonly evaluationSeconds: number;
  readonly evaluations: number;
  /** Seconds of compiling, in the first steps. */
  readonly compileSeconds: number;
  /** Seconds of all steps and evaluations and of compiling; without checkpoints, samples and metrics of images. */
  readonly totalSeconds: number;
  /** Where memory is scarce. */
  readonly warning?: string;
}

/** What is known of a run that does not fit here: no step of it was taken. */
export interface RefusedRun extends Pick<RunEstimate, "memory" | "availableBytes"> {
  readonly refusal: string;
}

/** Times every kind of step this often, after one that compiles and warms up. */
const repeats = 3;
/** Seconds after which once is enough. */
const long = 3;

/** Estimates what the run of `config` costs. `onTiming` hears before steps are taken, which may be long ones. */
export async function estimateRun(
  config: RunConfig,
  onTiming: (memory: RunEstimate["memory"]) => void = () => {},
): Promise<RunEstimate | RefusedRun> {
  const programBytes = residentBytes();
  const data = await loadData(config);
  const { laidOut, ...memory } = await estimateMemory(config, data, programBytes);
  const available = availableBytes();
  const { warning, refusal } = judgeMemory(memory, available);
  if (refusal !== undefined) return { memory, availableBytes: available, refusal };
  onTiming(memory);
  const training = await prepare(config, data, { laidOut });
  try {
    const { dataset, steps } = training;
    const { training: trained, evaluation } = batchesByShape(config, dataset);
    const shareProbed = shareOf(steps, training.isProbed);
    const stepOf = (batch: ShapedBatch["batch"], isProbed: boolean): Promise<number> => {
      const alone = { ...training, dataset: { ...dataset, batchAt: () => batch }, isProbed: () => isProbed };
      return timed(async () => void (await trainStep(alone, 0)));
    };
    const stepSeconds = await meanOver(trained, async ({ batch }) => {
      const probed = shareProbed > 0 ? await stepOf(batch, true) : 0;
      const plain = shareProbed < 1 ? await stepOf(batch, false) : 0;
      return shareProbed * probed + (1 - shareProbed) * plain;
    });
    const batches = dataset.evaluation.dev.length;
    const evaluationSeconds =
      batches *
      (await meanOver(evaluation, ({ batch }) => {
        const dev = { ...training, dataset: { ...dataset, evaluation: { dev: [batch], test: [] } } };
        return timed(async () => void (await evaluateSplit(dev, "dev")));
      }));
    const evaluations = Math.ceil(steps / config.train.evaluateEverySteps) + 1; // before the steps that are due, and at the end
    const compileSeconds = Number(training.engine.facts()["compileMilliseconds"] ?? 0) / 1000;
    return {
      memory,
      availableBytes: available,
      seenBytes: peakMemoryBytes(),
      steps,
      stepSeconds,
      evaluationSeconds,
      evaluations,
      compileSeconds,
      totalSeconds: steps * stepSeconds + evaluations * evaluationSeconds + compileSeconds,
      ...(warning !== undefined && { warning }),
    };
  } finally {
    await training.engine.dispose();
  }
}

/** The share of steps that are measured, from the first ten thousand. */
function shareOf(steps: number, isProbed: (step: number) => boolean): number {
  const looked = Math.min(steps, 10_000);
  return Array.from({ length: looked }, (_, step) => isProbed(step)).filter(Boolean).length / looked;
}

/** Mean of what `measure` finds of each shape of batch, weighted by how many batches have it. */
async function meanOver(
  shapes: readonly ShapedBatch[],
  measure: (shape: ShapedBatch) => Promise<number>,
): Promise<number> {
  let [sum, batches] = [0, 0];
  for (const shape of shapes) {
    sum += shape.count * (await measure(shape));
    batches += shape.count;
  }
  return sum / batches;
}

/** Median seconds that `act` takes, after a first time that does not count unless it was a long one. */
async function timed(act: () => Promise<void>): Promise<number> {
  const seconds: number[] = [];
  for (let i = 0; i <= repeats && !(seconds[0]! > long); i++) {
    const began = performance.now();
    await act();
    seconds.push((performance.now() - began) / 1000);
  }
  return median(seconds.length > 1 ? seconds.slice(1) : seconds);
}
