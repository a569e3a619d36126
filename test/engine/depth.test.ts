// Depth must cost no compilation: layers of a stack are one program, however many there are.
import { afterEach, expect, test, vi } from "vitest";
import * as session from "../../src/engine/session.ts";
import { onnx } from "../../src/engine/index.ts";
import { createOptimizer } from "../../src/train/optimizers.ts";
import { build, randomBatch, smallTransformer } from "../helpers.ts";

vi.mock("../../src/engine/session.ts", async (original) => {
  const actual = await original<typeof session>();
  return { ...actual, createSession: vi.fn(actual.createSession) };
});
const created = vi.mocked(session.createSession);
afterEach(() => void created.mockClear());

const shape = { width: 8, heads: 2, feedForward: 16, vocabulary: 20 };
const options = { step: 0, seed: 1, tapped: true };

test.each([
  ["pre-ln", 0],
  ["post-ln", 0.1],
])(
  "%s: 100 + 100 layers need as many sessions as 2 + 2, train, and have a finite gradient everywhere",
  async (residual, dropout) => {
    const sessions: number[] = [];
    for (const layers of [2, 100]) {
      const depth = { encoder: layers, decoder: layers };
      const { players, parameters } = build(smallTransformer({ ...shape, depth, residual, dropout }));
      const engine = await onnx.create({ threads: 1 });
      const batch = randomBatch(2, 5, 20, 1, [5, 3]);
      created.mockClear();
      const first = await engine.differentiate(players[0]!, parameters, batch, options);
      sessions.push(created.mock.calls.length);
      const loss = first.scalars["loss"]!;

      expect(first.gradients.size).toBe(parameters.size);
      for (const [path, gradient] of first.gradients) {
        expect(gradient.every(Number.isFinite), path).toBe(true);
        // Something must arrive at every layer. Behind 100 post-LN layers it is little: 1e-20 is far above float32's least.
        if (!path.endsWith("key/bias")) expect(Math.hypot(...gradient), path).toBeGreaterThan(1e-20);
      }
      const layersSeen = new Set(first.taps.map(({ stack, layer }) => `${stack} ${layer}`));
      for (let l = 0; l < layers; l++)
        for (const stack of ["encoder", "decoder"]) expect(layersSeen).toContain(`${stack} ${l}`);
      for (const { activation, gradient } of first.taps) {
        expect(Number.isFinite(activation.sumSquares) && activation.sumSquares > 0).toBe(true);
        expect(Number.isFinite(gradient.sumSquares) && gradient.sumSquares > 0).toBe(true);
      }

      // One small step of plain descent lowers the loss: the gradients belong to these parameters, not to other layers'.
      const optimizer = createOptimizer({ kind: "sgd", learningRate: 1, momentum: 0, weightDecay: 0 });
      const squares = [...first.gradients.values()].reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0);
      const learningRate = 0.002 / squares; // a loss of 0.002 less, to first order
      for (const [path, gradient] of first.gradients)
        optimizer.update(path, parameters.get(path)!.data, gradient, { gradientScale: 1, learningRate, step: 0 });
      const second = await engine.differentiate(players[0]!, parameters, batch, options);
      // Curvature and rounding leave the first-order figure right to a tenth.
      expect(loss - second.scalars["loss"]!).toBeGreaterThan(0.0018);
      expect(loss - second.scalars["loss"]!).toBeLessThan(0.0022);
      expect(created.mock.calls.length).toBe(sessions.at(-1)); // and nothing is compiled again
      await engine.dispose();
    }
    expect(sessions[0]).toBeGreaterThan(5); // the spy has seen them
    expect(sessions[1]).toBe(sessions[0]);
  },
);
