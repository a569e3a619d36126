// The programs that the engine compiles of a player, without running them.
import { type CarryInfo, compileStage, isPassive, type Measured, type Program } from "../../src/engine/compile.ts";
import type { Provider } from "../../src/engine/providers.ts";
import type { Player } from "../../src/stage.ts";
import type { Batch } from "../../src/types.ts";

/** Every program of a player's training, measured as `measured` says, and of its evaluation. */
export function programsOf(player: Player, batch: Batch, provider: Provider, measured: Measured): Program[] {
  const programs: Program[] = [];
  for (const training of [true, false]) {
    let carry: Record<string, CarryInfo> = Object.fromEntries(
      Object.entries(batch.tensors).map(([key, { shape, dtype }]) => [key, { shape, dtype, differentiable: false }]),
    );
    for (const [i, stage] of player.stages.entries()) {
      const read = Object.fromEntries(stage.reads.map((key) => [key, carry[key]!]));
      const last = i === player.stages.length - 1;
      const mode = !training ? "evaluate" : isPassive(stage, read) ? "pass" : last ? "turn" : "train";
      const { forward, backward, writes } = compileStage(stage, read, mode, measured, provider);
      programs.push(forward, ...(backward ? [backward] : []));
      carry = { ...carry, ...writes };
    }
  }
  return programs;
}
