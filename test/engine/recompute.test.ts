// Forwards computed once more on the way down give what those give that are kept, in less memory.
import { expect, test } from "vitest";
import type { StepResult } from "../../src/engine/engine.ts";
import { footprint } from "../../src/engine/footprint.ts";
import { onnx, wasm } from "../../src/engine/index.ts";
import { build, randomBatch, relativeDifference, schemeNames, smallTransformer } from "../helpers.ts";

const batch = randomBatch(3, 5, 50, 1, [5, 4, 2]);
const network = (residual: string) =>
  smallTransformer({ residual, depth: { encoder: 3, decoder: 3 }, dropout: 0.2, labelSmoothing: 0.1 });

/** Copies of what two steps give, the second with other dropout. */
async function steps(kind: typeof onnx, residual: string, recompute: boolean): Promise<Partial<StepResult>[]> {
  const { players, parameters } = build(network(residual));
  const engine = await kind.create({ threads: 1, recompute });
  const found = [];
  for (const step of [0, 1]) {
    const { scalars, gradients, taps } = await engine.differentiate(players[0]!, parameters, batch, {
      step,
      seed: 1,
      tapped: true,
    });
    found.push({ scalars, taps, gradients: new Map([...gradients].map(([path, data]) => [path, data.slice()])) });
  }
  await engine.dispose();
  return found;
}

test.each(schemeNames)("%s: losses, gradients and taps are the same, bit for bit", async (scheme) => {
  expect(await steps(onnx, scheme, true)).toEqual(await steps(onnx, scheme, false));
});

test("on wasm, which keeps one tape otherwise, they are the same but for roundings", async () => {
  const [again, kept] = [await steps(wasm, "pre-ln", true), await steps(wasm, "pre-ln", false)];
  for (const [i, { scalars, gradients }] of kept.entries()) {
    expect(again[i]!.scalars!["loss"]).toBeCloseTo(scalars!["loss"]!, 5);
    // Gradients of a value with several readers are added up in another order.
    for (const [path, gradient] of gradients!)
      if (Math.max(...gradient.map(Math.abs)) > 1e-6)
        expect(relativeDifference(again[i]!.gradients!.get(path)!, gradient), path).toBeLessThan(1e-5);
  }
});

test("buffers do not grow with what layers keep, only with what they write", async () => {
  const bytes = async (layers: number, recompute: boolean): Promise<number> => {
    const { players } = build({ ...network("pre-ln"), depth: { encoder: layers, decoder: layers } });
    const counted = footprint();
    await counted.add(players[0]!, batch, { training: true, recompute, taps: "plain", readings: [] });
    const buffers = [...counted.buffers].filter(([purpose]) => !purpose.startsWith("gradient of "));
    return buffers.reduce((sum, [, bytes]) => sum + bytes, 0);
  };
  const perLayer = async (recompute: boolean) => (await bytes(8, recompute)) - (await bytes(7, recompute));
  // Of an encoder and a decoder layer: two streams of 3 x 5 x 16 numbers, and a few numbers of taps.
  expect(await perLayer(true)).toBeLessThan(2 * 4 * 3 * 5 * 16 + 400);
  expect(await perLayer(false)).toBeGreaterThan(10 * (await perLayer(true)));
});
