// The tables of a run, `metrics.csv`, `layers.csv` and, where probes left such, `readings.csv`: derived from its events, in
// exactly the contract's columns.

import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import { messageOf, UserError } from "../errors.ts";
import type { LayerRow, MetricRow, Quantity, ReadingQuantity, ReadingRow } from "../types.ts";
import {
  damagedEvent,
  readEvents,
  rounded,
  toNumber,
  type LayerIdentity,
  type RowIdentity,
  type RowTable,
} from "./events.ts";
import { eventsFile, isFile, layersFile, metricsFile, readingsFile, writeChunksWhole } from "./files.ts";

/** The first line of `metrics.csv`. */
export const metricsHeader = "step,tokens,seconds,split,name,value\n";
const layersHeader = "step,player,stack,layer,component,parameter,quantity,l2,rms,max,count\n";
const readingsHeader = "step,player,stack,layer,component,parameter,quantity,value\n";

/** Derives the tables from the run's events; `readings.csv` only where there are such. NaN and the infinities are written by
 *  these names. */
export function writeTables(runDir: string): void {
  writeChunksWhole(metricsFile(runDir), metricsLines(runDir));
  writeChunksWhole(layersFile(runDir), layersLines(runDir));
  if (hasReadings(runDir)) writeChunksWhole(readingsFile(runDir), readingsLines(runDir));
}

/** Whether a run's events hold readings. The loop, left early, closes the file. */
function hasReadings(runDir: string): boolean {
  for (const { type } of readEvents(runDir, ["reading-header"])) if (type === "reading-header") return true;
  return false;
}

/** Whether both tables are there, with the columns they must have. */
export const hasTables = (runDir: string): boolean =>
  startsWith(metricsFile(runDir), metricsHeader) && startsWith(layersFile(runDir), layersHeader);

/** A run's metrics: from its table if it is finished, from its events while it runs. */
export function readMetrics(runDir: string): MetricRow[] {
  if (isFile(metricsFile(runDir)))
    return records(metricsFile(runDir), metricsHeader).map((r) => ({
      step: Number(r["step"]),
      tokens: Number(r["tokens"]),
      seconds: Number(r["seconds"]),
      split: r["split"] as MetricRow["split"],
      name: r["name"]!,
      value: Number(r["value"]),
    }));
  const rows: MetricRow[] = [];
  for (const event of readEvents(runDir, ["metrics"]))
    if (event.type === "metrics")
      for (const [step, tokens, seconds, split, name, value] of event.rows)
        rows.push({ step, tokens, seconds, split, name, value: toNumber(value) });
  return rows;
}

/** A run's layer rows, those whose identity `keep` accepts: from its events, which are compact, else from the table. */
export function readLayers(runDir: string, keep: (identity: LayerIdentity) => boolean = () => true): LayerRow[] {
  if (!isFile(eventsFile(runDir)))
    return isFile(layersFile(runDir)) ? records(layersFile(runDir), layersHeader).map(layerRowOf).filter(keep) : [];
  const rows: LayerRow[] = [];
  const events = rowEvents<LayerIdentity, boolean>(runDir, "layers", (identities) => identities.map((r) => keep(r)));
  for (const { step, header, values } of events)
    for (const [i, identity] of header.identities.entries())
      if (header.derived[i])
        rows.push({ step, ...identity, ...valuesOf(values[2 * i]!, values[2 * i + 1]!, identity.count) });
  return rows;
}

/** What one step left of a table: `values` are, of each identity in turn, l2 and max in `layers`, the number itself in `readings`. */
export interface TableStep<Identity> {
  readonly step: number;
  /** The same array as long as the same places are recorded. */
  readonly identities: readonly Identity[];
  readonly values: readonly number[];
}

/** A run's layer rows a step at a time, since all of them together may be more than memory holds: from its events, else from the table,
 *  which is read whole. */
export function* layerSteps(runDir: string): Generator<TableStep<LayerIdentity>> {
  if (isFile(eventsFile(runDir))) yield* eventSteps<LayerIdentity>(runDir, "layers");
  else yield* stepsOf(readLayers(runDir), ({ l2, max }) => [l2, max]);
}

/** A run's readings a step at a time, as {@link layerSteps}. */
export function* readingSteps(runDir: string): Generator<TableStep<ReadingIdentity>> {
  if (isFile(eventsFile(runDir))) yield* eventSteps<ReadingIdentity>(runDir, "readings");
  else yield* stepsOf(readReadings(runDir), ({ value }) => [value]);
}

function* eventSteps<Identity extends RowIdentity>(runDir: string, table: RowTable): Generator<TableStep<Identity>> {
  for (const { step, header, values } of rowEvents<Identity, never>(runDir, table, () => []))
    yield { step, identities: header.identities, values };
}

function* stepsOf<Row extends { readonly step: number }>(
  rows: readonly Row[],
  valuesIn: (row: Row) => number[],
): Generator<TableStep<Row>> {
  for (let start = 0, end = 0; start < rows.length; start = end) {
    const { step } = rows[start]!;
    while (end < rows.length && rows[end]!.step === step) end++;
    const identities = rows.slice(start, end);
    yield { step, identities, values: identities.flatMap(valuesIn) };
  }
}

/** Root mean square of a row of `layers.csv`, with the digits that it has there. */
export const rmsOf = (l2: number, count: number): number => toNumber(rounded(l2 / Math.sqrt(count)));

/** Which rows become one: those of a name. `row` is what the one is about, with the count of the row that is put in. */
export interface LayerGroup {
  readonly name: string;
  readonly row: LayerIdentity;
}

/** Layer rows that become one a step for each group, as they come: l2 over all of them, their largest max, rms from their counts. */
export function layerSums(): {
  add(group: LayerGroup, step: number, l2: number, max: number): void;
  rows(): LayerRow[];
} {
  // Rows in the making, whose l2 is still its square: there may be millions, so none is made twice.
  const sums: { -readonly [K in keyof LayerRow]: LayerRow[K] }[] = [];
  const byStep = new Map<number, Map<string, (typeof sums)[number]>>();
  return {
    add({ name, row: { player, stack, layer, component, parameter, quantity, count } }, step, l2, max) {
      let groups = byStep.get(step);
      if (!groups) byStep.set(step, (groups = new Map()));
      const sum = groups.get(name);
      if (!sum) {
        const row = { step, player, stack, layer, component, parameter, quantity, l2: l2 ** 2, rms: NaN, max, count };
        groups.set(name, row);
        sums.push(row);
      } else {
        sum.l2 += l2 ** 2;
        sum.max = Math.max(sum.max, max);
        sum.count += count;
      }
    },
    rows() {
      for (const sum of sums) {
        sum.rms = Math.sqrt(sum.l2 / sum.count);
        sum.l2 = Math.sqrt(sum.l2);
      }
      return sums;
    },
  };
}

/** A run's layer rows, put together by {@link layerSums} while they are read, since a row of each parameter at each step may be millions.
 *  `groupOf` says which go together, and is undefined for those that are left out. */
export function readLayerSums(
  runDir: string,
  groupOf: (identity: LayerIdentity) => LayerGroup | undefined,
): LayerRow[] {
  const sums = layerSums();
  if (!isFile(eventsFile(runDir)))
    for (const row of readLayers(runDir)) {
      const group = groupOf(row);
      if (group) sums.add(group, row.step, row.l2, row.max);
    }
  else
    for (const { step, header, values } of rowEvents(runDir, "layers", (all: readonly LayerIdentity[]) =>
      all.map(groupOf),
    ))
      for (const [i, group] of header.derived.entries())
        if (group) sums.add(group, step, values[2 * i]!, values[2 * i + 1]!);
  return sums.rows();
}

/** A run's readings: from its events, else from the table; none where it left none. */
export function readReadings(runDir: string): ReadingRow[] {
  if (!isFile(eventsFile(runDir)))
    return isFile(readingsFile(runDir)) ? records(readingsFile(runDir), readingsHeader).map(readingRowOf) : [];
  const rows: ReadingRow[] = [];
  const same = (identities: readonly ReadingIdentity[]): ReadingIdentity[] => [...identities];
  for (const { step, header, values } of rowEvents(runDir, "readings", same))
    for (const [i, identity] of header.identities.entries()) rows.push({ step, ...identity, value: values[i]! });
  return rows;
}

/** What a reading is about. */
export type ReadingIdentity = Omit<ReadingRow, "step" | "value">;

function* metricsLines(runDir: string): Generator<string> {
  yield metricsHeader;
  for (const event of readEvents(runDir, ["metrics"]))
    if (event.type === "metrics") yield stringify(event.rows.map((row) => [...row]));
}

function* layersLines(runDir: string): Generator<string> {
  yield layersHeader;
  for (const { step, header, values } of rowEvents<LayerIdentity, string>(runDir, "layers", quoted)) {
    let text = "";
    for (const [i, { count }] of header.identities.entries()) {
      const { l2, rms, max } = valuesOf(values[2 * i]!, values[2 * i + 1]!, count);
      text += `${step},${header.derived[i]!},${l2},${rms},${max},${count}\n`;
    }
    yield text;
  }
}

function* readingsLines(runDir: string): Generator<string> {
  yield readingsHeader;
  for (const { step, header, values } of rowEvents<ReadingIdentity, string>(runDir, "readings", quoted))
    yield header.derived.map((identity, i) => `${step},${identity},${values[i]!}\n`).join("");
}

/** What identifies a row is quoted once a header; a row is then put together from it and plain numbers. */
const quoted = (identities: readonly RowIdentity[]): string[] =>
  identities.map((r) => stringify([[r.player, r.stack, r.layer, r.component, r.parameter, r.quantity]]).trimEnd());

/** The header event of each table, and the numbers a row has in it. */
const forms = {
  layers: { header: "layer-header", width: 2 },
  readings: { header: "reading-header", width: 1 },
} as const satisfies Record<RowTable, object>;

/** The events of a table, each with its header and what `derive` makes of that header's rows. */
function* rowEvents<Identity extends RowIdentity, T>(
  runDir: string,
  table: RowTable,
  derive: (identities: readonly Identity[]) => T[],
): Generator<{ step: number; header: { identities: readonly Identity[]; derived: T[] }; values: number[] }> {
  const form = forms[table];
  const headers = new Map<number, { identities: readonly Identity[]; derived: T[] }>();
  for (const event of readEvents(runDir, [form.header, table]))
    if (event.type === "layer-header" || event.type === "reading-header") {
      const identities = event.rows as readonly Identity[]; // a table's headers hold its own rows
      headers.set(event.header, { identities, derived: derive(identities) });
    } else if (event.type === "layers" || event.type === "readings") {
      const header = headers.get(event.header);
      if (event.values.length !== form.width * (header?.identities.length ?? NaN))
        throw damagedEvent(eventsFile(runDir), undefined, `values of step ${event.step} that fit no header`);
      yield { step: event.step, header: header!, values: event.values.map(toNumber) };
    }
}

const valuesOf = (l2: number, max: number, count: number): Pick<LayerRow, "l2" | "rms" | "max"> => ({
  l2,
  rms: rmsOf(l2, count),
  max,
});

/** The columns that layers and readings share. */
const placeIn = (r: Record<string, string>) => ({
  step: Number(r["step"]),
  player: r["player"]!,
  stack: r["stack"]!,
  layer: r["layer"] === "" ? ("" as const) : Number(r["layer"]),
  component: r["component"]!,
  parameter: r["parameter"]!,
});

const layerRowOf = (r: Record<string, string>): LayerRow => ({
  ...placeIn(r),
  quantity: r["quantity"] as Quantity,
  l2: Number(r["l2"]),
  rms: Number(r["rms"]),
  max: Number(r["max"]),
  count: Number(r["count"]),
});

const readingRowOf = (r: Record<string, string>): ReadingRow => ({
  ...placeIn(r),
  quantity: r["quantity"] as ReadingQuantity,
  value: Number(r["value"]),
});

/** The rows of a table; its first line must be that of its columns. */
function records(file: string, header: string): Record<string, string>[] {
  try {
    if (!startsWith(file, header)) throw new Error("other columns");
    return parse(readFileSync(file), { columns: true });
  } catch (error) {
    throw damagedTable(file, messageOf(error));
  }
}

/** A `UserError` about a run's table that is not as it was written. */
export const damagedTable = (file: string, reason: string): UserError =>
  new UserError(
    `${file}: expected a table as the run wrote it, got ${reason}; remove it and run again: it is made anew`,
  );

function startsWith(file: string, text: string): boolean {
  if (!isFile(file)) return false;
  const buffer = Buffer.alloc(text.length);
  const fd = openSync(file, "r");
  try {
    return readSync(fd, buffer) === text.length && buffer.toString() === text;
  } finally {
    closeSync(fd);
  }
}
