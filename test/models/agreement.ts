// One engine against the plain JavaScript reference, as in test/engine/parity.test.ts: whole tensors within 1e-4 of each
// other, where two float32 evaluations of these graphs differ by 1e-6 or so.
import { expect } from "vitest";
import type { EngineKind } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import type { Parameter, Player } from "../../src/stage.ts";
import type { Batch } from "../../src/types.ts";
import { relativeDifference } from "../helpers.ts";

const bound = 1e-4;

/** Asserts that an engine gives the gradients, taps, scalars and outputs of cpu. */
export async function expectAgreement(
  kind: EngineKind,
  player: Player,
  parameters: ReadonlyMap<string, Parameter>,
  batch: Batch,
): Promise<void> {
  const [engine, reference] = [await kind.create({ threads: 1 }), await engines.cpu.create({ threads: 1 })];
  const options = { step: 3, seed: 1, tapped: true };
  const got = await engine.differentiate(player, parameters, batch, options);
  const want = await reference.differentiate(player, parameters, batch, options);
  expect([...got.gradients.keys()].sort()).toEqual([...want.gradients.keys()].sort());
  // What is 0 in theory is rounding beside the gradient of the whole network: 6e-8 of it, added up a few times.
  const whole = Math.hypot(...[...want.gradients.values()].map((gradient) => Math.hypot(...gradient)));
  expect(whole).toBeGreaterThan(1e-3);
  for (const [path, gradient] of want.gradients) {
    const other = got.gradients.get(path)!;
    if (Math.hypot(...gradient) < 1e-6 * whole) expect(Math.hypot(...other), path).toBeLessThan(2e-6 * whole);
    else expect(relativeDifference(other, gradient), path).toBeLessThan(bound);
  }
  for (const [name, value] of Object.entries(want.scalars)) expect(got.scalars[name], name).toBeCloseTo(value, 4);
  const placed = ({ stack, layer, component, point }: (typeof want.taps)[number]) => [stack, layer, component, point];
  expect(got.taps.map(placed)).toEqual(want.taps.map(placed));
  got.taps.forEach((tap, i) => {
    for (const signal of ["activation", "gradient"] as const) {
      const [mine, theirs] = [tap[signal], want.taps[i]![signal]];
      expect(mine.count).toBe(theirs.count);
      expect(mine.sumSquares / theirs.sumSquares, `${tap.stack} ${tap.component}`).toBeCloseTo(1, 3);
    }
  });
  const at = { step: 2, seed: 1 };
  const evaluated = await engine.evaluate(player, parameters, batch, at);
  const expected = await reference.evaluate(player, parameters, batch, at);
  for (const [name, value] of Object.entries(expected)) expect(evaluated[name], name).toBeCloseTo(value, 4);
  const output = await engine.output(player, parameters, batch, at);
  const wanted = await reference.output(player, parameters, batch, at);
  expect(relativeDifference(output, wanted)).toBeLessThan(bound);
  await engine.dispose();
}
