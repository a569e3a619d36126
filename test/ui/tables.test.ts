// The quick readers of tables and events say what the proper ones say, and what is drawn of them loses no spike.
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { RunData } from "../../src/plots/experiment.ts";
import { layerSeries, readingSeries } from "../../src/plots/layer-series.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { readLayers, readMetrics, readReadings, writeTables } from "../../src/runs/tables.ts";
import type { LayerRow, MetricRow, ReadingRow } from "../../src/types.ts";
import { keeping } from "../../src/ui/kept.ts";
import { firstQuantities, layerTable } from "../../src/ui/layer-table.ts";
import { follow } from "../../src/ui/lines.ts";
import { metricTable, type MetricTable } from "../../src/ui/metric-table.ts";
import { numberAt } from "../../src/ui/numbers.ts";
import { curveOf, layerWindowOf, seriesOf } from "../../src/ui/windows.ts";

const scratch = (): string => mkdtempSync(join(tmpdir(), "fathom-ui-"));
const all = { from: 0, to: Number.MAX_SAFE_INTEGER };

const value = fc.oneof(
  fc.double({ noNaN: false }),
  fc.double({ min: -10, max: 10, noNaN: true }),
  fc.constantFrom(0, -0, 1e-40, 3.4e38, Infinity, -Infinity, NaN),
);

test("a number is read from bytes as Number reads it, and what is none is none", () => {
  const read = (text: string): number | undefined => numberAt(Buffer.from(text), 0, Buffer.byteLength(text));
  fc.assert(
    fc.property(fc.double(), (number) => {
      for (const text of [String(number), String(Number(number.toPrecision(9))), number.toExponential(8)])
        expect(read(text), text).toBe(Number(text));
    }),
    { numRuns: 2000 },
  );
  for (const text of ["123456789e-5", "1e-22", "1e22", "999999999999999", "1234567890123456789", "5.", "0.1e+3"])
    expect(read(text), text).toBe(Number(text));
  for (const text of [
    "",
    "-",
    ".",
    "e5",
    "1e",
    "1e-",
    "1x",
    "0x10",
    " 1",
    "1 ",
    "--1",
    "1.2.3",
    "Infinit",
    "nan",
    "1e5x",
    "\0",
  ])
    expect(read(text), JSON.stringify(text)).toBeUndefined();
});

/** The rows of a table, by split and name. */
const rowsOf = (table: MetricTable): Record<string, [step: number, value: number][]> =>
  Object.fromEntries(
    [...table.series].map(([key, { steps, values }]) => [
      key,
      Array.from({ length: steps.length }, (_, i) => [steps.data[i]!, values.data[i]!]),
    ]),
  );

function byMetric(rows: readonly MetricRow[]): Record<string, [number, number][]> {
  const found: Record<string, [number, number][]> = {};
  for (const { split, name, step, value } of rows) (found[`${split},${name}`] ??= []).push([step, value]);
  return found;
}

test("metrics read quickly from events and from the table are those that were recorded", () => {
  const row = fc.record({
    step: fc.nat(50),
    tokens: fc.nat(),
    seconds: fc.double({ min: 0, max: 1e6, noNaN: true }),
    split: fc.constantFrom("train" as const, "dev" as const, "test" as const),
    name: fc.constantFrom("loss", "loss/en-de", "generator/loss", "odd, name", 'a "quoted" one', "größer"),
    value,
  });
  fc.assert(
    fc.property(fc.array(fc.array(row, { minLength: 1, maxLength: 4 }), { maxLength: 30 }), (calls) => {
      const dir = scratch();
      const recorder = openRecorder(dir);
      for (const rows of calls) recorder.metrics(rows);
      recorder.close();
      const events = metricTable(dir, "events", keeping(1e6));
      expect(rowsOf(events)).toEqual(byMetric(readMetrics(dir)));
      writeTables(dir);
      const table = metricTable(dir, "table", keeping(1e6));
      expect(rowsOf(table)).toEqual(byMetric(readMetrics(dir)));
      expect(table.seconds).toBe(readMetrics(dir).at(-1)?.seconds ?? 0);
      rmSync(dir, { recursive: true });
    }),
    { numRuns: 40 },
  );
});

const place = {
  player: "model",
  stack: "encoder",
  component: "layer",
  parameter: "stream",
} as const;

/** Rows of several quantities: sublayers whose norms add up, a stream with its branches, what belongs to no layer, readings of heads. */
function recordLayers(dir: string, steps: readonly number[], players: readonly string[] = ["model"]): void {
  const recorder = openRecorder(dir);
  const number = (...of: number[]): number =>
    0.3 + Math.abs(Math.sin(of.reduce((sum, one, i) => sum + one * (i + 2.7), 1)));
  for (const step of steps) {
    const layers: LayerRow[] = [];
    const readings: ReadingRow[] = [];
    for (const [p, player] of players.entries())
      for (const [s, stack] of ["decoder", "encoder"].entries())
        for (const layer of ["" as const, 0, 1, 2]) {
          const at = { step, player, stack, layer };
          const l2 = (i: number): number => number(step, p, s, layer === "" ? 9 : layer, i);
          const sizes = { rms: 0, max: 1, count: 4 };
          for (const [i, parameter] of ["query/weight", "inner/weight"].entries())
            layers.push({
              ...at,
              component: "feed-forward",
              parameter,
              quantity: "parameter-gradient",
              l2: l2(i),
              ...sizes,
            });
          for (const [i, parameter] of ["stream", "branch"].entries())
            layers.push({ ...at, component: "layer", parameter, quantity: "activation", l2: l2(i + 2), ...sizes });
          if (layer === "") continue;
          for (const component of ["self-attention", "cross-attention"])
            for (const [i, parameter] of ["head-0", "head-1"].entries())
              for (const quantity of ["attention-entropy", "attention-logit"] as const)
                readings.push({ ...at, component, parameter, quantity, value: l2(i + 4) - 0.5 });
          readings.push({ ...at, component: "layer", parameter: "", quantity: "angular-distance", value: l2(7) });
        }
    recorder.layers(step, layers);
    if (step % 2 === 0) recorder.readings(step, readings);
  }
  recorder.close();
}

const dataOf = (dir: string): RunData => ({
  row: {} as RunData["row"],
  metrics: [],
  layers: readLayers(dir),
  readings: readReadings(dir),
});

/** A window by stack and layer, as the figures' series are: [stack, layer from 0, steps, values of seven digits]. */
function seriesIn(dir: string, quantity: string, source: string): unknown[] {
  const table = layerTable(dir, source, keeping(1e7));
  const window = layerWindowOf("run", table, quantity, all, 1000)!;
  const layers = window.stacks.flatMap(({ stack, layers }) => layers.map((layer) => [stack, layer - 1] as const));
  return layers.map(([stack, layer], i) => [stack, layer, window.steps, window.values[i]]);
}

const seven = (values: readonly number[]): number[] => values.map((one) => Number(one.toPrecision(7)));

test.each([[["model"]], [["generator", "discriminator"]]])(
  "layers read quickly are what figures show of them, whatever they are read from (players %j)",
  (players) => {
    const dir = scratch();
    recordLayers(dir, [0, 1, 2, 5, 9], players);
    const run = dataOf(dir);
    const largest = (values: readonly number[]): number => Math.max(...values);
    const expected = {
      "parameter-gradient": layerSeries(run, "parameter-gradient"),
      activation: layerSeries(run, "activation"),
      "angular-distance": readingSeries(run, "angular-distance"),
      "attention-entropy": readingSeries(run, "attention-entropy", { bySublayer: true }),
      "attention-logit": readingSeries(run, "attention-logit", { bySublayer: true, combine: largest }),
    };
    const check = (source: string): void => {
      for (const [quantity, series] of Object.entries(expected)) {
        const shown = series.map(({ stack, layer, steps, values }) => [stack, layer, steps, seven(values)]);
        expect(shown.length).toBeGreaterThan(5);
        expect(
          new Set(seriesIn(dir, quantity, source).map((one) => JSON.stringify(one))),
          `${source} ${quantity}`,
        ).toEqual(new Set(shown.map((one) => JSON.stringify(one))));
      }
      expect(firstQuantities(dir).sort()).toEqual(Object.keys(expected).sort());
    };
    check("events");
    writeTables(dir);
    rmSync(join(dir, "events.jsonl"));
    check("tables");
  },
);

test("a name with a comma or a quote is read by the proper reader", () => {
  const dir = scratch();
  const recorder = openRecorder(dir);
  const sizes = { rms: 1, max: 1, count: 1 };
  for (const step of [0, 1])
    recorder.layers(step, [
      { ...place, step, layer: 0, parameter: "plain", quantity: "parameter", l2: 3, ...sizes },
      { ...place, step, layer: 0, parameter: 'a,"b"', quantity: "parameter", l2: 4, ...sizes },
    ]);
  recorder.close();
  writeTables(dir);
  rmSync(join(dir, "events.jsonl"));
  expect(seriesIn(dir, "parameter", "table")).toEqual([["encoder", 0, [0, 1], [5, 5]]]);
});

test("what a run adds to its events is read on; events that were cut and go on otherwise are read anew", () => {
  const dir = scratch();
  const kept = keeping(1e7);
  const recordTo = (afterStep: number | undefined, steps: readonly number[], shift: number): void => {
    const recorder = openRecorder(dir, afterStep === undefined ? {} : { afterStep });
    for (const step of steps) {
      recorder.metrics([{ step, tokens: 1, seconds: step, split: "train", name: "loss", value: step + shift }]);
      recorder.layers(step, [
        { ...place, step, layer: 0, quantity: "activation", l2: step + shift, rms: 1, max: 1, count: 1 },
      ]);
    }
    recorder.close();
  };
  const now = (key: string): [number[], number[]] => [
    rowsOf(metricTable(dir, key, kept))["train,loss"]!.map(([, one]) => one),
    layerWindowOf("", layerTable(dir, key, kept), "activation", all, 100)!.values[0] as number[],
  ];
  recordTo(undefined, [0, 1, 2], 0);
  expect(now("a")).toEqual([
    [0, 1, 2],
    [0, 1, 2],
  ]);
  recordTo(2, [3], 0);
  expect(now("b")).toEqual([
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ]);
  // Half a line is not there yet.
  appendFileSync(join(dir, "events.jsonl"), '{"type":"metrics","rows":[[4,1,4,"train","lo');
  expect(now("c")).toEqual([
    [0, 1, 2, 3],
    [0, 1, 2, 3],
  ]);
  // Resumed from step 1, and longer than before.
  recordTo(0, [1, 2, 3, 4, 5, 6], 0.5);
  expect(now("d")).toEqual([
    [0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
    [0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
  ]);
  // Cut in place to a shorter file.
  const text = readFileSync(join(dir, "events.jsonl"), "utf8");
  writeFileSync(join(dir, "events.jsonl"), text.slice(0, text.indexOf('"rows":[[2,') - '{"type":"metrics",'.length));
  expect(now("e")).toEqual([
    [0, 1.5],
    [0, 1.5],
  ]);
});

test("a file that is overwritten in place by a longer one is read from its beginning", () => {
  const file = join(scratch(), "a.jsonl");
  const lines = (known?: ReturnType<typeof read>): ReturnType<typeof read> => read(known);
  const read = (known: Parameters<typeof follow<string[]>>[1]) =>
    follow<string[]>(
      file,
      known,
      () => [],
      (found, line) => void found.push(line.toString()),
    );
  writeFileSync(file, "one\ntwo\n");
  const first = lines();
  expect(first.value).toEqual(["one", "two"]);
  writeFileSync(file, "1st\n2nd\nthird\n");
  expect(lines(first).value).toEqual(["1st", "2nd", "third"]);
  // A line longer than a piece of the file.
  writeFileSync(file, `${"x".repeat(3_000_000)}\n\ny\nz`);
  expect(lines(first).value.map((line) => line.length)).toEqual([3_000_000, 0, 1]);
});

test("a curve keeps the smallest and the largest of every bin, what is not finite, and its ends", () => {
  const values = fc.array(
    fc.oneof(
      { weight: 20, arbitrary: fc.double({ min: -5, max: 5, noNaN: true }) },
      { weight: 1, arbitrary: fc.constantFrom(NaN, Infinity) },
    ),
    { minLength: 1, maxLength: 400 },
  );
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 40 }), fc.nat(100), (numbers, points, from) => {
      const dir = scratch();
      const recorder = openRecorder(dir);
      const steps = numbers.map((_, i) => 3 * i);
      recorder.metrics(
        numbers.map((one, i) => ({ step: steps[i]!, tokens: 1, seconds: 1, split: "train", name: "loss", value: one })),
      );
      recorder.close();
      const series = seriesOf(metricTable(dir, "", keeping(1e6)), "train", "loss")!;
      const curve = curveOf("run", series, { from, to: 900 }, points);
      const shown = readMetrics(dir).filter(({ step }) => step >= from && step <= 900);
      expect(curve.of).toBe(shown.length);
      expect(curve.steps.length).toBeLessThanOrEqual(3 * points + 2);
      expect([...curve.steps].sort((a, b) => a - b)).toEqual(curve.steps);
      expect([curve.steps[0], curve.steps.at(-1)]).toEqual([shown[0]?.step, shown.at(-1)?.step]);
      const known = new Map(shown.map((row) => [row.step, Number.isFinite(row.value) ? row.value : null]));
      for (const [i, step] of curve.steps.entries()) expect(curve.values[i]).toBe(known.get(step));
      const finite = shown.map((row) => row.value).filter(Number.isFinite);
      const kept = curve.values.filter((one) => one !== null);
      if (finite.length > 0)
        expect([Math.min(...kept), Math.max(...kept)]).toEqual([Math.min(...finite), Math.max(...finite)]);
      expect(curve.values.includes(null)).toBe(finite.length < shown.length);
      rmSync(dir, { recursive: true });
    }),
    { numRuns: 60 },
  );
});

test("a window of layers shows so many of its recorded steps, evenly chosen, the ends among them", () => {
  const dir = scratch();
  recordLayers(
    dir,
    Array.from({ length: 50 }, (_, i) => 2 * i),
  );
  const window = layerWindowOf("run", layerTable(dir, "", keeping(1e7)), "activation", { from: 11, to: 80 }, 5)!;
  expect([window.steps, window.of]).toEqual([[12, 30, 46, 64, 80], 35]);
  expect(window.stacks).toEqual([
    { stack: "encoder", layers: [1, 2, 3] },
    { stack: "decoder", layers: [1, 2, 3] },
  ]);
  expect(window.values).toHaveLength(6);
  expect(layerWindowOf("run", layerTable(dir, "", keeping(1e7)), "update", all, 5)).toBeUndefined();
});

test("what is kept stays within its bytes, and what was used last stays longest", () => {
  const kept = keeping(100);
  kept.set("a", 1, 40);
  kept.set("b", 2, 40);
  expect(kept.get("a")).toBe(1);
  kept.set("c", 3, 40);
  expect(["a", "b", "c"].map((name) => kept.get(name))).toEqual([1, undefined, 3]);
  kept.set("c", 4, 10);
  kept.set("d", 5, 50);
  expect(["a", "c", "d"].map((name) => kept.get(name))).toEqual([1, 4, 5]);
  kept.set("e", 6, 101);
  expect(["a", "e"].map((name) => kept.get(name))).toEqual([1, undefined]);
});
