// The numbers behind a figure as a table that a spreadsheet or a script reads: one row a mark, columns by the names that
// readers see on the axes. It is read off the specification, so that it holds what is drawn and nothing else. Fields whose
// names begin with `_` only say where a mark stands (the edges of a cell), and are left out.

import { stringify } from "csv-stringify/sync";
import type { TopLevelSpec } from "vega-lite";
import { distinct } from "../statistics.ts";
import { humanised } from "./experiment.ts";

/** A cell; null where there is no value. */
type Cell = string | number | boolean | null;

/** The table behind a figure. */
export interface FigureTable {
  /** Names with units, each once. */
  readonly columns: readonly string[];
  /** As long as `columns` each. */
  readonly rows: readonly (readonly Cell[])[];
}

type Tree = Readonly<Record<string, unknown>>;

/** Rows that stand together in a specification, and what its marks say of their fields. */
interface DataSet {
  readonly name: string;
  readonly rows: readonly Tree[];
  readonly names: ReadonlyMap<string, string>;
}

/** The kind of rows which only keep a place in a grid free; they are no data. */
export const placeholderKind = "none";

/** The table behind a figure, as precise as the specification; undefined of a figure without numbers, such as one of
 *  pictures. Where several data sets are drawn, the first column says which a row is of. */
export function tableOf(spec: TopLevelSpec): FigureTable | undefined {
  const all = dataSets(spec as unknown as Tree, "").filter(({ rows }) => rows.some(hasNumber));
  // The same rows may be given to several marks.
  const sets = [...new Map(all.map((set) => [JSON.stringify(set.rows), set])).values()];
  if (sets.length === 0) return undefined;
  const fields = distinct(sets.flatMap(({ rows }) => rows.flatMap(Object.keys))).filter(
    (field) => !field.startsWith("_"),
  );
  const columns = fields
    .filter((field) => sets.some(({ rows }) => rows.some((row) => cellOf(row[field]) !== null)))
    // A field may be another quantity in another data set: then it is a column of its own.
    .flatMap((field) =>
      distinct(sets.filter(({ rows }) => rows.some((row) => field in row)).map((set) => nameIn(set, field))).map(
        (name) => ({ field, name }),
      ),
    );
  const names = distinct(columns.map(({ name }) => name));
  const parts = distinct(sets.map(({ name }) => name));
  // Where the rows say themselves what they are of, it need not be said twice.
  const isSaid = sets.every(({ name, rows }) => rows.every((row) => Object.values(row).includes(name)));
  const isSeveral = parts.length > 1 && !isSaid;
  const rows = sets.flatMap((set) =>
    set.rows.map((row): Cell[] => {
      const cells = new Map<string, Cell>();
      for (const { field, name } of columns)
        if (field in row && nameIn(set, field) === name && cells.get(name) == null) cells.set(name, cellOf(row[field]));
      return [...(isSeveral ? [set.name] : []), ...names.map((name) => cells.get(name) ?? null)];
    }),
  );
  return { columns: [...(isSeveral ? ["part of the figure"] : []), ...names], rows };
}

/** The table behind a figure as CSV (RFC 4180, with a header; numbers in full, what is absent or not finite empty);
 *  undefined where there is none. */
export function csvOf(spec: TopLevelSpec): string | undefined {
  const table = tableOf(spec);
  return table && stringify([[...table.columns], ...table.rows.map((row) => [...row])]);
}

const nameIn = ({ names }: DataSet, field: string): string => names.get(field) ?? humanised(field);

const hasNumber = (row: Tree): boolean =>
  Object.entries(row).some(([field, value]) => !field.startsWith("_") && typeof value === "number");

const cellOf = (value: unknown): Cell =>
  typeof value === "number"
    ? Number.isFinite(value)
      ? value
      : null
    : typeof value === "boolean" || (typeof value === "string" && value !== "" && !value.startsWith("data:"))
      ? value
      : null;

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);

/** Every data set written into a specification, in order; `place` is the title of the view around. */
function dataSets(node: Tree, place: string): DataSet[] {
  const title = "$schema" in node ? "" : titleText(node["title"]);
  const here = title === "" ? place : title;
  const own = isTree(node["data"]) && Array.isArray(node["data"]["values"]) ? node["data"] : undefined;
  const found: DataSet[] = own
    ? [
        {
          name: typeof own["name"] === "string" ? own["name"] : here,
          rows: (own["values"] as Tree[]).filter((row) => row["kind"] !== placeholderKind).flatMap(flattened),
          names: fieldNames(node, own["values"] as Tree[]),
        },
      ]
    : [];
  return [...found, ...children(node).flatMap((child) => dataSets(child, here))];
}

/** Views within a view. */
const children = (node: Tree): Tree[] =>
  ["spec", "layer", "concat", "hconcat", "vconcat"].flatMap((key) => [node[key] ?? []].flat() as Tree[]);

function titleText(title: unknown): string {
  const text = isTree(title) ? title["text"] : title;
  return [text ?? []].flat().join(" ");
}

/** A row whose fields are lists of one length, as Vega-Lite's `flatten` takes them, becomes as many rows. */
function flattened(row: Tree): Tree[] {
  const lists = Object.entries(row).filter((entry): entry is [string, unknown[]] => Array.isArray(entry[1]));
  if (lists.length === 0) return [row];
  const length = Math.max(...lists.map(([, list]) => list.length));
  return Array.from({ length }, (_, i) => ({
    ...row,
    ...Object.fromEntries(lists.map(([field, list]) => [field, list[i] ?? null])),
  }));
}

/** Positions whose titles carry units; the others only name. */
const axes = ["x", "y", "color"] as const;

/** Names of the fields that a view and those within it draw: the axis's title, which has the unit, and what the pointer is
 *  told, which tells a median from a smallest value. */
function fieldNames(node: Tree, rows: readonly Tree[]): Map<string, string> {
  const byAxis = new Map<string, string>();
  const byTooltip = new Map<string, string>();
  const put = (map: Map<string, string>, field: unknown, title: unknown): void => {
    if (typeof field === "string" && typeof title === "string" && title !== "" && !map.has(field))
      map.set(field, title);
  };
  const visit = (view: Tree): void => {
    const encoding = isTree(view["encoding"]) ? view["encoding"] : {};
    for (const channel of axes) {
      const at = encoding[channel];
      const far = encoding[`${channel}2`];
      if (!isTree(at)) continue;
      if (channel === "color" && at["type"] !== "quantitative") {
        put(byAxis, at["field"], isTree(at["legend"]) ? at["legend"]["title"] : undefined);
        continue;
      }
      put(byAxis, at["field"], at["title"]);
      if (isTree(far)) put(byAxis, far["field"], at["title"]);
    }
    for (const told of [encoding["tooltip"] ?? [], encoding["text"] ?? []].flat())
      if (isTree(told)) put(byTooltip, told["field"], told["title"]);
    for (const child of children(view)) if (!isTree(child["data"])) visit(child);
  };
  visit(node);
  const shared = (title: string): boolean =>
    [...byAxis].filter(([field, other]) => other === title && rows.some((row) => field in row)).length > 1;
  return new Map(
    distinct([...byAxis.keys(), ...byTooltip.keys()]).map((field) => {
      const [axis, told] = [byAxis.get(field), byTooltip.get(field)];
      if (axis === undefined || told === axis) return [field, told ?? axis!];
      return [field, shared(axis) ? `${axis}, ${told ?? humanised(field)}` : axis];
    }),
  );
}
