import { appendFileSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { openRecorder, readEvents } from "../../src/runs/events.ts";
import { hasTables, readLayers, readMetrics, writeTables } from "../../src/runs/tables.ts";
import { layerRows, loss, scratch } from "./folder.ts";

function record(runDir: string, steps: readonly number[], options: { afterStep?: number } = {}): void {
  const recorder = openRecorder(runDir, options);
  for (const step of steps) {
    recorder.metrics([loss(step, 8 - step)]);
    recorder.layers(step, layerRows(step));
    if (step % 2 === 1) recorder.note({ step, checkpoint: step });
  }
  recorder.close();
}

const text = (runDir: string, name: string): string => readFileSync(join(runDir, name), "utf8");

test("the tables have exactly the contract's columns, and values come back with 9 digits", () => {
  const dir = scratch();
  record(dir, [0, 1]);
  writeTables(dir);
  expect(text(dir, "metrics.csv")).toBe(
    "step,tokens,seconds,split,name,value\n0,10,0,train,loss,8\n1,20,0.5,train,loss,7\n",
  );
  expect(text(dir, "layers.csv").split("\n").slice(0, 3)).toEqual([
    "step,player,stack,layer,component,parameter,quantity,l2,rms,max,count",
    "0,model,encoder,,feed-forward,inner/weight,parameter-gradient,0.333333333,0.0833333333,0.1,16",
    "0,model,encoder,1,feed-forward,inner/weight,parameter-gradient,1.33333333,0.333333333,0.1,16",
  ]);
  expect(hasTables(dir)).toBe(true);
});

test("rows read from the events and from the tables are the same", () => {
  const dir = scratch();
  record(dir, [0, 1, 2]);
  const ofLayer1 = () => readLayers(dir, (row) => row.layer === 1);
  const fromEvents = { metrics: readMetrics(dir), layers: readLayers(dir), layer1: ofLayer1() };
  expect(fromEvents.layers).toHaveLength(6);
  expect(fromEvents.layer1).toHaveLength(3);
  expect(fromEvents.metrics[2]).toEqual(loss(2, 6));
  writeTables(dir);
  rmSync(join(dir, "events.jsonl"));
  expect({ metrics: readMetrics(dir), layers: readLayers(dir), layer1: ofLayer1() }).toEqual(fromEvents);
});

test("NaN and the infinities survive events and tables", () => {
  const dir = scratch();
  const recorder = openRecorder(dir);
  recorder.metrics([loss(0, NaN), loss(1, Infinity), loss(2, -Infinity)]);
  recorder.layers(
    0,
    layerRows(0).map((row) => ({ ...row, l2: Infinity, max: NaN })),
  );
  recorder.close();
  expect(readMetrics(dir).map((m) => m.value)).toEqual([NaN, Infinity, -Infinity]);
  writeTables(dir);
  expect(readMetrics(dir).map((m) => m.value)).toEqual([NaN, Infinity, -Infinity]);
  expect(text(dir, "layers.csv")).toContain("parameter-gradient,Infinity,Infinity,NaN,16\n");
  expect(text(dir, "events.jsonl")).not.toContain("null");
});

test("identities are written once, and again when they change", () => {
  const dir = scratch();
  record(dir, [0, 1, 2]);
  const recorder = openRecorder(dir, { afterStep: 2 });
  recorder.layers(3, layerRows(3).slice(1));
  recorder.layers(4, layerRows(4));
  recorder.close();
  expect([...readEvents(dir, ["layer-header"])]).toHaveLength(2);
  expect(readLayers(dir).map((r) => r.step)).toEqual([0, 0, 1, 1, 2, 2, 3, 4, 4]);
});

test("a torn last line is left out", () => {
  const dir = scratch();
  record(dir, [0, 1]);
  const whole = text(dir, "events.jsonl");
  appendFileSync(join(dir, "events.jsonl"), '{"type":"metrics","rows":[[2,30,1,"tra');
  expect(readMetrics(dir)).toHaveLength(2);
  openRecorder(dir, { afterStep: 1 }).close();
  expect(text(dir, "events.jsonl")).toBe(whole);
});

test("a damaged line in the middle is an error that names the line", () => {
  const dir = scratch();
  record(dir, [0]);
  appendFileSync(join(dir, "events.jsonl"), '{"type":"metrics","rows":[[\n');
  expect(() => readMetrics(dir)).toThrow(/events\.jsonl:4: expected an event .* run it again/);
  expect(() => readMetrics(dir)).toThrow(UserError);
});

test.each([
  ["no event", "\0\0\0", /events\.jsonl:4: /],
  ["JSON but no event", "null", /events\.jsonl:4: /],
  ["an event without its parts", '{"type":"layers","step":1,"header":0}', /events\.jsonl:4: /],
  ["values of an unknown header", '{"type":"layers","step":1,"header":7,"values":[1,2]}', /values of step 1/],
])("%s is the user's error, named", (_name, line, message) => {
  const dir = scratch();
  record(dir, [0]);
  appendFileSync(join(dir, "events.jsonl"), `${line}\n`);
  expect(() => readLayers(dir)).toThrow(message);
  expect(() => readLayers(dir)).toThrow(UserError);
});

test.each([0, 1, 2, 3])(
  "interrupted after a checkpoint at step %i and resumed: the same bytes as uninterrupted",
  (checkpoint) => {
    const whole = scratch();
    record(whole, [0, 1, 2, 3, 4]);
    writeTables(whole);
    const resumed = scratch();
    record(resumed, [0, 1, 2, 3]); // killed at step 4, beyond the checkpoint
    appendFileSync(join(resumed, "events.jsonl"), '{"type":"layers","step":4,"hea');
    record(
      resumed,
      [0, 1, 2, 3, 4].filter((step) => step > checkpoint),
      { afterStep: checkpoint },
    );
    writeTables(resumed);
    for (const name of ["events.jsonl", "metrics.csv", "layers.csv"])
      expect(text(resumed, name)).toBe(text(whole, name));
  },
);

test("a run that starts over leaves nothing of the one before, tables included", () => {
  const dir = scratch();
  record(dir, [0, 1, 2]);
  writeTables(dir);
  openRecorder(dir).close();
  expect(text(dir, "events.jsonl")).toBe("");
  expect(existsSync(join(dir, "metrics.csv"))).toBe(false);
});

test("events larger than the reading buffer, with text beyond ASCII, come back whole", () => {
  const dir = scratch();
  const recorder = openRecorder(dir);
  const rows = Array.from({ length: 30_000 }, (_, i) => ({ ...layerRows(0)[0]!, parameter: `größe/${i}`, l2: i / 7 }));
  recorder.layers(0, rows);
  recorder.layers(1, rows);
  recorder.close();
  expect(text(dir, "events.jsonl").length).toBeGreaterThan(2 << 20);
  const back = readLayers(dir, (row) => row.parameter === "größe/29999");
  expect(back.map((r) => [r.step, r.l2])).toEqual([
    [0, 4285.57143],
    [1, 4285.57143],
  ]);
});
