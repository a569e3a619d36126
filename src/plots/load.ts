// From an experiment's folder to the rows that figures and reports are made of.

import { z } from "zod";
import { readExperiment, type ExperimentRun } from "../runs/experiment.ts";
import type { LayerIdentity } from "../runs/events.ts";
import { readRun } from "../runs/run-folder.ts";
import { readLatent, readSamples } from "../runs/samples.ts";
import { layerSums, readLayerSums, type LayerGroup, readMetrics, readReadings } from "../runs/tables.ts";
import type { LayerRow } from "../types.ts";
import type { ExperimentData, ModelFacts } from "./experiment.ts";
import { counts, wholeLayer } from "./layer-series.ts";

/** An experiment's rows, and its runs with their folders and configurations. */
export interface LoadedExperiment {
  readonly data: ExperimentData;
  readonly runs: readonly ExperimentRun[];
}

/** The rows of an experiment's folder. Layer rows are summed up to one a layer, step and quantity (L2 over all of the
 *  layer's parameters) while they are read, since the parameters' own may run to millions. Throws `UserError` where the
 *  folder is no experiment, or one of its runs, but for those `leftOut`, cannot be read. */
export function loadExperiment(experimentDir: string, leftOut: ReadonlySet<string> = new Set()): LoadedExperiment {
  const { name, varied, runs } = readExperiment(experimentDir, leftOut);
  const data = {
    name,
    varied,
    runs: runs.map(({ dir, row, config }) => ({
      row,
      schedule: config.train.schedule.kind,
      metrics: readMetrics(dir),
      layers: readLayerSums(dir, (identity) =>
        identity.quantity !== "activation" && counts(identity, identity.quantity) ? layerOf(identity) : undefined,
      ),
      readings: readReadings(dir),
      model: modelFacts(dir, config),
      samples: readSamples(dir),
      latent: readLatent(dir),
    })),
  };
  return { data, runs };
}

const textsSchema = z.record(z.string(), z.string());

function modelFacts(dir: string, { model, data, train }: ExperimentRun["config"]): ModelFacts {
  const details = readRun(dir)?.details ?? {};
  const batches = Number(details["stepsPerEpoch"] ?? NaN);
  const measuredWith = textsSchema.safeParse(details["metrics"]).data;
  const updates = "discriminator" in train ? train.discriminator.updates : 1;
  const accumulate = ("accumulate" in train && train.accumulate) || 1;
  return {
    kind: model.kind,
    ...("binarization" in data && { binarization: data.binarization }),
    ...(measuredWith && { measuredWith }),
    ...(batches > 0 && { stepsPerEpoch: batches / updates / accumulate }),
  };
}

/** One row for each step, layer and quantity: l2 and max over the rows, rms from their counts. */
export function summed(rows: readonly LayerRow[]): LayerRow[] {
  const sums = layerSums();
  for (const row of rows) sums.add(layerOf(row), row.step, row.l2, row.max);
  return sums.rows();
}

/** The group of a row: its layer and quantity. */
const layerOf = (row: LayerIdentity): LayerGroup => ({
  name: `${row.player}/${row.stack}/${row.layer}/${row.quantity}`,
  row: wholeLayer.has(row.quantity) ? row : { ...row, component: "all", parameter: "all" },
});
