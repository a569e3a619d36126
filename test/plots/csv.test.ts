import { parse } from "csv-parse/sync";
import { expect, test } from "vitest";
import { csvOf, tableOf } from "../../src/plots/csv.ts";
import * as registry from "../../src/plots/index.ts";
import { layerSeries, valueAt } from "../../src/plots/layer-series.ts";
import { unmet, type Plot } from "../../src/plots/plot.ts";
import { median } from "../../src/statistics.ts";
import { rampExperiment, syntheticExperiment } from "./synthetic.ts";

const data = syntheticExperiment({ depths: [2, 3], seeds: [1, 2, 3], steps: 12 });
const rowsOf = (plot: Plot, of = data): Record<string, string>[] => parse(csvOf(plot.spec(of))!, { columns: true });

test("the numbers of a figure by layer are those of the runs' rows, in full", () => {
  const values = data.runs
    .filter(({ row }) => row.config["model.residual"] === "pre-ln" && row.config["model.depth"] === 3)
    .map((run) =>
      layerSeries(run, "activation-gradient").find(({ stack, layer }) => stack === "decoder" && layer === 1)!,
    )
    .map((series) => valueAt(series, "first"));
  const found = rowsOf(registry.activationGradientByLayer).filter(
    (row) =>
      row["scheme"] === "pre-ln" &&
      row["depth (layers a stack)"] === "3" &&
      row["stack and moment"] === "decoder, step 0" &&
      row["layer (1 = first)"] === "2",
  );
  expect(found).toHaveLength(1);
  const at = (what: string): number => Number(found[0]![`‖dL/dx‖ (nats/unit), ${what}`]);
  expect([at("smallest"), at("largest")]).toEqual([Math.min(...values), Math.max(...values)]);
  // The median goes through logarithms: it may differ in the last digit.
  expect(at("median") / median(values)).toBeCloseTo(1, 12);
  expect(Number.isFinite(at("median"))).toBe(true);
});

test("the losses of a figure are those recorded, dev and train apart", () => {
  const dev = rowsOf(registry.lossCurves).filter(
    (row) => row["scheme"] === "pre-ln" && row["depth (layers a stack)"] === "2" && row["split"] === "dev",
  );
  const recorded = data.runs
    .filter(({ row }) => row.config["model.residual"] === "pre-ln" && row.config["model.depth"] === 2)
    .map(({ metrics }) => metrics.find(({ split, name }) => split === "dev" && name === "loss")!.value);
  expect(dev.map((row) => row["step (optimizer updates)"])).toEqual(["9"]);
  expect(Number(dev[0]!["loss (nats a target token), median"])).toBe(median(recorded));
});

const all = Object.values<Plot>(registry).flatMap((plot) => {
  const fit = [data, syntheticExperiment(), rampExperiment()].find((one) => unmet(plot, one) === undefined);
  return fit ? [[plot.name, plot, fit] as const] : [];
});

test.each(all)("%s has a table with readable names, each once, and no placeholder rows", (_name, plot, fit) => {
  const { columns, rows } = tableOf(plot.spec(fit))!;
  expect(new Set(columns).size).toBe(columns.length);
  for (const name of columns) expect(name).not.toMatch(/^(value|low|high|x|y|line|column|panel)$|^_/);
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) {
    expect(row).toHaveLength(columns.length);
    expect(row.some((cell) => typeof cell === "number")).toBe(true);
  }
});

test("what is absent or not finite is empty, what needs quotes has them, and pictures have no table", () => {
  const spec = (values: object[]) =>
    ({
      data: { values },
      mark: "point",
      encoding: { x: { field: "x", title: "step", type: "quantitative" }, y: { field: "y", title: "a, b" } },
    }) as never;
  expect(csvOf(spec([{ x: 1, y: 0.1 + 0.2 }, { x: 2, y: NaN }, { x: 3 }, { x: 4, y: null }]))).toBe(
    'step,"a, b"\n1,0.30000000000000004\n2,\n3,\n4,\n',
  );
  expect(csvOf(spec([{ url: "data:image/png;base64,AA==" }]))).toBeUndefined();
});

test("several data sets stand below each other, a column says which; lists become rows", () => {
  const view = (title: string, y: string, values: object[]): object => ({
    title: { text: title },
    data: { values },
    transform: [{ flatten: ["step", "v"] }],
    mark: "line",
    encoding: { x: { field: "step", title: "step" }, y: { field: "v", title: y } },
  });
  const spec = {
    $schema: "x",
    title: { text: "whole" },
    hconcat: [view("left", "loss", [{ step: [0, 1], v: [5, 4] }]), view("right", "norm", [{ step: [0], v: [9] }])],
  };
  expect(csvOf(spec as never)).toBe("part of the figure,step,loss,norm\nleft,0,5,\nleft,1,4,\nright,0,,9\n");
});
