// A run's metrics as columns: from its table where it is finished, else from its events, which are read on from where they were read to.

import { closeSync, openSync, statSync } from "node:fs";
import { messageOf, UserError } from "../errors.ts";
import { damagedEvent, toNumber, type Event } from "../runs/events.ts";
import { eventsFile, isFile, metricsFile } from "../runs/files.ts";
import { damagedTable, metricsHeader, readMetrics } from "../runs/tables.ts";
import type { MetricRow } from "../types.ts";
import { column, push, type Column } from "./column.ts";
import type { Kept } from "./kept.ts";
import { follow, readLines, type Followed } from "./lines.ts";
import { commaFrom, numberAt } from "./numbers.ts";

/** A metric of a split. */
export interface Series {
  readonly split: string;
  readonly name: string;
  readonly steps: Column;
  readonly values: Column;
}

/** A run's metrics. */
export interface MetricTable {
  /** By `split,name`, as both stand in a line of the table. */
  readonly series: Map<string, Series>;
  /** Seconds of training at the last row. */
  seconds: number;
  /** What the headers of its events name, where it was read from these: quantities that some layer has. */
  readonly quantities: Set<string>;
}

/** Bytes of a file beyond which it is not read here. */
const mostBytes = 2 ** 30;

const emptyTable = (): MetricTable => ({ series: new Map(), seconds: 0, quantities: new Set() });

/** The metrics of a run; a `UserError` where they are damaged, or more than is read here. `key` tells the states of its files apart. */
export function metricTable(runDir: string, key: string, kept: Kept): MetricTable {
  const name = `metrics ${runDir}`;
  const known = kept.get<{ key: string; table: MetricTable; followed?: Followed<MetricTable> }>(name);
  if (known?.key === key) return known.table;
  const file = metricsFile(runDir);
  if (isFile(file)) {
    const table = tableOf(runDir, file);
    kept.set(name, { key, table }, bytesOf(table));
    return table;
  }
  const events = eventsFile(runDir);
  if (!isFile(events)) return emptyTable();
  refuseLarge(events);
  kept.delete(name); // what an error leaves is half read
  const followed = follow(events, known?.followed, emptyTable, (table, line, number) =>
    addEvent(table, line, events, number),
  );
  kept.set(name, { key, table: followed.value, followed }, bytesOf(followed.value));
  return followed.value;
}

/** A `UserError` about a file that is larger than what is read here. */
export function refuseLarge(file: string): void {
  const { size } = statSync(file);
  if (size > mostBytes)
    throw new UserError(
      `${file}: expected at most ${mostBytes} bytes to show here, got ${size}; \`fathom plot\` draws figures of it`,
    );
}

const bytesOf = ({ series }: MetricTable): number =>
  [...series.values()].reduce((sum, { steps, values }) => sum + 8 * (steps.data.length + values.data.length), 4096);

function seriesOf({ series }: MetricTable, split: string, name: string): Series {
  const key = `${split},${name}`;
  let found = series.get(key);
  if (!found) series.set(key, (found = { split, name, steps: column(), values: column() }));
  return found;
}

function add(table: MetricTable, { step, seconds, split, name, value }: Omit<MetricRow, "tokens">): void {
  const { steps, values } = seriesOf(table, split, name);
  push(steps, step);
  push(values, value);
  table.seconds = seconds;
}

/** A line of the table: its metric, and the one whose line came after it last time. Steps repeat the same few in the same order, so that
 *  most names need only be compared with the one that is expected. */
interface Place {
  readonly key: Buffer;
  readonly series: Series;
  next: Place | undefined;
}

function tableOf(runDir: string, file: string): MetricTable {
  refuseLarge(file);
  const table = emptyTable();
  const places = new Map<string, Place>();
  let last: Place | undefined;
  let isFirst = true;
  let isQuoted = false;
  const fd = openSync(file, "r");
  try {
    const end = readLines(fd, 0, file, (bytes, start, stop) => {
      if (isFirst) {
        isFirst = false;
        if (`${bytes.toString("utf8", start, stop)}\n` !== metricsHeader) throw damagedTable(file, "other columns");
        return true;
      }
      last = addLine(table, places, last, file, bytes, start, stop);
      isQuoted = last === undefined;
      return !isQuoted;
    });
    // Only a table that was cut off has a line without an end.
    if (!isQuoted && (isFirst || end !== statSync(file).size)) throw damagedTable(file, "a table that was cut off");
  } finally {
    closeSync(fd);
  }
  if (!isQuoted) return table;
  // A name of a metric holds a comma or a quote: the proper reader knows how to take it apart.
  const proper = emptyTable();
  for (const row of readMetrics(runDir)) add(proper, row);
  return proper;
}

/** Adds a line of the table, step,tokens,seconds,split,name,value; its metric. Undefined where it has quotes and was not taken apart. */
function addLine(
  table: MetricTable,
  places: Map<string, Place>,
  last: Place | undefined,
  file: string,
  bytes: Buffer,
  begin: number,
  end: number,
): Place | undefined {
  const stepEnd = commaFrom(bytes, begin, end);
  const tokensEnd = commaFrom(bytes, stepEnd + 1, end);
  const secondsEnd = commaFrom(bytes, tokensEnd + 1, end);
  const start = secondsEnd + 1;
  let place = last?.next;
  if (!place || !standsAt(place.key, bytes, start, end)) {
    if (bytes.subarray(begin, end).includes(34)) return undefined;
    const nameEnd = commaFrom(bytes, commaFrom(bytes, start, end) + 1, end);
    const text = bytes.toString("utf8", start, nameEnd);
    place = places.get(text);
    if (!place) {
      const [split = "", name] = text.split(",");
      if (name === undefined || nameEnd >= end) throw damagedTable(file, `the row ${shown(bytes, begin, end)}`);
      place = { key: Buffer.from(`${text},`), series: seriesOf(table, split, name), next: undefined };
      places.set(text, place);
    }
    if (last) last.next = place;
  }
  const step = numberAt(bytes, begin, stepEnd);
  const seconds = numberAt(bytes, tokensEnd + 1, secondsEnd);
  const value = numberAt(bytes, start + place.key.length, end);
  if (step === undefined || seconds === undefined || value === undefined)
    throw damagedTable(file, `the row ${shown(bytes, begin, end)}`);
  push(place.series.steps, step);
  push(place.series.values, value);
  table.seconds = seconds;
  return place;
}

/** Whether `text` stands in a line at a place, before the line's end. */
export function standsAt(text: Buffer, bytes: Buffer, at: number, end: number): boolean {
  if (at + text.length > end) return false;
  for (let i = text.length - 1; i >= 0; i--) if (bytes[at + i] !== text[i]) return false;
  return true;
}

/** The beginning of a line, for an error. */
export const shown = (bytes: Buffer, start: number, end: number): string =>
  JSON.stringify(bytes.toString("utf8", start, Math.min(end, start + 100)));

/** What a line of events begins with that holds nothing for the metrics. */
const others = ["layers", "readings", "note"].map((type) => Buffer.from(`{"type":"${type}",`));

function addEvent(table: MetricTable, line: Buffer, file: string, number: number): void {
  if (others.some((prefix) => standsAt(prefix, line, 0, line.length))) return;
  const event = parsedEvent(line, file, number);
  if (event.type === "metrics") {
    for (const [step, , seconds, split, name, value] of event.rows)
      add(table, { step, seconds: toNumber(seconds), split, name, value: toNumber(value) });
  } else if (event.type === "layer-header" || event.type === "reading-header")
    for (const { layer, quantity } of event.rows) if (layer !== "") table.quantities.add(quantity);
}

/** An event of a line; a `UserError` where it is none. What it holds is checked as far as what reads it relies on. */
export function parsedEvent(line: Buffer, file: string, number: number | undefined): Event {
  let event: Partial<Event> | null;
  try {
    event = JSON.parse(line.toString("utf8")) as typeof event;
  } catch (error) {
    throw damagedEvent(file, number, messageOf(error));
  }
  if (!isEvent(event)) throw damagedEvent(file, number, "something else");
  return event;
}

const isMetric = (row: unknown): boolean =>
  Array.isArray(row) &&
  row.length === 6 &&
  typeof row[0] === "number" &&
  typeof row[3] === "string" &&
  typeof row[4] === "string";

function isEvent(event: Partial<Event> | null): event is Event {
  switch (event?.type) {
    case "metrics":
      return Array.isArray(event.rows) && event.rows.every(isMetric);
    case "layer-header":
    case "reading-header":
      return (
        Number.isInteger(event.header) &&
        Array.isArray(event.rows) &&
        event.rows.every((row) => typeof row === "object" && row !== null && typeof row.quantity === "string")
      );
    case "layers":
    case "readings":
      return Number.isInteger(event.header) && typeof event.step === "number" && Array.isArray(event.values);
    case "note":
      return true;
    default:
      return false;
  }
}
