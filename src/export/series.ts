// A run as few well-named series of numbers over steps, for tools that draw every series there is: its metrics, one number a layer and
// quantity, and its readings, heads put together.

import { counts } from "../plots/layer-series.ts";
import type { ExperimentRun } from "../runs/experiment.ts";
import { readRun } from "../runs/run-folder.ts";
import { readLayerSums, readMetrics, readReadings } from "../runs/tables.ts";
import { groupBy, mean } from "../statistics.ts";
import type { LayerRow, MetricRow, ReadingRow } from "../types.ts";

/** What a step left. */
export interface StepPoints {
  readonly step: number;
  /** Since training began, of the latest metric of this step or before; 0 where there is none. */
  readonly seconds: number;
  /** Values by tag: `loss/train`, `encoder.parameter-gradient/layer-03`. */
  readonly values: ReadonlyMap<string, number>;
}

/** A run's series, step by step. */
export function* seriesSteps({ dir }: Pick<ExperimentRun, "dir">): Generator<StepPoints> {
  const metrics = byStep(readMetrics(dir).filter(isSeries));
  const layers = byStep(
    readLayerSums(dir, (row) => (counts(row, row.quantity) ? { name: layerTag(row), row } : undefined)),
  );
  const readings = byStep(readReadings(dir));
  const steps = [...new Set([...metrics.keys(), ...layers.keys(), ...readings.keys()])].sort((a, b) => a - b);
  let seconds = 0;
  for (const step of steps) {
    const values = new Map<string, number>();
    for (const row of metrics.get(step) ?? []) {
      seconds = row.seconds;
      values.set(metricTag(row), row.value);
    }
    for (const row of layers.get(step) ?? [])
      values.set(layerTag(row), row.quantity === "activation" ? row.rms : row.l2);
    for (const [tag, rows] of groupBy(readings.get(step) ?? [], readingTag))
      values.set(tag, combined(rows[0]!.quantity)(rows.map(({ value }) => value)));
    yield { step, seconds, values };
  }
}

/** What a run came to, by tag; what is not known is left out. */
export function finalValues({ row, finals }: Pick<ExperimentRun, "row" | "finals">): [tag: string, value: number][] {
  const losses = {
    "train-loss": row.finalTrainLoss,
    "dev-loss": row.finalDevLoss,
    "best-dev-loss": row.bestDevLoss,
  };
  const known = Object.entries({ ...losses, ...finals }).filter(([, value]) => !Number.isNaN(value));
  return known.map(([name, value]) => [`final/${name}`, value]);
}

/** When a run was begun, seconds since 1970; 0 where its record is damaged. */
export const startOf = ({ dir }: Pick<ExperimentRun, "dir">): number =>
  Date.parse(readRun(dir)?.started ?? new Date(0).toISOString()) / 1000;

function byStep<Row extends { readonly step: number }>(rows: readonly Row[]): Map<number, Row[]> {
  const steps = new Map<number, Row[]>();
  for (const row of rows) {
    const known = steps.get(row.step);
    if (known) known.push(row);
    else steps.set(row.step, [row]);
  }
  return steps;
}

/** Final metrics by sample or class are a table and no series. */
const isSeries = ({ split, name }: MetricRow): boolean => split !== "test" || !name.includes("/");

/** What comes before a slash is a section of the tool's page. */
function metricTag({ name, split }: MetricRow): string {
  const [head, ...rest] = name.split("/");
  const kind = name === "gradient-norm" ? "global" : split;
  return [head, kind, ...rest].join("/");
}

const placeOf = ({ layer }: { readonly layer: number | "" }): string =>
  layer === "" ? "outside-layers" : `layer-${String(layer).padStart(2, "0")}`;

/** The stack, with its player before it where that is another's. */
const stackOf = ({ player, stack }: { readonly player: string; readonly stack: string }): string =>
  player === "model" || player === stack ? stack : `${player}.${stack}`;

const layerTag = (row: Omit<LayerRow, "step" | "l2" | "rms" | "max" | "count">): string =>
  `${stackOf(row)}.${row.quantity}/${placeOf(row)}`;

function readingTag(row: ReadingRow): string {
  const part = row.component === "" || row.component === "layer" ? "" : `.${row.component}`;
  return `${stackOf(row)}.${row.quantity}${part}/${placeOf(row)}`;
}

/** Of several heads a largest logit is the largest of theirs, all else a mean. */
const combined = (quantity: ReadingRow["quantity"]): ((values: readonly number[]) => number) =>
  quantity === "attention-logit" ? (values) => Math.max(...values) : mean;
