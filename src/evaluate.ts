// Metrics of a model of images: during training as the run's `metrics.evaluation` asks, and of a trained run on demand.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import type { Model, RunData } from "./build.ts";
import { isKind, type RunConfig } from "./config/schema.ts";
import type { ImageSplit } from "./data/images.ts";
import type { Engine } from "./engine/engine.ts";
import { assert, UserError } from "./errors.ts";
import * as metrics from "./metrics/index.ts";
import { refuseGrey } from "./metrics/binarised.ts";
import type { Metric, MetricContext, MetricValue } from "./metrics/metric.ts";
import { openRun } from "./prepare.ts";
import { lookup, members } from "./registry.ts";
import { isFile, writeWhole } from "./runs/files.ts";
import type { Parameters } from "./stage.ts";

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
    // Two metrics may say how good the same classifier is.
    const said = new Set(results.flatMap(({ values }) => values.map((value) => value.name)));
    const values = await metric.measure(context);
    results.push({ metric: name, values: values.filter((value) => !said.has(value.name)) });
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

/** What numbers rest on, by their names, where there is something to say: samples, images, the classifier's SHA-256. */
export const metricDetails = (evaluated: readonly Evaluated[]): Record<string, string> =>
  Object.fromEntries(
    evaluated.flatMap(({ values }) =>
      values.flatMap(({ name, detail }) => (detail === undefined ? [] : [[name, detail] as const])),
    ),
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

const columns = ["step", "split", "binarization", "metric", "name", "value", "standardError", "detail"];

/** Computes metrics of the run in `runDir` at its newest checkpoint and writes them to `<runDir>/evaluation-<split>.csv`, where rows
 *  of other metrics at the same step stay; the metrics of the run's own `metrics.final` where none is named. */
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
  const { split, signal } = options;
  const run = await openRun(runDir, { signal });
  try {
    const { step, config } = run;
    const names = options.names.length > 0 ? options.names : config.metrics.final;
    const evaluated = await evaluateMetrics(run, names, split, options);
    const { binarization } = config.data;
    const rows = evaluated.flatMap(({ metric, values }) =>
      values.map(({ name, value, standardError, detail }) =>
        [step, split, binarization, metric, name, value, standardError ?? "", detail ?? ""].map(String),
      ),
    );
    const file = join(runDir, `evaluation-${split}.csv`);
    const kept = earlierRows(file).filter(
      (row) => row[0] === String(step) && !evaluated.some(({ metric }) => metric === row[3]),
    );
    writeWhole(file, stringify([columns, ...kept, ...rows]));
    return { runDir, step, split, binarization, evaluated, file };
  } finally {
    await run.dispose();
  }
}

/** The rows of an earlier evaluation; none where there is no such table, which is then written anew. */
function earlierRows(file: string): string[][] {
  if (!isFile(file)) return [];
  try {
    const [head, ...rows] = parse(readFileSync(file)) as string[][];
    return head?.join() === columns.join() ? rows : [];
  } catch {
    return [];
  }
}
