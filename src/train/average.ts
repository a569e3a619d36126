// Checkpoint averaging: the mean of the weights at the end of training (Vaswani et al. 2017, section 6.1).
import { UserError } from "../errors.ts";
import type { Parameter, Parameters } from "../stage.ts";
import { loadWeightsOf } from "./checkpoint.ts";
import { normalizeVectors } from "./unit-norm.ts";

/** Which checkpoints are averaged. */
export interface Averaging {
  /** How many. */
  readonly count: number;
  readonly checkpointEverySteps: number;
}

/** The steps of the checkpoints that are averaged where training has ended at step `end`, oldest first: the end and the multiples of
 *  `checkpointEverySteps` before it, as many as there are up to `count`. What an interruption saves is not among them, so that a run
 *  that was interrupted has the same average. */
export function averagedSteps(end: number, { count, checkpointEverySteps }: Averaging): number[] {
  const steps = [end];
  const last = checkpointEverySteps * Math.floor((end - 1) / checkpointEverySteps);
  for (let step = last; step > 0 && steps.length < count; step -= checkpointEverySteps) steps.unshift(step);
  return steps;
}

/** A mean of checkpoints. */
export interface Averaged {
  readonly parameters: Map<string, Parameter>;
  /** Those that are in it. */
  readonly steps: readonly number[];
  /** What is wrong with each of the others. */
  readonly leftOut: readonly string[];
}

/** The arithmetic mean of the parameters of the run's checkpoints at `steps`: summed in float64 from the oldest on, and rounded once
 *  to float32. Vectors of unit norm (`Parameter.unitNorm`) are scaled back to norm 1: the mean of points on a sphere lies within it,
 *  where the network has never been, and what is nearest to it on the sphere is the mean there (Mardia & Jupp 2000, Directional
 *  Statistics, section 2.2). `parameters` say which there are and are left alone. Checkpoints that are missing or damaged are left
 *  out: what was trained must not be lost for one of them. A `UserError` where none is left. */
export function averageCheckpoints(runDir: string, steps: readonly number[], parameters: Parameters): Averaged {
  const average = new Map(
    [...parameters].map(([path, parameter]) => [path, { ...parameter, data: new Float32Array(parameter.data.length) }]),
  );
  const sums = new Map([...average].map(([path, { data }]) => [path, new Float64Array(data.length)]));
  const taken: number[] = [];
  const leftOut: string[] = [];
  for (const step of steps) {
    try {
      loadWeightsOf(runDir, step, average);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      leftOut.push(error.message);
      continue;
    }
    taken.push(step);
    for (const [path, { data }] of average) {
      const sum = sums.get(path)!;
      for (let i = 0; i < sum.length; i++) sum[i]! += data[i]!;
    }
  }
  if (taken.length === 0)
    throw new UserError(
      `${leftOut.join("\n")}\nno checkpoint is left that train.averageCheckpoints could average; run it again with --afresh`,
    );
  for (const [path, parameter] of average) {
    const sum = sums.get(path)!;
    for (let i = 0; i < sum.length; i++) parameter.data[i] = sum[i]! / taken.length;
    normalizeVectors(parameter);
  }
  return { parameters: average, steps: taken, leftOut };
}
