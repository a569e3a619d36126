// The names a configuration may use: those of other folders' registries, which come in as data so that nothing here loads a
// model, and those the schema itself knows.

import type { Member } from "../registry.ts";

/** The names a configuration may use, as the registries of other folders list them. */
export interface Registries {
  /** `finalNorm`: whether the scheme ends each stack with a norm of its own; `normless`: that it has no norm at all;
   *  `attentionOnly`: that it is about attention and has no meaning in layers without it. */
  readonly residual: readonly (Member & {
    readonly finalNorm: boolean;
    readonly normless?: true;
    readonly attentionOnly?: true;
  })[];
  readonly norms: readonly Member[];
  /** `comparesBatches`: whether it differentiates `probes.batches` batches; not given where it is not known. */
  readonly probes: readonly (Member & { readonly comparesBatches?: boolean })[];
  /** Probes under one word, and the steps between measurements that go with it. */
  readonly presets: readonly (Member & { readonly record: readonly string[]; readonly everySteps: number })[];
  readonly corpora: readonly Member[];
  /** Formats of parallel text. */
  readonly readers: readonly Member[];
  readonly imageSets: readonly Member[];
  /** `needs`: the views of a model that it is computed from, not given where they are not known; `isLikelihood`: that grey images
   *  have no such number. */
  readonly metrics: readonly (Member & { readonly needs?: readonly string[]; readonly isLikelihood?: true })[];
}

/** The views that a kind of model has, which decide its metrics; a test holds the models equal to them. */
export const views = {
  vae: ["generate", "encode", "reconstruct", "weigh", "likelihood"],
  gan: ["generate", "score"],
} as const;

/** What the schema itself names, for `fathom list`; tests hold the registries of src/train and src/engine equal to them. */
export const models = [
  { name: "transformer", summary: "encoder-decoder transformer (Vaswani et al. 2017)" },
  { name: "vae", summary: "variational autoencoder with a Bernoulli decoder (Kingma and Welling 2014)" },
  { name: "gan", summary: "generative adversarial network (Goodfellow et al. 2014)" },
] as const satisfies Member[];
export const optimizers = [
  { name: "adam", summary: "Adam (Kingma and Ba 2015); weightDecay is an L2 penalty" },
  { name: "adamw", summary: "Adam with decoupled weight decay (Loshchilov and Hutter 2019)" },
  { name: "sgd", summary: "stochastic gradient descent, with momentum if it is not 0" },
] as const satisfies Member[];
export const schedules = [
  { name: "constant", summary: "the learning rate as it is" },
  { name: "inverse-sqrt", summary: "falls with 1 / sqrt(step) after the warm-up" },
  {
    name: "noam",
    summary: "learningRate * width^-0.5 * min(step^-0.5, step * warmupSteps^-1.5) (Vaswani et al. 2017)",
  },
  { name: "cosine", summary: "half a cosine from the peak to `final` times the peak at the last step" },
  { name: "linear-ramp", summary: "from learningRate in equal steps to `to` at the last step" },
] as const satisfies Member[];
export const engines = [
  { name: "auto", summary: "tensorflow-gpu where there is a GPU, else onnx" },
  { name: "onnx", summary: "compiled stages on ONNX Runtime's CPU kernels, everywhere and fast, or another provider" },
  { name: "tensorflow-gpu", summary: "eager, on @tensorflow/tfjs-node-gpu where that installs" },
  { name: "tensorflow", summary: "eager, on @tensorflow/tfjs-node where that installs" },
  { name: "wasm", summary: "eager, on TensorFlow.js's WebAssembly backend; everywhere" },
  { name: "cpu", summary: "eager, in plain JavaScript; the slow reference of the tests" },
] as const satisfies Member[];
/** What can run the graphs of engine onnx. */
export const providers = [
  { name: "cpu", summary: "ONNX Runtime's native CPU kernels; everywhere" },
  { name: "cuda", summary: "NVIDIA GPUs, with CUDA, cuDNN and provider libraries that are downloaded" },
  { name: "webgpu", summary: "GPUs through Vulkan, Direct3D 12 or Metal; experimental in the runtime" },
] as const satisfies Member[];
export const binarizations = [
  { name: "dynamic", summary: "each pixel is 1 with its grey value as probability, drawn anew at every step" },
  { name: "threshold", summary: "each pixel is 1 from a grey value of 0.5 on" },
  { name: "none", summary: "grey values as they are; no likelihood is reported then" },
] as const satisfies Member[];
export const objectives = [
  { name: "elbo", summary: "the evidence lower bound with its analytic KL term (Kingma and Welling 2014)" },
  { name: "iwae", summary: "log of the mean of k importance weights (Burda et al. 2016)" },
] as const satisfies Member[];
export const ganLosses = [
  {
    name: "minimax",
    summary: "log D(x) + log(1 - D(G(z))), whose gradient vanishes where D wins (Goodfellow et al. 2014)",
  },
  { name: "non-saturating", summary: "the generator maximises log D(G(z)) instead (Goodfellow et al. 2014)" },
  { name: "lsgan", summary: "least squares (Mao et al. 2017)" },
  { name: "hinge", summary: "hinge loss (Lim and Ye 2017)" },
  { name: "wgan-gp", summary: "Wasserstein critic with gradient penalty (Gulrajani et al. 2017)" },
] as const satisfies Member[];
export const pixelRanges = [
  { name: "unit", summary: "[0, 1], grey values as they are" },
  { name: "symmetric", summary: "[-1, 1], 2x - 1, as Radford et al. 2016 have it" },
] as const satisfies Member[];
export const orders = [
  { name: "simultaneous", summary: "both gradients at the same parameters, then both updates" },
  { name: "alternating", summary: "the discriminator's updates, then the generator's against the new discriminator" },
] as const satisfies Member[];
export const activations = [
  { name: "relu", summary: "max(x, 0)" },
  { name: "leaky-relu", summary: "max(x, 0.2 x)" },
  { name: "gelu", summary: "x Phi(x) (Hendrycks and Gimpel 2016)" },
  { name: "tanh", summary: "hyperbolic tangent" },
  { name: "sigmoid", summary: "logistic function" },
] as const satisfies Member[];
