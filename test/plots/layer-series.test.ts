import { expect, test } from "vitest";
import { layoutOf } from "../../src/plots/experiment.ts";
import { endCount, layerSeries, updateRatioSeries, valueAt } from "../../src/plots/layer-series.ts";
import { summed } from "../../src/plots/load.ts";
import { configurationsOf, firstOverLast } from "../../src/plots/profile.ts";
import { outcomeOf, outcomeWords, divergedStep } from "../../src/plots/verdict.ts";
import type { LayerRow, RunRow } from "../../src/types.ts";
import { syntheticExperiment } from "./synthetic.ts";

const row = (values: Partial<LayerRow>): LayerRow => ({
  step: 0,
  player: "model",
  stack: "encoder",
  layer: 0,
  component: "feed-forward",
  parameter: "inner/weight",
  quantity: "parameter-gradient",
  l2: 1,
  rms: 1,
  max: 1,
  count: 4,
  ...values,
});
const data = syntheticExperiment();
const run = { ...data.runs[0]!, layers: [] as LayerRow[] };

test("a layer's gradient is the root of the summed squares over its parameters", () => {
  const layers = [row({ l2: 3 }), row({ l2: 4, parameter: "outer/weight" }), row({ l2: 7, layer: 1 })];
  expect(layerSeries({ ...run, layers }, "parameter-gradient")).toEqual([
    { stack: "encoder", layer: 0, steps: [0], values: [5] },
    { stack: "encoder", layer: 1, steps: [0], values: [7] },
  ]);
});

test("embeddings stay apart from the layers, and branches from the residual stream", () => {
  const activation = { component: "layer", parameter: "stream", quantity: "activation-gradient" } as const;
  const layers = [
    row({ l2: 9, stack: "embedding", layer: "", component: "source" }),
    row({ ...activation, l2: 2 }),
    row({ ...activation, component: "feed-forward", l2: 50 }),
    row({ ...activation, parameter: "branch", l2: 60 }),
  ];
  expect(layerSeries({ ...run, layers }, "parameter-gradient")).toEqual([]);
  expect(layerSeries({ ...run, layers }, "parameter-gradient", false)).toEqual([
    { stack: "embedding", layer: -1, steps: [0], values: [9] },
  ]);
  expect(layerSeries({ ...run, layers }, "activation-gradient")[0]!.values).toEqual([2]);
});

test("stacks come in the order of the signal though rows come from the loss down, and steps in their own", () => {
  const layers = ["decoder", "encoder"].flatMap((stack) =>
    [1, 0].flatMap((layer) => [2, 1, 0].map((step) => row({ stack, layer, step, l2: step }))),
  );
  const series = layerSeries({ ...run, layers }, "parameter-gradient");
  expect(series.map(({ stack, layer }) => `${stack} ${layer}`)).toEqual([
    "encoder 0",
    "encoder 1",
    "decoder 0",
    "decoder 1",
  ]);
  expect(series[0]!.values).toEqual([0, 1, 2]);
});

test("two players' stacks of one name are told apart", () => {
  const layers = [row({ player: "generator", stack: "hidden" }), row({ player: "discriminator", stack: "hidden" })];
  const stacks = layerSeries({ ...run, layers }, "parameter-gradient").map(({ stack }) => stack);
  expect(stacks).toEqual(["generator: hidden", "discriminator: hidden"]);
});

test("the update ratio divides norms over the whole layer and skips steps without parameters", () => {
  const layers = [
    row({ quantity: "update", l2: 0.3 }),
    row({ quantity: "update", l2: 0.4, parameter: "bias" }),
    row({ quantity: "parameter", l2: 100 }),
    row({ quantity: "parameter", l2: 0, parameter: "bias" }),
    row({ quantity: "update", l2: 1, step: 1 }),
  ];
  expect(updateRatioSeries({ ...run, layers })).toEqual([{ stack: "encoder", layer: 0, steps: [0], values: [0.005] }]);
});

test("the end is the median of the last tenth, without non-finite values", () => {
  expect([1, 10, 40, 1000].map(endCount)).toEqual([1, 1, 4, 20]);
  const values = [...Array.from({ length: 36 }, () => 9), 1, NaN, 5, 3];
  const series = { stack: "encoder", layer: 0, steps: values.map((_, i) => i), values };
  expect(valueAt(series, "first")).toBe(9);
  expect(valueAt(series, "end")).toBe(4); // 9, 1, 5, 3
});

test("summing rows keeps every layer norm", () => {
  for (const quantity of ["parameter-gradient", "update", "parameter", "activation-gradient"] as const) {
    const whole = data.runs[0]!;
    const layers = summed(whole.layers.filter((r) => r.quantity !== "activation-gradient" || r.component === "layer"));
    expect(layerSeries({ ...whole, layers }, quantity)).toEqual(layerSeries(whole, quantity));
    expect(layers.length).toBeLessThan(whole.layers.length);
  }
});

test("the scheme names panels, depth names lines, numbers in order", () => {
  const layout = layoutOf({ ...data, runs: [...data.runs].reverse() });
  expect(layout.panels).toEqual(["pre-ln", "post-ln"]);
  expect(layout.lines).toEqual(["2", "6", "12"]);
  expect(layout.lineTitle).toBe("depth (layers a stack)");
});

test("encoder and decoder depth varied by a key each are one depth where they are equal, else two", () => {
  const split = (decoder: (depth: number) => number) => ({
    ...data,
    varied: ["model.depth.encoder", "model.depth.decoder"],
    runs: data.runs.map((one) => {
      const depth = Number(one.row.config["model.depth"]);
      const config = { "model.depth.encoder": depth, "model.depth.decoder": decoder(depth) };
      return { ...one, row: { ...one.row, config } };
    }),
  });
  expect(layoutOf(split((depth) => depth))).toMatchObject({
    lines: ["2", "6", "12"],
    lineTitle: "depth (layers a stack)",
  });
  expect(layoutOf(split(() => 2)).lines).toEqual(["2+2", "6+2", "12+2"]);
});

test("a third varied key makes panels of its own, so that no configurations pass for seeds", () => {
  const twice = [0.001, 0.01].flatMap((rate) =>
    data.runs.map((one) => ({
      ...one,
      row: { ...one.row, config: { ...one.row.config, "train.optimizer.learningRate": rate } },
    })),
  );
  const mixed = { ...data, varied: [...data.varied, "train.optimizer.learningRate"], runs: twice };
  expect(layoutOf(mixed).panels).toContain("pre-ln · learning rate 0.01");
  expect(configurationsOf(mixed).map(({ runs }) => runs.length)).toEqual(Array.from({ length: 12 }, () => 2));
});

test("first over last is the median over seeds, and the end knows finished runs alone", () => {
  const ratios = firstOverLast(data, (one) => layerSeries(one, "parameter-gradient"));
  const deep = ratios.find((r) => r.configuration.name === "post-ln, 12 layers" && r.stack === "encoder")!;
  expect(deep.layers).toBe(12);
  expect(deep.first).toBeGreaterThan(0.72 ** 11 / 2);
  expect(deep.first).toBeLessThan(0.72 ** 11 * 2);
  const lost = {
    ...data,
    runs: data.runs.map((one) => ({ ...one, row: { ...one.row, status: "diverged" as const } })),
  };
  expect(firstOverLast(lost, (one) => layerSeries(one, "parameter-gradient"))[0]!.end).toBeNaN();
});

test("first over last is infinite at a first step that overflowed, and not defined where no gradient arrives", () => {
  const first = (l2: number): number => {
    const runs = data.runs.map((one) => ({ ...one, layers: one.layers.map((row) => ({ ...row, l2 })) }));
    return firstOverLast({ ...data, runs }, (one) => layerSeries(one, "parameter-gradient"))[0]!.first;
  };
  expect([first(NaN), first(Infinity), first(0), first(2)]).toEqual([Infinity, Infinity, NaN, 1]);
});

test("outcomes follow the stated margin around the unigram entropy", () => {
  const of = (values: Partial<RunRow>) => outcomeOf({ ...data.runs[0]!.row, unigramEntropy: 5, ...values });
  expect(of({ finalDevLoss: 4.89 })).toBe("learns");
  expect(of({ finalDevLoss: 4.91 })).toBe("at the unigram line");
  expect(of({ finalDevLoss: 5.09 })).toBe("at the unigram line");
  expect(of({ finalDevLoss: 5.2 })).toBe("still above the unigram line");
  expect(of({ finalDevLoss: NaN, finalTrainLoss: 4 })).toBe("learns");
  expect(of({ status: "diverged" })).toBe("diverged");
  expect(of({ status: "running" })).toBe("unfinished");
  const six = data.runs.filter((one) => one.row.id.includes("post-ln_depth=6")).map((one) => one.row);
  expect(outcomeWords(six)).toBe("learns in 1, diverged in 1 of 2 seeds");
  expect(divergedStep(six[1]!)).toBe(20);
});
