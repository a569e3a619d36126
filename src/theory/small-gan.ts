// A GAN of several layers that is small enough to be differentiated by hand: what the seed's Questions 11-17 are about.
import type { Engine } from "../engine/engine.ts";
import { gan, type GanLoss } from "../models/gan.ts";
import { stream } from "../random.ts";
import type { Parameter, Player } from "../stage.ts";
import { initialize } from "../train/initialize.ts";
import type { Batch } from "../types.ts";
import { norm } from "../vectors.ts";
import {
  type Activation,
  backwardByHand,
  type Derivatives,
  forwardByHand,
  type HandActivation,
  handActivations,
  type Layer,
  type Pass,
} from "./hand-backpropagation.ts";

/** n images of 2 x 4 pixels from 3 latent numbers; hidden units of both networks. */
export const ganSizes = { images: 6, latent: 3, pixels: 8, generator: [7, 6], discriminator: [9, 7, 5] } as const;

/** In words, for the conditions of checks. */
export const ganInWords =
  `A generator ${[ganSizes.latent, ...ganSizes.generator, ganSizes.pixels].join("-")} and a discriminator ${[ganSizes.pixels, ...ganSizes.discriminator, 1].join("-")}, ` +
  `sigmoid outputs, n = ${ganSizes.images} images a batch`;

/** Derivatives by parameter path. */
export type ByPath = ReadonlyMap<string, ArrayLike<number>>;

/** The game at one point of its parameters, with a batch and the z that the engine draws for it. */
export interface SmallGan extends ReturnType<typeof gan> {
  readonly seed: number;
  readonly activation: HandActivation;
  readonly parameters: Map<string, Parameter>;
  readonly batch: Batch;
}

/** A game with weights far from those of a start: normal with variance 2 / inputs, biases with a standard deviation of 0.3. */
export function smallGan(
  seed: number,
  {
    activation = "tanh",
    loss = "minimax",
  }: { activation?: Exclude<HandActivation, "exponential">; loss?: GanLoss } = {},
): SmallGan {
  const net = (hidden: readonly number[]) => ({ hidden, activation });
  const model = gan({
    loss,
    latent: ganSizes.latent,
    height: 2,
    width: 4,
    net: { generator: net(ganSizes.generator), discriminator: net(ganSizes.discriminator) },
    spectralNorm: false,
    pixels: "unit",
    instanceNoise: 0,
    discriminatorUpdates: 1,
  });
  const parameters = initialize(model.players, seed);
  for (const [path, { data, shape }] of parameters) {
    const std = path.endsWith("bias") ? 0.3 : Math.sqrt(2 / shape[0]!);
    stream(seed, `theory/${path}`).normal(data);
    for (let i = 0; i < data.length; i++) data[i]! *= std;
  }
  return { ...model, seed, activation, parameters, batch: batchOf(seed) };
}

/** Random images with pixels in [0, 1). */
const batchOf = (seed: number): Batch => {
  const shape = [ganSizes.images, ganSizes.pixels];
  const data = stream(seed, "theory/images").uniform(new Float32Array(ganSizes.images * ganSizes.pixels));
  return { tensors: { images: { dtype: "float32", shape, data } }, tokens: ganSizes.images };
};

/** A player's step on the engine: its gradients as copies, its loss and the z it drew. */
export async function differentiateGan(
  engine: Engine,
  { parameters, batch, seed }: Pick<SmallGan, "parameters" | "batch" | "seed">,
  player: Player,
) {
  const { gradients, scalars, noises } = await engine.differentiate(player, parameters, batch, {
    step: 0,
    seed,
    tapped: false,
  });
  return {
    gradients: new Map([...gradients].map(([path, data]) => [path, Float32Array.from(data)])),
    loss: scalars["loss"]!,
    latents: Float32Array.from(noises.get("normal/latent/z")?.data ?? []),
  };
}

/** Where the layers of a network stand among the parameters, from the first. */
export const layerPaths = {
  discriminator: [...ganSizes.discriminator.map((_, l) => `discriminator/0${l}/linear`), "discriminator/score"],
  generator: [...ganSizes.generator.map((_, l) => `generator/0${l}/linear`), "generator/pixels"],
} as const;

/** The layers of one of the networks, which ends in a sigmoid. */
export function layersOf(
  parameters: ReadonlyMap<string, Parameter>,
  network: keyof typeof layerPaths,
  activation: HandActivation,
): Layer[] {
  const paths = layerPaths[network];
  return paths.map((path, l) => ({
    weight: parameters.get(`${path}/weight`)!.data,
    bias: parameters.get(`${path}/bias`)!.data,
    activation: handActivations[l === paths.length - 1 ? "sigmoid" : activation],
  }));
}

/** Everything the seed derives, with the game L = 1/n sum_i log D(X^i) + log(1 - D(G(Z^i))). */
export interface HandDerived {
  /** L, nats. */
  readonly value: number;
  readonly discriminator: readonly Layer[];
  readonly real: Pass;
  readonly generated: Pass;
  readonly generator: Pass;
  /** Of L by theta_d, from the passes of real and of generated images. */
  readonly ofReal: Derivatives;
  readonly ofGenerated: Derivatives;
  readonly ofDiscriminator: ByPath;
  /** Of L by theta_g. */
  readonly ofGenerator: ByPath;
}

/** What one reads in the seed's Question 12: dL/dz of the discriminator's last layer, of each pass, without the 1/n. */
export interface LastDerivatives {
  real(D: number): number;
  generated(D: number): number;
}

/** Corrected: of the real pass 1 - D(X^i), of the generated one -D(G(Z^i)). */
export const lastDerivatives: LastDerivatives = { real: (D) => 1 - D, generated: (D) => -D };

/** The seed's derivation in float64. `last` and `factor` stand in for its Questions 12 and 13. */
export function deriveByHand(
  { parameters, activation, batch }: SmallGan,
  latents: ArrayLike<number>,
  {
    last = lastDerivatives,
    factor,
  }: { last?: LastDerivatives; factor?: (activation: Activation, z: number) => number } = {},
): HandDerived {
  const n = ganSizes.images;
  const [discriminator, layers] = [
    layersOf(parameters, "discriminator", activation),
    layersOf(parameters, "generator", activation),
  ];
  const generator = forwardByHand(layers, latents, n);
  const real = forwardByHand(discriminator, batch.tensors["images"]!.data, n);
  const generated = forwardByHand(discriminator, generator.output, n);
  const ofReal = backwardByHand(
    discriminator,
    real,
    real.output.map((D) => last.real(D) / n),
    factor,
  );
  const ofGenerated = backwardByHand(
    discriminator,
    generated,
    generated.output.map((D) => last.generated(D) / n),
    factor,
  );
  const pixels = generator.z.at(-1)!;
  // Pixels are sigmoids, so that one more step of the recursion leads into the generator.
  const into = ofGenerated.input.map((slope, i) => slope * handActivations.sigmoid.slope(pixels[i]!));
  const sum = (a: Float64Array, b: Float64Array): Float64Array => a.map((value, i) => value + b[i]!);
  const added: Derivatives = {
    ...ofReal,
    weights: ofReal.weights.map((one, l) => sum(one, ofGenerated.weights[l]!)),
    biases: ofReal.biases.map((one, l) => sum(one, ofGenerated.biases[l]!)),
  };
  let value = 0;
  for (let i = 0; i < n; i++) value += (Math.log(real.output[i]!) + Math.log(1 - generated.output[i]!)) / n;
  return {
    value,
    discriminator,
    real,
    generated,
    generator,
    ofReal,
    ofGenerated,
    ofDiscriminator: byPath("discriminator", added),
    ofGenerator: byPath("generator", backwardByHand(layers, generator, into, factor)),
  };
}

const byPath = (network: keyof typeof layerPaths, { weights, biases }: Derivatives): ByPath =>
  new Map(
    layerPaths[network].flatMap((path, l) => [
      [`${path}/weight`, weights[l]!],
      [`${path}/bias`, biases[l]!],
    ]),
  );

/** ||factor a - b|| / ||b|| over all parameters of b. */
export function apart(a: ByPath, b: ByPath, factor = 1): number {
  let [difference, square] = [0, 0];
  for (const [path, values] of b)
    for (let i = 0; i < values.length; i++) {
      difference += (factor * a.get(path)![i]! - values[i]!) ** 2;
      square += values[i]! ** 2;
    }
  return Math.sqrt(difference / square);
}

/** Norms of the gradient by layer of a network, weights and biases together. */
export const normsByLayer = (gradients: ByPath, network: keyof typeof layerPaths): number[] =>
  layerPaths[network].map((path) =>
    Math.hypot(norm(gradients.get(`${path}/weight`)!), norm(gradients.get(`${path}/bias`)!)),
  );
