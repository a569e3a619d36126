// Parquet tables: `runs`, `metrics`, `layers` and `readings`, of all runs together, with the varied keys as columns. They are written
// a row group at a time, so that tables larger than memory can be.

import { join } from "node:path";
import { fileWriter, ParquetWriter, type SchemaElement } from "hyparquet-writer";
import { withRoom } from "../folders.ts";
import type { ExperimentRun } from "../runs/experiment.ts";
import { readRun } from "../runs/run-folder.ts";
import { layerSteps, readingSteps, readMetrics, rmsOf } from "../runs/tables.ts";
import { distinct } from "../statistics.ts";
import type { ExportFormat } from "./format.ts";

/** Rows of a row group: a group of the widest table is some tens of megabytes while it is made. */
const groupRows = 1 << 17;

export const parquet: ExportFormat = {
  name: "parquet",
  summary: "runs, metrics, layers and readings as typed tables for pandas, polars, DuckDB, R",
  async write({ experiment: { varied, runs } }, folder, tick) {
    const keys = varied.map((key) => variedColumn(key, runs));
    const finals = distinct(runs.flatMap((run) => Object.keys(run.finals)));
    const all = 4 * runs.length;
    let done = 0;
    /** The table of all runs: what `fill` gives of each, after the run's name and its varied keys. */
    const write = async (name: string, columns: readonly Column[], fill: Fill): Promise<void> => {
      const table = openTable(join(folder, `${name}.parquet`), [text("run"), ...keys, ...columns]);
      for (const run of runs) {
        const doing = `${name} of ${run.row.id}`;
        await tick(doing, done++, all);
        const fixed = [run.row.id, ...keys.map(({ of }) => of(run))];
        for (const size of fill(run, (values) => table.add(fixed, values))) if (size) await tick(doing, done, all);
      }
      table.close();
    };
    await write(
      "runs",
      [...runColumns, ...finals.map((name) => ({ ...double(`final.${name}`), isOptional: true }))],
      function* (run, add) {
        add([...runColumns.map(({ of }) => of(run)), ...finals.map((name) => run.finals[name] ?? null)]);
        yield false;
      },
    );
    await write("metrics", metricColumns, function* ({ dir }, add) {
      for (const { step, tokens, seconds, split, name, value } of readMetrics(dir)) {
        if (add([step, BigInt(tokens), seconds, split, name, value])) yield true;
      }
    });
    await write("layers", layerColumns, function* ({ dir }, add) {
      for (const { step, identities, values } of layerSteps(dir)) {
        let isFull = false;
        for (const [i, { player, stack, layer, component, parameter, quantity, count }] of identities.entries()) {
          const [l2, max] = [values[2 * i]!, values[2 * i + 1]!];
          const place = [step, player, stack, layer === "" ? null : layer, component, parameter, quantity];
          isFull = add([...place, l2, rmsOf(l2, count), max, BigInt(count)]) || isFull;
        }
        if (isFull) yield true;
      }
    });
    await write("readings", readingColumns, function* ({ dir }, add) {
      for (const { step, identities, values } of readingSteps(dir)) {
        let isFull = false;
        for (const [i, { player, stack, layer, component, parameter, quantity }] of identities.entries()) {
          const place = [step, player, stack, layer === "" ? null : layer, component, parameter, quantity];
          isFull = add([...place, values[i]!]) || isFull;
        }
        if (isFull) yield true;
      }
    });
  },
};

/** Gives the rows of a run to `add`, which is true where it has filled a row group; yields whether it has. */
type Fill = (run: ExperimentRun, add: (values: readonly Cell[]) => boolean) => Generator<boolean>;

type Cell = string | number | bigint | boolean | Date | null;

interface Column {
  readonly name: string;
  readonly type: "BYTE_ARRAY" | "INT32" | "INT64" | "DOUBLE" | "BOOLEAN";
  readonly converted?: SchemaElement["converted_type"];
  readonly isOptional?: boolean;
}

/** A column of the runs, and how it is filled. */
interface RunColumn extends Column {
  of(run: ExperimentRun): Cell;
}

const text = (name: string): Column => ({ name, type: "BYTE_ARRAY", converted: "UTF8" });
const int = (name: string): Column => ({ name, type: "INT32" });
const long = (name: string): Column => ({ name, type: "INT64" });
const double = (name: string): Column => ({ name, type: "DOUBLE" });
const time = (name: string): Column => ({ name, type: "INT64", converted: "TIMESTAMP_MILLIS", isOptional: true });

const place: readonly Column[] = [
  int("step"),
  text("player"),
  text("stack"),
  { ...int("layer"), isOptional: true },
  text("component"),
  text("parameter"),
  text("quantity"),
];
const metricColumns = [int("step"), long("tokens"), double("seconds"), text("split"), text("name"), double("value")];
const layerColumns = [...place, double("l2"), double("rms"), double("max"), long("count")];
const readingColumns = [...place, double("value")];

const runColumns: readonly RunColumn[] = [
  { ...text("status"), of: ({ row }) => row.status },
  { ...long("seed"), of: ({ row }) => BigInt(row.seed) },
  { ...int("steps"), of: ({ row }) => row.steps },
  { ...int("plannedSteps"), of: ({ plannedSteps }) => plannedSteps },
  { ...double("seconds"), of: ({ row }) => row.seconds },
  { ...double("finalTrainLoss"), of: ({ row }) => row.finalTrainLoss },
  { ...double("finalDevLoss"), of: ({ row }) => row.finalDevLoss },
  { ...double("bestDevLoss"), of: ({ row }) => row.bestDevLoss },
  { ...double("unigramEntropy"), of: ({ row }) => row.unigramEntropy },
  { ...text("engine"), of: ({ row }) => row.engine },
  { ...text("reason"), of: ({ row }) => row.reason },
  { ...time("started"), of: ({ dir }) => dateOf(readRun(dir)?.started) },
  { ...time("finished"), of: ({ dir }) => dateOf(readRun(dir)?.finished) },
  { ...text("config"), of: ({ config }) => JSON.stringify(config) },
];

const dateOf = (moment: string | null | undefined): Date | null => (moment ? new Date(moment) : null);

/** The names of all columns that there are beside the varied keys. */
const taken = new Set(["run", ...[...runColumns, ...metricColumns, ...layerColumns].map(({ name }) => name)]);

/** A varied key as a column: whole numbers, numbers, truth values, or else texts. One with the name of another column is told apart. */
function variedColumn(key: string, runs: readonly ExperimentRun[]): RunColumn {
  const values = runs.map(({ row }) => row.config[key] ?? null);
  const known = values.filter((value) => value !== null);
  const name = taken.has(key) ? `config.${key}` : key;
  const isOptional = known.length < values.length;
  const are = (isOfKind: (value: Cell) => boolean): boolean => known.length > 0 && known.every(isOfKind);
  const column = (type: Column, cell: (value: string | number | boolean) => Cell): RunColumn => ({
    ...type,
    isOptional,
    of({ row }) {
      const value = row.config[key] ?? null;
      return value === null ? null : cell(value);
    },
  });
  if (are(Number.isSafeInteger)) return column(long(name), (value) => BigInt(value));
  if (are((value) => typeof value === "number")) return column(double(name), (value) => value);
  if (are((value) => typeof value === "boolean")) return column({ name, type: "BOOLEAN" }, (value) => value);
  return column(text(name), String);
}

/** A table that is being written. `add` puts the cells of a row in two parts, and tells whether a row group was written. */
function openTable(
  file: string,
  columns: readonly Column[],
): { add(fixed: readonly Cell[], values: readonly Cell[]): boolean; close(): void } {
  const schema: SchemaElement[] = [
    { name: "root", num_children: columns.length },
    ...columns.map(({ name, type, converted, isOptional }): SchemaElement => ({
      name,
      type,
      repetition_type: isOptional ? "OPTIONAL" : "REQUIRED",
      ...(converted && { converted_type: converted }),
    })),
  ];
  const writer = withRoom(file, () => new ParquetWriter({ writer: fileWriter(file), schema, createdBy: "fathom" }));
  let data: Cell[][] = columns.map(() => []);
  let rows = 0;
  const flush = (): void => {
    const columnData = columns.map(({ name }, i) => ({ name, data: data[i]! }));
    // The page index is of use to queries over few of many rows; here it would be written at the end, and held until then.
    withRoom(
      file,
      () =>
        void writer.write({
          columnData: columnData.map((one) => ({ ...one, offsetIndex: false })),
          rowGroupSize: groupRows,
        }),
    );
    data = columns.map(() => []);
    rows = 0;
  };
  return {
    add(fixed, values) {
      for (let i = 0; i < fixed.length; i++) data[i]!.push(fixed[i]!);
      for (let i = 0; i < values.length; i++) data[fixed.length + i]!.push(values[i]!);
      if (++rows < groupRows) return false;
      flush();
      return true;
    },
    close() {
      if (rows > 0) flush();
      withRoom(file, () => void writer.finish());
    },
  };
}
