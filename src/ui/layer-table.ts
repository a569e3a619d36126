// What a run has recorded by layer and step, as columns: from its events, which are compact and are read on from where they were read to,
// else from its tables. A layer's number is what figures show of it (src/plots/layer-series.ts): of norms that over all of its
// parameters, or of the residual stream; of readings the mean or the largest over heads and sublayers.

import { closeSync, existsSync, openSync } from "node:fs";
import { UserError } from "../errors.ts";
import { counts } from "../plots/layer-series.ts";
import { damagedEvent, toNumber, type RowIdentity } from "../runs/events.ts";
import { eventsFile, isFile, layersFile, readingsFile } from "../runs/files.ts";
import { damagedTable, readLayers, readReadings } from "../runs/tables.ts";
import type { Quantity } from "../types.ts";
import { column, push, reserve, type Column } from "./column.ts";
import type { Kept } from "./kept.ts";
import { follow, readLines, type Followed, type OnLine } from "./lines.ts";
import { parsedEvent, refuseLarge, shown, standsAt } from "./metric-table.ts";
import { commaFrom, numberAt } from "./numbers.ts";

/** How the rows of a layer become one number: by the root of the sum of squares, the mean, or the largest. */
type Combination = "norm" | "mean" | "largest";

/** The readings whose sublayers stand apart, as their figures have them, and those of which the largest counts. */
const bySublayer = new Set<string>(["attention-logit", "attention-entropy"]);
const byLargest = new Set<string>(["attention-logit"]);

/** A layer: what it is called depends on how many players the run has. */
export interface LayerColumn {
  readonly player: string;
  readonly stack: string;
  /** Of readings that keep sublayers apart; else empty. */
  readonly sublayer: string;
  /** Counted from 0. */
  readonly layer: number;
  /** By step of the quantity: what its rows have come to so far, of a norm the square; `nothing` where there was none. */
  readonly sums: Column;
  /** Of means: how many rows that are. */
  readonly counted: Column | undefined;
}

/** A quantity of a run. */
export interface QuantityTable {
  readonly quantity: string;
  readonly combination: Combination;
  readonly steps: Column;
  readonly layers: Map<string, LayerColumn>;
  /** The places of steps that did not come in their order; undefined while all have. */
  places: Map<number, number> | undefined;
}

/** What a run has recorded by layer. */
export interface LayerTable {
  readonly quantities: Map<string, QuantityTable>;
  readonly players: Set<string>;
  /** Of the events' headers, by number: where each row goes; undefined what does not count. */
  readonly headers: Map<number, readonly (Target | undefined)[]>;
}

/** Where a row goes. */
interface Target {
  readonly table: QuantityTable;
  readonly layer: LayerColumn;
}

/** Bytes of columns beyond which a run's are not kept in memory. */
const mostBytes = 2 ** 28;

const emptyTable = (): LayerTable => ({ quantities: new Map(), players: new Set(), headers: new Map() });

/** What a run has recorded by layer; a `UserError` where its files are damaged, or more than is read here. `key` tells their states
 *  apart. */
export function layerTable(runDir: string, key: string, kept: Kept): LayerTable {
  const name = `layers ${runDir}`;
  const known = kept.get<{ key: string; table: LayerTable; followed?: Followed<LayerTable> }>(name);
  if (known?.key === key) return known.table;
  kept.delete(name); // what an error leaves is half read
  const events = eventsFile(runDir);
  if (isFile(events)) {
    refuseLarge(events);
    const followed = follow(events, known?.followed, emptyTable, (table, line, number) =>
      addEvent(table, line, events, number),
    );
    kept.set(name, { key, table: followed.value, followed }, bytesOf(followed.value));
    return followed.value;
  }
  const table = emptyTable();
  for (const form of forms) if (existsSync(form.file(runDir))) addTable(table, runDir, form);
  kept.set(name, { key, table }, bytesOf(table));
  return table;
}

/** The quantities that the beginning of a run's files names: each is recorded at one of its first steps. Quick, be they ever so large. */
export function firstQuantities(runDir: string): string[] {
  const table = emptyTable();
  const events = eventsFile(runDir);
  const enough = { steps: 3, bytes: 2 ** 21 };
  let bytes = 0;
  if (isFile(events)) {
    const steps = new Set<number>();
    let number = 0;
    eachLine(events, (buffer, start, end) => {
      const line = buffer.subarray(start, end);
      number++;
      bytes += line.length;
      const values = valuesPrefixes.find((prefix) => standsAt(prefix, line, 0, line.length));
      if (values) steps.add(Number.parseInt(line.toString("latin1", values.length, values.length + 16), 10));
      else if (headerPrefixes.some((prefix) => standsAt(prefix, line, 0, line.length)))
        addEvent(table, line, events, number);
      return steps.size < enough.steps && bytes < enough.bytes;
    });
  } else
    for (const form of forms) {
      const file = form.file(runDir);
      if (!existsSync(file)) continue;
      const reader = tableReader(table, file, form);
      const steps = new Set<string>();
      bytes = 0;
      eachLine(file, (buffer, start, end) => {
        bytes += end - start;
        steps.add(buffer.toString("latin1", start, commaFrom(buffer, start, end)));
        return reader(buffer, start, end) && steps.size <= enough.steps + 1 && bytes < enough.bytes;
      });
    }
  return [...table.quantities.keys()];
}

function eachLine(file: string, onLine: OnLine<boolean>): void {
  const fd = openSync(file, "r");
  try {
    readLines(fd, 0, file, onLine);
  } finally {
    closeSync(fd);
  }
}

const bytesOf = ({ quantities }: LayerTable): number => {
  let bytes = 4096;
  for (const { steps, layers } of quantities.values()) {
    bytes += 8 * steps.data.length;
    for (const { sums, counted } of layers.values()) bytes += 8 * (sums.data.length + (counted?.data.length ?? 0));
  }
  return bytes;
};

/** Where rows of an identity go; undefined of those that belong to no layer, or are parts of another row. */
function targetOf(table: LayerTable, row: RowIdentity<string>, isReading: boolean): Target | undefined {
  const { player, stack, layer, component, quantity } = row;
  table.players.add(player);
  if (layer === "") return undefined;
  if (!isReading && !counts(row as RowIdentity<Quantity>, quantity as Quantity)) return undefined;
  const combination = isReading ? (byLargest.has(quantity) ? "largest" : "mean") : "norm";
  let of = table.quantities.get(quantity);
  if (!of) {
    of = { quantity, combination, steps: column(), layers: new Map(), places: undefined };
    table.quantities.set(quantity, of);
  }
  const sublayer = isReading && bySublayer.has(quantity) ? component : "";
  const key = JSON.stringify([player, stack, layer, sublayer]);
  let found = of.layers.get(key);
  if (!found) {
    const counted = combination === "mean" ? column() : undefined;
    of.layers.set(key, (found = { player, stack, sublayer, layer, sums: column(), counted }));
  }
  return { table: of, layer: found };
}

/** The place of a step among those of a quantity, made where it is new. */
function placeOf(table: QuantityTable, step: number): number {
  const { steps } = table;
  const last = steps.length - 1;
  if (last >= 0 && steps.data[last] === step) return last;
  if (last >= 0 && steps.data[last]! > step && !table.places)
    table.places = new Map(Array.from(steps.data.subarray(0, steps.length), (known, i) => [known, i]));
  const known = table.places?.get(step);
  if (known !== undefined) return known;
  push(steps, step);
  table.places?.set(step, last + 1);
  return last + 1;
}

/** What stands where nothing was recorded: no square is below 0. */
const nothing = { norm: -1, mean: 0, largest: NaN } as const satisfies Record<Combination, number>;

/** Adds a row's number to what its layer has at a step. */
function add({ table, layer: { sums, counted } }: Target, place: number, value: number): void {
  const { combination } = table;
  if (place >= sums.length) {
    fill(sums, table.steps.length, nothing[combination]);
    if (counted) fill(counted, table.steps.length, 0);
  }
  const before = sums.data[place]!;
  if (combination === "norm") sums.data[place] = (before < 0 ? 0 : before) + value * value;
  else if (combination === "largest") sums.data[place] = Number.isNaN(before) ? value : Math.max(before, value);
  else {
    sums.data[place] = before + value;
    counted!.data[place]!++;
  }
}

function fill(column: Column, length: number, value: number): void {
  reserve(column, length);
  column.data.fill(value, column.length, length);
  column.length = length;
}

/** The number of a layer at a place; NaN where nothing was recorded. */
export function numberOf({ combination }: QuantityTable, { sums, counted }: LayerColumn, place: number): number {
  if (place >= sums.length) return NaN;
  const sum = sums.data[place]!;
  if (combination === "norm") return Math.sqrt(sum); // of less than 0 there is none
  return combination === "mean" ? sum / counted!.data[place]! : sum;
}

const valuesPrefixes = ["layers", "readings"].map((type) => Buffer.from(`{"type":"${type}","step":`));
const headerPrefixes = ["layer-header", "reading-header"].map((type) => Buffer.from(`{"type":"${type}",`));
/** What surely is of another type; a damaged line may begin with anything. */
const otherPrefixes = ["metrics", "note"].map((type) => Buffer.from(`{"type":"${type}",`));

function addEvent(table: LayerTable, line: Buffer, file: string, number: number): void {
  if (otherPrefixes.some((prefix) => standsAt(prefix, line, 0, line.length))) return;
  const event = parsedEvent(line, file, number);
  if (event.type === "layer-header" || event.type === "reading-header") {
    const isReading = event.type === "reading-header";
    table.headers.set(
      event.header,
      event.rows.map((row) => targetOf(table, row, isReading)),
    );
  } else if (event.type === "layers" || event.type === "readings") {
    const header = table.headers.get(event.header);
    const width = event.type === "layers" ? 2 : 1;
    if (event.values.length !== width * (header?.length ?? NaN))
      throw damagedEvent(file, number, `values of step ${event.step} that fit no header`);
    const { step, values } = event;
    let last: QuantityTable | undefined;
    let place = 0;
    for (const [i, target] of header!.entries()) {
      if (!target) continue;
      if (target.table !== last) {
        last = target.table;
        place = placeOf(last, step);
      }
      add(target, place, toNumber(values[width * i]!));
    }
    if (number % 256 === 0) refuseMany(table, file);
  }
}

function refuseMany(table: LayerTable, file: string): void {
  if (bytesOf(table) > mostBytes)
    throw new UserError(
      `${file}: expected at most ${mostBytes / 8} numbers to show here, got more; \`fathom plot\` draws figures of them`,
    );
}

/** A table of rows by place and step: its columns behind the quantity begin with the number that counts. */
const forms = [
  {
    file: layersFile,
    isReading: false,
    header: "step,player,stack,layer,component,parameter,quantity,l2,rms,max,count",
  },
  { file: readingsFile, isReading: true, header: "step,player,stack,layer,component,parameter,quantity,value" },
] as const;

type Form = (typeof forms)[number];

function addTable(table: LayerTable, runDir: string, form: Form): void {
  const file = form.file(runDir);
  refuseLarge(file);
  const reader = tableReader(table, file, form);
  let isQuoted = false;
  eachLine(file, (bytes, start, end) => {
    if (reader(bytes, start, end)) return true;
    isQuoted = true;
    return false;
  });
  if (!isQuoted) return;
  // A name holds a comma or a quote: the proper reader knows how to take it apart.
  const before = [...table.quantities.values()].filter((known) => (known.combination !== "norm") === form.isReading);
  for (const { quantity } of before) table.quantities.delete(quantity);
  const rows = form.isReading ? readReadings(runDir) : readLayers(runDir);
  for (const row of rows) {
    const target = targetOf(table, row, form.isReading);
    if (target) add(target, placeOf(target.table, row.step), "value" in row ? row.value : row.l2);
  }
}

/** A row's identity as it stands in its line, and the one whose row came after it last time: the rows of every step come in the same
 *  order, so that most need only be compared with the one that is expected. */
interface Place {
  readonly key: Buffer;
  readonly target: Target | undefined;
  next: Place | undefined;
}

/** Reads line after line of a table; false for one with quotes, which it cannot take apart. */
function tableReader(table: LayerTable, file: string, { header, isReading }: Form): OnLine<boolean> {
  const places = new Map<string, Place>();
  let last: Place | undefined;
  let number = 0;
  return (bytes, begin, end) => {
    if (number++ === 0) {
      if (bytes.toString("utf8", begin, end) !== header) throw damagedTable(file, "other columns");
      return true;
    }
    const stepEnd = commaFrom(bytes, begin, end);
    const start = stepEnd + 1;
    let place = last?.next;
    if (!place || !standsAt(place.key, bytes, start, end)) {
      if (bytes.subarray(begin, end).includes(34)) return false;
      let keyEnd = start;
      for (let i = 0; i < 6; i++) keyEnd = commaFrom(bytes, keyEnd, end) + 1;
      if (keyEnd > end) throw damagedTable(file, `the row ${shown(bytes, begin, end)}`);
      const text = bytes.toString("utf8", start, keyEnd);
      place = places.get(text);
      if (!place) {
        place = { key: Buffer.from(text), target: targetOf(table, identityOf(text), isReading), next: undefined };
        places.set(text, place);
      }
      if (last) last.next = place;
    }
    last = place;
    const valueStart = start + place.key.length;
    const step = numberAt(bytes, begin, stepEnd);
    const value = numberAt(bytes, valueStart, commaFrom(bytes, valueStart, end));
    if (step === undefined || value === undefined) throw damagedTable(file, `the row ${shown(bytes, begin, end)}`);
    if (place.target) add(place.target, placeOf(place.target.table, step), value);
    if (number % 65_536 === 0) refuseMany(table, file);
    return true;
  };
}

function identityOf(text: string): RowIdentity<string> {
  const [player = "", stack = "", layer = "", component = "", parameter = "", quantity = ""] = text.split(",");
  return { player, stack, layer: layer === "" ? "" : Number(layer), component, parameter, quantity };
}
