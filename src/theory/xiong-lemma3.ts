import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { layerNorm } from "../nn/norms/index.ts";
import type { Norm } from "../nn/norms/norm.ts";
import { constant } from "../nn/parameters.ts";
import { stream } from "../random.ts";
import type { Player } from "../stage.ts";
import { mean, median, round } from "../statistics.ts";
import { initialize } from "../train/initialize.ts";
import type { Claim } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { exponent } from "./fit.ts";
import { spectralNorm } from "./matrix.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";

const width = 128;
/** Factors on an input of variance 1. */
const scales = Array.from({ length: 17 }, (_, i) => 10 ** (i / 2 - 4));
/** From here on LayerNorm's epsilon of 1e-5 weighs less than a thousandth of a hundredth beside the variance. */
const isFree = (scale: number): boolean => scale >= 1;
/** How many standard deviations of its elements the mean of an input lies from 0. */
const offset = 3;

/** An input and the Jacobian there. */
interface Point {
  readonly scale: number;
  /** ||x||, and ||x - mean(x)||. */
  readonly norm: number;
  readonly centredNorm: number;
  /** The Jacobian's largest singular value. */
  readonly spectralNorm: number;
}

/** The points of one seed: an input with mean 0, and one whose mean is 3 standard deviations, at every scale. */
export interface Points {
  readonly seed: number;
  readonly centred: readonly Point[];
  readonly shifted: readonly Point[];
}

/** The whole Jacobian of a norm with gain 1 and bias 0 in one step: D rows that are all x, of which row i reads out y_i, so
 *  that row i of dL/dX is row i of dy/dx. */
function rowsOfJacobian(norm: Norm): Player {
  const shapes = { x: constant([width, width], 0), ...norm.parameters(width) };
  const parameters = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, { ...shape, path: `norm/${name}` }]),
  );
  return {
    name: "jacobian",
    scalars: ["loss"],
    stages: [
      {
        name: "norm",
        stack: "norm",
        layer: "",
        key: `theory Jacobian of ${norm.name}`,
        parameters,
        reads: ["diagonal"],
        apply: (p, { diagonal }) => ({ loss: tf.sum(tf.mul(norm.apply(p["x"]!, p), diagonal!)) }),
      },
    ],
  };
}

/** Measures the Jacobian of `norm` by the engine at inputs of all scales. */
export async function jacobianNorms(
  engine: Engine,
  seeds: readonly number[],
  norm: Norm = layerNorm,
): Promise<Points[]> {
  const player = rowsOfJacobian(norm);
  const parameters = initialize([player], 0);
  const diagonal = Float32Array.from({ length: width * width }, (_, i) => Number(i % (width + 1) === 0));
  const batch = {
    tensors: { diagonal: { dtype: "float32", shape: [width, width], data: diagonal } },
    tokens: width,
  } as const;
  const found: Points[] = [];
  for (const seed of seeds) {
    const draw = stream(seed, "theory/norm input").normal(new Float64Array(width));
    const drawMean = mean([...draw]);
    const spread = Math.sqrt(mean(Array.from(draw, (value) => (value - drawMean) ** 2)));
    // Mean 0 and variance 1, so that seeds differ in direction alone and can be drawn over one another.
    const z = draw.map((value) => (value - drawMean) / spread);
    const start = stream(seed, "theory/power iteration").normal(new Float64Array(width));
    const at = async (scale: number, shift: number): Promise<Point> => {
      const x = Float32Array.from(z, (value) => scale * (value + shift));
      const own = mean([...x]);
      for (let i = 0; i < width; i++) parameters.get("norm/x")!.data.set(x, i * width);
      const { gradients } = await engine.differentiate(player, parameters, batch, { step: 0, seed, tapped: false });
      return {
        scale,
        norm: Math.hypot(...x),
        centredNorm: Math.hypot(...x.map((value) => value - own)),
        spectralNorm: spectralNorm({ size: width, data: Float64Array.from(gradients.get("norm/x")!) }, start),
      };
    };
    const centred: Point[] = [];
    const shifted: Point[] = [];
    for (const scale of scales) {
      centred.push(await at(scale, 0));
      shifted.push(await at(scale, offset));
    }
    found.push({ seed, centred, shifted });
  }
  return found;
}

const free = (points: readonly Point[]): Point[] => points.filter(({ scale }) => isFree(scale));
/** The slope of log ||J|| against log ||x||. */
const slopeOf = (points: readonly Point[]): number =>
  exponent(
    points.map(({ norm }) => norm),
    points.map(({ spectralNorm }) => spectralNorm),
  );
/** ||J|| times a norm of x over sqrt(d): the constant in ||J|| = c sqrt(d) / ||x||. */
const constantOf = (points: readonly Point[], norm: "norm" | "centredNorm"): number =>
  median(points.map((point) => (point.spectralNorm * point[norm]) / Math.sqrt(width)));

/** Compares with the lemma. */
export function jacobianClaims(found: readonly Points[]): Claim[] {
  const lemma = "Xiong et al. 2020, Lemma 3: ||J_LN(x)||_2 = O(sqrt(d) / ||x||), gain 1, bias 0";
  // Float32 rounds the Jacobian's elements to 1e-7 of the largest, and an epsilon of 1e-5 beside a variance of 1 and more
  // takes off 5e-6 at most.
  const tolerance = 1e-4;
  return [
    claim({
      name: "xiong-lemma3/slope",
      statement: `${lemma}: log-log slope of the Jacobian's spectral norm against ||x|| over four decades`,
      predicted: -1,
      measured: found.map(({ centred }) => slopeOf(free(centred))),
      tolerance,
    }),
    claim({
      name: "xiong-lemma3/constant",
      statement: `${lemma}: for x of mean 0 the constant is 1, ||J|| ||x|| / sqrt(d)`,
      predicted: 1,
      measured: found.map(({ centred }) => constantOf(free(centred), "norm")),
      tolerance,
    }),
    claim({
      name: "xiong-lemma3/any-mean",
      statement:
        `Behind ${lemma}: for x of any mean, ||J|| ||x - mean(x)|| / sqrt(d) is 1; a mean of ${offset} standard ` +
        `deviations, which LayerNorm does not see, makes ||x|| alone wrong by sqrt(${1 + offset ** 2})`,
      predicted: 1,
      measured: found.map(({ shifted }) => constantOf(free(shifted), "centredNorm")),
      tolerance,
    }),
  ];
}

/** Xiong et al. 2020, Lemma 3: the larger its input, the more a LayerNorm shrinks gradients. */
export const xiongLemma3: Check = {
  name: "xiong-lemma3",
  summary: "LayerNorm's Jacobian has spectral norm sqrt(d) / ||x|| (Xiong et al. 2020)",
  source: "Xiong et al. 2020 (ICML), On Layer Normalization in the Transformer Architecture, Lemma 3",
  conditions:
    `One LayerNorm with gain 1 and bias 0, d = ${width}; its whole Jacobian from the engine's gradient, row by row. The ` +
    "lemma has no epsilon: claims are tested where the elements' variance is 1 or more, beside an epsilon of 1e-5.",
  async run({ engine }) {
    const found = await jacobianNorms(engine, seedsUpTo(5));
    const kinds = { centred: "mean 0", shifted: `mean of ${offset} standard deviations` } as const;
    const points = (["centred", "shifted"] as const).flatMap((kind) => {
      const series = kinds[kind];
      const norms = found[0]![kind].map(({ norm }) => norm); // the same of all seeds, but for rounding
      return [
        ...found.flatMap((one) =>
          measured(
            { series },
            one.seed,
            norms,
            one[kind].map(({ spectralNorm }) => spectralNorm),
          ),
        ),
        ...predicted(
          { series },
          norms,
          found[0]![kind].map(({ centredNorm }) => Math.sqrt(width) / centredNorm),
        ),
      ];
    });
    const flat = median(found.map(({ centred }) => centred[0]!.spectralNorm));
    return {
      claims: jacobianClaims(found),
      figure: {
        kind: "lines",
        title: `LayerNorm's Jacobian shrinks as ||x||^${round(median(found.map(({ centred }) => slopeOf(free(centred)))), 4)}`,
        caption:
          "Largest singular value of dLN(x)/dx at inputs of all sizes. Dashed: sqrt(d) / ||x - mean(x)||, which for an input " +
          `of mean 0 is the lemma's sqrt(d) / ||x||. Small inputs leave the line for ${round(flat, 3)}: LayerNorm's epsilon ` +
          "of 1e-5, which the lemma does without, bounds the Jacobian by 1 / sqrt(epsilon).",
        x: { title: "||x||", scale: "log" },
        y: { title: "||dLN/dx||", scale: "log" },
        points,
      },
    };
  },
};
