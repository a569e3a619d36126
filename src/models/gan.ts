// The generative adversarial network of Goodfellow et al. 2014 as two players: a generator, whose stages turn latent numbers
// into images, and a discriminator, which tells them from real ones. Each player runs the other's stages frozen.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { UserError } from "../errors.ts";
import type { ActivationName } from "../nn/activations.ts";
import { linear, linearParameters } from "../nn/linear.ts";
import { scope } from "../nn/parameters.ts";
import { relu, sigmoid, softplus, spectralNorm } from "../ops/index.ts";
import type { Player, Stage, StageContext, Tensors } from "../stage.ts";
import { convolutionalDiscriminator, convolutionalGenerator } from "./dcgan.ts";
import type { WeightTransform } from "./mlp.ts";
import { hiddenStages, type Net, outputWidth } from "./net.ts";
import { placed } from "./residual-stream.ts";

// B images, P pixels, L dimensions of z, H width of the layer before. Scores a are logits: D(x) = sigmoid(a).

/** What the players play for. */
export type GanLoss = "minimax" | "non-saturating" | "lsgan" | "hinge" | "wgan-gp";

/** The range of the pixels that the discriminator is shown: [0, 1] as they are, or [-1, 1], 2x - 1 of them. */
export type PixelRange = "unit" | "symmetric";

/** What decides both networks and the game. */
export interface GanOptions {
  readonly loss: GanLoss;
  /** lambda of `wgan-gp`. */
  readonly gradientPenalty?: number;
  readonly latent: number;
  readonly height: number;
  readonly width: number;
  readonly net:
    | { readonly generator: Net; readonly discriminator: Net }
    | { readonly channels: number; readonly generator: ActivationName; readonly discriminator: ActivationName };
  /** Whether the discriminator's matrices are divided by their spectral norms. */
  readonly spectralNorm: boolean;
  readonly pixels: PixelRange;
  /** Standard deviation of the Gaussian noise on every image that the discriminator is shown in training (Sønderby et al. 2017,
   *  section 3.3): both distributions then overlap, so that it cannot tell them apart without error. */
  readonly instanceNoise: number;
  /** Updates of the discriminator for each of the generator. */
  readonly discriminatorUpdates: number;
}

/** The two players, discriminator first, and the views
 *  `generate`: batch `latent` [N, L] -> pixels [N, P] in (0, 1);
 *  `score`: batch `images` [B, P] -> logits [B] of being real. */
export function gan(options: GanOptions): { players: Player[]; views: Record<string, Player> } {
  const { loss, discriminatorUpdates } = options;
  const penalized = loss === "wgan-gp" ? [penaltyStage(options)] : [];
  const scalars = ["loss", "real", "fake"];
  const discriminator: Player = {
    name: "discriminator",
    stages: [
      latentStage(options),
      ...generatorStages(options, { frozen: true }),
      shownStage(options, ["images", "pixels"]),
      ...discriminatorStages(options, "shown"),
      ...penalized,
      judgeStage(options),
    ],
    scalars: [...scalars, ...(penalized.length ? ["penalty"] : [])],
    evaluated: ["real", "fake"],
    updates: discriminatorUpdates,
    output: "discriminator",
  };
  const generator: Player = {
    name: "generator",
    stages: [
      latentStage(options),
      ...generatorStages(options),
      ...judged(options, "pixels", { frozen: true }),
      foolStage(options),
    ],
    scalars: ["loss", "fake"],
    evaluated: ["fake"],
    output: "pixels",
  };
  const view = (name: string, output: string, stages: Stage[]): Player => ({ name, stages, scalars: [], output });
  return {
    players: [discriminator, generator],
    views: {
      generate: view("generate", "pixels", generatorStages(options)),
      score: view("score", "scores", [...judged(options, "images"), scoreStage(options)]),
    },
  };
}

const outside = (name: string, stack: string) => ({ name, stack, layer: "" }) as const;
const pixelsOf = ({ height, width }: GanOptions): number => height * width;

/** z ~ N(0, I), as many as the batch has images, drawn by the number of the player's update: the same for both players where each
 *  moves once a step; of k updates a step the discriminator sees those of its own numbers. */
const latentStage = ({ latent }: GanOptions): Stage => ({
  ...outside("latent", "generator"),
  key: `gan latent ${latent}`,
  parameters: {},
  reads: ["images"],
  apply: (_, { images }, context) => ({
    latent: context.noise("z", [images!.shape[0]!, latent], { kind: "normal" }),
  }),
});

/** From `latent` [B, L] to `pixels` [B, P]. */
function generatorStages(options: GanOptions, { frozen }: { frozen?: true } = {}): Stage[] {
  const { net, latent, height, width } = options;
  if ("channels" in net)
    return convolutionalGenerator({ ...net, activation: net.generator, latent, height, width, frozen });
  const hidden = hiddenStages(net.generator, { stack: "generator", from: "latent", inputSize: latent, frozen });
  const toPixels: Stage = {
    ...outside("generator/pixels", "generator"),
    key: "gan pixels",
    parameters: placed("generator", scope("pixels", linearParameters(outputWidth(net.generator), pixelsOf(options)))),
    reads: ["generator"],
    ...(frozen && { frozen }),
    apply(p, { generator }, context) {
      const pixels = sigmoid(linear(generator!, p["pixels/weight"]!, p["pixels/bias"]));
      return { pixels: context.tap("pixels", "stream", pixels) };
    },
  };
  return [...hidden, toPixels];
}

/** Images in the range that the discriminator is shown. */
const inRange = ({ pixels }: GanOptions, x: Tensor): Tensor => (pixels === "unit" ? x : tf.sub(tf.mul(x, 2), 1));

/** `shown`: the images of the entries `from`, one batch after the other, in the discriminator's range; in training with fresh
 *  noise at every update where there is any. Real and generated images are seen in one forward. */
function shownStage(options: GanOptions, from: readonly string[]): Stage {
  const { pixels, instanceNoise } = options;
  const isNoisy = instanceNoise > 0;
  return {
    ...outside("shown", "discriminator"),
    key: `gan shown ${JSON.stringify({ from, pixels, isNoisy })}`,
    parameters: {},
    reads: from,
    ...(isNoisy && { constants: { deviation: instanceNoise } }),
    apply(_, carry, context) {
      const images = from.map((key) => carry[key]!);
      const shown = inRange(options, images.length > 1 ? tf.concat(images, 0) : images[0]!);
      if (!isNoisy || !context.training) return { shown };
      const noise = context.noise("instance", shown.shape, { kind: "normal" });
      return { shown: tf.add(shown, tf.mul(noise, context.constant("deviation"))) };
    },
  };
}

/** The discriminator's layers on the images of the entry `from`, which it is shown as they are where that is its range. */
function judged(options: GanOptions, from: string, whose?: { frozen: true }): Stage[] {
  if (options.pixels === "unit" && options.instanceNoise === 0) return discriminatorStages(options, from, whose);
  return [shownStage(options, [from]), ...discriminatorStages(options, "shown", whose)];
}

/** Iterations of the power method behind a spectral norm; see `spectralNorm` for what they give. */
const powerIterations = 10;

const weightOf = (options: GanOptions): WeightTransform | undefined =>
  options.spectralNorm ? { name: "spectral-norm", apply: (w) => spectralNorm(w, powerIterations) } : undefined;

/** From images in the carry entry `from` to `discriminator` [.., H]. */
function discriminatorStages(options: GanOptions, from: string, { frozen }: { frozen?: true } = {}): Stage[] {
  const { net, height, width } = options;
  const weight = weightOf(options);
  if ("channels" in net)
    return convolutionalDiscriminator({ ...net, activation: net.discriminator, from, height, width, weight, frozen });
  const place = { stack: "discriminator", from, inputSize: pixelsOf(options), weight, frozen };
  return hiddenStages(net.discriminator, place);
}

/** Width of what the discriminator's layers give. */
const featuresOf = ({ net, height, width }: GanOptions): number =>
  "channels" in net ? 2 * net.channels * (height / 4) * (width / 4) : outputWidth(net.discriminator);

const scoreParameters = (options: GanOptions) =>
  placed("discriminator", scope("score", linearParameters(featuresOf(options), 1)));

/** Scores a [N] of what the discriminator's layers gave. */
function scored(options: GanOptions, p: Tensors, h_NH: Tensor): Tensor {
  const weight = p["score/weight"]!;
  const a_N1 = linear(h_NH, weightOf(options)?.apply(weight) ?? weight, p["score/bias"]);
  return tf.reshape(a_N1, [-1]);
}

const scoreKey = ({ spectralNorm }: GanOptions): string => JSON.stringify({ spectralNorm });

const scoreStage = (options: GanOptions): Stage => ({
  ...outside("scores", "output"),
  key: `gan scores ${scoreKey(options)}`,
  parameters: scoreParameters(options),
  reads: ["discriminator"],
  apply: (p, { discriminator }) => ({ scores: scored(options, p, discriminator!) }),
});

/** A game: what the discriminator minimises, from scores of real and generated images, and what the generator does. */
interface Game {
  discriminator(real: Tensor, fake: Tensor): Tensor;
  generator(fake: Tensor): Tensor;
}

const bce: Game["discriminator"] = (real, fake) => tf.add(tf.mean(softplus(tf.neg(real))), tf.mean(softplus(fake)));

/** -log sigmoid(a) = softplus(-a), -log(1 - sigmoid(a)) = softplus(a). */
const games: Readonly<Record<GanLoss, Game>> = {
  // Goodfellow et al. 2014, equation 1: min over G, max over D of E log D(x) + E log(1 - D(G(z))).
  minimax: { discriminator: bce, generator: (fake) => tf.neg(tf.mean(softplus(fake))) },
  // The same, section 3: G maximises log D(G(z)).
  "non-saturating": { discriminator: bce, generator: (fake) => tf.mean(softplus(tf.neg(fake))) },
  // Mao et al. 2017, equation 9: targets 1 for real, 0 for generated, and 1 for G.
  lsgan: {
    discriminator: (real, fake) => tf.mul(tf.add(tf.mean(tf.square(tf.sub(real, 1))), tf.mean(tf.square(fake))), 0.5),
    generator: (fake) => tf.mul(tf.mean(tf.square(tf.sub(fake, 1))), 0.5),
  },
  // Lim & Ye 2017; Miyato et al. 2018, equations 16 and 17.
  hinge: {
    discriminator: (real, fake) => tf.add(tf.mean(relu(tf.sub(1, real))), tf.mean(relu(tf.add(1, fake)))),
    generator: (fake) => tf.neg(tf.mean(fake)),
  },
  // Gulrajani et al. 2017, equation 3; the penalty is a stage of its own.
  "wgan-gp": {
    discriminator: (real, fake) => tf.sub(tf.mean(fake), tf.mean(real)),
    generator: (fake) => tf.neg(tf.mean(fake)),
  },
};

/** How real images look on average: the mean of D(x), or of the score where it is no probability. */
const opinion = ({ loss }: GanOptions, scores: Tensor): Tensor =>
  tf.mean(loss === "minimax" || loss === "non-saturating" ? sigmoid(scores) : scores);

/** The discriminator's loss, of scores of [real; generated] images. */
function judgeStage(options: GanOptions): Stage {
  const { loss, gradientPenalty } = options;
  return {
    ...outside("output", "output"),
    key: `gan judge ${JSON.stringify({ loss, gradientPenalty })} ${scoreKey(options)}`,
    parameters: scoreParameters(options),
    reads: ["discriminator", ...(gradientPenalty === undefined ? [] : ["penalty"])],
    apply(p, carry, context) {
      const scores_2B = tapped(context, scored(options, p, carry["discriminator"]!));
      const [real, fake] = tf.split(scores_2B, 2) as [Tensor, Tensor];
      const game = games[loss].discriminator(real, fake);
      const penalty = carry["penalty"];
      return {
        loss: penalty ? tf.add(game, tf.mul(penalty, gradientPenalty!)) : game,
        real: opinion(options, real),
        fake: opinion(options, fake),
      };
    },
  };
}

/** The generator's loss, of scores of generated images. */
const foolStage = (options: GanOptions): Stage => ({
  ...outside("output", "output"),
  key: `gan fool ${options.loss} ${scoreKey(options)}`,
  parameters: scoreParameters(options),
  reads: ["discriminator"],
  frozen: true,
  apply(p, { discriminator }, context) {
    const scores_B = tapped(context, scored(options, p, discriminator!));
    return { loss: games[options.loss].generator(scores_B), fake: opinion(options, scores_B) };
  },
});

const tapped = (context: StageContext, scores: Tensor): Tensor => context.tap("score", "stream", scores);

/** Schemes whose gates keep their output for the gradient, which a tape takes for a constant: the gradient of a gradient would
 *  be wrong. */
const onceDifferentiable = ["hyper-connections", "mhc"];

function refuseOnceDifferentiable({ net }: GanOptions): void {
  if ("channels" in net || !("residual" in net.discriminator)) return;
  const { residual } = net.discriminator;
  if (onceDifferentiable.includes(residual))
    throw new UserError(
      `model.residual: expected a scheme whose gradients can be differentiated again, as the gradient penalty of model.loss: wgan-gp ` +
        `has it, got ${residual}; choose another scheme or another loss`,
    );
}

/** E (||grad_x a(x)|| - 1)^2, x as the discriminator is shown it, at points drawn evenly between pairs of real and generated images
 *  (Gulrajani et al. 2017, equation 3). One stage holds the whole discriminator, since its gradient is taken within. */
function penaltyStage(options: GanOptions): Stage {
  refuseOnceDifferentiable(options);
  const layers = [...discriminatorStages(options, "between"), scoreStage(options)];
  const keys = layers.map(({ key }) => key).join();
  return {
    ...outside("penalty", "discriminator"),
    key: `gan penalty ${options.pixels} ${keys}`,
    mayIgnoreParameters: true,
    parameters: Object.assign(
      {},
      ...layers.map(({ name, parameters }) => scope(name, parameters)),
    ) as Stage["parameters"],
    reads: ["images", "pixels"],
    constants: Object.fromEntries(
      layers.flatMap(({ name, constants = {} }) =>
        Object.entries(constants).map(([key, constant]) => [`${name}/${key}`, constant]),
      ),
    ),
    apply(p, { images, pixels }, context) {
      const share_B1 = shareOf(context, images!.shape[0]!);
      const between = inRange(options, tf.add(pixels!, tf.mul(tf.sub(images!, pixels!), share_B1)));
      const within = (layer: string): StageContext => ({
        training: context.training,
        tap: (_component, _point, x) => x,
        reading: () => {},
        noise: (name, ...rest) => context.noise(`${layer}/${name}`, ...rest),
        constant: (name) => context.constant(`${layer}/${name}`),
      });
      const score = (x: Tensor): Tensor => {
        let carry: Record<string, Tensor> = { between: x };
        for (const { name, parameters, apply } of layers) {
          const own = Object.fromEntries(Object.keys(parameters).map((key) => [key, p[`${name}/${key}`]!]));
          carry = { ...carry, ...apply(own, carry, within(name)) };
        }
        return tf.sum(carry["scores"]!);
      };
      const slope_BP = tf.grad(score)(between);
      const norms_B = tf.sqrt(tf.add(tf.sum(tf.square(slope_BP), 1), 1e-12));
      return { penalty: tf.mean(tf.square(tf.sub(norms_B, 1))) };
    },
  };
}

/** A number evenly drawn from [0, 1) for each image: Phi of a normal. */
function shareOf(context: StageContext, count: number): Tensor {
  const normal_B1 = context.noise("share", [count, 1], { kind: "normal" });
  return tf.mul(tf.add(tf.erf(tf.mul(normal_B1, Math.SQRT1_2)), 1), 0.5);
}
