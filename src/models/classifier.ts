// A small convolutional network that tells the classes of images apart, as a list of stages. Metrics look at generated images
// through it.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { convolutionLayer, convolutionParameters } from "../nn/convolution.ts";
import { withDropout } from "../nn/dropout.ts";
import { linear, linearParameters } from "../nn/linear.ts";
import { scope, under } from "../nn/parameters.ts";
import { linearCrossEntropy, relu } from "../ops/index.ts";
import type { Player, Stage } from "../stage.ts";
import { placed } from "./residual-stream.ts";

// B images of H x W pixels, P = H W, D features, K classes.

/** What decides the network. */
export interface ClassifierOptions {
  readonly height: number;
  readonly width: number;
  readonly classes: number;
  /** Channels of each convolution. */
  readonly channels: readonly number[];
  /** D, numbers of the last layer before the classes. */
  readonly features: number;
  /** Share of the features that are dropped while training. */
  readonly dropout: number;
}

/** Pixels of a kernel's side; each convolution halves the image. */
const KERNEL = 5;

/** The player of a classifier, whose batch is `images` [B, P] in [0, 1] and `classes` int32 [B], its loss the mean cross-entropy in
 *  nats; and its views, of `images` alone: `features` -> [B, D], `classify` -> logits [B, K]. */
export function classifier(options: ClassifierOptions): {
  player: Player;
  views: Record<"features" | "classify", Player>;
} {
  const trunk = [...options.channels.map((_, layer) => convolutionStage(options, layer)), featureStage(options)];
  const view = (name: string, output: string, stages: Stage[]): Player => ({ name, stages, scalars: [], output });
  return {
    player: { name: "classifier", stages: [...trunk, lossStage(options)], scalars: ["loss"] },
    views: {
      features: view("features", "features", trunk),
      classify: view("classify", "logits", [...trunk, logitStage(options)]),
    },
  };
}

const outside = (name: string) => ({ name, stack: "classifier", layer: "" }) as const;

/** The side of an image after `layers` convolutions. */
const sideAfter = (side: number, layers: number): number =>
  layers ? Math.ceil(sideAfter(side, layers - 1) / 2) : side;

/** relu(conv(x)) with stride 2, so that no pooling is needed. Weights normal with variance 2 / (K^2 C) (He et al. 2015). */
function convolutionStage({ height, width, channels }: ClassifierOptions, layer: number): Stage {
  const [from, to] = [channels[layer - 1] ?? 1, channels[layer]!];
  const name = `classifier/${String(layer).padStart(2, "0")}`;
  const std = Math.sqrt(2 / (KERNEL * KERNEL * from));
  const read = layer ? "classifier" : "images";
  return {
    name,
    stack: "classifier",
    layer,
    key: `classifier convolution ${JSON.stringify({ layer, height, width })}`,
    parameters: placed(name, scope("convolution", convolutionParameters(KERNEL, from, to, std))),
    reads: [read],
    apply(p, carry) {
      const x_BHWC = layer ? carry[read]! : tf.reshape(carry[read]!, [-1, height, width, 1]);
      const options = { stride: 2, padding: (KERNEL - 1) / 2 };
      return { classifier: relu(convolutionLayer(x_BHWC, under(p, "convolution"), options)) };
    },
  };
}

/** Features relu(x W + b) of all places and channels together. */
function featureStage({ height, width, channels, features, dropout }: ClassifierOptions): Stage {
  const layers = channels.length;
  const inputs = sideAfter(height, layers) * sideAfter(width, layers) * (channels.at(-1) ?? 1);
  return {
    ...outside("classifier/features"),
    key: `classifier features ${dropout}`,
    parameters: placed("classifier", scope("features", linearParameters(inputs, features, Math.SQRT2))),
    reads: ["classifier"],
    apply(p, { classifier }, context) {
      const x_BN = tf.reshape(classifier!, [-1, inputs]);
      const features_BD = relu(linear(x_BN, p["features/weight"]!, p["features/bias"]));
      return { features: withDropout(features_BD, "features", dropout, context) };
    },
  };
}

const classParameters = ({ features, classes }: ClassifierOptions) =>
  placed("classifier", scope("classes", linearParameters(features, classes)));

const lossStage = (options: ClassifierOptions): Stage => ({
  ...outside("classifier/loss"),
  key: "classifier loss",
  parameters: classParameters(options),
  reads: ["features", "classes"],
  apply(p, { features, classes }): Record<string, Tensor> {
    return { loss: tf.mean(linearCrossEntropy(features!, p["classes/weight"]!, p["classes/bias"]!, classes!, 0)) };
  },
});

const logitStage = (options: ClassifierOptions): Stage => ({
  ...outside("classifier/classes"),
  key: "classifier classes",
  parameters: classParameters(options),
  reads: ["features"],
  apply: (p, { features }) => ({ logits: linear(features!, p["classes/weight"]!, p["classes/bias"]) }),
});
