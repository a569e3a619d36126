import { carryAfter } from "../engine/linearize.ts";
import { UserError } from "../errors.ts";
import { standardDeviation } from "../statistics.ts";
import type { RemovalRow } from "../types.ts";
import type { Instrument, Subject } from "./instrument.ts";
import { batchLosses, weighted } from "./loss.ts";
import { type Layer, layersOf } from "./stacks.ts";

/** The loss without each layer: the stream passes it by, all other layers as they were trained. Veit et al. 2016 found that
 *  residual networks bear it. */
export async function layerRemovals(subject: Subject): Promise<RemovalRow[]> {
  const { player, onProgress } = subject;
  const layers = layersOf(player);
  const whole = await batchLosses(subject, player);
  const loss = weighted(subject, whole);
  const rows: RemovalRow[] = [];
  for (const stage of layers) {
    const without = { ...player, stages: player.stages.filter((other) => other !== stage) };
    const losses = await batchLosses(subject, without);
    const lossWithout = weighted(subject, losses);
    const changes = losses.map((value, i) => value - whole[i]!);
    const batches = changes.length;
    const changeError = standardDeviation(changes) / Math.sqrt(batches);
    const { stack, layer } = stage;
    rows.push({ stack, layer, loss, lossWithout, change: lossWithout - loss, changeError, batches });
    onProgress?.(rows.length, layers.length);
  }
  return rows;
}

/** Throws where a layer is the first to write an entry that a later stage reads: without it there would be no such entry. */
async function refuseReaders({ engine, player, parameters, batches }: Subject): Promise<void> {
  const layers = layersOf(player);
  const { stages } = player;
  let carry = batches[0]!.tensors;
  for (const [i, stage] of stages.entries()) {
    const before = carry;
    carry = await carryAfter(engine, [stage], parameters, before);
    if (!layers.includes(stage as Layer)) continue;
    for (const entry of Object.keys(carry).filter((key) => !(key in before))) {
      const reader = stages.slice(i + 1).find(({ reads }) => reads.includes(entry));
      if (reader)
        throw new UserError(
          `expected layers that hand on nothing but the residual stream, got ${stage.name}, which writes ` +
            `"${entry}" for ${reader.name} to read; this residual scheme cannot do without single layers`,
        );
    }
  }
}

export const layerRemoval: Instrument = {
  name: "layer-removal",
  summary: "what each layer is worth: dev loss with that layer taken out, less dev loss",
  refuse: refuseReaders,
  measure: async (subject) => ({ kind: "removal", rows: await layerRemovals(subject) }),
};
