// What a configuration describes: its data, and its model as players.
import { isKind, type GanConfig, type RunConfig, type TransformerConfig, type VaeConfig } from "./config/schema.ts";
import { checkTranslationData, loadTranslationData } from "./data/batches.ts";
import { type Binarization, type ImageData, loadImageData } from "./data/images.ts";
import { UserError } from "./errors.ts";
import type { Views } from "./metrics/metric.ts";
import { gan, type GanOptions } from "./models/gan.ts";
import type { Net } from "./models/net.ts";
import { transformer, type TransformerOptions } from "./models/transformer.ts";
import { vae, type VaeOptions } from "./models/vae.ts";
import type { ActivationName } from "./nn/activations.ts";
import type { Player } from "./stage.ts";
import type { Dataset } from "./types.ts";

/** The data of a run. */
export interface RunData {
  readonly dataset: Dataset;
  /** What a run keeps of it in its folder, by file name. */
  readonly files: Readonly<Record<string, string>>;
  /** Facts for run.json. */
  readonly details: Readonly<Record<string, unknown>>;
  /** The images themselves, where it is images that are modelled. */
  readonly images?: ImageData;
}

/** The players of a run, and other views of the same parameters. */
export interface Model {
  readonly players: Player[];
  /** None where nothing but the players is defined. */
  readonly views: Views;
}

/** The data a configuration asks for. `onDoing` is told what takes long, such as preparing millions of sentences. */
export async function loadData(config: RunConfig, onDoing?: (doing: string) => void): Promise<RunData> {
  const { seed } = config;
  if (isKind(config, "transformer")) {
    const { dataset, vocabulary } = await loadTranslationData(
      { ...config.data, batch: config.train.batch, seed },
      onDoing,
    );
    const details = { vocabulary: dataset.dimensions["vocabulary"] };
    return { dataset, files: { "tokenizer.json": vocabulary.json }, details };
  }
  const images = await loadImageData({
    ...config.data,
    binarization: config.data.binarization as Binarization,
    batch: config.train.batch,
    seed,
  });
  return { dataset: images.dataset, files: {}, details: { images: images.facts }, images };
}

/** Refuses data by their names alone, as far as they tell: before a sweep plans runs that would all fail. Each section is looked at once. */
export async function checkData(configs: readonly RunConfig[]): Promise<void> {
  const sections = new Map(
    configs.flatMap((config) =>
      isKind(config, "transformer") ? [[JSON.stringify(config.data), config.data] as const] : [],
    ),
  );
  for (const data of sections.values()) await checkTranslationData(data);
}

/** The model a configuration describes. */
export function buildModel(config: RunConfig, dataset: Pick<Dataset, "dimensions">): Model {
  if (isKind(config, "transformer")) return { players: transformer(transformerOptions(config, dataset)), views: {} };
  return isKind(config, "vae") ? vae(vaeOptions(config, dataset)) : gan(ganOptions(config, dataset));
}

/** A configuration of translation, for what knows no other; a `UserError` that names the kind elsewhere. */
export function translationOf(config: RunConfig, who: string): TransformerConfig {
  if (isKind(config, "transformer")) return config;
  throw new UserError(
    `${who}: expected a run with model.kind: transformer, got ${config.model.kind}; choose another run`,
  );
}

/** What decides the network of a transformer's configuration. */
export const transformerOptions = (
  { model, train: { labelSmoothing } }: TransformerConfig,
  { dimensions }: Pick<Dataset, "dimensions">,
): TransformerOptions => ({ ...model, vocabulary: dimensions["vocabulary"]!, labelSmoothing });

/** What decides a VAE. */
export function vaeOptions({ model, data }: VaeConfig, { dimensions }: Pick<Dataset, "dimensions">): VaeOptions {
  const { hidden, activation } = model;
  return {
    ...model,
    objective: model.objective as VaeOptions["objective"],
    pixels: dimensions["pixels"]!,
    binarized: data.binarization !== "none",
    encoder: netOf(model, model.depth?.encoder, { hidden, activation }),
    decoder: netOf(model, model.depth?.decoder, { ...(hidden && { hidden: hidden.toReversed() }), activation }),
  };
}

/** What decides a GAN. */
export function ganOptions({ model, train }: GanConfig, { dimensions }: Pick<Dataset, "dimensions">): GanOptions {
  const { net, loss, latent, spectralNorm, pixels, instanceNoise, gradientPenalty, channels, depth } = model;
  const { generator, discriminator } = model;
  return {
    loss: loss as GanOptions["loss"],
    latent,
    spectralNorm,
    pixels: pixels as GanOptions["pixels"],
    instanceNoise: instanceNoise ?? 0,
    ...(gradientPenalty !== undefined && { gradientPenalty }),
    height: dimensions["height"]!,
    width: dimensions["width"]!,
    net:
      net === "dcgan"
        ? { channels: channels!, generator: activationOf(generator), discriminator: activationOf(discriminator) }
        : {
            generator: netOf(model, depth?.generator, generator),
            discriminator: netOf(model, depth?.discriminator, discriminator),
          },
    discriminatorUpdates: train.discriminator.updates,
  };
}

const activationOf = ({ activation }: { readonly activation: string }): ActivationName => activation as ActivationName;

/** Plain layers, or residual blocks where there is a depth; the schema has seen to it that one of them is there. */
function netOf(
  model: Pick<VaeConfig["model"], "width" | "feedForward" | "residual" | "norm" | "dropout">,
  depth: number | undefined,
  layers: {
    readonly hidden?: readonly number[] | undefined;
    readonly activation: string;
    readonly dropout?: number | undefined;
  },
): Net {
  const activation = activationOf(layers);
  if (depth === undefined) return { hidden: layers.hidden!, activation, dropout: layers.dropout ?? 0 };
  const { width, feedForward, residual, norm, dropout } = model;
  return {
    depth,
    width: width!,
    feedForward: feedForward!,
    residual: residual!,
    norm: norm!,
    activation,
    dropout: dropout!,
  };
}
