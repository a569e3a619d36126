// The convolutional networks of DCGAN (Radford et al. 2016) for small images: two halvings of the grid on the way to a score,
// two doublings on the way to pixels. Kernels 4 x 4, stride 2, padding 1, weights N(0, 0.02^2).
import * as tf from "@tensorflow/tfjs-core";
import { UserError } from "../errors.ts";
import { type ActivationName, activations } from "../nn/activations.ts";
import { batchNorm, batchNormParameters } from "../nn/batch-norm.ts";
import {
  convolutionLayer,
  convolutionParameters,
  transposedConvolutionLayer,
  transposedConvolutionParameters,
} from "../nn/convolution.ts";
import { linear } from "../nn/linear.ts";
import { constant, type ParameterShapes, scope, under } from "../nn/parameters.ts";
import { sigmoid } from "../ops/index.ts";
import type { Stage } from "../stage.ts";
import type { WeightTransform } from "./mlp.ts";
import { placed } from "./residual-stream.ts";

// B images, L latent dimensions, C channels; grids [B, height, width, channels].

interface Common {
  readonly channels: number;
  readonly activation: ActivationName;
  readonly height: number;
  readonly width: number;
  readonly frozen?: true | undefined;
}

const kernel = 4;
const halving = { stride: 2, padding: 1 } as const;
const std = 0.02;

/** From `latent` [B, L] to `pixels` [B, P] in (0, 1): linear to a grid of a quarter of the size with 2 C channels, then
 *  transposed convolutions to C and to one. Hidden layers have batch normalisation with the statistics of the batch they are
 *  run on, at all times. */
export function convolutionalGenerator(options: Common & { readonly latent: number }): Stage[] {
  const { channels, latent, height, width, activation, frozen } = options;
  const [rows, columns] = quarters(options);
  const act = activations[activation];
  const layer = (number: string, from: string, shapes: ParameterShapes, apply: Stage["apply"]): Stage => ({
    ...place("generator", number, frozen),
    key: `dcgan generator ${JSON.stringify({ number, channels, rows, columns, activation })}`,
    parameters: placed(`generator/${number}`, shapes),
    reads: [from],
    apply,
  });
  const seed = rows * columns * 2 * channels;
  const weight = { shape: [latent, seed], init: { kind: "normal", std } } as const;
  return [
    layer(
      "00",
      "latent",
      {
        ...scope("linear", { weight, bias: constant([seed], 0) }),
        ...scope("norm", batchNormParameters(2 * channels)),
      },
      (p, carry, context) => {
        const seed_BR = linear(carry["latent"]!, p["linear/weight"]!, p["linear/bias"]);
        const x = batchNorm(tf.reshape(seed_BR, [-1, rows, columns, 2 * channels]), under(p, "norm"));
        return { generator: context.tap("layer", "stream", act(x)) };
      },
    ),
    layer(
      "01",
      "generator",
      {
        ...scope("convolution", transposedConvolutionParameters(kernel, 2 * channels, channels, std)),
        ...scope("norm", batchNormParameters(channels)),
      },
      (p, carry, context) => {
        const x = transposedConvolutionLayer(carry["generator"]!, under(p, "convolution"), halving);
        return { generator: context.tap("layer", "stream", act(batchNorm(x, under(p, "norm")))) };
      },
    ),
    {
      ...outside("generator/pixels", "generator", frozen),
      key: `dcgan pixels ${JSON.stringify({ channels, rows, columns })}`,
      parameters: placed(
        "generator/pixels",
        scope("convolution", transposedConvolutionParameters(kernel, channels, 1, std)),
      ),
      reads: ["generator"],
      apply(p, { generator }, context) {
        const x_BHW1 = transposedConvolutionLayer(generator!, under(p, "convolution"), halving);
        return { pixels: context.tap("pixels", "stream", sigmoid(tf.reshape(x_BHW1, [-1, height * width]))) };
      },
    },
  ];
}

/** From images in the carry entry `from` [B, P] to `discriminator` [B, 2 C height / 4 width / 4]: convolutions to C and 2 C
 *  channels. */
export function convolutionalDiscriminator(
  options: Common & { readonly from: string; readonly weight: WeightTransform | undefined },
): Stage[] {
  const { channels, height, width, activation, from, weight, frozen } = options;
  quarters(options);
  const act = activations[activation];
  return [channels, 2 * channels].map((out, index): Stage => {
    const number = `0${index}`;
    const isFirst = index === 0;
    const read = isFirst ? from : "discriminator";
    const shapes = convolutionParameters(kernel, isFirst ? 1 : channels, out, std);
    return {
      ...place("discriminator", number, frozen),
      key: `dcgan discriminator ${JSON.stringify({ number, read, channels, height, width, activation })} ${weight?.name}`,
      parameters: placed(`discriminator/${number}`, scope("convolution", shapes)),
      reads: [read],
      apply(p, carry, context) {
        const x = isFirst ? tf.reshape(carry[read]!, [-1, height, width, 1]) : carry[read]!;
        const own = under(p, "convolution");
        const w = own["weight"]!;
        const h = act(convolutionLayer(x, { ...own, weight: weight ? weight.apply(w) : w }, halving));
        const tapped = context.tap("layer", "stream", h);
        return { discriminator: isFirst ? tapped : tf.reshape(tapped, [h.shape[0]!, -1]) };
      },
    };
  });
}

/** The grid after two halvings; a `UserError` where the images do not halve twice. */
function quarters({ height, width }: Common): [number, number] {
  if (height % 4 || width % 4)
    throw new UserError(
      `model.net: dcgan: expected images whose height and width are multiples of 4, got ${height} x ${width}; choose model.net: mlp`,
    );
  return [height / 4, width / 4];
}

const place = (stack: string, number: string, frozen: true | undefined) => ({
  name: `${stack}/${number}`,
  stack,
  layer: Number(number),
  ...(frozen && { frozen }),
});

const outside = (name: string, stack: string, frozen: true | undefined) =>
  ({ name, stack, layer: "", ...(frozen && { frozen }) }) as const;
