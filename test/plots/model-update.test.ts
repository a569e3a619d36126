import { expect, test } from "vitest";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { summed } from "../../src/plots/load.ts";
import { modelUpdate } from "../../src/plots/model-update.ts";
import { unmet } from "../../src/plots/plot.ts";
import { syntheticExperiment } from "./synthetic.ts";

interface Drawn {
  readonly series: string;
  readonly column: string;
  readonly x: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly runs: number;
}
const drawn = (data: ExperimentData): Drawn[] => (modelUpdate.spec(data).data as unknown as { values: Drawn[] }).values;

/** `data` with the layer rows that `keep` names alone. */
const only = (data: ExperimentData, keep: (step: number) => boolean): ExperimentData => ({
  ...data,
  runs: data.runs.map((run) => ({ ...run, layers: run.layers.filter(({ step }) => keep(step)) })),
});

const data = syntheticExperiment({ steps: 33 });
const closeTo = (value: number): number => expect.closeTo(value, 12) as number;

test("the title gives every scheme's growth from the shallowest to the deepest network", () => {
  // 0.01 depth^2 against a constant, as the rows are made: (12 / 2)^2 = 36.
  expect(modelUpdate.title(data)).toBe(
    "From depth 2 to 12 the model update after 1 update becomes: post-ln 36×, pre-ln 1×",
  );
});

test("a point is the log-median of its seeds, its band their range, and step 0 is not drawn", () => {
  const [point] = drawn(data).filter(({ series, x }) => series === "post-ln" && x === 6);
  // 0.36 times 1.1 and 1.2.
  expect(point).toEqual({
    ...{ series: "post-ln", column: "after 1 update", x: 6, runs: 2 },
    // Through logarithms and products: the last digits may differ.
    ...{ value: closeTo(0.36 * Math.sqrt(1.1 * 1.2)), low: closeTo(0.396), high: closeTo(0.432) },
  });
  expect(new Set(drawn(data).map(({ column }) => column))).toEqual(new Set(["after 1 update", "after 32 updates"]));
});

test("a diverged run counts at the first update and not at the end", () => {
  const runs = drawn(data).flatMap(({ series, x, runs }) => (series === "post-ln" && x === 6 ? runs : []));
  expect(runs).toEqual([2, 1]);
});

test("runs that were probed at different steps share columns that say so", () => {
  const uneven = {
    ...data,
    runs: data.runs.map((run, i) => only({ ...data, runs: [run] }, (step) => step % (i % 2 ? 5 : 4) === 0).runs[0]!),
  };
  expect(new Set(drawn(uneven).map(({ column }) => column))).toEqual(
    new Set(["at the first probed step", "at the last probed step"]),
  );
});

test("where depth does not vary the axis is the number of updates", () => {
  const flat = syntheticExperiment({ depths: [2], steps: 5 });
  const schemes = { ...flat, varied: ["model.residual"] };
  expect(drawn(schemes).filter(({ series }) => series === "post-ln")).toMatchObject([
    { x: 1, value: closeTo(0.04 * Math.sqrt(1.1 * 1.2)), low: closeTo(0.044), high: closeTo(0.048) },
    { x: 2, value: closeTo(0.08 * Math.sqrt(1.1 * 1.2)) },
    { x: 3, value: closeTo(0.12 * Math.sqrt(1.1 * 1.2)) },
    { x: 4, value: closeTo(0.16 * Math.sqrt(1.1 * 1.2)) },
  ]);
  expect(modelUpdate.title(schemes)).toBe(
    "After 4 updates the network's output has moved by (rms): post-ln 0.18, pre-ln 0.092",
  );
});

test("the figure needs the output measured after an update", () => {
  expect(unmet(modelUpdate, data)).toBeUndefined();
  expect(
    unmet(
      modelUpdate,
      only(data, (step) => step === 0),
    ),
  ).toContain("model-update after an update");
  expect(
    unmet(
      modelUpdate,
      only(data, () => false),
    ),
  ).toContain("see probes");
});

test("adding up a layer's rows leaves the model update as it is", () => {
  const { layers } = data.runs[0]!;
  const of = (rows: typeof layers) => rows.filter(({ quantity }) => quantity === "model-update").map(({ rms }) => rms);
  const [before, after] = [of(layers), of(summed(layers))];
  expect(after).toHaveLength(33);
  after.forEach((rms, i) => expect(rms).toBeCloseTo(before[i]!, 12)); // a square and its root in float64
});
