// The gradients of several batches at one point of the parameters, for probes that ask how much of a gradient is noise.
import type { StepResult } from "../engine/engine.ts";
import { momentsOf } from "../engine/moments.ts";
import type { GradientSample } from "../probes/probe.ts";
import type { Player } from "../stage.ts";
import type { Batch, Moments } from "../types.ts";
import type { Training } from "./trainer.ts";

type Gradients = StepResult["gradients"];

/** Differentiates the batches of the `batches - 1` steps after `step`, which this training has not come to yet, at the present
 *  parameters. Gives a function that adds the step's own gradients: engines overwrite a step's arrays at the next, so those come
 *  last. Dropout is that of the batch's own step. */
export async function sampleGradients(
  { engine, parameters, dataset, seed, batches = 2 }: Training,
  player: Player,
  step: number,
): Promise<(own: Gradients, batch: Batch) => GradientSample> {
  const sums = new Map<string, Float64Array>();
  const each = new Map<string, Moments[]>();
  const next = new Map<string, Float32Array>();
  let targets = 0;
  const add = (gradients: Gradients, batch: Batch): void => {
    targets += batch.tokens;
    // In the order of the parameters: engines give gradients as they reach them.
    for (const path of parameters.keys()) {
      const gradient = gradients.get(path);
      if (!gradient) continue; // another player's
      let sum = sums.get(path);
      if (!sum) sums.set(path, (sum = new Float64Array(gradient.length)));
      for (let i = 0; i < sum.length; i++) sum[i]! += gradient[i]!;
      each.set(path, [...(each.get(path) ?? []), momentsOf(gradient)]);
    }
  };
  for (let k = 1; k < batches; k++) {
    const batch = dataset.batchAt(step + k);
    const { gradients } = await engine.differentiate(player, parameters, batch, {
      step: step + k,
      seed,
      tapped: false,
    });
    add(gradients, batch);
    if (k === 1) for (const path of sums.keys()) next.set(path, Float32Array.from(gradients.get(path)!));
  }
  return (own, batch) => {
    add(own, batch);
    const product = new Map<string, number>();
    for (const [path, other] of next) {
      const gradient = own.get(path)!;
      let sum = 0;
      for (let i = 0; i < gradient.length; i++) sum += gradient[i]! * other[i]!;
      product.set(path, sum);
    }
    return {
      batches,
      targets: targets / batches,
      mean: new Map(Array.from(sums, ([path, sum]) => [path, momentsOf(sum.map((x) => x / batches))])),
      each: new Map(Array.from(each, ([path, moments]) => [path, [moments.at(-1)!, ...moments.slice(0, -1)]])),
      product,
    };
  };
}
