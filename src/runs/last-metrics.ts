// What a run's metrics come to, without a look at most of them: an experiment has thousands of runs, and each of them thousands of rows.

import { closeSync, openSync, readFileSync } from "node:fs";
import { parse } from "csv-parse/sync";
import type { RunConfig } from "../config/schema.ts";
import type { MetricRow } from "../types.ts";
import { endsOf, eventsFile, metricsFile } from "./files.ts";
import { lastProgress } from "./progress.ts";
import { damagedTable, metricsHeader } from "./tables.ts";

/** The last values of a run's metrics, NaN where there are none. */
export interface LastMetrics {
  /** Training steps that were recorded. */
  readonly steps: number;
  /** Of training, evaluation included. */
  readonly seconds: number;
  readonly trainLoss: number;
  readonly devLoss: number;
  /** The lowest finite dev loss; NaN before the end, which alone tells it. */
  readonly bestDevLoss: number;
  /** What was measured of the test split at the end, by name; of numbers by sample or class the totals alone. */
  readonly finals: Readonly<Record<string, number>>;
}

/** The last values of a run of a kind of model: from its table where it is finished, else from the end of its events, which grow while it
 *  runs. A `UserError` where the table is not as a run writes it. */
export const lastMetrics = (runDir: string, kind: RunConfig["model"]["kind"]): LastMetrics =>
  ofTable(metricsFile(runDir)) ?? ofEvents(runDir, kind);

/** Looks for the few rows that count, and takes only those apart. Undefined where there is no table. */
function ofTable(file: string): LastMetrics | undefined {
  const bytes = unlessMissing(() => readFileSync(file));
  if (!bytes) return undefined;
  if (bytes.toString("utf8", 0, metricsHeader.length) !== metricsHeader) throw damagedTable(file, "other columns");
  const rowAt = (at: number): MetricRow | undefined => (at < 0 ? undefined : rowOf(lineAt(bytes, at), file));
  const rowsWith = (text: string): MetricRow[] => {
    const rows: MetricRow[] = [];
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) rows.push(rowAt(at)!);
    return rows;
  };
  const dev = rowsWith(",dev,loss,").map(({ value }) => value);
  const isEmpty = bytes.length === metricsHeader.length;
  return {
    steps: (rowAt(bytes.lastIndexOf(",train,"))?.step ?? -1) + 1,
    seconds: isEmpty ? 0 : rowAt(bytes.length - 2)!.seconds,
    trainLoss: rowAt(bytes.lastIndexOf(",train,loss,"))?.value ?? NaN,
    devLoss: dev.at(-1) ?? NaN,
    bestDevLoss: lowest(dev),
    finals: Object.fromEntries(
      rowsWith(",test,").flatMap(({ name, value }) => (name.includes("/") ? [] : [[name, value] as const])),
    ),
  };
}

/** The line around a byte, without its end. */
function lineAt(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(10, at);
  return bytes.toString("utf8", bytes.lastIndexOf(10, at) + 1, end < 0 ? bytes.length : end);
}

function rowOf(line: string, file: string): MetricRow {
  const fields = line.includes('"') ? (parse(line)[0] ?? []) : line.split(",");
  const [step, tokens, seconds, split, name, value] = fields;
  const isWhole =
    fields.length === 6 && [step, tokens, seconds, value].every((number) => /^-?(\d|Inf)|^NaN$/.test(number!));
  if (!isWhole) throw damagedTable(file, `the row ${line.slice(0, 100)}`);
  return {
    step: Number(step),
    tokens: Number(tokens),
    seconds: Number(seconds),
    split: split as MetricRow["split"],
    name: name!,
    value: Number(value),
  };
}

function ofEvents(runDir: string, kind: RunConfig["model"]["kind"]): LastMetrics {
  const progress = lastProgress(runDir);
  const hasLoss = kind !== "gan"; // its players have one each, and none is the run's
  return {
    steps: progress?.step ?? 0,
    seconds: progress?.seconds ?? 0,
    trainLoss: (hasLoss ? progress?.loss : undefined) ?? NaN,
    devLoss: (hasLoss ? lastDevLoss(eventsFile(runDir)) : undefined) ?? NaN,
    bestDevLoss: NaN,
    finals: {},
  };
}

/** The last dev loss of events; undefined where it does not lie within their last 16 MiB. */
function lastDevLoss(file: string): number | undefined {
  const fd = unlessMissing(() => openSync(file, "r"));
  if (fd === undefined) return undefined;
  try {
    for (const { bytes } of endsOf(fd)) {
      const found = devLossIn(bytes);
      if (found !== undefined) return found;
    }
    return undefined;
  } finally {
    closeSync(fd);
  }
}

/** The last dev loss in a piece of events whose first and last line may be torn. */
function devLossIn(buffer: Buffer): number | undefined {
  for (let at = buffer.lastIndexOf('"dev","loss",'); at >= 0; at = buffer.lastIndexOf('"dev","loss",', at - 1)) {
    const value = /^"dev","loss",(?:"(NaN|-?Infinity)"|(-?[\d.]+(?:e[-+]?\d+)?))\]/.exec(
      buffer.toString("latin1", at, at + 50),
    );
    if (value) return Number(value[1] ?? value[2]);
    if (at === 0) break;
  }
  return undefined;
}

const lowest = (values: readonly number[]): number => {
  const finite = values.filter(Number.isFinite);
  return finite.length > 0 ? finite.reduce((low, value) => Math.min(low, value)) : NaN;
};

/** What `read` gives; undefined where its file is not there, or no longer: a run that goes on removes its table. */
function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
