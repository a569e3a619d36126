// `events.jsonl`, the crash-safe source of a run's tables: one JSON line an event, only ever appended to. Layer values
// come in thousands a step: their identities are written once, as a header, then flat number arrays refer to it.
// Values keep 9 significant digits (float32 has 7). JSON has no NaN and no infinities: they are written as strings.

import { appendFileSync, closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, UserError } from "../errors.ts";
import type { LayerRow, MetricRow, Quantity, ReadingQuantity, ReadingRow } from "../types.ts";
import { eventsFile, layersFile, metricsFile, readingsFile, wholeLines, writeChunksWhole } from "./files.ts";

/** What a row is about: everything but the step and the values. `count` is there for norms alone. */
export interface RowIdentity<Q = Quantity | ReadingQuantity> {
  readonly player: string;
  readonly stack: string;
  readonly layer: number | "";
  readonly component: string;
  readonly parameter: string;
  readonly quantity: Q;
  readonly count?: number;
}

/** What a layer row is about. */
export type LayerIdentity = Omit<LayerRow, "step" | "l2" | "rms" | "max">;

/** The two tables whose rows come in thousands a step. */
export type RowTable = "layers" | "readings";

/** A number, or the name of one that JSON lacks. */
type JsonNumber = number | "NaN" | "Infinity" | "-Infinity";

/** A line of `events.jsonl`. */
export type Event =
  | {
      readonly type: "metrics";
      readonly rows: readonly (readonly [number, number, number, MetricRow["split"], string, JsonNumber])[];
    }
  /** Identities that `layers` (a layer-header) or `readings` (a reading-header) refer to by number; both count together. */
  | {
      readonly type: "layer-header" | "reading-header";
      readonly step: number;
      readonly header: number;
      readonly rows: readonly RowIdentity[];
    }
  /** `values`: of each row of the header in turn, l2 and max in `layers`, the number itself in `readings`. */
  | { readonly type: RowTable; readonly step: number; readonly header: number; readonly values: readonly JsonNumber[] }
  /** Anything worth remembering about a step: a checkpoint, a warning. */
  | Note;

/** A free event; `step` decides whether a resumed run keeps it. */
export interface Note {
  readonly type: "note";
  readonly step: number;
  readonly [key: string]: unknown;
}

/** Writes a run's events. Every call appends at once, so a killed process loses nothing it recorded. */
export interface Recorder {
  metrics(rows: readonly MetricRow[]): void;
  /** All layer rows of one step. */
  layers(step: number, rows: readonly LayerRow[]): void;
  /** All readings of one step. */
  readings(step: number, rows: readonly ReadingRow[]): void;
  note(event: Omit<Note, "type">): void;
  /** Forces what was recorded onto the disk: call it before a checkpoint, which must not be ahead of the events. */
  sync(): void;
  close(): void;
}

/** Opens a run's events. With `afterStep` (resuming) events of later steps are cut off first, so that an interrupted and
 *  resumed run leaves the same lines as an uninterrupted one; without it the run starts over. */
export function openRecorder(runDir: string, { afterStep }: { afterStep?: number } = {}): Recorder {
  const file = eventsFile(runDir);
  // Tables derive from the events: old ones would contradict them.
  for (const table of [metricsFile(runDir), layersFile(runDir), readingsFile(runDir)]) rmSync(table, { force: true });
  const headers: (readonly RowIdentity[])[] = [];
  if (afterStep === undefined) rmSync(file, { force: true });
  else writeChunksWhole(file, cut(file, afterStep, headers));
  const fd = openSync(file, "a");
  const append = (line: string): void => appendFileSync(fd, `${line}\n`);
  /** The number of the header with these rows' identities, written first where it is new. */
  const headerOf = (type: "layer-header" | "reading-header", step: number, rows: readonly RowIdentity[]): number => {
    const known = headers.findLastIndex((identities) => sameIdentities(identities, rows));
    if (known >= 0) return known;
    const header = headers.push(rows.map(identityOf)) - 1;
    append(JSON.stringify({ type, step, header, rows: headers[header] }));
    return header;
  };
  return {
    metrics(rows) {
      if (rows.length === 0) return;
      const values = rows.map((r) => [r.step, r.tokens, rounded(r.seconds), r.split, r.name, rounded(r.value)]);
      append(JSON.stringify({ type: "metrics", rows: values }));
    },
    layers(step, rows) {
      if (rows.length === 0) return;
      const header = headerOf("layer-header", step, rows);
      append(
        valuesLine("layers", step, header, rows.length * 2, (i) => (i % 2 ? rows[i >> 1]!.max : rows[i >> 1]!.l2)),
      );
    },
    readings(step, rows) {
      if (rows.length === 0) return;
      const header = headerOf("reading-header", step, rows);
      append(valuesLine("readings", step, header, rows.length, (i) => rows[i]!.value));
    },
    note(event) {
      append(JSON.stringify({ type: "note", ...event }));
    },
    sync: () => fsyncSync(fd),
    close() {
      fsyncSync(fd);
      closeSync(fd);
    },
  };
}

/** A run's events in order, a torn last line left out. `types`: the others are skipped without being parsed. */
export function* readEvents(runDir: string, types?: readonly Event["type"][]): Generator<Event> {
  const file = eventsFile(runDir);
  // A damaged line may begin with anything: only what is surely of another type is skipped.
  const skipped = types && eventTypes.filter((type) => !types.includes(type)).map((type) => `{"type":"${type}",`);
  let number = 0;
  for (const line of wholeLines(file)) {
    number++;
    if (!skipped?.some((prefix) => line.startsWith(prefix))) yield parsed(line, file, number);
  }
}

const eventTypes = [
  "metrics",
  "layer-header",
  "layers",
  "reading-header",
  "readings",
  "note",
] as const satisfies Event["type"][];

/** The number that was written. */
export const toNumber = (value: JsonNumber): number => Number(value);

/** A value with 9 significant digits, as JSON can hold it. Thousands a step are rounded: where a power of ten within double's exact
 *  ones makes nine digits of it, a product and a quotient do what `toPrecision` takes three times as long for. */
export function rounded(value: number): JsonNumber {
  if (!Number.isFinite(value)) return String(value) as JsonNumber;
  const power = exactPowers[placesOf(value)];
  return power === undefined ? Number(value.toPrecision(9)) : Math.round(value * power) / power;
}

/** Digits behind the point that make nine significant ones. */
const placesOf = (value: number): number => 8 - Math.floor(Math.log10(Math.abs(value)));

/** {@link rounded} as JSON. Nine digits and an exponent take a third of the time that the shortest form of a double takes. */
function jsonOf(value: number): string {
  const places = placesOf(value);
  const power = exactPowers[places];
  if (power !== undefined) return `${Math.round(value * power)}e-${places}`;
  const number = rounded(value);
  return typeof number === "number" ? String(number) : `"${number}"`;
}

/** 10^0 to 10^22, the powers of ten that a double holds exactly. */
const exactPowers = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

/** The JSON of `count` values of a step, put together by hand: thousands a step, and `JSON.stringify` would write each as long as
 *  it is. */
function valuesLine(
  type: RowTable,
  step: number,
  header: number,
  count: number,
  valueOf: (i: number) => number,
): string {
  let values = "";
  for (let i = 0; i < count; i++) values += (i ? "," : "") + jsonOf(valueOf(i));
  return `{"type":"${type}","step":${step},"header":${header},"values":[${values}]}`;
}

function parsed(line: string, file: string, number: number): Event {
  let event: Partial<Event> | null;
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw damagedEvent(file, number, messageOf(error));
  }
  if (!isEvent(event)) throw damagedEvent(file, number, "something else");
  return event;
}

/** Whether a line has the parts of its type; its numbers are taken as they are. */
function isEvent(event: Partial<Event> | null): event is Event {
  if (event?.type === "metrics") return Array.isArray(event.rows) && event.rows.every(Array.isArray);
  if (event?.type === "note") return typeof event.step === "number";
  if (event?.type === "layer-header" || event?.type === "reading-header")
    return isPlaced(event) && Array.isArray(event.rows);
  return (event?.type === "layers" || event?.type === "readings") && isPlaced(event) && Array.isArray(event.values);
}

const isPlaced = ({ step, header }: { step?: unknown; header?: unknown }): boolean =>
  typeof step === "number" && typeof header === "number";
/** A `UserError` about a line of a run's events that is not as it was written. */
export const damagedEvent = (file: string, line: number | undefined, reason: string): UserError =>
  new UserError(
    `${file}${line === undefined ? "" : `:${line}`}: expected an event as the run wrote it, got ${reason}; the file is ` +
      `damaged: remove the folder ${dirname(file)} and run it again`,
  );

/** The lines up to and with `afterStep`; fills in the headers that stay. */
function* cut(file: string, afterStep: number, headers: (readonly RowIdentity[])[]): Generator<string> {
  let number = 0;
  for (const line of wholeLines(file)) {
    number++;
    // The values are most of the file: their step stands in front, no need to parse them.
    const valuesStep = /^\{"type":"(?:layers|readings)","step":(\d+),/.exec(line)?.[1];
    if (valuesStep !== undefined) {
      if (Number(valuesStep) <= afterStep) yield `${line}\n`;
      continue;
    }
    const event = parsed(line, file, number);
    if (event.type === "metrics") {
      const rows = event.rows.filter(([step]) => step <= afterStep);
      if (rows.length > 0) yield `${JSON.stringify({ ...event, rows })}\n`;
    } else if (event.step <= afterStep) {
      if (event.type === "layer-header" || event.type === "reading-header") headers[event.header] = event.rows;
      yield `${line}\n`;
    }
  }
}

const identityOf = ({ player, stack, layer, component, parameter, quantity, count }: RowIdentity): RowIdentity => ({
  player,
  stack,
  layer,
  component,
  parameter,
  quantity,
  ...(count !== undefined && { count }),
});

function sameIdentities(known: readonly RowIdentity[], rows: readonly RowIdentity[]): boolean {
  return (
    known.length === rows.length &&
    known.every((a, i) => {
      const b = rows[i]!;
      return (
        a.parameter === b.parameter &&
        a.layer === b.layer &&
        a.quantity === b.quantity &&
        a.component === b.component &&
        a.stack === b.stack &&
        a.player === b.player &&
        a.count === b.count
      );
    })
  );
}
