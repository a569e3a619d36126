import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { singleRun } from "../../src/config/sweep.ts";
import { openRecorder } from "../../src/runs/events.ts";
import { lastMetrics, type LastMetrics } from "../../src/runs/last-metrics.ts";
import { createRunFolder, startRun } from "../../src/runs/run-folder.ts";
import { readMetrics, writeTables } from "../../src/runs/tables.ts";
import type { MetricRow } from "../../src/types.ts";
import { config, layerRows, loss, scratch } from "./folder.ts";

/** A run's folder with these metrics recorded, a call each. */
function recorded(...calls: readonly (readonly MetricRow[])[]): string {
  const run = singleRun(config(1));
  const runDir = createRunFolder(scratch(), run.id);
  startRun(runDir, run);
  const recorder = openRecorder(runDir);
  for (const rows of calls) recorder.metrics(rows);
  recorder.layers(0, layerRows(0));
  recorder.close();
  return runDir;
}

/** The same from all rows. */
function fromAll(rows: readonly MetricRow[]): LastMetrics {
  const losses = (split: string): number[] =>
    rows.filter((row) => row.split === split && row.name === "loss").map(({ value }) => value);
  const finite = losses("dev").filter(Number.isFinite);
  return {
    steps: (rows.findLast((row) => row.split === "train")?.step ?? -1) + 1,
    seconds: rows.at(-1)?.seconds ?? 0,
    trainLoss: losses("train").at(-1) ?? NaN,
    devLoss: losses("dev").at(-1) ?? NaN,
    bestDevLoss: finite.length > 0 ? Math.min(...finite) : NaN,
    finals: Object.fromEntries(
      rows.flatMap(({ split, name, value }) => (split === "test" && !name.includes("/") ? [[name, value]] : [])),
    ),
  };
}

const value = fc.oneof(fc.double({ noNaN: true }), fc.constantFrom(NaN, Infinity, -Infinity, 0, 5e-324));
const names = ["loss", "loss/en-de", "nll", "gradient-norm", 'quoted "name"', "with, comma"];
const row = fc.record({
  split: fc.constantFrom("train", "dev", "test"),
  name: fc.constantFrom(...names),
  value,
}) as fc.Arbitrary<Pick<MetricRow, "split" | "name" | "value">>;

test("of a finished run they are what all of its rows say", () => {
  fc.assert(
    fc.property(fc.array(row, { maxLength: 30 }), (rows) => {
      const metrics = rows.map((one, i) => ({ ...loss(i >> 1, 0), ...one }));
      const runDir = recorded(metrics);
      writeTables(runDir);
      expect(lastMetrics(runDir, "transformer")).toEqual(fromAll(readMetrics(runDir)));
    }),
    { numRuns: 25 },
  );
});

test("of a run that goes on they are what the end of its events says; the best dev loss is told at its end", () => {
  const runDir = recorded(
    [loss(0, 7, "dev")],
    [loss(0, 8), { ...loss(0, 1), name: "gradient-norm" }],
    [loss(1, 6.5, "dev"), { ...loss(1, 9, "dev"), name: "loss/en-de" }],
    [loss(1, NaN)],
  );
  const { bestDevLoss, ...last } = fromAll(readMetrics(runDir));
  expect(bestDevLoss).toBe(6.5);
  expect(lastMetrics(runDir, "transformer")).toEqual({ ...last, bestDevLoss: NaN });
  // A torn line is no event.
  const events = join(runDir, "events.jsonl");
  const text = readFileSync(events, "utf8");
  writeFileSync(events, text + '{"type":"metrics","rows":[[2,30,1.5,"dev","loss",5.2');
  expect(lastMetrics(runDir, "transformer").devLoss).toBe(6.5);
  rmSync(events);
  expect(lastMetrics(runDir, "transformer")).toMatchObject({ steps: 0, seconds: 0, trainLoss: NaN, devLoss: NaN });
});

test("a dev loss far before the end of the events is found", () => {
  const runDir = recorded([loss(0, 7, "dev")], [loss(0, 8)]);
  const recorder = openRecorder(runDir, { afterStep: 0 });
  for (let step = 1; step < 4; step++)
    recorder.note({ step, text: "as long as values of a deep model".repeat(2 ** 14) });
  recorder.metrics([loss(3, 6)]);
  recorder.close();
  expect(readFileSync(join(runDir, "events.jsonl")).length).toBeGreaterThan(2 ** 20);
  expect(lastMetrics(runDir, "transformer")).toMatchObject({ steps: 4, trainLoss: 6, devLoss: 7 });
});

test("rows of a finished run that do not count are not taken apart; one that counts and is damaged is named", () => {
  const runDir = recorded([loss(0, 8), loss(0, 7, "dev"), loss(1, 6), loss(1, 6.5, "dev"), loss(2, 5)]);
  writeTables(runDir);
  const file = join(runDir, "metrics.csv");
  const text = readFileSync(file, "utf8");
  const whole = lastMetrics(runDir, "transformer");
  writeFileSync(file, text.replace(/^1,.*train.*$/m, "nothing of a row"));
  expect(lastMetrics(runDir, "transformer")).toEqual(whole);
  writeFileSync(file, text.replace(/^1,(.*dev)/m, "x$1"));
  expect(() => lastMetrics(runDir, "transformer")).toThrow(
    `${file}: expected a table as the run wrote it, got the row x`,
  );
  writeFileSync(file, text.replace(/,[^,]*\n$/, ""));
  expect(() => lastMetrics(runDir, "transformer")).toThrow("metrics.csv: expected a table");
  writeFileSync(file, "step,value\n1,2\n");
  expect(() => lastMetrics(runDir, "transformer")).toThrow("got other columns");
});
