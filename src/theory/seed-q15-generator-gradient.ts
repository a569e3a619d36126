import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import type { Player, Stage } from "../stage.ts";
import { logMedian } from "../statistics.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { imageGradients } from "./seed-q14-input-gradient.ts";
import {
  apart,
  type ByPath,
  deriveByHand,
  differentiateGan,
  ganInWords,
  ganSizes,
  layerPaths,
  normsByLayer,
  smallGan,
} from "./small-gan.ts";

const { images, pixels, latent } = ganSizes;

/** loss = the one pixel that `mask` [n, P] has a 1 at. */
const pickStage: Stage = {
  name: "pick",
  stack: "output",
  layer: "",
  key: "theory pick",
  parameters: {},
  reads: ["pixels", "mask"],
  apply: (_, { pixels, mask }) => ({ loss: tf.sum(tf.mul(pixels!, mask!)) }),
};

/** The engine's gradients of both players, the same through the Jacobian, and by hand. */
export interface GeneratorGradients {
  readonly seed: number;
  /** Of L by theta_g, and by theta_d. */
  readonly generator: ByPath;
  readonly discriminator: ByPath;
  /** dL/dG(Z^i)_p, and grad G(Z^i)_p by theta_g, [n P]. */
  readonly slopes: ArrayLike<number>;
  readonly jacobian: readonly ByPath[];
  readonly hand: { readonly generator: ByPath; readonly discriminator: ByPath };
}

/** Differentiates both losses, and every pixel of every generated image by itself. */
export async function generatorGradients(engine: Engine, seed: number): Promise<GeneratorGradients> {
  const game = smallGan(seed);
  const { players, views, parameters } = game;
  const fool = await differentiateGan(engine, game, players[1]!);
  const judge = await differentiateGan(engine, game, players[0]!);
  const hand = deriveByHand(game, fool.latents);
  const player: Player = { name: "pick", stages: [...views["generate"]!.stages, pickStage], scalars: ["loss"] };
  const jacobian: ByPath[] = [];
  for (let i = 0; i < images * pixels; i++) {
    const mask = new Float32Array(images * pixels);
    mask[i] = 1;
    const batch = {
      tensors: {
        latent: { dtype: "float32", shape: [images, latent], data: fool.latents },
        mask: { dtype: "float32", shape: [images, pixels], data: mask },
      },
      tokens: images,
    } as const;
    jacobian.push((await differentiateGan(engine, { parameters, batch, seed }, player)).gradients);
  }
  return {
    seed,
    generator: fool.gradients,
    discriminator: new Map([...judge.gradients].map(([path, data]) => [path, data.map((value) => -value)])),
    slopes: await imageGradients(engine, game, hand.generator.output),
    jacobian,
    hand: { generator: hand.ofGenerator, discriminator: hand.ofDiscriminator },
  };
}

/** The seed's Question 15: sum_i dL/dG(Z^i) dG(Z^i)/dtheta_g. */
export function throughJacobian({ slopes, jacobian }: Pick<GeneratorGradients, "slopes" | "jacobian">): ByPath {
  const sums = new Map<string, Float64Array>();
  jacobian.forEach((row, i) => {
    for (const [path, values] of row) {
      let sum = sums.get(path);
      if (!sum) sums.set(path, (sum = new Float64Array(values.length)));
      for (let j = 0; j < sum.length; j++) sum[j]! += slopes[i]! * values[j]!;
    }
  });
  return sums;
}

/** What the gradients say. */
export function generatorFinding(all: readonly GeneratorGradients[], formula = throughJacobian): Finding {
  const loops =
    "in float64 loops. Measured: its distance from the engine's gradient in parts of it, of all seeds the largest.";
  const networks = ["discriminator", "generator"] as const;
  const layers = (network: keyof typeof layerPaths): number[] => layerPaths[network].map((_, l) => l + 1);
  return {
    claims: [
      claim({
        name: "seed-q15-generator-gradient/jacobian",
        statement:
          "Seed, Question 15: grad L = sum_i dL/dG(Z^i) grad G(Z^i), by theta_g; the 1/n stands in dL/dG. Measured: the distance of the sum over all pixels, both factors by the engine, from the engine's " +
          "gradient of the generator's loss, in parts of it, of all seeds the largest.",
        predicted: 0,
        measured: all.map((one) => apart(formula(one), one.generator)),
        worst: true,
        tolerance: 1e-5, // float32 sums of some ten terms, layer upon layer
      }),
      claim({
        name: "seed-q15-generator-gradient/generator",
        statement: `Seed, Questions 12-15, corrected: grad L by theta_g from (1 - D, -D) / n down through discriminator and generator, ${loops}`,
        predicted: 0,
        measured: all.map(({ hand, generator }) => apart(hand.generator, generator)),
        worst: true,
        tolerance: 1e-5,
      }),
      claim({
        name: "seed-q15-generator-gradient/discriminator",
        statement: `Seed, Questions 11-13, corrected: grad L by theta_d likewise, ${loops}`,
        predicted: 0,
        measured: all.map(({ hand, discriminator }) => apart(hand.discriminator, discriminator)),
        worst: true,
        tolerance: 1e-5,
      }),
    ],
    figure: {
      kind: "lines",
      title: "Backpropagation by hand, corrected, gives the engine's gradients of both players",
      caption:
        "Norm of the gradient of L by a layer's weights and biases, by the engine. Dashed: by hand, the median of the seeds. The generator's comes down through the discriminator.",
      x: { title: "layer" },
      y: { title: "norm of the gradient", scale: "log" },
      points: networks.flatMap((network) => [
        ...all.flatMap((one) =>
          measured({ series: network }, one.seed, layers(network), normsByLayer(one[network], network)),
        ),
        ...predicted(
          { series: network },
          layers(network),
          layers(network).map((_, l) => logMedian(all.map(({ hand }) => normsByLayer(hand[network], network)[l]!))),
        ),
      ]),
    },
  };
}

/** The seed's Question 15: the gradient by the generator's parameters. */
export const seedQ15GeneratorGradient: Check = {
  name: "seed-q15-generator-gradient",
  summary:
    "the gradient by theta_g is dL/dG times the generator's Jacobian; the whole derivation, corrected, is the engine's",
  source: "seed, Question 15, and 11-15 together",
  conditions: `${ganInWords}; tanh, random weights and images, 3 seeds.`,
  async run({ engine }) {
    const found: GeneratorGradients[] = [];
    for (const seed of seedsUpTo(3)) found.push(await generatorGradients(engine, seed));
    return generatorFinding(found);
  },
};
