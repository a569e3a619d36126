// The layers of a network by stack, found in its stages.
import { UserError } from "../errors.ts";
import type { Player, Stage } from "../stage.ts";
import { groupBy } from "../statistics.ts";

/** A layer: a stage of a stack with a number. */
export type Layer = Stage & { readonly layer: number };

const isLayer = (stage: Stage): stage is Layer => stage.layer !== "";

/** The layers of `player` by stack, in the order they run; a `UserError` where it has none. */
export function layersByStack({ name, stages }: Player): Map<string, Layer[]> {
  const stacks = groupBy(stages.filter(isLayer), ({ stack }) => stack);
  if (stacks.size === 0) throw new UserError(`expected a network with layers, got the player ${name}, which has none`);
  return stacks;
}

/** All layers of `player`, in the order they run. */
export const layersOf = (player: Player): Layer[] => [...layersByStack(player).values()].flat();
