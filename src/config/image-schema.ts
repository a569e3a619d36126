// What the models of images have in common, and what a VAE's and a GAN's configuration has of its own.

import { z } from "zod";
import {
  activations,
  binarizations,
  ganLosses,
  models,
  objectives,
  pixelRanges,
  type Registries,
  views,
} from "./names.ts";
import { depthOf, exactlyOne, fraction, kind, oneOf, positive, rate, unique } from "./pieces.ts";
import { checkScheme, schemeDefaults, schemeKeys } from "./scheme-keys.ts";

/** The `data` section: images, and how their grey values become what is modelled. */
export const imagesSchema = (names: Registries, binarization: (typeof binarizations)[number]["name"]) =>
  z
    .strictObject({
      images: z
        .string()
        .min(1)
        .describe(
          `images: ${names.imageSets.map((m) => `${m.name} (${m.summary})`).join("; ")}; or a folder of IDX files`,
        ),
      binarization: oneOf(binarizations, "what becomes of grey values").default(binarization),
      validation: z
        .int()
        .min(0)
        .max(1e9)
        .default(5000)
        .describe("images held out of the training images for dev; with 0 dev is the first 5,000 of them"),
    })
    .describe("the images that are modelled");

/** An override takes a key away with null, so that another can stand in its place. */
const absent = <T>(value: T | null | undefined): T | undefined => value ?? undefined;

/** Widths of hidden layers, one by one. */
const hidden = (whose: string) =>
  z
    .array(positive("units of a hidden layer", 65_536))
    .min(1)
    .max(1000)
    .nullish()
    .transform(absent)
    .describe(`hidden layers of ${whose}, from the bottom up, as plain layers; or depth and width instead`);

const activation = oneOf(activations, "activation of the hidden layers");

/** Keys of a network of residual blocks, each act(x W + b) W' + b' beside the stream. */
const blockKeys = (names: Registries) => {
  const { residual, norm, finalNorm } = schemeKeys(names);
  return {
    width: positive("width of the residual stream, with depth", 65_536).optional(),
    feedForward: positive("inner width of a residual block; width if not given", 1 << 20).optional(),
    residual: residual.optional(),
    norm,
    finalNorm,
    dropout: fraction("probability of dropping a unit of a residual block").optional(),
  };
};

interface Blocks {
  readonly depth?: Readonly<Record<string, number>> | undefined;
  readonly width?: number | undefined;
  readonly feedForward?: number | undefined;
  readonly residual?: string | undefined;
  readonly norm?: string | undefined;
  readonly finalNorm?: boolean | undefined;
  readonly dropout?: number | undefined;
}

/** Refuses keys of residual blocks without a depth, and a depth without what it needs. */
function checkBlocks(model: Blocks, names: Registries, context: z.RefinementCtx): void {
  const issue = (path: string, message: string): void => context.addIssue({ code: "custom", path: [path], message });
  if (model.depth === undefined) {
    for (const key of ["width", "feedForward", "residual", "norm", "finalNorm", "dropout"] as const)
      if (model[key] !== undefined)
        issue(
          key,
          `expected model.${key} only with model.depth, which makes residual blocks; add model.depth or remove it` +
            (key === "dropout" && "discriminator" in model
              ? " (plain layers have model.generator.dropout and model.discriminator.dropout)"
              : ""),
        );
    return;
  }
  for (const key of ["width", "residual"] as const)
    if (model[key] === undefined) issue(key, `expected model.${key} with model.depth, got nothing; add the key`);
  const { residual } = model;
  if (residual === undefined) return;
  checkScheme({ ...model, residual }, names, context);
  if (names.residual.find((s) => s.name === residual)?.attentionOnly)
    issue(
      "residual",
      `expected a scheme for layers without attention, got ${residual}, which is about attention; choose one of ` +
        names.residual.flatMap((s) => (s.attentionOnly ? [] : [s.name])).join(", "),
    );
}

/** The sizes of a network of residual blocks, resolved; `D` is the depth of its stacks. */
export interface ResolvedBlocks<D> {
  depth: D;
  width: number;
  feedForward: number;
  residual: string;
  norm: string;
  finalNorm: boolean;
  dropout: number;
}

/** The keys of residual blocks with their defaults; nothing where the layers are plain. */
function resolvedBlocks<D>(
  model: Omit<Blocks, "depth"> & { readonly depth?: D | undefined },
  names: Registries,
): Partial<ResolvedBlocks<D>> {
  const { depth, width, residual } = model;
  if (depth === undefined || width === undefined || residual === undefined) return {};
  return {
    depth,
    width,
    feedForward: model.feedForward ?? width,
    residual,
    ...schemeDefaults({ ...model, residual }, names),
    dropout: model.dropout ?? 0,
  };
}

const latent = (size: number) => positive("dimensions of the latent variable z ~ N(0, I)", 65_536).default(size);

/** The `model` section of a variational autoencoder. */
export const vaeSchema = (names: Registries) =>
  z
    .strictObject({
      kind: kind(models, "vae"),
      latent: latent(20),
      hidden: hidden("the encoder, and in reverse of the decoder"),
      depth: depthOf("encoder", "decoder").nullish().transform(absent),
      ...blockKeys(names),
      activation: activation.default("relu"),
      objective: oneOf(objectives, "what is maximised").default("elbo"),
      samples: positive("k, samples of z an image", 10_000).default(1),
      beta: z.number().min(0).max(1e6).default(1).describe("factor on the KL term (Higgins et al. 2017)"),
      klWarmupSteps: z
        .int()
        .min(0)
        .max(1e9)
        .default(0)
        .describe("steps over which that factor grows from 0 (Sønderby et al. 2016)"),
      freeBits: z
        .number()
        .min(0)
        .max(1e3)
        .default(0)
        .describe("nats a latent dimension may cost for free, in the mean of a batch (Kingma et al. 2016)"),
    })
    .superRefine((model, context) => {
      exactlyOne(context, "model", ["hidden", "depth"], [model.hidden, model.depth]);
      checkBlocks(model, names, context);
      if (model.objective !== "iwae") return;
      for (const [key, neutral] of [
        ["beta", 1],
        ["klWarmupSteps", 0],
        ["freeBits", 0],
      ] as const)
        if (model[key] !== neutral)
          context.addIssue({
            code: "custom",
            path: [key],
            message:
              `expected ${neutral}, got ${model[key]}: with model.objective: iwae the bound has no KL term of its own; ` +
              `leave model.${key} out or choose model.objective: elbo`,
          });
    })
    .transform(
      ({ kind, latent, hidden, activation, objective, samples, beta, klWarmupSteps, freeBits, ...blocks }) => ({
        kind,
        latent,
        ...(hidden && { hidden }),
        ...resolvedBlocks(blocks, names),
        activation,
        objective,
        samples,
        beta,
        klWarmupSteps,
        freeBits,
      }),
    );

const player = (whose: string, fallback: string) =>
  z
    .strictObject({
      hidden: hidden(whose),
      activation: activation.default(fallback),
      dropout: fraction(`probability of dropping a unit of a plain layer of ${whose}`).optional(),
    })
    .transform(({ hidden, activation, dropout }) => ({
      ...(hidden && { hidden }),
      activation,
      ...(dropout && { dropout }),
    }))
    .prefault({})
    .describe(`layers of ${whose}`);

/** The `model` section of a generative adversarial network. */
export const ganSchema = (names: Registries) =>
  z
    .strictObject({
      kind: kind(models, "gan"),
      net: z
        .enum(["mlp", "dcgan"])
        .default("mlp")
        .describe("mlp: fully connected; dcgan: convolutions (Radford et al. 2016)"),
      loss: oneOf(ganLosses, "what the players play for").default("non-saturating"),
      gradientPenalty: rate("lambda of wgan-gp; 10 if not given").optional(),
      spectralNorm: z
        .boolean()
        .default(false)
        .describe("divide the discriminator's matrices by their spectral norm (Miyato et al. 2018)"),
      pixels: oneOf(pixelRanges, "range of the pixels that the discriminator is shown").default("symmetric"),
      instanceNoise: z
        .number()
        .min(0)
        .max(10)
        .default(0)
        .describe("standard deviation of noise on all images that the discriminator sees (Sønderby et al. 2017)"),
      latent: latent(100),
      channels: positive("dcgan: channels of the generator's last hidden layer; 32 if not given", 4096).optional(),
      depth: depthOf("generator", "discriminator").nullish().transform(absent),
      ...blockKeys(names),
      generator: player("the generator", "relu"),
      discriminator: player("the discriminator", "leaky-relu"),
    })
    .superRefine((model, context) => {
      const issue = (path: string[], message: string): void => context.addIssue({ code: "custom", path, message });
      if (model.gradientPenalty !== undefined && model.loss !== "wgan-gp")
        issue(
          ["gradientPenalty"],
          `expected model.gradientPenalty only with model.loss: wgan-gp, got model.loss: ${model.loss}; remove it`,
        );
      if (model.loss === "wgan-gp" && model.instanceNoise > 0)
        issue(
          ["instanceNoise"],
          `expected 0 with model.loss: wgan-gp, whose penalty stands between images as they are, got ${model.instanceNoise}; ` +
            `remove it or choose another model.loss`,
        );
      if (model.spectralNorm && model.residual === "fixup")
        issue(
          ["spectralNorm"],
          "expected false with model.residual: fixup, whose branches start at matrices of zeros, which have no spectral norm to be " +
            "divided by; remove it or choose another model.residual",
        );
      const players = ["generator", "discriminator"] as const;
      for (const name of players)
        if (model[name].dropout !== undefined && !model[name].hidden)
          issue(
            [name, "dropout"],
            model.net === "dcgan"
              ? `expected no model.${name}.dropout with model.net: dcgan; remove it`
              : `expected model.${name}.dropout only with model.${name}.hidden; remove it` +
                  (model.depth ? " (residual blocks have model.dropout)" : ""),
          );
      if (model.net === "dcgan") {
        for (const name of players)
          if (model[name].hidden)
            issue([name, "hidden"], `expected no hidden layers with model.net: dcgan; remove them`);
        if (model.depth) issue(["depth"], `expected no model.depth with model.net: dcgan; remove it`);
      } else {
        if (model.channels !== undefined)
          issue(["channels"], `expected model.channels only with model.net: dcgan; remove it`);
        for (const name of players)
          if ((model[name].hidden === undefined) === (model.depth === undefined))
            issue(
              model.depth ? [name, "hidden"] : [name],
              `expected either model.${name}.hidden or model.depth, got ${model.depth ? "both; remove one" : "neither; add one"}`,
            );
        checkBlocks(model, names, context);
      }
    })
    .transform(
      ({
        kind,
        net,
        loss,
        gradientPenalty,
        spectralNorm,
        pixels,
        instanceNoise,
        latent,
        channels,
        generator,
        discriminator,
        ...blocks
      }) => ({
        kind,
        net,
        loss,
        ...(loss === "wgan-gp" && { gradientPenalty: gradientPenalty ?? 10 }),
        spectralNorm,
        pixels,
        ...(instanceNoise > 0 && { instanceNoise }),
        latent,
        ...(net === "dcgan" && { channels: channels ?? 32 }),
        ...resolvedBlocks(blocks, names),
        generator,
        discriminator,
      }),
    );

/** Which pictures a run leaves. */
export const samplesSchema = z
  .strictObject({
    epochs: z
      .array(z.int().min(0).max(1e9))
      .refine(unique, "expected each epoch once")
      .default([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000])
      .describe("passes over the training data after which images are generated; after the last step in any case"),
    images: positive("images a grid", 10_000).default(64),
  })
  .prefault({})
  .describe("the generated images that a run keeps");

/** The metrics that a kind of model can have. */
export const metricsOf = (names: Registries, kind: keyof typeof views): Registries["metrics"] => {
  const has: readonly string[] = views[kind];
  return names.metrics.filter(({ needs = [] }) => needs.every((view) => has.includes(view)));
};

/** What is computed of a model of a kind beside its loss. The default of `final` depends on other sections. */
export const metricsSchema = (names: Registries, kind: keyof typeof views, evaluation: string[]) => {
  const list = (describe: string) =>
    z
      .array(oneOf(metricsOf(names, kind), `metric of a ${kind}`))
      .refine(unique, "expected each metric once")
      .describe(describe);
  return z
    .strictObject({
      evaluation: list("at every evaluation, of the dev images").default(evaluation),
      final: list("once at the end, of the test images").optional(),
      importanceSamples: positive(
        "samples of z an image of importance-weighted-nll; naive-likelihood takes 1, 10, 100 ... up to twice as many",
        1_000_000,
      ).default(5000),
      images: positive("generated images that a metric compares with real ones", 100_000).default(10_000),
    })
    .prefault({})
    .describe("what is computed of the model beside its loss");
};
