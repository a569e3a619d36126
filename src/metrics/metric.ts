import type { ImageExamples, ImageSplit } from "../data/images.ts";
import type { Engine } from "../engine/engine.ts";
import type { Member } from "../registry.ts";
import type { Parameters, Player } from "../stage.ts";

/** Networks over a model's parameters that answer questions and learn nothing, by name: `generate` makes pixels of `latent`,
 *  `encode` gives the moments of the posterior ... See the model's file for shapes. */
export type Views = Readonly<Record<string, Player>>;

/** What a metric is computed from. */
export interface MetricContext {
  readonly engine: Engine;
  readonly parameters: Parameters;
  readonly views: Views;
  /** L, dimensions of the latent variable. */
  readonly latent: number;
  /** Size of the images, and how their grey values are modelled. */
  readonly set: { readonly name: string; readonly height: number; readonly width: number };
  readonly binarization: string;
  /** The images it is a metric of. */
  readonly split: ImageSplit;
  /** The first `count` images of a split, or all there are. */
  examples(split: ImageSplit, count?: number): ImageExamples;
  readonly seed: number;
  /** Samples of z an image, where importance sampling takes them. */
  readonly importanceSamples: number;
  /** Generated images that are compared with real ones. */
  readonly images: number;
  /** Told how far it is, from 0 to 1, by what takes long; `doing` says at what, where that is not the metric itself. */
  progress?(share: number, doing?: string): void;
  /** Aborted: give up and throw the signal's reason. */
  readonly signal?: AbortSignal;
}

/** One number: its name in metrics.csv, and its standard error where it is a mean over images or samples. */
export interface MetricValue {
  readonly name: string;
  readonly value: number;
  readonly standardError?: number;
  /** What the number rests on, in a few words: how many samples or images, the SHA-256 of the classifier. */
  readonly detail?: string;
}

/** A number, or several, about a trained model of images. */
export interface Metric extends Member {
  /** The views it uses; a model that lacks one has no such metric. */
  readonly needs: readonly string[];
  /** Whether it is a likelihood, which only binarised images have under a Bernoulli decoder. */
  readonly isLikelihood?: true;
  measure(context: MetricContext): Promise<MetricValue[]>;
}
