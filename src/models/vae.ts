// The variational autoencoder of Kingma & Welling 2014 as a list of stages: an encoder gives the moments of q(z|x), a sample
// of it travels in the carry under `latent`, and a decoder gives the logits of independent Bernoulli pixels.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { linear, linearParameters } from "../nn/linear.ts";
import { scope, under } from "../nn/parameters.ts";
import { bernoulliLogLikelihood, stopGradient } from "../ops/index.ts";
import type { Player, Stage, Tensors } from "../stage.ts";
import { hiddenStages, type Net, outputWidth } from "./net.ts";
import { placed } from "./residual-stream.ts";

// B images, K samples of z an image, P pixels, L dimensions of z, H width of the layer before.

/** What decides the network and its objective. */
export interface VaeOptions {
  readonly latent: number;
  readonly pixels: number;
  /** Whether pixels are 0 or 1. What comes out for grey ones is a loss, and no bound of a likelihood: no `elbo` is reported. */
  readonly binarized: boolean;
  readonly encoder: Net;
  readonly decoder: Net;
  /** `elbo`: reconstruction and analytic KL term. `iwae`: log of the mean of k importance weights (Burda et al. 2016, equation
   *  8). */
  readonly objective: "elbo" | "iwae";
  /** K in training, and in evaluation with `iwae`, whose bound depends on it; the ELBO is evaluated with one. */
  readonly samples: number;
  /** Factor on the KL term. */
  readonly beta: number;
  /** Steps over which that factor grows from 0; 0 for none. */
  readonly klWarmupSteps: number;
  /** Nats each dimension may cost for free, in the mean over the batch (Kingma et al. 2016, equation 15). */
  readonly freeBits: number;
}

/** The player of a VAE, and its views:
 *  `generate`: batch `latent` [N, L] -> pixels [N, P], the decoder's probabilities;
 *  `encode`: batch `images` -> [B, 2 L], mean and log-variance of q(z|x);
 *  `reconstruct`: batch `images` -> pixels [B, P] at the mean of q(z|x);
 *  `weigh`: batch `images` and `samples` [K], whose numbers do not matter -> [B, K], log-weights log p(x, z) - log q(z|x) of fresh z ~ q;
 *  `likelihood`: batch `latent` [K, L] and `images` -> [B, K], log p(x|z) of every image at every z. */
export function vae(options: VaeOptions): { players: Player[]; views: Record<string, Player> } {
  const { latent, pixels, binarized } = options;
  const parts = [...(binarized ? ["elbo"] : []), "reconstruction", "kl"];
  const encoder = hiddenStages(options.encoder, { stack: "encoder", from: "images", inputSize: pixels });
  const decoder = hiddenStages(options.decoder, { stack: "decoder", from: "latent", inputSize: latent });
  const view = (name: string, output: string, stages: Stage[]): Player => ({ name, stages, scalars: [], output });
  const players: Player[] = [
    {
      name: "model",
      stages: [...encoder, latentStage(options), ...decoder, scoreStage(options)],
      scalars: ["loss", ...parts],
      evaluated: parts,
      output: "decoder",
    },
  ];
  return {
    players,
    views: {
      generate: view("generate", "pixels", [...decoder, pixelStage(options)]),
      encode: view("encode", "moments", [...encoder, momentsStage(options)]),
      reconstruct: view("reconstruct", "pixels", [...encoder, meanStage(options), ...decoder, pixelStage(options)]),
      weigh: view("weigh", "logWeights", [...encoder, proposalStage(options), ...decoder, weightStage(options)]),
      likelihood: view("likelihood", "logLikelihoods", [...decoder, likelihoodStage(options)]),
    },
  };
}

const outside = (name: string, stack: string) => ({ name, stack, layer: "" }) as const;

const momentParameters = ({ encoder, latent }: VaeOptions) =>
  placed("latent", {
    ...scope("mean", linearParameters(outputWidth(encoder), latent)),
    ...scope("log-variance", linearParameters(outputWidth(encoder), latent)),
  });

const logitParameters = ({ decoder, pixels }: VaeOptions) =>
  placed("output", scope("logits", linearParameters(outputWidth(decoder), pixels)));

/** Mean and log-variance of q(z|x), each [B, L]. */
function posterior(p: Tensors, h_BH: Tensor): { mean_BL: Tensor; logVariance_BL: Tensor } {
  const map = (name: string): Tensor => linear(h_BH, under(p, name)["weight"]!, under(p, name)["bias"]);
  return { mean_BL: map("mean"), logVariance_BL: map("log-variance") };
}

/** z = mu + sigma eps, K rows an image: [B, K, L]. */
const reparameterized = (mean_BL: Tensor, logVariance_BL: Tensor, noise_BKL: Tensor): Tensor => {
  const [b, latent] = mean_BL.shape as [number, number];
  const perImage = (x: Tensor): Tensor => tf.reshape(x, [b, 1, latent]);
  return tf.add(perImage(mean_BL), tf.mul(perImage(tf.exp(tf.mul(logVariance_BL, 0.5))), noise_BKL));
};

/** log p(z) - log q(z|x), up to nothing: the constants cancel. Since z = mu + sigma eps, log q is of eps and log sigma. [B, K] */
function logRatio(z_BKL: Tensor, logVariance_BL: Tensor, noise_BKL: Tensor): Tensor {
  const squares_BK = tf.sum(tf.sub(tf.square(noise_BKL), tf.square(z_BKL)), -1);
  const logDeterminant_B1 = tf.sum(logVariance_BL, -1, true);
  return tf.mul(tf.add(squares_BK, logDeterminant_B1), 0.5);
}

/** Moments of q(z|x), a reparameterised sample of it, and what the loss needs of both: the KL term by image and dimension,
 *  KL(N(mu, s^2) || N(0, 1)) = (s^2 + mu^2 - 1 - log s^2) / 2 (Kingma & Welling 2014, appendix B), and for `iwae` the
 *  log-ratio of each sample. */
function latentStage(options: VaeOptions): Stage {
  const { objective, samples, latent } = options;
  return {
    ...outside("latent", "latent"),
    key: `latent ${JSON.stringify({ objective, samples })}`,
    parameters: momentParameters(options),
    reads: ["encoder"],
    apply(p, carry, context): Record<string, Tensor> {
      const { mean_BL, logVariance_BL } = posterior(p, carry["encoder"]!);
      const mean = context.tap("mean", "stream", mean_BL);
      const logVariance = context.tap("log-variance", "stream", logVariance_BL);
      const b = mean.shape[0]!;
      const k = context.training || objective === "iwae" ? samples : 1;
      const noise_BKL = context.noise("z", [b, k, latent], { kind: "normal" });
      const z_BKL = reparameterized(mean, logVariance, noise_BKL);
      const z = context.tap("sample", "stream", tf.reshape(z_BKL, [b * k, latent]));
      const kl_BL = tf.mul(tf.sub(tf.add(tf.exp(logVariance), tf.square(mean)), tf.add(logVariance, 1)), 0.5);
      // Of z as it is used, so that a gradient through the tap is not lost.
      const used_BKL = tf.reshape(z, [b, k, latent]);
      return objective === "elbo"
        ? { latent: z, kl: kl_BL }
        : { latent: z, kl: kl_BL, logRatio: logRatio(used_BKL, logVariance, noise_BKL) };
    },
  };
}

/** Logits and the objective: nats an image, summed over pixels, averaged over images.
 *  `elbo`: loss = -E_q log p(x|z) + beta sum_d max(free bits, KL_d). `iwae`: loss = -log 1/K sum_k p(x, z_k) / q(z_k|x). In
 *  evaluation the loss of the first is the negative ELBO, whatever beta and free bits. */
function scoreStage(options: VaeOptions): Stage {
  const { objective, beta, klWarmupSteps, freeBits } = options;
  return {
    ...outside("output", "output"),
    key: `vae score ${JSON.stringify({ objective, freeBits })}`,
    parameters: logitParameters(options),
    reads: ["decoder", "images", "kl", ...(objective === "iwae" ? ["logRatio"] : [])],
    constants: { beta: (step) => beta * (klWarmupSteps > 0 ? Math.min(1, step / klWarmupSteps) : 1) },
    apply(p, carry, context) {
      const images_BP = carry["images"]!;
      const b = images_BP.shape[0]!;
      const logits = linear(carry["decoder"]!, p["logits/weight"]!, p["logits/bias"]);
      const likelihood_BK = tf.reshape(bernoulliLogLikelihood(context.tap("logits", "stream", logits), images_BP), [
        b,
        -1,
      ]);
      const reconstruction = tf.neg(tf.mean(likelihood_BK));
      const kl_L = tf.mean(carry["kl"]!, 0);
      const kl = tf.sum(kl_L);
      const elbo = tf.neg(tf.add(reconstruction, kl));
      if (objective === "iwae") {
        const loss = tf.neg(tf.mean(logMeanExp(tf.add(likelihood_BK, carry["logRatio"]!))));
        return { loss, elbo, reconstruction, kl };
      }
      if (!context.training) return { loss: tf.neg(elbo), elbo, reconstruction, kl };
      const paid = freeBits ? tf.sum(tf.maximum(kl_L, freeBits)) : kl;
      const loss = tf.add(reconstruction, tf.mul(context.constant("beta"), paid));
      return { loss, elbo, reconstruction, kl };
    },
  };
}

/** log 1/K sum_k exp(x_k) over the last axis, without overflow. */
function logMeanExp(x_BK: Tensor): Tensor {
  const largest = stopGradient(tf.max(x_BK, -1, true));
  const sum = tf.sum(tf.exp(tf.sub(x_BK, largest)), -1);
  return tf.add(tf.log(tf.div(sum, x_BK.shape[1]!)), tf.squeeze(largest, [-1]));
}

/** Probabilities of the pixels. */
const pixelStage = (options: VaeOptions): Stage => ({
  ...outside("pixels", "output"),
  key: "vae pixels",
  parameters: logitParameters(options),
  reads: ["decoder"],
  apply: (p, { decoder }) => ({ pixels: tf.sigmoid(linear(decoder!, p["logits/weight"]!, p["logits/bias"])) }),
});

const momentsStage = (options: VaeOptions): Stage => ({
  ...outside("moments", "latent"),
  key: "vae moments",
  parameters: momentParameters(options),
  reads: ["encoder"],
  apply(p, { encoder }) {
    const { mean_BL, logVariance_BL } = posterior(p, encoder!);
    return { moments: tf.concat([mean_BL, logVariance_BL], 1) };
  },
});

const meanStage = (options: VaeOptions): Stage => ({
  ...outside("mean", "latent"),
  key: "vae mean",
  parameters: momentParameters(options),
  reads: ["encoder"],
  apply: (p, { encoder }) => ({ latent: posterior(p, encoder!).mean_BL }),
});

/** Samples of q(z|x), as many as the batch's `samples` has rows, and their log-ratios. */
const proposalStage = (options: VaeOptions): Stage => ({
  ...outside("proposal", "latent"),
  key: "vae proposal",
  parameters: momentParameters(options),
  reads: ["encoder", "samples"],
  apply(p, { encoder, samples }, context) {
    const { mean_BL, logVariance_BL } = posterior(p, encoder!);
    const [b, k, latent] = [mean_BL.shape[0]!, samples!.shape[0]!, options.latent];
    const noise_BKL = context.noise("z", [b, k, latent], { kind: "normal" });
    const z_BKL = reparameterized(mean_BL, logVariance_BL, noise_BKL);
    return { latent: tf.reshape(z_BKL, [b * k, latent]), logRatio: logRatio(z_BKL, logVariance_BL, noise_BKL) };
  },
});

const weightStage = (options: VaeOptions): Stage => ({
  ...outside("weights", "output"),
  key: "vae weights",
  parameters: logitParameters(options),
  reads: ["decoder", "images", "logRatio"],
  apply(p, { decoder, images, logRatio }) {
    const logits = linear(decoder!, p["logits/weight"]!, p["logits/bias"]);
    return { logWeights: tf.add(tf.reshape(bernoulliLogLikelihood(logits, images!), logRatio!.shape), logRatio!) };
  },
});

/** log p(x_b|z_k) = x_b . l_k - sum_p log(1 + exp l_kp), of every pair at once. */
const likelihoodStage = (options: VaeOptions): Stage => ({
  ...outside("likelihood", "output"),
  key: "vae likelihood",
  parameters: logitParameters(options),
  reads: ["decoder", "images"],
  apply(p, { decoder, images }) {
    const logits_KP = linear(decoder!, p["logits/weight"]!, p["logits/bias"]);
    const normalizers_K = bernoulliLogLikelihood(logits_KP, tf.zeros([1, options.pixels]));
    const agreement_BK = tf.matMul(images as tf.Tensor2D, logits_KP as tf.Tensor2D, false, true);
    return { logLikelihoods: tf.add(agreement_BK, normalizers_K) };
  },
});
