import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { sigmoid } from "../ops/index.ts";
import type { Player, Stage } from "../stage.ts";
import { logMedian } from "../statistics.ts";
import type { HostTensor } from "../types.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import {
  apart,
  type ByPath,
  deriveByHand,
  differentiateGan,
  ganInWords,
  ganSizes,
  layerPaths,
  normsByLayer,
  type SmallGan,
  smallGan,
} from "./small-gan.ts";

/** loss = D(x), so that its gradient is grad D(x). */
const probabilityStage: Stage = {
  name: "probability",
  stack: "output",
  layer: "",
  key: "theory probability",
  parameters: {},
  reads: ["scores"],
  apply: (_, { scores }) => ({ loss: tf.sum(sigmoid(scores!)) }),
};

/** D(x) and grad D(x) of one image. */
export interface Judgement {
  readonly D: number;
  readonly gradient: ByPath;
}

/** The gradient of the engine's loss, and what the seed makes it from. */
export interface DiscriminatorGradients {
  readonly seed: number;
  /** Of the discriminator's loss, which is -L. */
  readonly engine: ByPath;
  readonly loss: number;
  readonly real: readonly Judgement[];
  readonly generated: readonly Judgement[];
  /** L in float64, and its slope along the engine's gradient in parts of the gradient's norm, by central differences. */
  readonly value: number;
  readonly slope: number;
}

/** Differentiates the loss, and D at every image by itself. */
export async function discriminatorGradients(engine: Engine, seed: number): Promise<DiscriminatorGradients> {
  const game = smallGan(seed);
  const { players, views, parameters, batch } = game;
  const { gradients, loss, latents } = await differentiateGan(engine, game, players[0]!);
  const { images, latent, pixels } = ganSizes;
  const z: HostTensor = { dtype: "float32", shape: [images, latent], data: latents };
  const generate = { tensors: { latent: z }, tokens: images };
  const generated = Float32Array.from(await engine.output(views["generate"]!, parameters, generate));
  const judge: Player = {
    name: "judge",
    stages: [...views["score"]!.stages, probabilityStage],
    scalars: ["loss"],
  };
  const judgements = async (all: ArrayLike<number>): Promise<Judgement[]> => {
    const found: Judgement[] = [];
    for (let i = 0; i < images; i++) {
      const data = Float32Array.from({ length: pixels }, (_, p) => all[i * pixels + p]!);
      const one = { tensors: { images: { dtype: "float32", shape: [1, pixels], data } }, tokens: 1 } as const;
      const step = await differentiateGan(engine, { parameters, seed, batch: one }, judge);
      found.push({ D: step.loss, gradient: step.gradients });
    }
    return found;
  };
  return {
    seed,
    engine: gradients,
    loss,
    real: await judgements(batch.tensors["images"]!.data),
    generated: await judgements(generated),
    value: deriveByHand(game, latents).value,
    slope: slopeAlong(game, latents, gradients),
  };
}

/** The slope of L along -`gradients`, by central differences, over the norm of `gradients`. */
function slopeAlong(game: SmallGan, latents: ArrayLike<number>, gradients: ByPath): number {
  const length = Math.hypot(...[...gradients.values()].flatMap((values) => Array.from(values)));
  const valueAt = (t: number): number => {
    const parameters = new Map(
      [...game.parameters].map(([path, parameter]) => {
        const direction = gradients.get(path);
        const data = Float64Array.from(parameter.data, (value, i) => value - (t * (direction?.[i] ?? 0)) / length);
        return [path, { ...parameter, data: data as unknown as Float32Array }];
      }),
    );
    return deriveByHand({ ...game, parameters }, latents).value;
  };
  return (valueAt(1e-5) - valueAt(-1e-5)) / 2e-5 / length;
}

/** The seed's Question 11: 1/n sum_i 1 / D(X^i) grad D(X^i) - 1 / (1 - D(G(Z^i))) grad D(G(Z^i)). */
export function seedGradient({ real, generated }: Pick<DiscriminatorGradients, "real" | "generated">): ByPath {
  const sums = new Map<string, Float64Array>();
  const add = ({ gradient }: Judgement, factor: number): void => {
    for (const [path, values] of gradient) {
      let sum = sums.get(path);
      if (!sum) sums.set(path, (sum = new Float64Array(values.length)));
      for (let i = 0; i < sum.length; i++) sum[i]! += (factor * values[i]!) / real.length;
    }
  };
  for (const one of real) add(one, 1 / one.D);
  for (const one of generated) add(one, -1 / (1 - one.D));
  return sums;
}

/** What the gradients say of the formula. */
export function discriminatorFinding(all: readonly DiscriminatorGradients[], formula = seedGradient): Finding {
  const rows = all.map((one) => ({ ...one, seeds: formula(one) }));
  const layers = layerPaths.discriminator.map((_, l) => l + 1);
  return {
    claims: [
      claim({
        name: "seed-q11-discriminator-gradient/value",
        statement:
          "Seed, Question 11: L = 1/n sum_i log D(X^i) + log(1 - D(G(Z^i))). Measured: the engine's loss of the discriminator, which minimises -L, in parts of -L in float64, of all seeds the one furthest off.",
        predicted: 1,
        measured: rows.map(({ loss, value }) => loss / -value),
        worst: true,
        tolerance: 1e-5, // a float32 loss
      }),
      claim({
        name: "seed-q11-discriminator-gradient/formula",
        statement:
          "Seed, Question 11: grad L = 1/n sum_i 1/D(X^i) grad D(X^i) - 1/(1 - D(G(Z^i))) grad D(G(Z^i)), by theta_d. Measured: the distance of the engine's gradient, " +
          "signs changed, from the formula with the engine's grad D of every image by itself, in parts of it, of all seeds the largest.",
        predicted: 0,
        measured: rows.map(({ engine, seeds }) => apart(engine, seeds, -1)),
        worst: true,
        tolerance: 1e-5, // float32 sums of some ten terms, layer upon layer
      }),
      claim({
        name: "seed-q11-discriminator-gradient/slope",
        statement:
          "Behind the seed's Question 11: a gradient's norm is the slope of L along it. Measured: the slope along the engine's, by central differences in float64, in parts of its norm, of all seeds the one furthest off.",
        predicted: 1,
        measured: rows.map(({ slope }) => slope),
        worst: true,
        tolerance: 1e-5,
      }),
    ],
    figure: {
      kind: "lines",
      title: "The seed's gradient of the discriminator is the engine's, layer by layer",
      caption:
        "Norm of the gradient of L by a layer's weights and biases. Dashed: the seed's formula from D and grad D of every image, the median of the seeds.",
      x: { title: "layer of the discriminator" },
      y: { title: "norm of the gradient", scale: "log" },
      points: [
        ...rows.flatMap(({ seed, engine }) =>
          measured({ series: "engine" }, seed, layers, normsByLayer(engine, "discriminator")),
        ),
        ...predicted(
          { series: "engine" },
          layers,
          layers.map((_, l) => logMedian(rows.map(({ seeds }) => normsByLayer(seeds, "discriminator")[l]!))),
        ),
      ],
    },
  };
}

/** The seed's Question 11: the gradient by the discriminator's parameters. */
export const seedQ11DiscriminatorGradient: Check = {
  name: "seed-q11-discriminator-gradient",
  summary: "the gradient by theta_d from D and grad D of every image is the engine's of the minimax loss",
  source: "seed, Question 11",
  conditions: `${ganInWords}; tanh, random weights and images, 3 seeds.`,
  async run({ engine }) {
    const found: DiscriminatorGradients[] = [];
    for (const seed of seedsUpTo(3)) found.push(await discriminatorGradients(engine, seed));
    return discriminatorFinding(found);
  },
};
