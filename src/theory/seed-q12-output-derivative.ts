import type { Engine } from "../engine/engine.ts";
import { constant } from "../nn/parameters.ts";
import { type Parameter, type Player, type Stage } from "../stage.ts";
import type { Batch } from "../types.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { handActivations } from "./hand-backpropagation.ts";
import { measured, predicted } from "./points.ts";
import {
  deriveByHand,
  differentiateGan,
  ganInWords,
  type LastDerivatives,
  lastDerivatives,
  smallGan,
} from "./small-gan.ts";

const D = handActivations.sigmoid.value;

/** Scores z_d^L at which derivatives are taken. */
const scores = Array.from({ length: 25 }, (_, i) => (i - 12) / 2);

/** A player that ends in `last`, a stage of the GAN that reads what the discriminator's layers gave and a score's weight and
 *  bias: with one number a row, weight 1 and bias 0, those rows are the scores themselves. */
export function scorePlayer(
  last: Stage,
  values: readonly number[],
): { player: Player; parameters: Map<string, Parameter>; batch: Batch } {
  const spec = { ...constant([values.length, 1], 0), path: "scores" };
  const rows: Stage = {
    name: "rows",
    stack: "discriminator",
    layer: "",
    key: `theory scores ${values.length}`,
    parameters: { scores: spec },
    reads: [],
    apply: (p) => ({ discriminator: p["scores"]! }),
  };
  const parameters = new Map<string, Parameter>([
    ["scores", { ...spec, data: Float32Array.from(values) }],
    [
      "discriminator/score/weight",
      { ...constant([1, 1], 1), path: "discriminator/score/weight", data: Float32Array.of(1) },
    ],
    ["discriminator/score/bias", { ...constant([1], 0), path: "discriminator/score/bias", data: Float32Array.of(0) }],
  ]);
  const score = Object.fromEntries(
    Object.entries(last.parameters).map(([name, { path }]) => [name, parameters.get(path)!]),
  );
  const player: Player = { name: "scores", stages: [rows, { ...last, parameters: score }], scalars: ["loss"] };
  return { player, parameters, batch: { tensors: {}, tokens: values.length } };
}

/** n dL/dz of every real score and every generated one by the engine, and the sum of both passes in a small GAN. */
export interface OutputDerivatives {
  readonly real: readonly number[];
  readonly generated: readonly number[];
  /** dL/db, b the bias of the last layer, which moves z of both passes. */
  readonly bias: number;
  /** D(X^i) and D(G(Z^i)) in that GAN, in float64. */
  readonly judged: { readonly real: readonly number[]; readonly generated: readonly number[] };
}

/** Takes them from the discriminator's loss, -L. */
export async function outputDerivatives(engine: Engine): Promise<OutputDerivatives> {
  const game = smallGan(2); // whose discriminator is not undecided, where both terms would cancel
  const [discriminator] = game.players;
  const { player, parameters, batch } = scorePlayer(discriminator!.stages.at(-1)!, [...scores, ...scores]);
  const { gradients } = await differentiateGan(engine, { parameters, batch, seed: 1 }, player);
  const slopes = Array.from(gradients.get("scores")!, (slope) => -slope * scores.length);
  const whole = await differentiateGan(engine, game, discriminator!);
  const { real, generated } = deriveByHand(game, whole.latents);
  return {
    real: slopes.slice(0, scores.length),
    generated: slopes.slice(scores.length),
    bias: -whole.gradients.get("discriminator/score/bias")![0]!,
    judged: { real: [...real.output], generated: [...generated.output] },
  };
}

/** As the seed has it: (1 - D(X^i)) + D(G(Z^i)). */
const asWritten: LastDerivatives = { real: (D) => 1 - D, generated: (D) => D };

/** What the derivatives say of the formula `last`. */
export function outputFinding({ real, generated, bias, judged }: OutputDerivatives, last = lastDerivatives): Finding {
  const sum = (of: LastDerivatives): number => {
    const terms = [...judged.real.map(of.real), ...judged.generated.map(of.generated)];
    return terms.reduce((a, b) => a + b, 0) / judged.real.length;
  };
  const where = `at ${scores.length} scores from ${scores[0]} to ${scores.at(-1)}, the one furthest off`;
  return {
    claims: [
      claim({
        name: "seed-q12-output-derivative/real",
        statement: `Seed, Question 12: of the pass of real images n dL/dz = 1 - D(X^i). Measured: the engine's in parts of it, ${where}.`,
        predicted: 1,
        measured: real.map((slope, i) => slope / last.real(D(scores[i]!))),
        worst: true,
        tolerance: 1e-5, // float32 exponentials
      }),
      claim({
        name: "seed-q12-output-derivative/generated",
        statement:
          "Seed, Question 12: the term of generated images is -1/(1 - D(G(Z^i))) dD(G(Z^i))/dz with dD/dz = D (1 - D), hence -D(G(Z^i)); the last line has +D(G(Z^i)). " +
          `Measured: the engine's n dL/dz of that pass in parts of D(G(Z^i)), ${where}.`,
        predicted: Math.sign(last.generated(0.5)),
        measured: generated.map((slope, i) => slope / Math.abs(last.generated(D(scores[i]!)))),
        worst: true,
        tolerance: 1e-5,
        correction: {
          claimed: 1,
          text: "The minus of the line before is lost: n dL/dz = -D(G(Z^i)) of the generated pass. More real-looking scores for generated images lower L.",
        },
      }),
      claim({
        name: "seed-q12-output-derivative/passes",
        statement:
          "Seed, Question 12: dL/dz = 1/n sum_i (1 - D(X^i)) + D(G(Z^i)), as if both terms were derivatives by one z. Measured: dL/db of the last layer's bias, which moves the z of both passes alike, seed 2.",
        predicted: sum(last),
        measured: bias,
        tolerance: 1e-5,
        correction: {
          claimed: sum(asWritten),
          text:
            "There are two z, that of X^i and that of G(Z^i), and one derivative of each: (1 - D(X^i)) / n and -D(G(Z^i)) / n. Added up they are the derivative by a shift of both: " +
            "1/n sum_i (1 - D(X^i)) - D(G(Z^i)).",
        },
      }),
    ],
    figure: {
      kind: "lines",
      title: "Real images push their score up, generated ones push it down: the seed's sum has lost that minus",
      caption: `n dL/dz of the discriminator's last layer against z, by pass. Dashed: 1 - D and -D; the seed's +D has its own colour.`,
      x: { title: "score z" },
      y: { title: "n dL/dz" },
      points: [
        ...measured({ series: "real" }, 1, scores, real),
        ...measured({ series: "generated" }, 1, scores, generated),
        ...predicted(
          { series: "real" },
          scores,
          scores.map((z) => last.real(D(z))),
        ),
        ...predicted(
          { series: "generated" },
          scores,
          scores.map((z) => last.generated(D(z))),
        ),
        ...predicted(
          { series: "generated, as written" },
          scores,
          scores.map((z) => asWritten.generated(D(z))),
        ),
      ],
    },
  };
}

/** The seed's Question 12: the derivative by the discriminator's last pre-activation. */
export const seedQ12OutputDerivative: Check = {
  name: "seed-q12-output-derivative",
  summary: "dL/dz is (1 - D) / n of a real image and -D / n of a generated one; the seed adds them up with a plus",
  source: "seed, Question 12",
  conditions: `The discriminator's minimax loss at scores that are given, and in a GAN. ${ganInWords}; tanh.`,
  async run({ engine }) {
    return outputFinding(await outputDerivatives(engine));
  },
};
