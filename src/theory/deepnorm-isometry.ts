import type { Engine } from "../engine/engine.ts";
import { type Stack, stacks } from "../residual/scheme.ts";
import { extent, logMedian, round } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { type Check, claim, furthest } from "./check.ts";
import { readingsAt, redrawn } from "./encoder-only.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { randomSentences, translationSetting, translator } from "./translation.ts";

const width = 64;
const schemes = ["deepnorm", "post-ln", "pre-ln"] as const;
type Scheme = (typeof schemes)[number];

/** The activation gradient of a stack's first layer over that of its last, by depth. */
export interface GradientRatios {
  readonly scheme: Scheme;
  readonly stack: Stack;
  readonly seed: number;
  readonly ratios: readonly number[];
}

/** Measures ||dL/dx_1|| / ||dL/dx_N||, x_l the stream as layer l writes it, on transformers of `depths` layers each side. */
export async function gradientRatios(
  engine: Engine,
  depths: readonly number[],
  seeds: readonly number[],
): Promise<GradientRatios[]> {
  const found = schemes.flatMap((scheme) =>
    stacks.flatMap((stack) => seeds.map((seed) => ({ scheme, stack, seed, ratios: [] as number[] }))),
  );
  for (const scheme of schemes)
    for (const depth of depths) {
      const player = translator(scheme, depth, width);
      const { parameters, draw } = redrawn([player]);
      for (const seed of seeds) {
        draw(seed);
        const { taps } = await engine.differentiate(player, parameters, randomSentences(seed), {
          step: 0,
          seed,
          tapped: true,
        });
        for (const one of found.filter((one) => one.scheme === scheme && one.seed === seed)) {
          const layers = readingsAt(taps, one.stack, "layer").map(({ gradient }) => gradient.sumSquares);
          one.ratios.push(Math.sqrt(layers[0]! / layers.at(-1)!));
        }
      }
    }
  return found;
}

const rowsOf = (found: readonly GradientRatios[], scheme: Scheme, stack: Stack): (readonly number[])[] =>
  found.filter((one) => one.scheme === scheme && one.stack === stack).map(({ ratios }) => ratios);
/** |ln ratio|: how far from an isometry. */
const strain = (ratio: number): number => Math.abs(Math.log(ratio));
/** The one of `ratios` that is furthest from 1, on a logarithmic scale. */
const worst = (ratios: readonly number[]): number => Math.exp(furthest(ratios.map(Math.log), 0));

/** The published ratios of other schemes at 16 layers, decoder-only, where DeepNorm has 0.99. */
const published = { "post-ln": 1.82, "pre-ln": 4.71 } as const;

/** Compares with an isometry, and with other schemes. */
export function ratioClaims(found: readonly GradientRatios[], depths: readonly number[]): Claim[] {
  const quantity = "||dL/dx_1|| / ||dL/dx_N|| over a stack's layers";
  const setting = `${translationSetting}, N = ${depths.join(", ")}, D = ${width}`;
  // "Nearly" has no constant in a source. A tenth over any depth up to 64 is less than a factor of 1.002 a layer, and small
  // beside the factors of 2 to 10^6 of the other schemes.
  const tolerance = 0.1;
  const near = stacks.map((stack) =>
    claim({
      name: `deepnorm-isometry/${stack}`,
      statement:
        `DeepNorm passes gradients at initialisation nearly unchanged, ${quantity} = 1 (0.99 at 16 layers, decoder-only: ` +
        `qwo877/Transformer-Gradient-Flow), ${stack} (${setting}): at the depth furthest from 1, of all seeds`,
      predicted: 1,
      measured: rowsOf(found, "deepnorm", stack).map(worst),
      worst: true,
      tolerance,
    }),
  );
  // A network passes gradients unchanged if both of its stacks do: of each seed the stack further from it counts. DeepNorm at
  // its worst depth stands beside the other at the deepest.
  const strains = (scheme: Scheme, of: (ratios: readonly number[]) => number): number[] => {
    const [encoder, decoder] = stacks.map((stack) => rowsOf(found, scheme, stack));
    return encoder!.map((ratios, i) => Math.max(of(ratios), of(decoder![i]!)));
  };
  const own = Math.max(...strains("deepnorm", (ratios) => strain(worst(ratios))));
  const nearer = (["post-ln", "pre-ln"] as const).map((other) =>
    claim({
      name: `deepnorm-isometry/nearer-than-${other}`,
      statement:
        `DeepNorm is nearer to an isometry at initialisation than ${other} (0.99 against ${published[other]} at 16 layers, ` +
        `decoder-only: qwo877/Transformer-Gradient-Flow; ${setting}): with |ln ratio| of the stack where ` +
        `it is larger, the largest of DeepNorm over all depths and seeds in parts of the smallest of ${other} over seeds, at ` +
        `${depths.at(-1)} layers. 0 if DeepNorm were an isometry, 1 if the two met`,
      predicted: 0,
      measured: own / Math.min(...strains(other, (ratios) => strain(ratios.at(-1)!))),
      // What the claim above allows DeepNorm, in parts of what is published of the other.
      tolerance: strain(1 + tolerance) / strain(published[other]),
      within: [0, 1],
    }),
  );
  return [...near, ...nearer];
}

/** DeepNorm at initialisation: gradients pass a stack of any depth nearly unchanged. */
export const deepnormIsometry: Check = {
  name: "deepnorm-isometry",
  summary:
    "DeepNorm passes gradients at initialisation nearly unchanged, whatever the depth; post-LN and pre-LN do not",
  source:
    "qwo877/Transformer-Gradient-Flow (2026), measured at 16 layers; Wang et al. 2022, DeepNet, derives a bound on the " +
    "model's update, not an isometry",
  conditions:
    `${translationSetting}. The published ratios, 0.99, 1.82 (post-LN) and 4.71 (pre-LN), are of 16 decoder-only layers, ` +
    "D = 128. Those of post-LN and pre-LN are not reproduced: encoder and decoder stand apart here, since the encoder is " +
    "reached through cross-attention alone, and post-LN's encoder strays to both sides of 1 with the seed. Ratios at initialisation say nothing of how a " +
    "scheme trains.",
  async run({ engine }) {
    const depths = [4, 8, 16, 32, 64];
    const found = await gradientRatios(engine, depths, seedsUpTo(5));
    const ones = depths.map(() => 1);
    const points = [
      ...found.flatMap(({ scheme, stack, seed, ratios }) =>
        measured({ series: scheme, panel: stack }, seed, depths, ratios),
      ),
      ...stacks.flatMap((panel) => predicted({ series: "deepnorm", panel }, depths, ones)),
    ];
    const [low, high] = extent(stacks.flatMap((stack) => rowsOf(found, "deepnorm", stack).flat()));
    const at = (depth: number, scheme: Scheme, stack: Stack): number =>
      round(logMedian(rowsOf(found, scheme, stack).map((ratios) => ratios[depths.indexOf(depth)]!)), 2);
    const deepest = (scheme: Scheme, stack: Stack): number => at(depths.at(-1)!, scheme, stack);
    const at16 = (scheme: Scheme, stack: Stack): number => at(16, scheme, stack);
    return {
      claims: ratioClaims(found, depths),
      figure: {
        kind: "lines",
        title:
          `DeepNorm keeps gradients between ${round(low, 3)} and ${round(high, 3)} of the last layer's at all depths; at ` +
          `${depths.at(-1)} layers post-LN has ${deepest("post-ln", "encoder")} and ${deepest("post-ln", "decoder")}, pre-LN ` +
          `${deepest("pre-ln", "encoder")} and ${deepest("pre-ln", "decoder")} (encoder, decoder)`,
        caption:
          "Gradient at the first layer's output over that at the last layer's, by depth, at initialisation. 1 is an isometry; " +
          "below it gradients vanish on their way down, above it they grow. At 16 layers, where 1.82 and 4.71 are published of " +
          `decoder-only networks, medians here are ${at16("post-ln", "encoder")} and ${at16("pre-ln", "encoder")} in the encoder, ` +
          `${at16("post-ln", "decoder")} and ${at16("pre-ln", "decoder")} in the decoder.`,
        x: { title: "layers of each stack", scale: "log" },
        y: { title: "||dL/dx_1|| / ||dL/dx_N||", scale: "log" },
        points,
      },
    };
  },
};
