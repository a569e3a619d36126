// A player's gradients against its loss, in float64: for files that put Float64Array in the place of Float32Array, as
// test/engine/finite-differences.test.ts does, which says within what bounds.
import { expect } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { Parameter, Player } from "../../src/stage.ts";
import type { Batch } from "../../src/types.ts";

const step = 1e-5;
const bound = 1e-5;

/** Asserts that the loss of a training step changes along every parameter's gradient as that gradient says. Returns the paths
 *  of those whose gradient is 0, once it is seen that the loss does not change with them. */
export async function expectSlopes(
  player: Player,
  parameters: ReadonlyMap<string, Parameter>,
  batch: Batch,
): Promise<string[]> {
  const blind: string[] = [];
  const engine = await engines.cpu.create({ threads: 1 });
  const differentiate = () => engine.differentiate(player, parameters, batch, { step: 3, seed: 1, tapped: false });
  const { gradients } = await differentiate();
  for (const [path, gradient] of gradients) {
    const norm = Math.hypot(...gradient);
    const { data } = parameters.get(path)!;
    const start = data.slice();
    const lossAt = async (t: number, direction: ArrayLike<number>, length: number): Promise<number> => {
      for (let i = 0; i < data.length; i++) data[i] = start[i]! + (t * direction[i]!) / length;
      const { scalars } = await differentiate();
      data.set(start);
      return scalars["loss"]!;
    };
    if (norm < 1e-12) {
      blind.push(path);
      // A thousandth, which leads over no kink: a gradient of 1e-9 would be seen.
      const ones = new Float32Array(data.length).fill(1);
      expect(Math.abs((await lossAt(1e-3, ones, 1)) - (await lossAt(0, ones, 1))), path).toBeLessThan(1e-12);
      continue;
    }
    expect(norm, path).toBeGreaterThan(1e-7); // a zero would prove nothing
    const slope = ((await lossAt(step, gradient, norm)) - (await lossAt(-step, gradient, norm))) / (2 * step);
    expect(Math.abs(slope - norm), path).toBeLessThan(bound * norm + 1e-10);
  }
  return blind;
}
