// The GAN: engines agree on the gradients of both players, and its numbers are those of the games' formulas.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { comparedEngines } from "../engines.ts";
import { UserError } from "../../src/errors.ts";
import { gan, type GanLoss, type GanOptions } from "../../src/models/gan.ts";
import { mean } from "../../src/statistics.ts";
import type { HostTensor } from "../../src/types.ts";
import { erf } from "../float64.ts";
import { floats } from "../gradient-check.ts";
import { relativeDifference } from "../helpers.ts";
import { expectAgreement } from "./agreement.ts";
import { convolutional, imageBatch, plain, residual, shaken, sizes, smallGan, stretch } from "./images.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

const leaky = { generator: plain([6, 5], "relu"), discriminator: plain([7, 5], "leaky-relu") };
const cases: Record<string, Partial<GanOptions>> = {
  minimax: { net: leaky },
  "non-saturating": { loss: "non-saturating" },
  "non-saturating, symmetric pixels": { loss: "non-saturating", pixels: "symmetric" },
  lsgan: { loss: "lsgan", net: leaky },
  "hinge, spectral norm": { loss: "hinge", spectralNorm: true },
  "non-saturating, noise on what is shown": { loss: "non-saturating", instanceNoise: 0.3 },
  "wgan-gp": { loss: "wgan-gp", net: leaky },
  "wgan-gp, dropout": {
    loss: "wgan-gp",
    net: { generator: plain([6], "relu", 0.2), discriminator: plain([7, 5], "leaky-relu", 0.3) },
  },
  "wgan-gp, spectral norm, sigmoid": {
    loss: "wgan-gp",
    spectralNorm: true,
    net: { generator: plain([6]), discriminator: plain([6], "sigmoid") },
  },
  residual: { net: { generator: residual("pre-ln"), discriminator: residual("deepnorm", "relu") } },
  "wgan-gp, residual": { loss: "wgan-gp", net: { generator: plain([6]), discriminator: residual("pre-ln") } },
  dcgan: { loss: "non-saturating", net: convolutional("leaky-relu", "relu") },
  "dcgan, wgan-gp": { loss: "wgan-gp", net: convolutional("leaky-relu", "relu") },
  "dcgan, spectral norm": { loss: "hinge", net: convolutional(), spectralNorm: true },
};

describe.each(Object.entries(cases))("%s", (_, overrides) => {
  const { players } = gan(smallGan(overrides));
  const parameters = shaken(players, 0.3);
  if (overrides.spectralNorm) stretch(parameters);
  for (const player of players)
    for (const { kind, test } of comparedEngines)
      test(`engine ${kind.name} gives the ${player.name} what cpu gives`, () =>
        expectAgreement(kind, player, parameters, imageBatch("grey")));
});

const softplus = (a: number): number => Math.log(1 + Math.exp(a));

/** What the papers have the players minimise: in words of D = sigmoid(a) for the first two, as they write it. */
const games: Record<GanLoss, { d: (real: number[], fake: number[]) => number; g: (fake: number[]) => number }> = {
  minimax: {
    d: (real, fake) => -mean(real.map((a) => -softplus(-a))) - mean(fake.map((a) => -softplus(a))),
    g: (fake) => mean(fake.map((a) => -softplus(a))),
  },
  "non-saturating": {
    d: (real, fake) => -mean(real.map((a) => -softplus(-a))) - mean(fake.map((a) => -softplus(a))),
    g: (fake) => -mean(fake.map((a) => -softplus(-a))),
  },
  lsgan: {
    d: (real, fake) => (mean(real.map((a) => (a - 1) ** 2)) + mean(fake.map((a) => a ** 2))) / 2,
    g: (fake) => mean(fake.map((a) => (a - 1) ** 2)) / 2,
  },
  hinge: {
    d: (real, fake) => -mean(real.map((a) => Math.min(0, a - 1))) - mean(fake.map((a) => Math.min(0, -a - 1))),
    g: (fake) => -mean(fake),
  },
  "wgan-gp": { d: (real, fake) => mean(fake) - mean(real), g: (fake) => -mean(fake) },
};

test.each(Object.entries(games))("%s: both losses are those of the paper, from the scores", async (loss, game) => {
  const { players, views } = gan(smallGan({ loss: loss as GanLoss }));
  const parameters = shaken(players, 0.5);
  const batch = imageBatch("grey");
  const options = { step: 3, seed: 1, tapped: false };
  const [discriminator, generator] = [
    await engine.differentiate(players[0]!, parameters, batch, options),
    await engine.differentiate(players[1]!, parameters, batch, options),
  ];
  // Both players see the same z.
  const z = discriminator.noises.get("normal/latent/z")!;
  expect(generator.noises.get("normal/latent/z")).toEqual(z);
  const view = async (name: string, tensors: Record<string, HostTensor>): Promise<Float32Array> =>
    Float32Array.from(await engine.output(views[name]!, parameters, { tensors, tokens: sizes.rows }));
  const pixels = await view("generate", { latent: floats(z.shape, z.data) });
  const real = [...(await view("score", { images: batch.tensors["images"]! }))];
  const fake = [...(await view("score", { images: floats([sizes.rows, sizes.pixels], pixels) }))];
  const { penalty, ...scalars } = discriminator.scalars;
  // Float32 scores of order 1, and ten times a penalty of order 1.
  const penalized = game.d(real, fake) + (penalty === undefined ? 0 : 10 * penalty);
  expect(scalars["loss"]).toBeCloseTo(penalized, penalty === undefined ? 5 : 4);
  expect(generator.scalars["loss"]).toBeCloseTo(game.g(fake), 5);
  const saturating = loss === "minimax" || loss === "non-saturating";
  const shown = (scores: number[]): number => mean(saturating ? scores.map((a) => 1 / (1 + Math.exp(-a))) : scores);
  expect(scalars["real"]).toBeCloseTo(shown(real), 5);
  expect(scalars["fake"]).toBeCloseTo(shown(fake), 5);
  expect(generator.scalars["fake"]).toBeCloseTo(shown(fake), 5);
});

test("the penalty is the squared distance of the score's slope from 1, between real and generated images", async () => {
  const { players, views } = gan(smallGan({ loss: "wgan-gp" }));
  const parameters = shaken(players, 0.5);
  const batch = imageBatch("grey");
  const { scalars, noises } = await engine.differentiate(players[0]!, parameters, batch, {
    step: 3,
    seed: 1,
    tapped: false,
  });
  const score = async (images: Float32Array): Promise<Float32Array> => {
    const tensors = { images: floats([images.length / sizes.pixels, sizes.pixels], images) };
    return Float32Array.from(await engine.output(views["score"]!, parameters, { tensors, tokens: 1 }));
  };
  const z = noises.get("normal/latent/z")!;
  const latent = floats(z.shape, z.data);
  const generated = Float32Array.from(
    await engine.output(views["generate"]!, parameters, { tensors: { latent }, tokens: sizes.rows }),
  );
  const share = noises.get("normal/penalty/share")!;
  expect(share.shape).toEqual([sizes.rows, 1]);
  const { data: real } = batch.tensors["images"]!;
  // Central differences of float32 scores: rounding of 1e-7 over a step of 0.02 leaves 1e-5, the third derivative 1e-4.
  const h = 0.01;
  let penalty = 0;
  for (let b = 0; b < sizes.rows; b++) {
    const normal = share.data[b]!;
    const epsilon = (1 + erf(normal / Math.SQRT2)) / 2;
    const at = Float32Array.from({ length: sizes.pixels }, (_, p) => {
      const i = b * sizes.pixels + p;
      return epsilon * real[i]! + (1 - epsilon) * generated[i]!;
    });
    const moved = Array.from({ length: 2 * sizes.pixels }, (_, i) => {
      const image = at.slice();
      image[Math.floor(i / 2)]! += i % 2 ? -h : h;
      return [...image];
    });
    const scores = await score(Float32Array.from(moved.flat()));
    const slope = Array.from({ length: sizes.pixels }, (_, p) => (scores[2 * p]! - scores[2 * p + 1]!) / (2 * h));
    penalty += (Math.hypot(...slope) - 1) ** 2 / sizes.rows;
  }
  expect(scalars["penalty"]! / penalty).toBeCloseTo(1, 3);
});

test("with symmetric pixels scores, losses and the penalty are those of 2x - 1", async () => {
  const [unit, symmetric] = (["unit", "symmetric"] as const).map((pixels) =>
    gan(smallGan({ loss: "wgan-gp", pixels })),
  ) as [ReturnType<typeof gan>, ReturnType<typeof gan>];
  const parameters = shaken(unit.players, 0.5);
  // W (2x - 1) + b = (2 W) x + (b - W 1): the same function of x, by other parameters of the first layer.
  const folded = new Map([...parameters].map(([path, one]) => [path, { ...one, data: one.data.slice() }]));
  const { data: weight, shape } = folded.get("discriminator/00/linear/weight")!;
  const { data: bias } = folded.get("discriminator/00/linear/bias")!;
  for (let i = 0; i < weight.length; i++) {
    bias[i % shape[1]!]! -= weight[i]!;
    weight[i]! *= 2;
  }
  const batch = imageBatch("grey");
  const scores = async (game: ReturnType<typeof gan>, at: typeof parameters): Promise<number[]> =>
    Array.from(await engine.output(game.views["score"]!, at, batch));
  expect(relativeDifference(await scores(symmetric, parameters), await scores(unit, folded))).toBeLessThan(1e-5);
  const options = { step: 3, seed: 1, tapped: false };
  for (const i of [0, 1]) {
    const [a, b] = [
      (await engine.differentiate(symmetric.players[i]!, parameters, batch, options)).scalars,
      (await engine.differentiate(unit.players[i]!, folded, batch, options)).scalars,
    ];
    expect(a["fake"]).toBeCloseTo(b["fake"]!, 5);
    if (i === 0) expect(a["real"]).toBeCloseTo(b["real"]!, 5);
    // Slopes are by 2x - 1, half as steep as by x.
    if (i === 0) expect(a["penalty"]).not.toBeCloseTo(b["penalty"]!, 2);
    else expect(a["loss"]).toBeCloseTo(b["loss"]!, 5);
  }
});

test("D(G(z)) of a generator that is found out is small, and not 0", async () => {
  const { players } = gan(smallGan({ net: leaky }));
  const parameters = shaken(players);
  const bias = parameters.get("discriminator/score/bias")!;
  bias.data[0] = -25;
  parameters.get("discriminator/score/weight")!.data.fill(0);
  const { fake } = await engine.evaluate(players[1]!, parameters, imageBatch("grey"));
  expect(fake! / (1 / (1 + Math.exp(25)))).toBeCloseTo(1, 4);
});

test("spectral norms bound how fast scores change: by 1 with activations that change no faster", async () => {
  const { players, views } = gan(smallGan({ spectralNorm: true, net: leaky }));
  const parameters = shaken(players, 1);
  stretch(parameters); // so that power iteration gets there
  const score = async (batch: ReturnType<typeof imageBatch>): Promise<Float32Array> =>
    Float32Array.from(await engine.output(views["score"]!, parameters, batch));
  const [a, b] = [imageBatch("grey", 50, sizes.pixels, 1), imageBatch("grey", 50, sizes.pixels, 2)];
  const [left, right] = [await score(a), await score(b)];
  const [x, y] = [a, b].map((one) => one.tensors["images"]!.data);
  const ratios = Array.from(left, (value, n) => {
    const difference = Array.from({ length: sizes.pixels }, (_, p) => {
      const i = n * sizes.pixels + p;
      return x![i]! - y![i]!;
    });
    return Math.abs(value - right[n]!) / Math.hypot(...difference);
  });
  expect(Math.max(...ratios)).toBeLessThan(1 + 1e-4);
  expect(Math.max(...ratios)).toBeGreaterThan(0.05); // the bound is not far off
});

test("a scheme whose gradients cannot be differentiated again is refused where they have to be", () => {
  const net = { generator: plain([6]), discriminator: residual("mhc") };
  expect(() => gan(smallGan({ loss: "wgan-gp", net }))).toThrow(UserError);
  expect(() => gan(smallGan({ loss: "wgan-gp", net }))).toThrow(/model\.residual: .*mhc; choose another/);
  expect(() => gan(smallGan({ loss: "hinge", net }))).not.toThrow();
});
