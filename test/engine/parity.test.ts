// Every engine must give the same losses and gradients as the plain JavaScript reference, float32 rounding apart. The
// bound 1e-4 is a relative difference of whole tensors; two float32 evaluations of these graphs differ by about 1e-6.
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { TransformerOptions } from "../../src/models/transformer.ts";
import { comparedEngines } from "../engines.ts";
import {
  build,
  randomBatch,
  relativeDifference,
  schemeNames,
  shake,
  smallTransformer,
  weighsEqualStreams,
} from "../helpers.ts";

const bound = 1e-4;
const cases: Record<string, Partial<TransformerOptions>> = {
  "rms-norm, gelu, tied decoder": { norm: "rms-norm", activation: "gelu", tiedEmbeddings: "decoder" },
  "all embeddings tied, label smoothing": { tiedEmbeddings: "all", labelSmoothing: 0.1 },
  "uneven depth": { depth: { encoder: 1, decoder: 3 }, residual: "post-ln" },
  ...Object.fromEntries(
    schemeNames.map((residual) => [residual, { residual, dropout: 0.1, depth: { encoder: 3, decoder: 2 } }]),
  ),
};

describe.each(Object.entries(cases))("%s", (_, overrides) => {
  const { players, parameters } = build(smallTransformer(overrides));
  // Without norms a larger push makes scores of hundreds, whose softmax loses the gradient's digits in any float32.
  shake(parameters, overrides.residual === "no-norm" ? 0.05 : 0.1);
  const batch = randomBatch(3, 8, 50, 1, [8, 5, 2]);
  const options = { step: 3, seed: 1, tapped: true };

  for (const { kind, test } of comparedEngines)
    test(`${kind.name} gives the gradients, taps and scalars of cpu`, async () => {
      const [engine, reference] = [await kind.create({ threads: 1 }), await engines.cpu.create({ threads: 1 })];
      const got = await engine.differentiate(players[0]!, parameters, batch, options);
      const want = await reference.differentiate(players[0]!, parameters, batch, options);

      expect([...got.gradients.keys()].sort()).toEqual([...parameters.keys()].sort());
      for (const [path, gradient] of want.gradients) {
        // Where keys are not normalised, their bias shifts all scores of a row alike: its true gradient is 0 and what is
        // left is rounding, beside the gradient of the weight.
        const partner = ["weight", "gain"]
          .map((name) => path.replace(/bias$/, name))
          .find((p) => want.gradients.has(p));
        const rest = bound * Math.hypot(...(want.gradients.get(partner ?? "") ?? []));
        if (path.endsWith("key/bias") && Math.hypot(...gradient) < rest)
          expect(Math.hypot(...got.gradients.get(path)!), path).toBeLessThan(rest);
        else if (weighsEqualStreams(path)) {
          const scale = Math.hypot(...want.gradients.get(path.replace(/pre|mix/, "post"))!);
          const error = Math.hypot(...gradient.map((g, i) => g - got.gradients.get(path)![i]!));
          expect(error, path).toBeLessThan(bound * scale);
        } else expect(relativeDifference(got.gradients.get(path)!, gradient), path).toBeLessThan(bound);
      }
      for (const [name, value] of Object.entries(want.scalars)) expect(got.scalars[name]).toBeCloseTo(value, 4);
      expect(got.taps.length).toBe(want.taps.length);
      got.taps.forEach((tap, i) => {
        const twin = want.taps[i]!;
        expect([tap.stack, tap.layer, tap.component, tap.point]).toEqual([
          twin.stack,
          twin.layer,
          twin.component,
          twin.point,
        ]);
        for (const signal of ["activation", "gradient"] as const) {
          expect(tap[signal].count).toBe(twin[signal].count);
          expect(tap[signal].max / twin[signal].max).toBeCloseTo(1, 3);
          expect(tap[signal].sumSquares / twin[signal].sumSquares).toBeCloseTo(1, 3);
        }
      });
      const evaluated = await engine.evaluate(players[0]!, parameters, batch);
      const expected = await reference.evaluate(players[0]!, parameters, batch);
      expect(evaluated["loss"]).toBeCloseTo(expected["loss"]!, 4);
      const output = await engine.output(players[0]!, parameters, batch);
      const wanted = await reference.output(players[0]!, parameters, batch);
      expect(output.length).toBe(3 * 8 * 16); // batch x length x width, with one stream as with several
      expect(relativeDifference(output, wanted)).toBeLessThan(bound);
      await engine.dispose();
    });
});

test("an engine keeps models apart that have the same names and shapes", async () => {
  const batch = randomBatch(3, 8, 50);
  const models = [1, 2].map((seed) => build(smallTransformer(), seed));
  const shared = await engines.onnx.create({ threads: 1 });
  for (const { players, parameters } of models) {
    const own = await engines.onnx.create({ threads: 1 });
    const [a, b] = [
      await shared.evaluate(players[0]!, parameters, batch),
      await own.evaluate(players[0]!, parameters, batch),
    ];
    expect(a).toEqual(b);
    await own.dispose();
  }
  await shared.dispose();
});
