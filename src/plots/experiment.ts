// What figures and reports are made from: the rows that runs left, and nothing else. Here runs are sorted into panels
// (the scheme, where it varies) and lines (the depth, where it varies); what remains are seeds, which make bands.

import type { LatentPoint, SamplePicture } from "../runs/samples.ts";
import type { LayerRow, MetricRow, ReadingRow, RunRow } from "../types.ts";
import { distinct, groupBy } from "../statistics.ts";

/** The rows of one run. */
export interface RunData {
  readonly row: RunRow;
  readonly metrics: readonly MetricRow[];
  readonly layers: readonly LayerRow[];
  /** None if not given. */
  readonly readings?: readonly ReadingRow[];
  /** The kind of its learning-rate schedule, e.g. `linear-ramp`, where it is known. */
  readonly schedule?: string;
  /** What its model is; a transformer where it is not given. */
  readonly model?: ModelFacts;
  /** The pictures it left, and the latent means of test images; none if not given. */
  readonly samples?: readonly SamplePicture[];
  readonly latent?: readonly LatentPoint[];
}

/** What figures and sentences have to know of a run's model. */
export interface ModelFacts {
  readonly kind: "transformer" | "vae" | "gan";
  /** Of images: what became of their grey values. */
  readonly binarization?: string;
  /** What final metrics rest on, by their names: `5000 samples of z an image`. */
  readonly measuredWith?: Readonly<Record<string, string>>;
  /** Steps that are one pass over the training data, where known. */
  readonly stepsPerEpoch?: number;
}

/** The rows of an experiment. */
export interface ExperimentData {
  readonly name: string;
  /** The configuration keys that differ between runs, by dotted path; the seed is not one of them. */
  readonly varied: readonly string[];
  readonly runs: readonly RunData[];
}

/** How runs are laid out: every configuration has one panel and one line; runs that share both differ by seed alone. */
export interface Layout {
  /** Keys whose values name the panel: the scheme, and what is left when the line is chosen. */
  readonly panelKeys: readonly string[];
  /** Keys whose values name the line: those of the depth, else the first that is left. */
  readonly lineKeys: readonly string[];
  readonly panels: readonly string[];
  readonly lines: readonly string[];
  /** What a line stands for, e.g. `depth (layers a stack)`; empty where nothing but the panel varies. */
  readonly lineTitle: string;
  panelOf(row: RunRow): string;
  /** The panel in a name: without the keys whose value is that of most configurations. */
  panelNameOf(row: RunRow): string;
  lineOf(row: RunRow): string;
}

const schemeKey = "model.residual";
const depthKey = "model.depth";
const isDepth = (key: string): boolean => key === depthKey || key.startsWith(`${depthKey}.`);

/** Whether all runs are of a kind of model. */
export const areAll = (data: ExperimentData, ...kinds: ModelFacts["kind"][]): boolean =>
  data.runs.length > 0 && data.runs.every(({ model }) => kinds.includes(model?.kind ?? "transformer"));

/** How losses are called. */
export interface LossWords {
  readonly unit: string;
  /** The loss that is reached without a look at the input: as a line, short, and what it is. */
  readonly line: string;
  readonly entropy: string;
  readonly definition: string;
  /** What stands before its number in a sentence. */
  readonly lineIs: string;
}

/** The words for the losses of an experiment. */
export const lossWords = (data: ExperimentData): LossWords =>
  areAll(data, "vae", "gan")
    ? {
        unit: "nats an image",
        line: "line of the best model without input",
        entropy: "best model without input",
        definition: "loss of the best model without input, which knows the mean of each pixel alone",
        lineIs: "the line, the loss of the best model without input, is",
      }
    : {
        unit: "nats a target token",
        line: "unigram line",
        entropy: "unigram entropy",
        definition: "unigram entropy of the training targets, the loss of the best model that ignores its input",
        lineIs: "the unigram entropy is",
      };

/** The layout of an experiment; panels in order of the runs, lines by number where they are numbers. */
export function layoutOf(data: ExperimentData): Layout {
  const keys = data.varied.filter((key) => key !== "seed");
  const scheme = keys.filter((key) => key === schemeKey);
  const depth = keys.filter(isDepth);
  const others = keys.filter((key) => key !== schemeKey && !isDepth(key));
  const lineKeys = depth.length > 0 ? depth : others.splice(0, 1);
  const panelKeys = [...scheme, ...others];
  const labels = (row: RunRow, of: readonly string[]): string => of.map((key) => labelOf(key, row)).join(" · ");
  const panelOf = (row: RunRow): string => labels(row, panelKeys);
  const rows = data.runs.map((run) => run.row);
  const valuesOf = (row: RunRow): string[] => lineKeys.map((key) => plain(row.config[key]));
  // Encoder and decoder may be varied by a key each and yet always be of one depth.
  const even = depth.length > 1 && rows.every((row) => new Set(valuesOf(row)).size === 1);
  const lineOf = (row: RunRow): string => (even ? valuesOf(row)[0]! : valuesOf(row).join("+"));
  // In a grid each value is as frequent as the others; in a list most configurations may share what one departs from.
  const configurations = [...groupBy(rows, (row) => JSON.stringify([panelOf(row), lineOf(row)])).values()].map(
    ([row]) => row!,
  );
  const usual = new Map(
    others.map((key) => {
      const shares = groupBy(configurations, (row) => labelOf(key, row));
      return [key, [...shares].find(([, { length }]) => 2 * length > configurations.length)?.[0]];
    }),
  );
  const panelNameOf = (row: RunRow): string =>
    labels(
      row,
      panelKeys.filter((key) => labelOf(key, row) !== usual.get(key)),
    );
  return {
    panelKeys,
    lineKeys,
    panels: distinct(rows.map(panelOf)),
    lines: distinct(rows.map(lineOf)).sort(byNumber),
    lineTitle: lineTitle(even ? [depthKey] : lineKeys),
    panelOf,
    panelNameOf,
    lineOf,
  };
}

/** A sentence's name for a configuration, e.g. `post-ln, 12 layers`. */
export function configurationName(layout: Layout, row: RunRow): string {
  const line = layout.lineOf(row);
  const lineName = layout.lineKeys.every(isDepth) ? `${line} layers` : `${humanised(layout.lineKeys[0] ?? "")} ${line}`;
  const parts = [layout.panelNameOf(row), layout.lineKeys.length > 0 ? lineName : ""].filter((part) => part !== "");
  return parts.length > 0 ? parts.join(", ") : "this configuration";
}

/** The depth a run is placed at: the first depth key's number; undefined where the depth does not vary as a number. */
export function depthOf(layout: Layout, row: RunRow): number | undefined {
  const key = layout.lineKeys.find(isDepth);
  const depth = key === undefined ? undefined : Number(plain(row.config[key]));
  return depth !== undefined && Number.isFinite(depth) && depth > 0 ? depth : undefined;
}

/** The series of a run where depth is the axis: its panel. Two depths may vary on their own (encoder, decoder): the first is
 *  the axis, the second belongs to the series. */
export function seriesByDepth(layout: Layout, row: RunRow): string {
  const second = layout.lineOf(row).split("+")[1];
  return [layout.panelOf(row), second === undefined ? "" : `${humanised(layout.lineKeys[1] ?? "decoder")} ${second}`]
    .filter((part) => part !== "")
    .join(" · ");
}

/** The last word of a configuration key in plain words: `train.optimizer.learningRate` -> `learning rate`. */
export function humanised(key: string): string {
  const word = key.split(".").at(-1) ?? key;
  return word.replace(/([a-z])([A-Z])/g, (_, a: string, b: string) => `${a} ${b.toLowerCase()}`);
}

/** A configuration value as a reader would write it; a depth of two numbers as `12+6`, or as one where they are equal. */
export function plain(value: RunRow["config"][string] | undefined): string {
  if (typeof value === "string" && value.startsWith("{")) {
    const numbers = value.match(/\d+/g);
    if (!numbers) return value;
    return new Set(numbers).size === 1 ? numbers[0]! : numbers.join("+");
  }
  return String(value ?? "none");
}

function labelOf(key: string, row: RunRow): string {
  const value = plain(row.config[key]);
  return key === schemeKey ? value : `${humanised(key)} ${value}`;
}

function lineTitle(keys: readonly string[]): string {
  if (keys.length === 0) return "";
  if (!keys.every(isDepth)) return keys.map(humanised).join(", ");
  if (keys.length > 1) return `depth (layers, ${keys.map(humanised).join("+")})`;
  return keys[0] === depthKey ? "depth (layers a stack)" : `${humanised(keys[0]!)} depth (layers)`;
}

/** Orders labels by the numbers they start with; leaves others where they are. */
export const byNumber = (a: string, b: string): number => {
  const difference = Number.parseFloat(a) - Number.parseFloat(b);
  return Number.isNaN(difference) ? 0 : difference;
};
