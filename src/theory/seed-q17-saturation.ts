import type { Engine } from "../engine/engine.ts";
import { logMedian, mean } from "../statistics.ts";
import { norm } from "../vectors.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { exponent } from "./fit.ts";
import { handActivations } from "./hand-backpropagation.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { scorePlayer } from "./seed-q12-output-derivative.ts";
import { type ByPath, deriveByHand, differentiateGan, ganInWords, smallGan } from "./small-gan.ts";

const D = handActivations.sigmoid.value;
const losses = ["minimax", "non-saturating"] as const;
type Loss = (typeof losses)[number];

/** Scores a of generated images, from fooled to certain. */
const scores = Array.from({ length: 21 }, (_, i) => 4 - i);
/** Means of D(G(z)) that the discriminator's score is shifted to, image by image alike. */
const means = [0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 1e-2, 1e-3, 1e-4, 1e-5];

/** dloss/da of the generator's losses: log(1 - D) has -D, -log D has -(1 - D). */
export const slopeBy: Readonly<Record<Loss, (a: number) => number>> = {
  minimax: (a) => -D(a),
  "non-saturating": (a) => -D(-a),
};

/** n dloss/da by the engine at every score. */
export async function scoreSlopes(engine: Engine, loss: Loss): Promise<number[]> {
  const { players } = smallGan(1, { loss });
  const { player, parameters, batch } = scorePlayer(players[1]!.stages.at(-1)!, scores);
  const { gradients } = await differentiateGan(engine, { parameters, batch, seed: 1 }, player);
  return Array.from(gradients.get("scores")!, (slope) => slope * scores.length);
}

/** Norm of the generator's gradient as its discriminator grows certain. */
export interface Saturation {
  readonly seed: number;
  readonly loss: Loss;
  /** One for each of the means. */
  readonly norms: readonly number[];
  /** The same norms by hand in float64. */
  readonly hand: readonly number[];
}

/** Shifts the bias of the discriminator's score and differentiates the generator's loss. */
export async function saturationOf(engine: Engine, seed: number, loss: Loss): Promise<Saturation> {
  const game = smallGan(seed, { loss });
  const bias = game.parameters.get("discriminator/score/bias")!.data;
  const { latents } = await differentiateGan(engine, game, game.players[1]!);
  const last = { real: () => 0, generated: (d: number) => slopeBy[loss](Math.log(d / (1 - d))) };
  const derive = () => deriveByHand(game, latents, { last });
  const [norms, hand]: [number[], number[]] = [[], []];
  for (const wanted of means) {
    let [low, high] = [-30, 30];
    while (high - low > 1e-4) {
      bias[0] = (low + high) / 2;
      if (mean([...derive().generated.output]) < wanted) low = bias[0];
      else high = bias[0];
    }
    const { gradients } = await differentiateGan(engine, game, game.players[1]!);
    norms.push(lengthOf(gradients));
    hand.push(lengthOf(derive().ofGenerator));
  }
  return { seed, loss, norms, hand };
}

const lengthOf = (gradients: ByPath): number => Math.hypot(...[...gradients.values()].map((values) => norm(values)));

/** What slopes and norms say. */
export function saturationFinding(
  slopes: Readonly<Record<Loss, readonly number[]>>,
  all: readonly Saturation[],
  slope = slopeBy,
): Finding {
  const of = (loss: Loss): readonly Saturation[] => all.filter((one) => one.loss === loss);
  // Where the discriminator is certain, D = exp(a) and all images fade alike.
  const certain = (values: readonly number[]): number[] => values.filter((_, i) => means[i]! < 0.02);
  const exponents = (loss: Loss): number[] => of(loss).map(({ norms }) => exponent(certain(means), certain(norms)));
  const where = `at ${scores.length} scores from ${scores.at(-1)} to ${scores[0]}, the one furthest off`;
  const factor = of("non-saturating").map((one, i) => one.norms.at(-1)! / of("minimax")[i]!.norms.at(-1)!);
  return {
    claims: [
      claim({
        name: "seed-q17-saturation/minimax-slope",
        statement: `Behind the seed's Question 17: of log(1 - D(G(z))) the generator sees dL/da = -D, a the score. Measured: the engine's n dL/da in parts of it, ${where}.`,
        predicted: 1,
        measured: slopes.minimax.map((value, i) => value / slope.minimax(scores[i]!)),
        worst: true,
        tolerance: 1e-5, // float32 exponentials
      }),
      claim({
        name: "seed-q17-saturation/non-saturating-slope",
        statement: `Its cure (Goodfellow et al. 2014, section 3): of -log D(G(z)) the generator sees -(1 - D). Measured: the engine's in parts of it, ${where}.`,
        predicted: 1,
        measured: slopes["non-saturating"].map((value, i) => value / slope["non-saturating"](scores[i]!)),
        worst: true,
        tolerance: 1e-5,
      }),
      claim({
        name: "seed-q17-saturation/norms",
        statement:
          "Both losses through the whole of a GAN. Measured: the norm of the engine's gradient by theta_g in parts of that by hand, of all seeds, losses and means the one furthest off.",
        predicted: 1,
        measured: all.flatMap(({ norms, hand }) => norms.map((value, i) => value / hand[i]!)),
        worst: true,
        tolerance: 1e-5,
      }),
      claim({
        name: "seed-q17-saturation/vanishes",
        statement:
          "The seed's Question 17 saturates: as the discriminator wins, its generator's gradient vanishes in proportion to D(G(z)). Measured: log-log slope of the norm by theta_g against the mean of D(G(z)) below 0.02.",
        predicted: 1,
        measured: exponents("minimax"),
        worst: true,
        tolerance: 0.01, // D = exp(a) up to a share of D
      }),
      claim({
        name: "seed-q17-saturation/stays",
        statement: `The non-saturating loss does not. Measured: the same slope of its gradient, which is ${Number(Math.min(...factor).toPrecision(1)).toLocaleString("en")}-fold or more the other's at a mean of ${means.at(-1)!.toExponential(0)}.`,
        predicted: 0,
        measured: exponents("non-saturating"),
        worst: true,
        tolerance: 0.01,
      }),
    ],
    figure: {
      kind: "lines",
      title: "The saturating generator's gradient vanishes with D(G(z)); the non-saturating one's does not",
      caption:
        "Norm of the gradient by theta_g against the mean of D(G(z)), to which the discriminator's score is shifted. Dashed: by hand, the median of the seeds.",
      x: { title: "D(G(z))", scale: "log" },
      y: { title: "norm of the generator's gradient", scale: "log" },
      points: losses.flatMap((loss) => {
        const rows = of(loss);
        const middle = means.map((_, i) => logMedian(rows.map(({ hand }) => hand[i]!)));
        return [
          ...rows.flatMap(({ seed, norms }) => measured({ series: loss }, seed, means, norms)),
          ...predicted({ series: loss }, means, middle),
        ];
      }),
    },
  };
}

/** Behind the seed's Question 17: how the saturating loss leaves the generator without a gradient. */
export const seedQ17Saturation: Check = {
  name: "seed-q17-saturation",
  summary:
    "the minimax generator's gradient is D(G(z)) at the score and vanishes as the discriminator wins; 1 - D cures it",
  source: "seed, Question 17; Goodfellow et al. 2014, section 3",
  conditions: `The generators' losses at scores that are given, and in a GAN whose score is shifted. ${ganInWords}; tanh, 3 seeds.`,
  async run({ engine }) {
    const slopes = {
      minimax: await scoreSlopes(engine, "minimax"),
      "non-saturating": await scoreSlopes(engine, "non-saturating"),
    };
    const found: Saturation[] = [];
    for (const loss of losses) for (const seed of seedsUpTo(3)) found.push(await saturationOf(engine, seed, loss));
    return saturationFinding(slopes, found);
  },
};
