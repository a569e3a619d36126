import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { postLn } from "../residual/index.ts";
import type { ResidualScheme } from "../residual/scheme.ts";
import { extent, mean, round, thinned } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { encoderOnly, gaussianBatch, readingsAt, redrawn, xiongInit } from "./encoder-only.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";

const sizes = { layers: 64, width: 128, heads: 1, feedForward: 128, sentences: 1, length: 32, vocabulary: 500 };

/** Post-LN that also shows the sum its norm reads. */
const shownPostLn: ResidualScheme = {
  ...postLn,
  name: "post-ln with its sums shown",
  connect: (x, branch, { norm, measure }) => norm(measure("sum", tf.add(x, branch(x)))),
};

/** ||x||^2 / d, averaged over positions, by layer; a row a seed. */
export interface Norms {
  /** Of x + F of the feed-forward, before the norm. */
  readonly postLn: readonly (readonly number[])[];
  /** Of the stream. */
  readonly preLn: readonly (readonly number[])[];
}

/** Measures on an encoder of `layers` layers. */
export async function squaredNorms(engine: Engine, layers: number, seeds: readonly number[]): Promise<Norms> {
  const shape = { ...sizes, layers };
  const players = [shownPostLn, "pre-ln"].map((scheme) => xiongInit(encoderOnly(scheme, shape)));
  const { parameters, draw } = redrawn(players);
  const read = async (index: number, component: string, seed: number): Promise<number[]> => {
    const batch = gaussianBatch(shape, seed);
    const { taps } = await engine.differentiate(players[index]!, parameters, batch, { step: 0, seed, tapped: true });
    return readingsAt(taps, "encoder", component).map(({ activation }) => activation.sumSquares / activation.count);
  };
  const postLn: number[][] = [];
  const preLn: number[][] = [];
  for (const seed of seeds) {
    draw(seed);
    postLn.push(await read(0, "feed-forward/sum", seed));
    preLn.push(await read(1, "layer", seed));
  }
  return { postLn, preLn };
}

const low = (l: number): number => 1 + l / 2;
const high = (l: number): number => 1 + (3 * l) / 2;
const overSeeds = (rows: readonly (readonly number[])[]): number[] =>
  rows[0]!.map((_, layer) => mean(rows.map((row) => row[layer]!)));
/** The value furthest from `centre`. */
const furthest = (values: readonly number[], centre: number): number =>
  values.reduce((a, b) => (Math.abs(b - centre) > Math.abs(a - centre) ? b : a));

const setting =
  "expectations over inputs and weights at initialisation, uniform single-head attention, matrices d x d from Xavier's " +
  "normal distribution, Gaussian inputs";

/** Compares with the lemma. */
export function normClaims({ postLn, preLn }: Norms): Claim[] {
  // How far outside its bounds the mean over seeds lies, in parts of the bound: 0 within them.
  const violation = Math.max(0, ...overSeeds(preLn).map((v, i) => Math.max(low(i + 1) / v - 1, v / high(i + 1) - 1)));
  const post = "post-ln: E||x + F||^2 before the norm is 3d/2 at every layer";
  return [
    claim({
      name: "xiong-lemma2/post-ln",
      statement: `${post} (Xiong et al. 2020, Lemma 2; ${setting}): ||x + F||^2 / d, mean over layers`,
      predicted: 1.5,
      measured: postLn.map(mean),
      // A layer's value has a standard deviation of 0.17 over its weights once all positions are alike, the mean over 64
      // layers 0.02, and the median of 16 seeds 0.007: six of those.
      tolerance: 0.03,
    }),
    claim({
      name: "xiong-lemma2/post-ln-every-layer",
      statement: `${post} (Xiong et al. 2020, Lemma 2): mean over seeds at the layer furthest from it`,
      predicted: 1.5,
      measured: furthest(overSeeds(postLn), 1.5),
      // +- 0.25: the mean of 16 seeds has a standard deviation of 0.04, and the furthest of 64 layers is 2 to 4 of those off.
      tolerance: 0.25 / 1.5,
    }),
    claim({
      name: "xiong-lemma2/pre-ln",
      statement:
        "pre-ln: (1 + l/2) d <= E||x_l||^2 <= (1 + 3l/2) d after every layer l (Xiong et al. 2020, Lemma 2; " +
        `${setting}): how far the mean over seeds lies outside, at the worst layer, in parts of the bound`,
      predicted: 0,
      measured: violation,
      // The lower bound is nearly reached at the first layers, where attention averages 32 independent positions away; the
      // mean of 16 seeds is within a few per cent of the expectation.
      tolerance: 0.1,
    }),
  ];
}

/** Xiong et al. 2020, Lemma 2: how large the stream is at each layer, on a network as the lemma has it. */
export const xiongLemma2: Check = {
  name: "xiong-lemma2",
  summary: "the stream's size: 3d/2 before each post-LN norm, linear in depth with pre-LN (Xiong et al. 2020)",
  source: "Xiong et al. 2020 (ICML), On Layer Normalization in the Transformer Architecture, Lemma 2",
  conditions:
    `${setting}; the paper's single head has no output matrix. Tested at L = ${sizes.layers}, d = ${sizes.width}, ` +
    `${sizes.length} positions. The expectation is a mean over seeds: one draw of the weights strays from it, since ` +
    "positions become alike with depth and no longer average.",
  async run({ engine }) {
    const seeds = seedsUpTo(16);
    const norms = await squaredNorms(engine, sizes.layers, seeds);
    const shown = thinned(sizes.layers, 22); // a figure needs no more
    const layers = shown.map((i) => i + 1);
    const panels = { post: "post-LN, before the norm", pre: "pre-LN" };
    const lines = (series: string, panel: string, rows: Norms["preLn"]) =>
      rows.flatMap((row, i) =>
        measured(
          { series, panel },
          seeds[i]!,
          layers,
          shown.map((layer) => row[layer]!),
        ),
      );
    const [postLow, postHigh] = extent(overSeeds(norms.postLn)).map((value) => round(value, 3));
    const last = overSeeds(norms.preLn).at(-1)!;
    return {
      claims: normClaims(norms),
      figure: {
        kind: "lines",
        title:
          `Mean ||x||^2/d stays between ${postLow} and ${postHigh} before post-LN's norms, ` +
          `and grows to ${round(last, 3)} over ${sizes.layers} layers of pre-LN`,
        caption:
          "Squared norm of a position over the width, by layer, at initialisation. Dashed: 3/2 for post-LN; the lemma's " +
          "lower and upper bound for pre-LN. The lemma is about the mean over many draws: single seeds may leave the bounds.",
        x: { title: "layer l" },
        y: { title: "||x||^2 / d", scale: "log" },
        points: [
          ...lines("post-ln", panels.post, norms.postLn),
          ...predicted(
            { series: "post-ln", panel: panels.post },
            layers,
            layers.map(() => 1.5),
          ),
          ...lines("pre-ln", panels.pre, norms.preLn),
          ...predicted({ series: "1 + l/2", panel: panels.pre }, layers, layers.map(low)),
          ...predicted({ series: "1 + 3l/2", panel: panels.pre }, layers, layers.map(high)),
        ],
      },
    };
  },
};
