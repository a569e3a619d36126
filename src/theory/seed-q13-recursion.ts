import type { Engine } from "../engine/engine.ts";
import { stream } from "../random.ts";
import { distance, norm } from "../vectors.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { backwardByHand, forwardByHand, handActivations, type Layer } from "./hand-backpropagation.ts";
import { measured, seedsUpTo } from "./points.ts";
import {
  apart,
  type ByPath,
  deriveByHand,
  differentiateGan,
  ganInWords,
  layerPaths,
  type SmallGan,
  smallGan,
} from "./small-gan.ts";

const activations = ["tanh", "sigmoid", "leaky-relu"] as const;

/** The engine's gradient of L by theta_d in one game, and the latents it was taken with. */
export interface RecursionGame {
  readonly game: SmallGan;
  readonly activation: (typeof activations)[number];
  readonly latents: Float32Array;
  /** Of L, not of the loss. */
  readonly engine: ByPath;
}

/** Games with every activation. */
export async function recursionGames(engine: Engine, seeds: readonly number[]): Promise<RecursionGame[]> {
  const games: RecursionGame[] = [];
  for (const activation of activations)
    for (const seed of seeds) {
      const game = smallGan(seed, { activation });
      const { gradients, latents } = await differentiateGan(engine, game, game.players[0]!);
      const ofL = new Map([...gradients].map(([path, data]) => [path, data.map((value) => -value)]));
      games.push({ game, activation, latents, engine: ofL });
    }
  return games;
}

/** Factor of the recursion dL/dz^l = factor . (W^{l+1 T} dL/dz^{l+1}). */
type Factor = NonNullable<Parameters<typeof backwardByHand>[3]>;

const slopeFactor: Factor = (activation, z) => activation.slope(z);
/** As the seed has it: g(z) itself. */
const valueFactor: Factor = (activation, z) => activation.value(z);

/** The recursion against central differences where g is its own derivative, g = exp: largest relative distance of the gradient by
 *  a layer's biases. Float64, a network 3-4-3-1 and L = sum_n log D. */
export function exponentialDistance(factor: Factor = valueFactor): number {
  const sizes = [3, 4, 3, 1];
  const rows = 5;
  const draw = (what: string, length: number, scale: number): Float64Array =>
    stream(1, `theory/exponential ${what}`)
      .normal(new Float64Array(length))
      .map((value) => scale * value);
  const layers = sizes.slice(1).map((size, l): Layer & { readonly bias: Float64Array } => ({
    weight: draw(`weight ${l}`, sizes[l]! * size, 0.3),
    bias: draw(`bias ${l}`, size, 0.3),
    activation: handActivations[l === sizes.length - 2 ? "sigmoid" : "exponential"],
  }));
  const x = draw("x", rows * sizes[0]!, 1);
  const valueOf = (): number => forwardByHand(layers, x, rows).output.reduce((sum, D) => sum + Math.log(D), 0);
  const pass = forwardByHand(layers, x, rows);
  const { biases } = backwardByHand(
    layers,
    pass,
    pass.output.map((D) => 1 - D),
    factor,
  );
  return Math.max(
    ...layers.map(({ bias }, l) => {
      const slopes = bias.map((value, j) => {
        const at = (shift: number): number => {
          bias[j] = value + shift;
          const found = valueOf();
          bias[j] = value;
          return found;
        };
        return (at(1e-5) - at(-1e-5)) / 2e-5;
      });
      return distance(biases[l]!, slopes);
    }),
  );
}

/** What the games say of the recursion with `factor`. */
export function recursionFinding(games: readonly RecursionGame[], factor = slopeFactor): Finding {
  const rows = games.map((one) => ({
    ...one,
    corrected: deriveByHand(one.game, one.latents, { factor }).ofDiscriminator,
    written: deriveByHand(one.game, one.latents, { factor: valueFactor }).ofDiscriminator,
  }));
  const lowest = `${layerPaths.discriminator[0]}/bias`;
  const first = rows[0]!;
  const off = rows.map(({ written, engine }) => distance(written.get(lowest)!, engine.get(lowest)!));
  const largest = Math.max(...off);
  const layers = layerPaths.discriminator.map((_, l) => l + 1);
  const byLayer = (a: ByPath, b: ByPath): number[] =>
    layerPaths.discriminator.map((path) => distance(a.get(`${path}/bias`)!, b.get(`${path}/bias`)!));
  return {
    claims: [
      claim({
        name: "seed-q13-recursion/recursion",
        statement:
          "Seed, Question 13: dL/dz^l = g(z^l) . (W^{l+1 T} dL/dz^{l+1}), since dz_i^{l+1}/dz_j^l = w_ij g_j(z_j). Measured: the norm of the engine's gradient by the biases of the first layer, " +
          "sum_i dL/dz^1 of both passes, tanh, seed 1.",
        predicted: norm(first.corrected.get(lowest)!),
        measured: norm(first.engine.get(lowest)!),
        tolerance: 1e-5, // float32 sums of some ten terms, layer upon layer
        correction: {
          claimed: norm(first.written.get(lowest)!),
          text:
            "The derivative of g_j(z_j) is g_j'(z_j): dL/dz^l = g'(z^l) . (W^{l+1 T} dL/dz^{l+1}). As written the gradient of the first layer's biases is " +
            `off by ${Math.min(...off).toFixed(1)} to ${largest.toFixed(1)} times its norm here.`,
        },
      }),
      claim({
        name: "seed-q13-recursion/whole",
        statement:
          "Seed, Questions 11-13, corrected: grad L by all of theta_d from dL/dz^L = (1 - D, -D) / n and dL/dz^l = g'(z^l) . (W^{l+1 T} dL/dz^{l+1}), in float64 loops. " +
          `Measured: their distance from the engine's gradient in parts of it, ${activations.join(", ")}, of all games the largest.`,
        predicted: 0,
        measured: rows.map(({ corrected, engine }) => apart(corrected, engine)),
        worst: true,
        tolerance: 1e-5,
      }),
      claim({
        name: "seed-q13-recursion/exponential",
        statement:
          "Where the seed's recursion is right: with g = exp, which is its own derivative (g = c exp are the only ones). Measured: the distance of its gradient by biases from central " +
          "differences, in parts of it, of all layers the largest.",
        predicted: 0,
        measured: exponentialDistance(),
        tolerance: 1e-8, // differences at 1e-5: rounding of 1e-16 / 1e-5, and curvature of 1e-10
      }),
    ],
    figure: {
      kind: "lines",
      title: "With g in the place of g' the gradient is wrong from the last hidden layer down",
      caption:
        "Distance from the engine's gradient by a layer's biases, in parts of it. The last layer needs no recursion; 1e-7 is float32 rounding.",
      x: { title: "layer of the discriminator" },
      y: { title: "relative distance of the gradient", scale: "log" },
      points: rows.flatMap(({ game: { seed }, activation, corrected, written, engine }) =>
        [
          { panel: "g(z), as written", gradients: written },
          { panel: "g'(z), corrected", gradients: corrected },
        ].flatMap(({ panel, gradients }) =>
          measured({ series: activation, panel }, seed, layers, byLayer(gradients, engine)),
        ),
      ),
    },
  };
}

/** The seed's Question 13: the recursion from layer to layer. */
export const seedQ13Recursion: Check = {
  name: "seed-q13-recursion",
  summary: "dL/dz^l = g'(z^l) . (W^{l+1 T} dL/dz^{l+1}); the seed has g(z^l), which is right for exponentials alone",
  source: "seed, Question 13",
  conditions: `${ganInWords}; ${activations.join(", ")}, random weights and images, 3 seeds each.`,
  async run({ engine }) {
    return recursionFinding(await recursionGames(engine, seedsUpTo(3)));
  },
};
