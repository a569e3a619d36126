// What of a network is measured, found in its stages: the player's own layers by stack, and its own parameters.
import { UserError } from "../errors.ts";
import { type ParameterSpec, parameterSpecs, type Player, type Stage } from "../stage.ts";
import { groupBy } from "../statistics.ts";

/** A layer: a stage of a stack with a number. */
export type Layer = Stage & { readonly layer: number };

const isLayer = (stage: Stage): stage is Layer => stage.layer !== "";
const ownStages = ({ stages }: Player): Stage[] => stages.filter(({ frozen }) => !frozen);

/** The specs of the parameters that `player` learns, by path; those of its frozen stages are another player's. */
export const ownParameters = (player: Player): Map<string, ParameterSpec> =>
  parameterSpecs([{ ...player, stages: ownStages(player) }]);

/** The layers of `player` by stack, in the order they run; a `UserError` where it has none, or where a stack's first reads
 *  something else than the stream it writes. */
export function layersByStack(player: Player): Map<string, Layer[]> {
  const stacks = groupBy(ownStages(player).filter(isLayer), ({ stack }) => stack);
  if (stacks.size === 0)
    throw new UserError(`expected a network with layers, got the player ${player.name}, which has none`);
  for (const [stack, [first]] of stacks)
    if (!first!.reads.includes(stack))
      throw new UserError(
        "expected a model of residual blocks (model.depth), got plain layers, which have no residual stream; " +
          "loss-surface measures any model",
      );
  return stacks;
}

/** All layers of `player`, in the order they run. */
export const layersOf = (player: Player): Layer[] => [...layersByStack(player).values()].flat();
