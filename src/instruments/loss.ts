// The loss of a network on an instrument's batches.
import type { Player } from "../stage.ts";
import type { Subject } from "./instrument.ts";

/** The loss of `player` on every batch, without dropout or label smoothing. */
export async function batchLosses({ engine, parameters, batches }: Subject, player: Player): Promise<number[]> {
  const losses: number[] = [];
  for (const batch of batches) losses.push((await engine.evaluate(player, parameters, batch))["loss"]!);
  return losses;
}

/** Values of batches as one, each batch by its targets: for losses the mean over all targets. */
export function weighted({ batches }: Pick<Subject, "batches">, values: readonly number[]): number {
  const targets = batches.reduce((sum, { tokens }) => sum + tokens, 0);
  return values.reduce((sum, value, i) => sum + value * batches[i]!.tokens, 0) / targets;
}
