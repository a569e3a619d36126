import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { type ResidualScheme, sublayersOf } from "../residual/scheme.ts";
import { logMedian, median, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { type Check, claim } from "./check.ts";
import { encoderOnly, gaussianBatch, readingsAt, redrawn } from "./encoder-only.ts";
import { slope } from "./fit.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";

const sizes = { width: 128, heads: 4, feedForward: 512, sentences: 4, length: 16, vocabulary: 2 };
const perLayer = sublayersOf.encoder.length;

/** The Euclidean norm of every position: [..., D] -> [..., 1]. */
const sizeOf = (x: Tensor): Tensor => tf.sqrt(tf.sum(tf.square(x), -1, true));

/** x with nothing flowing back into it. */
const held = (x: Tensor): Tensor =>
  tf.customGrad((...args: unknown[]) => {
    const [x, save] = args as [Tensor, (tensors: Tensor[]) => void];
    save([]);
    return { value: tf.clone(x), gradFunc: (dy: Tensor) => tf.mul(dy, 0) };
  })(x);

/** x' = LN(alpha x + F ||x|| / ||F||), the branch as large as the stream at every position: the paper's assumption made
 *  true. `isHeld`: the branch counts as a constant, so that gradients see the skip path alone. */
const scheme = (name: string, isHeld: boolean, alpha: (sublayers: number) => number): ResidualScheme => ({
  name,
  summary: name,
  equation: "x' = LN(alpha x + F ||x|| / ||F||)",
  paper: "Chen & Wei, Post-LayerNorm Is Back: Stable, ExpressivE, and Deep",
  year: 2026,
  finalNorm: false,
  warmupExpected: false,
  constants: ({ network }) => ({ alpha: alpha(perLayer * network.depth.encoder) }),
  connect(x, branch, { norm, constant }) {
    const f = branch(x);
    const asLarge = tf.mul(f, tf.div(sizeOf(x), sizeOf(f)));
    return norm(tf.add(tf.mul(x, constant("alpha")), isHeld ? held(asLarge) : asLarge));
  },
});

/** What is measured: by the name of its series. */
const schemes = {
  post: scheme("post-LN, skip path", true, () => 1),
  keel: scheme("alpha = L, skip path", true, (sublayers) => sublayers),
  whole: scheme("post-LN, with the branch", false, () => 1),
};
type Kind = keyof typeof schemes;

/** (alpha / sqrt(alpha^2 + 1))^L: the paper's product over L sublayers. */
const product = (alpha: number, sublayers: number): number => (alpha / Math.sqrt(alpha ** 2 + 1)) ** sublayers;

/** What arrives of a gradient by the number of sublayers: ||dL/dx_0|| / ||dL/dx_L||. */
export interface Arrival {
  readonly kind: Kind;
  readonly seed: number;
  readonly ratios: readonly number[];
}

/** Measures on encoders of these numbers of layers, with a random gradient at the top. */
export async function arrivals(
  engine: Engine,
  layers: readonly number[],
  seeds: readonly number[],
): Promise<Arrival[]> {
  const kinds = Object.keys(schemes) as Kind[];
  const networks = kinds.map((kind) => ({
    kind,
    players: layers.map((count) => encoderOnly(schemes[kind], { ...sizes, layers: count }, "cotangent")),
  }));
  const { parameters, draw } = redrawn(networks.flatMap(({ players }) => players));
  const found: Arrival[] = [];
  for (const seed of seeds) {
    draw(seed);
    for (const { kind, players } of networks) {
      const ratios: number[] = [];
      for (const [i, player] of players.entries()) {
        const batch = gaussianBatch({ ...sizes, layers: layers[i]! }, seed);
        const { taps } = await engine.differentiate(player, parameters, batch, { step: 0, seed, tapped: true });
        const bottom = readingsAt(taps, "input", "input")[0]!.gradient;
        const top = readingsAt(taps, "encoder", "layer").at(-1)!.gradient;
        ratios.push(Math.sqrt(bottom.sumSquares / top.sumSquares));
      }
      found.push({ kind, seed, ratios });
    }
  }
  return found;
}

const rowsOf = (found: readonly Arrival[], kind: Kind): (readonly number[])[] =>
  found.filter((one) => one.kind === kind).map(({ ratios }) => ratios);
/** The slopes of log2 of what arrives against the number of sublayers, one a seed. */
const slopesOf = (found: readonly Arrival[], layers: readonly number[], kind: Kind): number[] =>
  rowsOf(found, kind).map((ratios) =>
    slope(
      layers.map((count) => perLayer * count),
      ratios.map(Math.log2),
    ),
  );

/** Compares with the paper's products. */
export function arrivalClaims(found: readonly Arrival[], layers: readonly number[]): Claim[] {
  const paper = "Chen & Wei 2026 (arXiv 2601.19895), equations 14 to 19";
  const conditions = "branch held constant and at every position as large as the stream, initialisation";
  const deepest = perLayer * layers.at(-1)!;
  return [
    claim({
      name: "keel-product/post-ln",
      statement:
        `${paper}: post-LN's skip path passes 1/sqrt(2) of a gradient a sublayer, 2^(-L/2) over L (${conditions}): slope of ` +
        "log2 ||dL/dx_0|| / ||dL/dx_L|| against L",
      predicted: -0.5,
      measured: slopesOf(found, layers, "post"),
      // The formula has branch and stream orthogonal and drops the two directions each LayerNorm takes out of D: at D = 128
      // the latter are 1 % of the slope, and the angle between random vectors is as much again in one seed or another.
      tolerance: 0.05,
    }),
    claim({
      name: "keel-product/keel",
      statement:
        `${paper}: with alpha = L on the skip path the product is (alpha / sqrt(alpha^2 + 1))^L and goes to 1 ` +
        `(${conditions}): ||dL/dx_0|| / ||dL/dx_L|| at L = ${deepest}`,
      predicted: product(deepest, deepest),
      measured: rowsOf(found, "keel").map((ratios) => ratios.at(-1)!),
      // A cosine c between branch and stream changes a factor by c / alpha and so the product by c, to first order; c has a
      // standard deviation of 1 / sqrt(D) = 0.09 in a sublayer and averages over L of them.
      tolerance: 0.05,
    }),
    claim({
      name: "keel-product/whole",
      statement:
        `Beside ${paper}: the product is of the skip path alone. With the branch's own Jacobian nothing vanishes at ` +
        "initialisation, post-LN, branch as large as the stream: slope of log2 ||dL/dx_0|| / ||dL/dx_L|| against L",
      predicted: 0,
      measured: slopesOf(found, layers, "whole"),
      // A fifth of the skip path's slope. Random branches pass on average as much as they are given, so that a sublayer
      // passes (1 + 1) / 2 of the squared gradient; products of random factors wander.
      tolerance: 0.1,
    }),
  ];
}

/** Chen & Wei 2026: what the skip path of post-LN passes of a gradient, and what a factor on it does. */
export const keelProduct: Check = {
  name: "keel-product",
  summary: "post-LN's skip path passes 2^(-L/2) of a gradient over L sublayers; with alpha = L nearly all (Keel)",
  source:
    "Chen & Wei 2026, Post-LayerNorm Is Back: Stable, ExpressivE, and Deep (arXiv 2601.19895), equations 14 to 19",
  conditions:
    "The paper takes ||F|| = ||x|| and follows the skip path. Here each branch is scaled to the stream's size at every " +
    `position and its gradient is cut; encoder at initialisation, D = ${sizes.width}, alpha = L in every sublayer (the ` +
    "scheme `keel` leaves alpha out of the first layer), a Gaussian gradient at the top. For contrast the same network " +
    "with the branch's gradient let through.",
  async run({ engine }) {
    const layers = [1, 2, 4, 8, 16, 32];
    const seeds = seedsUpTo(7);
    const found = await arrivals(engine, layers, seeds);
    const x = layers.map((count) => perLayer * count);
    const laws: Record<Kind, readonly number[]> = {
      post: x.map((sublayers) => product(1, sublayers)),
      keel: x.map((sublayers) => product(sublayers, sublayers)),
      whole: x.map(() => 1),
    };
    const points = (Object.keys(schemes) as Kind[]).flatMap((kind) => {
      const series = schemes[kind].name;
      const own = found.filter((one) => one.kind === kind);
      return [
        ...own.flatMap(({ seed, ratios }) => measured({ series }, seed, x, ratios)),
        ...predicted({ series }, x, laws[kind]),
      ];
    });
    const deepest = (kind: Kind): string => logMedian(rowsOf(found, kind).map((ratios) => ratios.at(-1)!)).toFixed(2);
    return {
      claims: arrivalClaims(found, layers),
      figure: {
        kind: "lines",
        title:
          `What ${x.at(-1)} sublayers leave of a gradient: 2^(${round(median(slopesOf(found, layers, "post")), 3)} L) on ` +
          `post-LN's skip path, a factor of ${deepest("keel")} with alpha = L, of ${deepest("whole")} with the branches let through`,
        caption:
          "What is left at the bottom of a random gradient at the top, by the number of sublayers, at initialisation. Dashed: " +
          "2^(-L/2) and (alpha / sqrt(alpha^2 + 1))^L for the skip path, where the branch counts as a constant, and 1 for " +
          "the whole network. The skip path's loss is not the network's: while branches are random they pass on what the " +
          "skip path loses, so that the vanishing of 2^(-L/2) is not there at initialisation.",
        x: { title: "sublayers L" },
        y: { title: "||dL/dx_0|| / ||dL/dx_L||", scale: "log" },
        points,
      },
    };
  },
};
