import type { CheckPoint } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { scalarGradients, type ScalarLayer } from "./scalar-chain.ts";

/** L = 21, l0 = 1: the factors of l = 1 ... 20. */
const count = 20;

/** Twenty products in float32, 6e-8 each. */
const rounding = 1e-5;

const of = (kind: ScalarLayer): ScalarLayer[] => Array.from({ length: count }, () => kind);

/** The seed's arithmetic: what 20 equal factors multiply to. */
export const seedQ19Numbers: Check = {
  name: "seed-q19-numbers",
  summary: "the seed's examples of exploding and vanishing products: 1.1^20 is 6.7, not 3325",
  source: "seed, Question 19 (examples)",
  conditions: `Layers of one number with a constant derivative, ${count} of them (L = 21, l0 = 1), differentiated by the engine.`,
  async run({ engine }) {
    const tenth = await scalarGradients(engine, of("residual"), 0.1);
    const half = await scalarGradients(engine, of("residual"), 0.5);
    const norms = await scalarGradients(engine, of("multiply"), 0.5);
    const line = (series: string, gradients: readonly number[], factor: number): CheckPoint[] =>
      gradients.flatMap((y, below) => [
        { series, x: count - below, y, seed: 0 },
        { series, x: count - below, y: factor ** (count - below) },
      ]);
    return {
      claims: [
        claim({
          name: "seed-q19-numbers/exploding",
          statement:
            "Seed, Question 19: with L = 21, l0 = 1 and dA/dx = 0.1, prod_l (1 + dA/dx) is about 3325. Measured: the gradient " +
            "through 20 layers x + 0.1 x.",
          predicted: 1.1 ** count,
          measured: tenth[0]!,
          tolerance: rounding,
          correction: { claimed: 3325, text: "1.1^20 = 6.7275; 3325 is 1.5^20, that of dA/dx = 0.5." },
        }),
        claim({
          name: "seed-q19-numbers/exploding-half",
          statement:
            "Where the seed's 3325 (Question 19) comes from: dA/dx = 0.5. Measured: the gradient through 20 layers x + 0.5 x.",
          predicted: 3325,
          measured: half[0]!,
          tolerance: 0.5 / 3325, // the seed gives whole numbers
        }),
        claim({
          name: "seed-q19-numbers/vanishing",
          statement:
            'Seed, Question 19: with dLayerNorm/dz = 0.5 the product of 20 is about "1.10^-6", which means 1 x 10^-6 ' +
            "(1.10^-6 as it stands is 0.56). Measured: the gradient through 20 layers 0.5 x.",
          predicted: 1e-6,
          measured: norms[0]!,
          tolerance: 0.05, // the seed gives one digit: 0.95e-6 to 1.05e-6 at the least
        }),
      ],
      figure: {
        kind: "lines",
        title:
          "Equal factors multiply to an exponential of the number of layers; with 0.1 a layer, 20 of them give 6.7",
        caption: "The gradient through a number of equal layers of one number.",
        x: { title: "layers" },
        y: { title: "gradient", scale: "log" },
        points: [
          ...line("1 + 0.5 (what gives 3325)", half, 1.5),
          ...line("1 + 0.1 (the seed's example)", tenth, 1.1),
          ...line("0.5 (LayerNorm's example)", norms, 0.5),
        ],
      },
    };
  },
};
