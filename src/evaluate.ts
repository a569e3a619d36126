// Metrics of a model of images: during training as the run's `metrics.evaluation` asks, and of a trained run on demand.
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { type RunData, loadData, type Model } from "./build.ts";
import { isKind, type RunConfig } from "./config/schema.ts";
import type { ImageSplit } from "./data/images.ts";
import { interruptible } from "./engine/interruptible.ts";
import type { Engine } from "./engine/engine.ts";
import { assert, UserError } from "./errors.ts";
import * as metrics from "./metrics/index.ts";
import { refuseGrey } from "./metrics/binarised.ts";
import type { Metric, MetricContext, MetricValue } from "./metrics/metric.ts";
import { prepare } from "./prepare.ts";
import { lookup, members } from "./registry.ts";
import { writeWhole } from "./runs/files.ts";
import { readConfig } from "./runs/run-folder.ts";
import type { Parameters } from "./stage.ts";
import { findCheckpoint, loadCheckpoint } from "./train/checkpoint.ts";

/** What metrics are computed with. */
export interface Subject {
  readonly engine: Engine;
  readonly parameters: Parameters;
  readonly views: Model["views"];
  readonly data: RunData;
  readonly config: RunConfig;
}

/** A metric's numbers. */
export interface Evaluated {
  readonly metric: string;
  readonly values: readonly MetricValue[];
}

/** Computes metrics of a split, one after the other; `onProgress` hears of what is under way. A metric that the model cannot
 *  have is a `UserError` that lists those it can. */
export async function evaluateMetrics(
  { engine, parameters, views, data, config }: Subject,
  names: readonly string[],
  split: ImageSplit,
  options: {
    readonly signal?: AbortSignal | undefined;
    readonly onProgress?: ((doing: string, share: number) => void) | undefined;
    readonly importanceSamples?: number | undefined;
    readonly images?: number | undefined;
  } = {},
): Promise<Evaluated[]> {
  if (isKind(config, "transformer"))
    throw new UserError("expected a run of a model of images (model.kind: vae or gan), got transformer");
  assert(data.images, "a model of images has images");
  const { set, facts, examples } = data.images;
  const { signal, onProgress } = options;
  const results: Evaluated[] = [];
  for (const metric of metricsNamed(names, { views, config })) {
    const { name } = metric;
    const context: MetricContext = {
      engine,
      parameters,
      views,
      latent: config.model.latent,
      set,
      binarization: facts.binarization,
      split,
      examples,
      seed: config.seed,
      importanceSamples: options.importanceSamples ?? config.metrics.importanceSamples,
      images: options.images ?? config.metrics.images,
      ...(onProgress && { progress: (share: number, doing = name) => onProgress(doing, share) }),
      ...(signal && { signal }),
    };
    results.push({ metric: name, values: await metric.measure(context) });
  }
  return results;
}

/** The metrics of these names; a `UserError` where one of them is unknown, is of another kind of model, or is a likelihood
 *  and the images are grey: before anything long has begun. */
export function metricsNamed(names: readonly string[], { views, config }: Pick<Subject, "views" | "config">): Metric[] {
  const known = [...members<Metric>(metrics).values()].filter((metric) => lacks(metric, views).length === 0);
  return names.map((name) => {
    const metric = lookup<Metric>("metric", metrics, name);
    if (lacks(metric, views).length > 0)
      throw new UserError(
        `${name}: expected a metric of a ${config.model.kind}, got one that needs its model to ${lacks(metric, views).join(" and ")}; ` +
          `choose one of ${known.map((m) => m.name).join(", ")}`,
      );
    if (metric.isLikelihood && "binarization" in config.data) refuseGrey(name, config.data);
    return metric;
  });
}

const lacks = ({ needs }: Metric, views: Model["views"]): string[] => needs.filter((view) => !(view in views));

/** Metrics as rows of metrics.csv: each number, and its standard error under `<name>/standard-error`. */
export const metricRows = (evaluated: readonly Evaluated[]): [name: string, value: number][] =>
  evaluated.flatMap(({ values }) =>
    values.flatMap(({ name, value, standardError }): [string, number][] => [
      [name, value],
      ...(standardError === undefined ? [] : [[`${name}/standard-error`, standardError] as [string, number]]),
    ]),
  );

/** What `evaluateRun` found and where it was written. */
export interface EvaluationResult {
  readonly runDir: string;
  readonly step: number;
  readonly split: ImageSplit;
  readonly binarization: string;
  readonly evaluated: readonly Evaluated[];
  readonly file: string;
}

/** Computes metrics of the run in `runDir` at its newest checkpoint and writes `<runDir>/evaluation-<split>.csv`; the metrics of
 *  the run's own `metrics.final` where none is named. */
export async function evaluateRun(
  runDir: string,
  options: {
    readonly names: readonly string[];
    readonly split: "dev" | "test";
    readonly importanceSamples?: number | undefined;
    readonly images?: number | undefined;
    readonly signal: AbortSignal;
    readonly onProgress?: (doing: string, share: number) => void;
  },
): Promise<EvaluationResult> {
  const config = readConfig(runDir);
  if (isKind(config, "transformer"))
    throw new UserError(`${runDir}: expected a run with model.kind: vae or gan, got transformer; choose another run`);
  const checkpoint = findCheckpoint(runDir, "step");
  const names = options.names.length > 0 ? options.names : config.metrics.final;
  if (!checkpoint) throw new UserError(`${runDir}: expected a run with a checkpoint, got none; train it first`);
  const data = await loadData(config);
  const { engine: fresh, parameters, views } = await prepare(config, data);
  const engine = interruptible(fresh, options.signal);
  try {
    const { step } = loadCheckpoint(checkpoint, parameters);
    const evaluated = await evaluateMetrics({ engine, parameters, views, data, config }, names, options.split, options);
    const { binarization } = config.data;
    const columns = ["step", "split", "binarization", "metric", "name", "value", "standardError", "detail"];
    const rows = evaluated.flatMap(({ metric, values }) =>
      values.map(({ name, value, standardError, detail }) => [
        step,
        options.split,
        binarization,
        metric,
        name,
        value,
        standardError ?? "",
        detail ?? "",
      ]),
    );
    const file = join(runDir, `evaluation-${options.split}.csv`);
    writeWhole(file, stringify([columns, ...rows]));
    return { runDir, step, split: options.split, binarization, evaluated, file };
  } finally {
    await fresh.dispose();
  }
}
