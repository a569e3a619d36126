// The gradient of the whole network, every parameter of it, against the loss itself: the derivative of the loss along a
// tensor's own gradient g / ||g|| must be ||g||. Dropout is on; equal steps draw equal masks, so the loss is one function.
//
// The loss is a float32 number near 3.5, so it comes in steps of 2.4e-7, and differences of it must not be small; large
// differences see the curvature. Ridders' method (extrapolation over shrinking steps, keeping the estimate that its own
// error estimate likes best) finds the balance without knowing the answer. It reaches 1e-4 at the
// worst of the parameters here; the bound is the 1e-3 asked of the project. GELU, since central differences across the kink of a ReLU converge slowly; ReLU has
// its own test in test/ops.
import { expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";

/** f'(0) of f by Ridders' method (Numerical Recipes, section 5.7), from central differences at `step`, `step` / 1.6 ... */
async function ridders(f: (t: number) => Promise<number>, step: number): Promise<number> {
  const shrink = 1.6;
  let previous: number[] = [];
  let best = { error: Infinity, value: NaN };
  for (let i = 0, h = step; i < 3; i++, h /= shrink) {
    const row = [((await f(h)) - (await f(-h))) / (2 * h)];
    for (let j = 1, factor = shrink ** 2; j <= i; j++, factor *= shrink ** 2) {
      row[j] = (row[j - 1]! * factor - previous[j - 1]!) / (factor - 1);
      const error = Math.max(Math.abs(row[j]! - row[j - 1]!), Math.abs(row[j]! - previous[j - 1]!));
      if (error < best.error) best = { error, value: row[j]! };
    }
    previous = row;
  }
  return best.value;
}

test.each([
  { residual: "pre-ln", tiedEmbeddings: "none" },
  { residual: "post-ln", tiedEmbeddings: "all" },
] as const)("$residual: the loss changes along every parameter's gradient as that gradient says", async (options) => {
  const { players, parameters } = build(
    smallTransformer({ ...options, dropout: 0.1, activation: "gelu", vocabulary: 30, labelSmoothing: 0.1 }),
  );
  const batch = randomBatch(2, 5, 30, 1, [5, 3]);
  const engine = await engines.onnx.create({ threads: 1 });
  const differentiate = () => engine.differentiate(players[0]!, parameters, batch, { step: 3, seed: 1, tapped: false });
  const { gradients } = await differentiate();
  const own = new Map(Array.from(gradients, ([path, gradient]) => [path, Float32Array.from(gradient)]));
  expect(own.size).toBe(parameters.size);

  for (const [path, gradient] of own) {
    const norm = Math.hypot(...gradient);
    const { data } = parameters.get(path)!;
    const start = Float32Array.from(data);
    const lossAt = async (t: number, direction: ArrayLike<number>, length: number): Promise<number> => {
      for (let i = 0; i < data.length; i++) data[i] = start[i]! + (t * direction[i]!) / length;
      const { loss } = (await differentiate()).scalars;
      data.set(start);
      return loss!;
    };
    if (path.endsWith("key/bias")) {
      // Shifts all scores of a query alike, which softmax does not see: zero but for rounding, in gradient and loss.
      expect(norm, path).toBeLessThan(1e-6);
      const ones = new Float32Array(data.length).fill(1);
      expect(Math.abs((await lossAt(1, ones, 1)) - (await lossAt(0, ones, 1))), path).toBeLessThan(2e-6);
      continue;
    }
    expect(norm, path).toBeGreaterThan(1e-4); // a zero would prove nothing
    // A step that changes the loss by about 0.05, but moves a tensor by no more than half a unit.
    const slope = await ridders((t) => lossAt(t, gradient, norm), Math.min(0.05 / norm, 0.5));
    expect(Math.abs(slope / norm - 1), path).toBeLessThan(1e-3);
  }
  await engine.dispose();
});
