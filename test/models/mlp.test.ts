// Plain and residual MLPs: their equations in plain float64 loops, every scheme on every engine, and what their options do.
// That their gradients are those of their losses is in mlp-gradients.test.ts.
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { UserError } from "../../src/errors.ts";
import { type PlainMlpOptions, plainMlp, type ResidualMlpOptions, residualMlp } from "../../src/models/mlp.ts";
import { schemeOf } from "../../src/models/residual-stream.ts";
import type { ActivationName } from "../../src/nn/activations.ts";
import { angularDistance, deadUnits } from "../../src/nn/readings.ts";
import { members } from "../../src/registry.ts";
import * as schemes from "../../src/residual/index.ts";
import type { ResidualScheme } from "../../src/residual/scheme.ts";
import { placeOf } from "../../src/stage.ts";
import { profile } from "../../src/train/profile.ts";
import * as float64 from "../float64.ts";
import { relativeDifference, schemeNames, shake } from "../helpers.ts";
import { batch, regression, sizes } from "./regression.ts";

let onnx: Engine;
let cpu: Engine;
beforeAll(async () => {
  onnx = await engines.onnx.create({ threads: 1 });
  cpu = await engines.cpu.create({ threads: 1 });
});
afterAll(() => Promise.all([onnx.dispose(), cpu.dispose()]));

const applicable = [...members<ResidualScheme>(schemes).values()].flatMap((scheme) =>
  scheme.attentionOnly ? [] : [scheme.name],
);
const plain = (overrides: Partial<PlainMlpOptions> = {}): PlainMlpOptions => ({
  stack: "encoder",
  from: "images",
  sizes: [sizes.inputs, 8, 6],
  activation: "relu",
  ...overrides,
});
const blocks = (overrides: Partial<ResidualMlpOptions> = {}): ResidualMlpOptions => ({
  stack: "generator",
  from: "images",
  inputSize: sizes.inputs,
  depth: 3,
  width: 6,
  feedForward: 10,
  residual: "pre-ln",
  norm: "layer-norm",
  activation: "relu",
  dropout: 0,
  ...overrides,
});
const plainRegression = (options: PlainMlpOptions) =>
  regression(plainMlp(options), options.stack, options.sizes.at(-1)!);
const blockRegression = (options: ResidualMlpOptions) => regression(residualMlp(options), options.stack, options.width);
const step = { step: 3, seed: 1 };

/** float32 rounding of some dozen operations in a row. */
const rounding = 1e-5;
/** Two engines: see test/engine/parity.test.ts. */
const bound = 1e-4;

/** Asserts that the compiled engine gives loss, gradients, taps and readings of the plain JavaScript one. */
async function expectParity({ player, parameters }: ReturnType<typeof regression>): Promise<void> {
  shake(parameters);
  const options = { ...step, tapped: true, readings: ["angular-distance", "branch-share", "dead-units"] };
  const got = await onnx.differentiate(player, parameters, batch(), options);
  const want = await cpu.differentiate(player, parameters, batch(), options);
  expect(got.scalars["loss"]).toBeCloseTo(want.scalars["loss"]!, 4);
  expect([...got.gradients.keys()].sort()).toEqual([...parameters.keys()].sort());
  for (const [path, gradient] of want.gradients) {
    const scale = weighsEqualStreams(path)
      ? Math.hypot(...want.gradients.get(path.replace(/pre|mix/, "post"))!)
      : Math.hypot(...gradient);
    const error = Math.hypot(...gradient.map((g, i) => g - got.gradients.get(path)![i]!));
    expect(error, path).toBeLessThanOrEqual(bound * scale);
  }
  const places = ({ taps }: typeof got) => taps.map((t) => [t.stack, t.layer, t.component, t.point]);
  expect(places(got)).toEqual(places(want));
  got.taps.forEach((tap, i) => {
    for (const signal of ["activation", "gradient"] as const)
      expect(tap[signal].sumSquares / want.taps[i]![signal].sumSquares).toBeCloseTo(1, 3);
  });
  expect(got.readings.length).toBe(want.readings.length);
  got.readings.forEach((reading, i) => {
    expect(reading.values[0], reading.name).toBeCloseTo(want.readings[i]!.values[0]!, 4);
  });
}

/** mHC's streams are all equal where the first block reads them, see `weighsEqualStreams` of test/helpers.ts. */
const weighsEqualStreams = (path: string): boolean => /\/00\/[^/]+\/hyper\/(pre|mix)\//.test(path);

describe("a plain MLP", () => {
  test.each<ActivationName>(["relu", "gelu"])("computes act(h W + b) layer by layer: %s", async (activation) => {
    const { player, parameters } = plainRegression(plain({ activation }));
    shake(parameters);
    const p = (path: string) => parameters.get(path)!.data;
    const input = batch().tensors["images"]!.data;
    const wanted = ["encoder/00", "encoder/01"].reduce<ArrayLike<number>>(
      (h, layer) => float64[activation as "relu" | "gelu"](linear(h, layer)),
      input,
    );
    function linear(h: ArrayLike<number>, layer: string): Float64Array {
      return float64.linear(h, p(`${layer}/linear/weight`), p(`${layer}/linear/bias`));
    }
    expect(relativeDifference(await onnx.output(player, parameters, batch()), wanted)).toBeLessThan(rounding);
  });

  test.each<ActivationName>(["relu", "gelu", "tanh", "sigmoid", "leaky-relu"])(
    "gives the same gradients on the compiled engine as on the plain one: %s",
    (activation) => expectParity(plainRegression(plain({ activation, dropout: 0.2 }))),
  );

  test("has a stage, a tap and two parameters a layer, named by its stack", () => {
    const stages = plainMlp(plain({ stack: "discriminator" }));
    expect(stages.map(({ name, stack, layer }) => [name, stack, layer])).toEqual([
      ["discriminator/00", "discriminator", 0],
      ["discriminator/01", "discriminator", 1],
    ]);
    const specs = stages.flatMap(({ parameters }) => Object.values(parameters));
    expect(specs.map(({ path, shape }) => `${path} ${shape.join("x")}`)).toEqual([
      "discriminator/00/linear/weight 7x8",
      "discriminator/00/linear/bias 8",
      "discriminator/01/linear/weight 8x6",
      "discriminator/01/linear/bias 6",
    ]);
    expect(placeOf(specs[0]!.path)).toMatchObject({ stack: "discriminator", layer: 0, component: "linear" });
  });

  test.each<ActivationName>(["relu", "leaky-relu"])(
    "keeps the signal's size through 10 layers of %s",
    async (activation) => {
      const width = 128;
      const options = plain({ activation, sizes: [sizes.inputs, ...new Array<number>(11).fill(width)] });
      const { player, parameters } = plainRegression(options);
      const { taps } = await onnx.differentiate(player, parameters, batch(64), { ...step, tapped: true });
      const squares = taps.map(({ activation: { sumSquares, count } }) => sumSquares / count);
      expect(squares).toHaveLength(11);
      // Each layer multiplies the mean square by 1 +- about sqrt(5 / width) = 0.2 at random: a factor exp(0.6) at 10 layers, three
      // of which are allowed. Without the gain it would shrink by 2^-10.
      const growth = squares.at(-1)! / squares[0]!;
      expect(Math.abs(Math.log(growth))).toBeLessThan(1.9);
    },
  );

  test("without a hidden layer is refused", () => {
    expect(() => plainMlp(plain({ sizes: [784] }))).toThrow(UserError);
    expect(() => plainMlp(plain({ sizes: [784] }))).toThrow(
      /encoder: expected at least one hidden layer, got none; give/,
    );
  });
});

describe("a residual MLP", () => {
  test("pre-ln: x + F(LN(x)) block by block and a final norm, from a linear map of the input", async () => {
    const { player, parameters } = blockRegression(blocks());
    shake(parameters);
    const p = (path: string) => parameters.get(path)!.data;
    const linear = (x: ArrayLike<number>, name: string) => float64.linear(x, p(`${name}/weight`), p(`${name}/bias`));
    const norm = (x: ArrayLike<number>, name: string) =>
      float64.layerNorm(x, p(`${name}/gain`), p(`${name}/bias`), 1e-5);
    let x = linear(batch().tensors["images"]!.data, "generator/input");
    for (const layer of ["generator/00", "generator/01", "generator/02"]) {
      const hidden = float64.relu(linear(norm(x, `${layer}/norm/feed-forward`), `${layer}/feed-forward/in`));
      const f = linear(hidden, `${layer}/feed-forward/out`);
      x = x.map((v, i) => v + f[i]!);
    }
    const got = await onnx.output(player, parameters, batch());
    expect(relativeDifference(got, norm(x, "generator/norm"))).toBeLessThan(rounding);
  });

  // `encoder` is the name of a VAE's stack as well as of a transformer's.
  test.each(applicable)("%s gives the same on the compiled engine as on the plain one", (residual) =>
    expectParity(blockRegression(blocks({ residual, stack: "encoder", dropout: 0.1 }))),
  );
  test.each(["rms-norm", "dynamic-tanh", "derf", "none"])("so does pre-ln with the norm %s", (norm) =>
    expectParity(blockRegression(blocks({ norm }))),
  );

  test.each(applicable)("%s learns: the loss falls along the gradient", async (residual) => {
    const { player, parameters } = blockRegression(blocks({ residual }));
    const losses: number[] = [];
    for (let at = 0; at < 12; at++) {
      const { scalars, gradients } = await onnx.differentiate(player, parameters, batch(), { ...step, tapped: false });
      losses.push(scalars["loss"]!);
      for (const [path, g] of gradients)
        parameters.get(path)!.data.forEach((v, i, data) => (data[i] = v - 0.05 * g[i]!));
    }
    expect(losses.at(-1)).toBeLessThan(losses[0]! * 0.95);
  });

  test.each(schemeNames.filter((name) => !applicable.includes(name)))(
    "%s is refused, with those that apply",
    (residual) => {
      const make = () => residualMlp(blocks({ residual }));
      expect(make).toThrow(UserError);
      expect(make).toThrow(
        `model.residual: expected a scheme that has a meaning in layers without attention, got ${residual}; ` +
          `choose one of ${applicable.join(", ")}`,
      );
    },
  );

  test("an unknown scheme is refused as everywhere", () => {
    expect(() => residualMlp(blocks({ residual: "preln" }))).toThrow(
      /unknown residual scheme "preln"; did you mean "pre-ln"/,
    );
  });

  test("layers of one scheme share their code, whatever the depth", () => {
    const keys = (residual: string) =>
      new Set(residualMlp(blocks({ residual, depth: 9 })).flatMap(({ key, layer }) => (layer === "" ? [] : [key])))
        .size;
    expect(["pre-ln", "deepnorm", "layernorm-scaling", "hyper-connections"].map(keys)).toEqual([1, 1, 1, 1]);
    expect(["mix-ln", "keel", "dlcl"].map(keys)).toEqual([2, 2, 9]);
  });

  test("schemes without bias vectors have none in the input map, those on the unit sphere unit rows", async () => {
    expect(
      [...blockRegression(blocks({ residual: "fixup" })).parameters.keys()].filter((p) => /bias$/.test(p)),
    ).toEqual(["output/projection/bias"]);
    const { player, parameters } = blockRegression(blocks({ residual: "ngpt" }));
    const { data, shape } = parameters.get("generator/input/weight")!;
    const rows = Array.from({ length: shape[0]! }, (_, i) => Math.hypot(...data.subarray(i * 6, (i + 1) * 6)));
    rows.forEach((length) => expect(length).toBeCloseTo(1, 6));
    const output = await onnx.output(player, parameters, batch());
    for (let b = 0; b < sizes.rows; b++) expect(Math.hypot(...output.subarray(b * 6, (b + 1) * 6))).toBeCloseTo(1, 5);
  });

  test("Admin's profile runs over it and follows omega_{i+1}^2 = omega_i^2 Var(x_i) + Var(F_i)", async () => {
    const options = blocks({ residual: "admin", depth: 4 });
    const { player, parameters } = blockRegression(options);
    const stages = regression(residualMlp({ ...options, residual: schemeOf(options).profiling! }), "generator", 6)
      .player.stages;
    const omegas = await profile([{ ...player, profile: stages }], parameters, onnx, batch(64), 1);
    const { taps } = await onnx.differentiate(player, parameters, batch(64), { ...step, tapped: true });
    const meanSquare = (layer: number | "", component: string): number => {
      const { activation } = taps.find(
        (t) => t.layer === layer && t.component === component && (layer === "" || t.point === "branch"),
      )!;
      return activation.sumSquares / activation.count;
    };
    const omega = [0, 1, 2, 3].map((layer) => omegas.get(`generator/0${layer}/feed-forward/omega`)!);
    expect(omega[0]).toBe(1);
    // Means over all elements are not taken off on this side: they are those of 6 columns, a few per cent of the square.
    omega.slice(1).forEach((value, i) => {
      const stream = omega[i]! ** 2 * (i === 0 ? meanSquare("", "input") : 1);
      const wanted = stream + meanSquare(i, "feed-forward");
      expect(Math.abs(value ** 2 / wanted - 1)).toBeLessThan(0.05);
    });
  });
});

describe.each([
  ["plain", () => plainMlp(plain()), (o: Partial<PlainMlpOptions>) => plainMlp(plain(o)), "encoder"],
  ["residual", () => residualMlp(blocks()), (o: Partial<ResidualMlpOptions>) => residualMlp(blocks(o)), "generator"],
] as const)("options of a %s MLP", (_, make, makeWith, stack) => {
  test("a weight transform stands before every matrix, and in the key", async () => {
    const doubled = { name: "doubled", apply: (w: tf.Tensor) => tf.mul(w, 2) };
    const transformed = regression(makeWith({ weight: doubled }), stack, 6);
    const { player, parameters } = regression(make(), stack, 6);
    const got = await cpu.evaluate(transformed.player, transformed.parameters, batch());
    expect(await onnx.evaluate(transformed.player, transformed.parameters, batch())).toMatchObject({
      loss: expect.closeTo(got["loss"]!, 4) as number,
    });
    expect(await cpu.evaluate(player, parameters, batch())).not.toEqual(got);
    for (const [path, { data }] of parameters)
      if (path.endsWith("/weight") && path.startsWith(stack)) data.forEach((w, i) => (data[i] = 2 * w));
    expect(await cpu.evaluate(player, parameters, batch())).toEqual(got); // doubling is exact
    const keys = [makeWith({ weight: doubled }), make()].map((stages) => new Set(stages.map(({ key }) => key)));
    // What ends a stack has no matrix, yet a key of its own with the others.
    expect([...keys[0]!].filter((key) => keys[1]!.has(key))).toEqual([]);
  });

  test("frozen stages give no gradients of their own, and pass on those of what stands before them", async () => {
    expect(make().some(({ frozen }) => frozen)).toBe(false);
    const before = plainMlp(plain({ stack: "first", sizes: [sizes.inputs, sizes.inputs], activation: "tanh" }));
    const learnt = async (frozen: true | undefined) => {
      const { player, parameters } = regression([...before, ...makeWith({ frozen, from: "first" })], stack, 6);
      const { gradients } = await onnx.differentiate(player, parameters, batch(), { ...step, tapped: true });
      return new Map(Array.from(gradients, ([path, g]) => [path, Float32Array.from(g)]));
    };
    const [all, rest] = [await learnt(undefined), await learnt(true)];
    expect([...rest.keys()].sort()).toEqual([...all.keys()].filter((path) => !path.startsWith(stack)).sort());
    expect(rest.has("first/00/linear/weight")).toBe(true);
    for (const [path, gradient] of rest)
      expect(relativeDifference(gradient, all.get(path)!), path).toBeLessThan(rounding);
  });
});

test("readings are of rows where there is no time", async () => {
  await tf.setBackend("cpu");
  const [x, y] = [tf.tensor2d([[1, 0], [2, 0]]), tf.tensor2d([[0, 1], [2, 0]])]; // prettier-ignore
  expect(angularDistance(x, y).dataSync()[0]).toBeCloseTo(0.25, 6);
  expect([...deadUnits(tf.tensor2d([[1, -1, 0], [0, -2, 3]])).dataSync()]).toEqual([expect.closeTo(1 / 3, 6)]); // prettier-ignore
});
