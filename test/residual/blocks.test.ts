// What the schemes' constants are in a stack of residual MLP blocks: those of a network with as many residual sublayers.
import { describe, expect, test } from "vitest";
import { members } from "../../src/registry.ts";
import { describeScheme } from "../../src/residual/describe.ts";
import * as schemes from "../../src/residual/index.ts";
import { indexOf, type Place, type ResidualScheme } from "../../src/residual/scheme.ts";

/** A place in a stack of `depth` blocks. */
const at = (depth: number, layer = 0, stack = "generator"): Place => ({
  network: { depth: { [stack]: depth }, width: 16, heads: 0, feedForward: 32 },
  stack,
  layer,
  sublayer: "feed-forward",
});
const constant = (scheme: ResidualScheme, symbol: string, place: Place): number => scheme.constants!(place)[symbol]!;

describe("constants of L blocks, to 4 digits", () => {
  // (2N)^(1/4) and (8N)^(-1/4) with 2N = L: Wang et al. 2022, table 1, encoder-only.
  test.each([
    [1, 1, 0.7071],
    [4, 1.4142, 0.5],
    [24, 2.2134, 0.3195],
    [36, 2.4495, 0.2887],
  ])("DeepNorm at %d blocks", (depth, alpha, beta) => {
    expect(constant(schemes.deepnorm, "alpha", at(depth))).toBeCloseTo(alpha, 4);
    expect(constant(schemes.deepnorm, "beta", at(depth))).toBeCloseTo(beta, 4);
    expect(schemes.deepnorm.gains!(at(depth))).toMatchObject({ in: constant(schemes.deepnorm, "beta", at(depth)) });
  });

  // sqrt(ln 2N) with 2N = L; a single block as two.
  test.each([
    [1, 0.8326],
    [2, 0.8326],
    [24, 1.7827],
  ])("Sub-LN at %d blocks", (depth, gamma) => {
    expect(constant(schemes.subLn, "gamma", at(depth))).toBeCloseTo(gamma, 4);
    expect(schemes.subLn.gains!(at(depth))).toMatchObject({ out: constant(schemes.subLn, "gamma", at(depth)) });
  });

  // As an encoder of L / 2 layers: the numbers of schemes.test.ts at 2, 6 and 18 layers.
  test.each([
    [4, 0.5634, 0.4855],
    [12, 0.4281, 0.3689],
    [36, 0.3253, 0.2803],
  ])("T-Fixup at %d blocks", (depth, gain, embedding) => {
    const { tFixup } = schemes;
    expect(tFixup.gains!(at(depth)).in).toBeCloseTo(gain, 4);
    expect(tFixup.embeddingGain!("generator", at(depth).network)).toBeCloseTo(embedding, 4);
  });

  // n = L: those of schemes.test.ts at 2 and 6 encoder layers.
  test.each([
    [4, 1.4514],
    [12, 2.017],
  ])("admin-closed-form at %d blocks", (depth, omega) => {
    expect(constant(schemes.adminClosedForm, "omega", at(depth))).toBeCloseTo(omega, 4);
  });

  test("Fixup has B = L branches of two matrices: L^(-1/2), and 0", () => {
    expect(schemes.fixup.gains!(at(16))).toMatchObject({ in: 0.25, out: 0 });
    expect(schemes.fixup.constants!(at(16))).toEqual({ "B^(-1/2)": 0.25, b: 0, s: 1 });
  });

  test("Keel's alpha is the number of blocks, 1 in the first, which has no outer norm", () => {
    expect([0, 1, 11].map((layer) => constant(schemes.keel, "alpha", at(12, layer)))).toEqual([1, 12, 12]);
    expect([0, 1].map((layer) => Object.keys(schemes.keel.norms!(at(12, layer))))).toEqual([
      ["feed-forward"],
      ["feed-forward", "feed-forward-out"],
    ]);
  });

  test("LayerScale takes two blocks for a layer, LayerNorm Scaling and Mix-LN each for one", () => {
    expect([36, 37, 48, 49].map((depth) => constant(schemes.layerscale, "gamma", at(depth)))).toEqual([
      0.1, 1e-5, 1e-5, 1e-6,
    ]);
    expect(constant(schemes.layernormScaling, "scale", at(8, 3))).toBeCloseTo(0.5, 12);
    const forms = Array.from({ length: 8 }, (_, layer) => schemes.mixLn.form!(at(8, layer)));
    expect(forms.map((form) => form === "post-ln")).toEqual([true, true, ...new Array<boolean>(6).fill(false)]);
  });

  test("hyper-connections read one stream after the other", () => {
    for (const scheme of [schemes.hyperConnections, schemes.mhc])
      expect([0, 1, 2, 3, 4].map((layer) => constant(scheme, "read", at(5, layer)))).toEqual([0, 1, 2, 3, 0]);
    expect(indexOf(at(5, 4))).toBe(4);
  });
});

test.each([...members<ResidualScheme>(schemes).values()])(
  "$name: whatever a stack is called, and whatever else stands in the model, its numbers are the same",
  (scheme) => {
    const sizes = { width: 16, heads: 0, feedForward: 32 };
    const { constants, gains } = describeScheme(scheme, { depth: { encoder: 6, decoder: 6, generator: 6 }, ...sizes });
    expect(Object.keys(constants)).toEqual(["encoder", "decoder", "generator"]);
    for (const found of [constants, gains]) {
      expect(found.encoder).toEqual(found.generator);
      expect(found.decoder).toEqual(found.generator);
    }
    const alone = describeScheme(scheme, { depth: { generator: 6 }, ...sizes });
    expect(alone.constants.generator).toEqual(constants.generator);
    // Of a block's matrices, and of the map into the stream; none of attention.
    const names = Object.keys(gains.generator);
    expect(names).toEqual(scheme.unitSphere ? [] : ["feed-forward/in", "feed-forward/out", "input"]);
    for (const value of Object.values(constants.generator).flat()) expect(value).toBeGreaterThanOrEqual(0);
  },
);
