import type { Engine } from "../engine/engine.ts";
import { constant } from "../nn/parameters.ts";
import type { Parameter, Player, Stage } from "../stage.ts";
import { distance } from "../vectors.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { deriveByHand, differentiateGan, ganInWords, ganSizes, type SmallGan, smallGan } from "./small-gan.ts";

const { images, pixels } = ganSizes;

/** dL/dG(Z^i) of every generated image [n, P], by the engine and from the discriminator's first layer. */
export interface InputGradients {
  readonly seed: number;
  readonly engine: ArrayLike<number>;
  /** W^1 as [P, H], and dL/dz^1 of the generated pass [n, H], in float64. */
  readonly weight: ArrayLike<number>;
  readonly first: ArrayLike<number>;
}

/** dL/dG by the engine, where the images are parameters: the generator's player without the generator. */
export async function imageGradients(
  engine: Engine,
  { players, parameters, seed }: SmallGan,
  generated: ArrayLike<number>,
): Promise<Float32Array> {
  const spec = { ...constant([images, pixels], 0), path: "pixels" };
  const given: Stage = {
    name: "given",
    stack: "generator",
    layer: "",
    key: "theory given pixels",
    parameters: { pixels: spec },
    reads: [],
    apply: (p) => ({ pixels: p["pixels"]! }),
  };
  const above = players[1]!.stages.filter(({ stack }) => stack !== "generator");
  const player: Player = { name: "images", stages: [given, ...above], scalars: ["loss"] };
  const all = new Map<string, Parameter>([...parameters, ["pixels", { ...spec, data: Float32Array.from(generated) }]]);
  const batch = { tensors: {}, tokens: images };
  return (await differentiateGan(engine, { parameters: all, batch, seed }, player)).gradients.get("pixels")!;
}

/** Both sides of the seed's Question 14. */
export async function inputGradients(engine: Engine, seed: number): Promise<InputGradients> {
  const game = smallGan(seed);
  const { latents } = await differentiateGan(engine, game, game.players[1]!);
  const { generator, ofGenerated, discriminator } = deriveByHand(game, latents);
  return {
    seed,
    engine: await imageGradients(engine, game, generator.output),
    weight: discriminator[0]!.weight,
    first: ofGenerated.z[0]!,
  };
}

/** W^{1 T} dL/dz^1 of every image. */
export function throughFirstLayer({ weight, first }: Pick<InputGradients, "weight" | "first">): Float64Array {
  const width = weight.length / pixels;
  return Float64Array.from({ length: images * pixels }, (_, i) => {
    const [n, p] = [Math.floor(i / pixels), i % pixels];
    let sum = 0;
    for (let h = 0; h < width; h++) sum += weight[p * width + h]! * first[n * width + h]!;
    return sum;
  });
}

/** What both sides say. */
export function inputFinding(all: readonly InputGradients[], formula = throughFirstLayer): Finding {
  const rows = all.map((one) => ({ ...one, derived: formula(one) }));
  const one = rows[0]!;
  const numbers = Array.from({ length: pixels }, (_, p) => p + 1);
  return {
    claims: [
      claim({
        name: "seed-q14-input-gradient/formula",
        statement:
          "Seed, Question 14: dL/dG(Z^i) = W^{1 T} dL/dz^1, Question 13 for a layer 0 whose activation is the identity; with dL/dz^1 as corrected there. " +
          "Measured: its distance from the engine's gradient by the generated images, in parts of it, of all seeds the largest.",
        predicted: 0,
        measured: rows.map(({ derived, engine }) => distance(derived, engine)),
        worst: true,
        tolerance: 1e-5, // float32 sums of some ten terms, layer upon layer
      }),
    ],
    figure: {
      kind: "lines",
      title: "What the discriminator tells the generator is the gradient at its first layer, taken through W^1",
      caption: "dL/dG of the pixels of one generated image, by the engine. Dashed: W^{1 T} dL/dz^1.",
      x: { title: "pixel" },
      y: { title: "dL/dG" },
      points: [
        ...measured({ series: "dL/dG" }, one.seed, numbers, Array.from(one.engine).slice(0, pixels)),
        ...predicted({ series: "dL/dG" }, numbers, [...one.derived.slice(0, pixels)]),
      ],
    },
  };
}

/** The seed's Question 14: the gradient at the discriminator's input. */
export const seedQ14InputGradient: Check = {
  name: "seed-q14-input-gradient",
  summary: "the gradient by generated images is W^{1 T} dL/dz^1, given the right dL/dz^1",
  source: "seed, Question 14",
  conditions: `${ganInWords}; tanh, random weights, 3 seeds.`,
  async run({ engine }) {
    const found: InputGradients[] = [];
    for (const seed of seedsUpTo(3)) found.push(await inputGradients(engine, seed));
    return inputFinding(found);
  },
};
