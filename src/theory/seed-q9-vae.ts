import type { Engine } from "../engine/engine.ts";
import { vae } from "../models/vae.ts";
import { stream } from "../random.ts";
import { type Parameter, parameterSpecs, sizeOf } from "../stage.ts";
import { mean } from "../statistics.ts";
import { initialize } from "../train/initialize.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { klToStandard } from "./gaussian.ts";
import { type Activation, forwardByHand, handActivations } from "./hand-backpropagation.ts";
import { predicted, seedsUpTo } from "./points.ts";
import { crossEntropy } from "./seed-q6-reconstruction.ts";

/** The seed's network: 28 x 28 pixels, hidden layers of 500 and 250 and back, 20 latents. */
const [pixels, latent] = [28 * 28, 20];
const hidden = [500, 250];
const images = 4;

const model = () =>
  vae({
    latent,
    pixels,
    encoder: { hidden, activation: "relu" },
    decoder: { hidden: hidden.toReversed(), activation: "relu" },
    binarized: true,
    objective: "elbo",
    samples: 1,
    beta: 1,
    klWarmupSteps: 0,
    freeBits: 0,
  });

/** Inputs and outputs of the linear maps the seed describes: "two output layers, one for mu and one for sigma". */
const maps = [
  [pixels, hidden[0]!],
  [hidden[0]!, hidden[1]!],
  [hidden[1]!, latent],
  [hidden[1]!, latent],
  [latent, hidden[1]!],
  [hidden[1]!, hidden[0]!],
  [hidden[0]!, pixels],
] as const;

/** Numbers that are learnt: a weight for every input and output of a map, and a bias for every output. */
export const countOf = (all: readonly (readonly [inputs: number, outputs: number])[]): number =>
  all.reduce((sum, [inputs, outputs]) => sum + inputs * outputs + outputs, 0);

/** The two terms of the loss in nats an image, from an engine and in float64. */
export interface Losses {
  readonly seed: number;
  readonly engine: { readonly reconstruction: number; readonly kl: number; readonly loss: number };
  readonly hand: { readonly reconstruction: number; readonly kl: number; readonly loss: number };
}

/** The loss of `images` random binary images at the initial parameters, both ways, with the same epsilon. */
export async function initialLosses(engine: Engine, seed: number): Promise<Losses> {
  const [player] = model().players;
  const parameters = initialize([player!], seed);
  const data = stream(seed, "theory/binary images").uniform(new Float32Array(images * pixels));
  for (let i = 0; i < data.length; i++) data[i] = Number(data[i]! < 0.13); // ink as MNIST has it
  const batch = { tensors: { images: { dtype: "float32", shape: [images, pixels], data } }, tokens: images } as const;
  const { scalars, noises } = await engine.differentiate(player!, parameters, batch, { step: 0, seed, tapped: false });
  const epsilon = noises.get("normal/latent/z")!.data;
  return {
    seed,
    engine: { reconstruction: scalars["reconstruction"]!, kl: scalars["kl"]!, loss: scalars["loss"]! },
    hand: lossByHand(parameters, data, epsilon),
  };
}

const relu: Activation = { value: (z) => Math.max(z, 0), slope: (z) => Number(z > 0) };
const none: Activation = { value: (z) => z, slope: () => 1 };

function lossByHand(
  parameters: ReadonlyMap<string, Parameter>,
  data: ArrayLike<number>,
  epsilon: ArrayLike<number>,
): Losses["hand"] {
  const through = (
    x: ArrayLike<number>,
    ...paths: readonly (readonly [path: string, activation: Activation])[]
  ): Float64Array =>
    forwardByHand(
      paths.map(([path, activation]) => ({
        weight: parameters.get(`${path}/weight`)!.data,
        bias: parameters.get(`${path}/bias`)!.data,
        activation,
      })),
      x,
      images,
    ).output;
  const h = through(data, ["encoder/00/linear", relu], ["encoder/01/linear", relu]);
  const mu = through(h, ["latent/mean", none]);
  const variance = through(h, ["latent/log-variance", none]).map(Math.exp);
  const z = mu.map((value, i) => value + Math.sqrt(variance[i]!) * epsilon[i]!);
  const f = through(
    z,
    ["decoder/00/linear", relu],
    ["decoder/01/linear", relu],
    ["output/logits", handActivations.sigmoid],
  );
  const rows = (of: (n: number) => number): number => mean(Array.from({ length: images }, (_, n) => of(n)));
  const part = (x: ArrayLike<number>, n: number, size: number): Float64Array =>
    Float64Array.from({ length: size }, (_, i) => x[n * size + i]!);
  const reconstruction = rows((n) => crossEntropy(part(data, n, pixels), part(f, n, pixels)));
  const kl = rows((n) => klToStandard({ mean: part(mu, n, latent), variance: part(variance, n, latent) }));
  return { reconstruction, kl, loss: reconstruction + kl };
}

/** What count and losses say. */
export function vaeFinding(counts: readonly number[], losses: readonly Losses[]): Finding {
  const ratios = (of: keyof Losses["engine"]): number[] => losses.map(({ engine, hand }) => engine[of] / hand[of]);
  const from = "the engine's at the initial parameters, in parts of float64 loops over the same weights and epsilon";
  const number = countOf(maps);
  return {
    claims: [
      claim({
        name: "seed-q9-vae/parameters",
        statement:
          `Seed, Question 9: a three-layer encoder with one output for mu and one for sigma and a three-layer decoder, hidden layers (500, 250) and (250, 500), 20 latents: ` +
          `${number} numbers by the sum of inputs x outputs + outputs. Measured: those of the model fathom trains.`,
        predicted: number,
        measured: counts.reduce((a, b) => a + b, 0),
        tolerance: 0,
      }),
      ...(["reconstruction", "kl", "loss"] as const).map((of) =>
        claim({
          name: `seed-q9-vae/${of}`,
          statement: {
            reconstruction: `Seed, Questions 7 and 9: the reconstruction loss of one sample of z, summed over pixels. Measured: ${from}.`,
            kl: `Seed, Questions 7 and 9: the regularization loss 1/2 [sum_i (S_i - log S_i) - D + mu^T mu]. Measured: ${from}.`,
            loss: `Seed, Question 9: the loss is the sum of the two, averaged over the images. Measured: ${from}.`,
          }[of],
          predicted: 1,
          measured: ratios(of),
          worst: true,
          tolerance: 1e-5, // float32 sums of up to 784 terms
        }),
      ),
    ],
    figure: {
      kind: "bars",
      title: `Of ${number.toLocaleString("en")} numbers, three quarters stand in the two maps between pixels and 500 units`,
      caption:
        "Numbers to learn by linear map, from the images up: two hidden layers, mu (3), log sigma^2 (4), two hidden layers, pixels. Dashed: inputs x outputs + outputs.",
      x: { title: "linear map" },
      y: { title: "numbers to learn" },
      points: [
        ...counts.map((y, i) => ({ series: "numbers", x: i + 1, y, seed: 1 })),
        ...predicted(
          { series: "numbers" },
          maps.map((_, i) => i + 1),
          maps.map((one) => countOf([one])),
        ),
      ],
    },
  };
}

/** How many numbers each linear map of the seed's network learns here, from the model itself, in the order of the maps. */
export function parameterCounts(): number[] {
  const counts = new Map<string, number>();
  for (const [path, { shape }] of parameterSpecs(model().players)) {
    const map = path.split("/").slice(0, -1).join("/");
    counts.set(map, (counts.get(map) ?? 0) + sizeOf(shape));
  }
  return [...counts.values()];
}

/** The seed's Question 9: the network and its loss. */
export const seedQ9Vae: Check = {
  name: "seed-q9-vae",
  summary: "the 784-500-250-20 VAE has as many parameters as the formula says, and its loss is that of float64 loops",
  source: "seed, Question 9",
  conditions: `The seed's network at its initial parameters, ReLU, ${images} random binary images, 3 seeds.`,
  async run({ engine }) {
    const losses: Losses[] = [];
    for (const seed of seedsUpTo(3)) losses.push(await initialLosses(engine, seed));
    return vaeFinding(parameterCounts(), losses);
  },
};
