import type { JacobianRow } from "../types.ts";
import type { Instrument, Subject } from "./instrument.ts";
import { advance, type Carry, type Effort, singularValues, usualEffort } from "./singular-values.ts";
import { layersByStack } from "./stacks.ts";

/** The Jacobian of every stack from its first layer to its last, the final norm excluded: of the stream after all layers with
 *  respect to the stream before them. What travels beside the stream starts fixed and moves with it from there.
 *  Products are float32: a stack that shrinks everything below 1e-38 reads 0. */
export async function stackJacobians(subject: Subject, effort: Effort = usualEffort): Promise<JacobianRow[]> {
  const { player, batches, onProgress } = subject;
  const stacks = layersByStack(player);
  const rows: JacobianRow[] = [];
  let carries: readonly Carry[] = batches.map(({ tensors }) => tensors);
  let from = 0;
  for (const [stack, layers] of stacks) {
    const [start, end] = [player.stages.indexOf(layers[0]!), player.stages.indexOf(layers.at(-1)!) + 1];
    carries = await advance(subject, player.stages.slice(from, start), carries);
    from = start;
    const stages = player.stages.slice(start, end);
    rows.push({ stack, layer: "", ...(await singularValues(subject, stages, carries, stack, effort)) });
    onProgress?.(rows.length, stacks.size);
  }
  return rows;
}

export const stackJacobian: Instrument = {
  name: "stack-jacobian",
  summary: "how far each stack stretches its residual stream, first layer to last: the same numbers",
  refuse: ({ player }) => void layersByStack(player),
  measure: async (subject) => ({ kind: "jacobian", rows: await stackJacobians(subject) }),
};
