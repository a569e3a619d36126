// Small VAEs and GANs, their parameters and batches of images, for tests.
import type { GanOptions } from "../../src/models/gan.ts";
import type { VaeOptions } from "../../src/models/vae.ts";
import type { Net } from "../../src/models/net.ts";
import type { ActivationName } from "../../src/nn/activations.ts";
import { stream } from "../../src/random.ts";
import type { Parameter, Player } from "../../src/stage.ts";
import { initialize } from "../../src/train/initialize.ts";
import type { Batch } from "../../src/types.ts";
import { shake } from "../helpers.ts";

/** Images of 4 x 4 pixels. */
export const sizes = { rows: 3, height: 4, width: 4, pixels: 16 };

/** Random images [rows, P], grey or of zeros and ones. */
export function imageBatch(kind: "grey" | "binary", rows = sizes.rows, pixels = sizes.pixels, seed = 1): Batch {
  const data = stream(seed, "test images").uniform(new Float32Array(rows * pixels));
  if (kind === "binary") data.forEach((value, i) => (data[i] = Number(value < 0.4)));
  return { tensors: { images: { dtype: "float32", shape: [rows, pixels], data } }, tokens: rows };
}

export const plain = (hidden: readonly number[], activation: ActivationName = "tanh", dropout = 0): Net => ({
  hidden,
  activation,
  dropout,
});

export const residual = (scheme: string, activation: ActivationName = "tanh"): Net => ({
  depth: 2,
  width: 5,
  feedForward: 6,
  residual: scheme,
  norm: "layer-norm",
  activation,
  dropout: 0,
});

/** A small VAE's options, with any of them replaced. */
export const smallVae = (overrides: Partial<VaeOptions> = {}): VaeOptions => ({
  latent: 3,
  pixels: sizes.pixels,
  encoder: plain([7, 5]),
  decoder: plain([5, 7]),
  binarized: true,
  objective: "elbo",
  samples: 1,
  beta: 1,
  klWarmupSteps: 0,
  freeBits: 0,
  ...overrides,
});

/** A small GAN's options, with any of them replaced. */
export const smallGan = (overrides: Partial<GanOptions> = {}): GanOptions => ({
  loss: "minimax",
  latent: 3,
  height: sizes.height,
  width: sizes.width,
  net: { generator: plain([6, 5]), discriminator: plain([7, 5]) },
  spectralNorm: false,
  pixels: "unit",
  instanceNoise: 0,
  discriminatorUpdates: 1,
  ...(overrides.loss === "wgan-gp" && { gradientPenalty: 10 }),
  ...overrides,
});

/** The networks of a small DCGAN. */
export const convolutional = (
  discriminator: ActivationName = "tanh",
  generator: ActivationName = "tanh",
): GanOptions["net"] => ({ channels: 2, generator, discriminator });

/** Initial parameters moved by a little noise, DCGAN's more: its kernels of 0.02 leave gradients too small to say much. */
export function shaken(players: readonly Player[], std = 0.2): Map<string, Parameter> {
  const parameters = initialize(players, 1);
  shake(parameters, std);
  return parameters;
}

/** Makes one direction of every matrix of the discriminator stand out, singular values 1 : 0.1 or so, so that ten steps of power
 *  iteration leave nothing of the others. */
export function stretch(parameters: ReadonlyMap<string, Parameter>): void {
  for (const [path, { data, shape }] of parameters) {
    if (!path.endsWith("weight") || path.startsWith("generator")) continue;
    const width = shape.at(-1)!;
    const rows = data.length / width;
    const [left, right] = [rows, width].map((size, part) =>
      stream(3, `stretch ${path}`).uniform(new Float64Array(size), part),
    ) as [Float64Array, Float64Array];
    // Of uniforms on [0.5, 1.5], so that the one direction has a norm of about sqrt(rows width).
    for (let i = 0; i < data.length; i++)
      data[i] = 0.2 * data[i]! + (0.5 + left[Math.floor(i / width)]!) * (0.5 + right[i % width]!);
  }
}
