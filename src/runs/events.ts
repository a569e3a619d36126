// `events.jsonl`, the crash-safe source of a run's tables: one JSON line an event, only ever appended to. Layer values
// come in thousands a step: their identities are written once, as a header, then flat number arrays refer to it.
// Values keep 9 significant digits (float32 has 7). JSON has no NaN and no infinities: they are written as strings.

import { createHash } from "node:crypto";
import { appendFileSync, closeSync, fsyncSync, openSync, readSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, UserError } from "../errors.ts";
import { withRoom } from "../folders.ts";
import type { LayerRow, MetricRow, Quantity, ReadingQuantity, ReadingRow } from "../types.ts";
import { eventsFile, isFile, layersFile, metricsFile, readingsFile, wholeLines, writeChunksWhole } from "./files.ts";

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

/** The events of the steps before one, as the file begins with them. */
export interface EventsMark {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Writes a run's events. Every call appends at once, so a killed process loses nothing it recorded. */
export interface Recorder {
  metrics(rows: readonly MetricRow[]): void;
  /** All layer rows of one step. */
  layers(step: number, rows: readonly LayerRow[]): void;
  /** All readings of one step. */
  readings(step: number, rows: readonly ReadingRow[]): void;
  note(event: Omit<Note, "type">): void;
  /** The events of the steps before `step`, which must be the latest recorded, or one after it. */
  before(step: number): EventsMark;
  /** Forces what was recorded onto the disk: call it before a checkpoint, which must not be ahead of the events. */
  sync(): void;
  close(): void;
}

/** Opens a run's events. With `afterStep` (resuming) events of later steps are cut off first, so that an interrupted and
 *  resumed run leaves the same lines as an uninterrupted one; without it the run starts over. What stands behind the first
 *  `bytes`, where they are known, is not looked at. */
export function openRecorder(
  runDir: string,
  { afterStep, bytes = Infinity }: { afterStep?: number; bytes?: number | undefined } = {},
): Recorder {
  const file = eventsFile(runDir);
  // Tables derive from the events: old ones would contradict them.
  for (const table of [metricsFile(runDir), layersFile(runDir), readingsFile(runDir)]) rmSync(table, { force: true });
  const headers: (readonly RowIdentity[])[] = [];
  const hash = createHash("sha256");
  let written = 0;
  const count = (text: string): string => {
    hash.update(text);
    written += Buffer.byteLength(text);
    return text;
  };
  if (afterStep === undefined) rmSync(file, { force: true });
  else writeChunksWhole(file, mapped(cut(file, { afterStep, bytes }, headers), count));
  const fd = withRoom(file, () => openSync(file, "a"));
  const mark = (): EventsMark => ({ bytes: written, sha256: hash.copy().digest("hex") });
  /** The latest step, and what was there before it. */
  let latest = { step: afterStep ?? -1, before: mark() };
  const append = (step: number, line: string): void => {
    if (step !== latest.step) latest = { step, before: mark() };
    withRoom(file, () => appendFileSync(fd, count(`${line}\n`)));
  };
  /** The number of the header with these rows' identities, written first where it is new. */
  const headerOf = (type: "layer-header" | "reading-header", step: number, rows: readonly RowIdentity[]): number => {
    const known = headers.findLastIndex((identities) => sameIdentities(identities, rows));
    if (known >= 0) return known;
    const header = headers.push(rows.map(identityOf)) - 1;
    append(step, JSON.stringify({ type, step, header, rows: headers[header] }));
    return header;
  };
  return {
    metrics(rows) {
      if (rows.length === 0) return;
      const values = rows.map((r) => [r.step, r.tokens, rounded(r.seconds), r.split, r.name, rounded(r.value)]);
      append(rows[0]!.step, JSON.stringify({ type: "metrics", rows: values }));
    },
    layers(step, rows) {
      if (rows.length === 0) return;
      const header = headerOf("layer-header", step, rows);
      append(
        step,
        valuesLine("layers", step, header, rows.length * 2, (i) => (i % 2 ? rows[i >> 1]!.max : rows[i >> 1]!.l2)),
      );
    },
    readings(step, rows) {
      if (rows.length === 0) return;
      const header = headerOf("reading-header", step, rows);
      append(
        step,
        valuesLine("readings", step, header, rows.length, (i) => rows[i]!.value),
      );
    },
    note(event) {
      append(event["step"] as number, JSON.stringify({ type: "note", ...event }));
    },
    before: (step) => (step === latest.step ? latest.before : mark()),
    sync: () => withRoom(file, () => fsyncSync(fd)),
    close() {
      withRoom(file, () => fsyncSync(fd));
      closeSync(fd);
    },
  };
}

function* mapped<A, B>(values: Iterable<A>, map: (value: A) => B): Generator<B> {
  for (const value of values) yield map(value);
}

/** Throws a `UserError` where a run's events do not begin with those that a checkpoint stands for. */
export function verifyEvents(runDir: string, { bytes, sha256 }: EventsMark): void {
  const file = eventsFile(runDir);
  const found = isFile(file) ? beginning(file, bytes) : "no such file";
  if (found !== sha256)
    throw new UserError(
      `${file}: expected the ${bytes} bytes of events before this checkpoint (SHA-256 ${sha256.slice(0, 12)}), got ` +
        `${/^[0-9a-f]{64}$/.test(found) ? `others (${found.slice(0, 12)})` : found}: it is damaged`,
    );
}

/** SHA-256 of the first `bytes` of a file, or what is in the way of it. */
function beginning(file: string, bytes: number): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(1 << 20);
  const fd = openSync(file, "r");
  try {
    for (let at = 0; at < bytes;) {
      const size = readSync(fd, buffer, 0, Math.min(buffer.length, bytes - at), at);
      if (size === 0) return `${at} bytes`;
      hash.update(buffer.subarray(0, size));
      at += size;
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest("hex");
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

/** Whether a line has the parts of its type. */
function isEvent(event: Partial<Event> | null): event is Event {
  if (event?.type === "metrics") return Array.isArray(event.rows) && event.rows.every(isMetric);
  if (event?.type === "note") return typeof event.step === "number";
  if (event?.type === "layer-header" || event?.type === "reading-header")
    return isPlaced(event) && Array.isArray(event.rows) && event.rows.every(isIdentity);
  return (
    (event?.type === "layers" || event?.type === "readings") &&
    isPlaced(event) &&
    Array.isArray(event.values) &&
    event.values.every(isJsonNumber)
  );
}

const isPlaced = ({ step, header }: { step?: unknown; header?: unknown }): boolean =>
  typeof step === "number" && Number.isInteger(header) && (header as number) >= 0;

const isJsonNumber = (value: unknown): boolean =>
  typeof value === "number" || value === "NaN" || value === "Infinity" || value === "-Infinity";

function isMetric(row: unknown): boolean {
  if (!Array.isArray(row) || row.length !== 6) return false;
  const [step, tokens, seconds, split, name, value] = row as unknown[];
  return (
    [step, tokens].every((count) => typeof count === "number") &&
    [seconds, value].every(isJsonNumber) &&
    [split, name].every((text) => typeof text === "string")
  );
}

function isIdentity(row: unknown): boolean {
  if (typeof row !== "object" || row === null) return false;
  const { player, stack, layer, component, parameter, quantity, count } = row as Partial<RowIdentity>;
  return (
    [player, stack, component, parameter, quantity].every((text) => typeof text === "string") &&
    (layer === "" || typeof layer === "number") &&
    (count === undefined || typeof count === "number")
  );
}

/** A `UserError` about a line of a run's events that is not as it was written. */
export const damagedEvent = (file: string, line: number | undefined, reason: string): UserError =>
  new UserError(
    `${file}${line === undefined ? "" : `:${line}`}: expected an event as the run wrote it, got ${reason}; the file is ` +
      `damaged: remove the folder ${dirname(file)} and run it again`,
  );

/** The lines up to and with `afterStep` within the first `bytes`; fills in the headers that stay. */
function* cut(
  file: string,
  { afterStep, bytes }: { afterStep: number; bytes: number },
  headers: (readonly RowIdentity[])[],
): Generator<string> {
  let number = 0;
  let at = 0;
  for (const line of wholeLines(file)) {
    if (at >= bytes) return;
    at += Buffer.byteLength(line) + 1;
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
      if (rows.length > 0) yield `${JSON.stringify({ type: event.type, rows })}\n`;
    } else if (event.step <= afterStep) {
      if (event.type === "layer-header" || event.type === "reading-header") {
        if (event.header !== headers.length) throw damagedEvent(file, number, `header ${event.header} out of its turn`);
        headers.push(event.rows);
      }
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
