import { stacks } from "../residual/scheme.ts";
import { mean, median, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { branchClaims } from "./branch-laws.ts";
import { type Check, claim } from "./check.ts";
import { exponent } from "./fit.ts";
import { fitted, measured, predicted, seedsUpTo } from "./points.ts";
import {
  growthOf,
  layerNumbers,
  measureVariances,
  ofStack,
  type Variances,
  varianceSeeds,
  varianceSetting,
} from "./variance.ts";

/** H_l = 1 + 1/2 + ... + 1/l of all layers. */
function harmonic(layers: readonly number[]): number[] {
  let sum = 0;
  return layers.map((layer) => (sum += 1 / layer));
}

/** What self-attention and feed-forward of each layer have of variance together. */
const scaledBranches = ({ branch }: Variances): number[] =>
  branch["self-attention"]!.map((variance, i) => variance + branch["feed-forward"]![i]!);

const crossExponents = (found: readonly Variances[]): number[] =>
  ofStack(found, "decoder").map((one) => exponent(layerNumbers(one), one.branch["cross-attention"]!));

/** Compares with branches of variance 1/l. */
export function layerNormScalingClaims(found: readonly Variances[]): Claim[] {
  const law =
    "layernorm-scaling: F(LN(x) / sqrt(l)) has a variance of 1/l, so that the stream's grows as H_l = 1 + 1/2 + ... + 1/l, as " +
    "ln l (after Sun et al. 2025, equation 12)";
  return [
    ...branchClaims("layernorm-scaling-variance", law, -1, found),
    claim({
      name: "layernorm-scaling-variance/cross-attention",
      statement:
        `${law}. Not so cross-attention, of which the paper's models have none, at initialisation (${varianceSetting}): ` +
        "log-log slope of its branch's variance against l",
      predicted: 0,
      measured: crossExponents(found),
      // Weights make a layer's variance stray by 0.12, and a seed's slope by 0.024, see the feed-forward's: the median of nine by
      // 0.01. Five of those.
      tolerance: 0.05,
      correction: {
        claimed: -1,
        text:
          "its values come from the encoder's output, which no 1/sqrt(l) scales, so that its branch keeps its variance and " +
          "the decoder's stream grows linearly",
      },
    }),
  ];
}

/** LayerNorm Scaling at initialisation: branches shrink with depth, so variance grows logarithmically. */
export const layernormScalingVariance: Check = {
  name: "layernorm-scaling-variance",
  summary: "LayerNorm Scaling's stream grows as ln l in variance at initialisation; not where there is cross-attention",
  source: "Sun et al. 2025 (NeurIPS), The Curse of Depth in Large Language Models, equation 12",
  conditions:
    `${varianceSetting}. The paper is about decoder-only models in training, where it replaces an exponential growth of ` +
    "pre-LN by a polynomial one; at initialisation the growth is linear with pre-LN and, by the same sum of branches, " +
    "logarithmic here.",
  async run({ engine }) {
    const found = await measureVariances(engine, "layernorm-scaling", seedsUpTo(varianceSeeds));
    const layers = layerNumbers(found[0]!);
    const decoder = ofStack(found, "decoder");
    const cross = mean(decoder.map(({ branch }) => mean(branch["cross-attention"]!)));
    const scaled = mean(decoder.map((one) => mean(scaledBranches(one).map((variance, i) => variance * layers[i]!))));
    const laws = {
      encoder: fitted(harmonic(layers), ofStack(found, "encoder").map(growthOf)),
      decoder: harmonic(layers).map((h, i) => scaled * h + cross * layers[i]!),
    };
    const points = stacks.flatMap((series) => [
      ...ofStack(found, series).flatMap((one) => measured({ series }, one.seed, layers, growthOf(one))),
      ...predicted({ series }, layers, laws[series]),
    ]);
    const last = (stack: Variances["stack"]): number =>
      round(median(ofStack(found, stack).map((one) => growthOf(one).at(-1)!)), 2);
    return {
      claims: layerNormScalingClaims(found),
      figure: {
        kind: "lines",
        title:
          `${layers.length} layers of LayerNorm Scaling add a variance of ${last("encoder")} in the encoder, of ` +
          `${last("decoder")} in the decoder, whose cross-attention it does not scale`,
        caption:
          "What l layers add to the variance of the embedding, at initialisation. Dashed: c H_l with H_l = 1 + 1/2 + ... + 1/l, " +
          "through the middle of what was measured, for the encoder; c H_l plus the mean variance of cross-attention's " +
          "branch a layer for the decoder. Flat is what the scaling is for. In the first layers " +
          "self-attention averages positions that still differ, and adds less than its share of c H_l.",
        x: { title: "layer l", scale: "log" },
        y: { title: "Var(x_l) - Var(x_0)", scale: "log" },
        points,
      },
    };
  },
};
