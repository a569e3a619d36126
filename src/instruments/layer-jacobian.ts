import type { JacobianRow } from "../types.ts";
import type { Instrument, Subject } from "./instrument.ts";
import { advance, type Carry, type Effort, singularValues, usualEffort } from "./singular-values.ts";
import { layersOf } from "./stacks.ts";

/** The Jacobian of every layer: of the stream it writes with respect to the stream it reads, what travels beside the stream
 *  and, in a decoder, the encoder's output held fixed. */
export async function layerJacobians(subject: Subject, effort: Effort = usualEffort): Promise<JacobianRow[]> {
  const { player, batches, onProgress } = subject;
  const layers = layersOf(player);
  const rows: JacobianRow[] = [];
  let carries: readonly Carry[] = batches.map(({ tensors }) => tensors);
  let from = 0;
  for (const stage of layers) {
    const at = player.stages.indexOf(stage);
    carries = await advance(subject, player.stages.slice(from, at), carries);
    from = at;
    const { stack, layer } = stage;
    rows.push({ stack, layer, ...(await singularValues(subject, [stage], carries, stack, effort)) });
    onProgress?.(rows.length, layers.length);
  }
  return rows;
}

export const layerJacobian: Instrument = {
  name: "layer-jacobian",
  summary: "how far each layer stretches its residual stream: spectral norm and mean-square singular value",
  refuse: ({ player }) => void layersOf(player),
  measure: async (subject) => ({ kind: "jacobian", rows: await layerJacobians(subject) }),
};
