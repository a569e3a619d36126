// The gradients of several batches at one point of the parameters, for probes that ask how much of a gradient is noise.
import type { StepResult } from "../engine/engine.ts";
import { momentsOf } from "../engine/moments.ts";
import type { GradientSample } from "../probes/probe.ts";
import type { Player } from "../stage.ts";
import type { Moments } from "../types.ts";
import { batchesOf, differentiateBatches, targetsOf } from "./accumulate.ts";
import type { Training } from "./trainer.ts";

type Gradients = StepResult["gradients"];

/** Differentiates the batches of the `batches - 1` steps after `step`, which this training has not come to yet, at the present
 *  parameters; with accumulation, all batches of a step count as one. Gives a function that adds the step's own gradients and their
 *  number of targets: engines overwrite a step's arrays at the next, so those come last. Dropout is that of the batch's own step. */
export async function sampleGradients(
  { engine, parameters, dataset, seed, accumulate = 1, batches = 2 }: Training,
  player: Player,
  step: number,
): Promise<(own: Gradients, targets: number) => GradientSample> {
  const sums = new Map<string, Float64Array>();
  const others = new Map<string, Moments[]>();
  const next = new Map<string, Float32Array>();
  let inverseTargets = 0;
  /** Adds a batch's gradients to the sums and gives their moments, in the order of the parameters: engines give gradients as they
   *  reach them. */
  const add = (gradients: Gradients, targets: number): Map<string, Moments> => {
    inverseTargets += 1 / targets;
    const moments = new Map<string, Moments>();
    for (const path of parameters.keys()) {
      const gradient = gradients.get(path);
      if (!gradient) continue; // another player's
      let sum = sums.get(path);
      if (!sum) sums.set(path, (sum = new Float64Array(gradient.length)));
      for (let i = 0; i < sum.length; i++) sum[i]! += gradient[i]!;
      moments.set(path, momentsOf(gradient));
    }
    return moments;
  };
  for (let k = 1; k < batches; k++) {
    const own = batchesOf(dataset, step + k, accumulate);
    const options = { step: step + k, seed, tapped: false };
    const { gradients } = await differentiateBatches(engine, player, parameters, own, options);
    for (const [path, moments] of add(gradients, targetsOf(own))) {
      if (k === 1) {
        others.set(path, []);
        next.set(path, Float32Array.from(gradients.get(path)!));
      }
      others.get(path)!.push(moments);
    }
  }
  return (own, targets) => {
    const each = Array.from(add(own, targets), ([path, moments]) => [path, [moments, ...others.get(path)!]] as const);
    return {
      batches,
      targets: batches / inverseTargets,
      mean: new Map(Array.from(sums, ([path, sum]) => [path, momentsOf(sum.map((x) => x / batches))])),
      each: new Map(each),
      product: new Map(Array.from(next, ([path, other]) => [path, innerProduct(own.get(path)!, other)])),
    };
  };
}

function innerProduct(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
