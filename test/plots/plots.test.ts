import { compile, type TopLevelSpec } from "vega-lite";
import { expect, test } from "vitest";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import * as registry from "../../src/plots/index.ts";
import { svgOf } from "../../src/plots/picture.ts";
import { unmet, type Plot } from "../../src/plots/plot.ts";
import { layerTicks, logAxis, power, times, wrapped } from "../../src/plots/style.ts";
import { members } from "../../src/registry.ts";
import { rampExperiment, syntheticExperiment } from "./synthetic.ts";

/** Figures of what the synthetic experiments record; those of readings and the like have tests of their own. */
const plots = [...members<Plot>(registry).values()].filter(
  (plot) => !unmet(plot, syntheticExperiment()) || !unmet(plot, rampExperiment()),
);
const named = plots.map((plot) => [plot.name, plot] as const);
const data = syntheticExperiment();

/** `data` where the plot can be drawn of it, else what the plot is for. */
const fitting = (plot: Plot, data: ExperimentData, other = rampExperiment()): ExperimentData =>
  unmet(plot, data) === undefined ? data : other;

/** Everything Vega-Lite has to complain of. */
function warningsOf(spec: TopLevelSpec): string[] {
  const warnings: string[] = [];
  const keep = (...parts: readonly unknown[]) => (warnings.push(parts.join(" ")), logger);
  const logger = { warn: keep, error: keep, info: () => logger, debug: () => logger, level: () => logger } as never;
  compile(spec, { logger });
  return warnings;
}

const rounded = (spec: TopLevelSpec): unknown =>
  JSON.parse(JSON.stringify(spec), (_key, value: unknown) =>
    typeof value === "number" ? Number(value.toPrecision(3)) : value,
  );

test.each(named)("%s of a small experiment is what it was", (_name, plot) => {
  const small = fitting(
    plot,
    syntheticExperiment({ depths: [1, 2], steps: 10 }),
    rampExperiment({ seeds: [1], steps: 40 }),
  );
  expect(plot.title(small)).toMatchSnapshot();
  expect(rounded(plot.spec(small))).toMatchSnapshot();
});

test.each(named)("%s compiles without a warning", (_name, plot) => {
  expect(warningsOf(plot.spec(fitting(plot, data)))).toEqual([]);
});

const tiny = syntheticExperiment({ depths: [2, 3], steps: 6 });
const ramps = rampExperiment();

/** Experiments at the edge of what sweeps leave. */
const edges: Record<string, ExperimentData> = {
  "a single run": { ...tiny, varied: [], runs: tiny.runs.slice(0, 1) },
  "a single layer": syntheticExperiment({ depths: [1], seeds: [1], steps: 1 }),
  "no finished run": {
    ...tiny,
    runs: tiny.runs.map((run) => ({ ...run, row: { ...run.row, status: "running" as const } })),
  },
  "nothing finite": {
    ...tiny,
    runs: tiny.runs.map((run) => ({ ...run, layers: run.layers.map((row) => ({ ...row, l2: NaN })) })),
  },
  "runs that wait": {
    ...tiny,
    runs: tiny.runs.map((run, i) =>
      i % 2 === 0 ? run : { row: { ...run.row, status: "pending" as const }, metrics: [], layers: [] },
    ),
  },
  "ramps that are not finished, or broke at once": {
    ...ramps,
    runs: ramps.runs.map((run, i) =>
      i % 2 === 0
        ? { ...run, row: { ...run.row, status: "running" as const } }
        : { ...run, row: { ...run.row, status: "diverged" as const }, metrics: run.metrics.slice(0, 2 * i) },
    ),
  },
  "ramps of which none is finished": {
    ...ramps,
    runs: ramps.runs.map((run) => ({ ...run, row: { ...run.row, status: "running" as const } })),
  },
  "a ramp from large to larger rates": {
    ...ramps,
    runs: ramps.runs.map((run) => ({
      ...run,
      metrics: run.metrics.map((row) => (row.name === "learning-rate" ? { ...row, value: row.value + 0.05 } : row)),
    })),
  },
  "seven schemes": syntheticExperiment({ schemes: "abcdefg".split(""), depths: [2, 3], seeds: [1], steps: 4 }),
};

test.each(Object.entries(edges))("every figure draws %s without warnings", async (_name, edge) => {
  for (const plot of plots)
    if (unmet(plot, edge) === undefined) {
      expect(plot.title(edge)).not.toMatch(/NaN|undefined|Infinity/);
      expect(await svgOf(plot.name, plot.spec(edge))).toContain("<svg");
    }
});

test("specifications of a deep and long experiment stay under 500 kB, and its largest picture under 2 MB", async () => {
  const deep = syntheticExperiment({ depths: [40, 150], seeds: [1], steps: 30 });
  for (const plot of plots) expect(JSON.stringify(plot.spec(deep)).length, plot.name).toBeLessThan(500_000);
  const { name, spec } = registry.gradientHeatmap;
  expect((await svgOf(name, spec(deep))).length).toBeLessThan(2_000_000);
});

test("titles state what the rows say", () => {
  expect(registry.gradientByLayer.title(data)).toMatch(
    /^Gradient norm of the first layer over the last, step 0 → at the end\. post-ln, 12 layers: encoder 0\.0\d+× → 0\.0\d+×, decoder 0\.0\d+× → 0\.0\d+×; pre-ln, 12 layers: encoder 1\.\d× → 1\.\d×/,
  );
  expect(registry.lossCurves.title(data)).toBe(
    "post-ln: learns at depth 2; learns in 1, diverged in 1 of 2 seeds at depth 6; at the unigram line at depth 12. pre-ln: learns at every depth",
  );
});

test("the title by depth takes middles as its lines do: one collapsed seed of two is seen", () => {
  const collapsed = {
    ...tiny,
    runs: tiny.runs.map((run) =>
      run.row.seed === 2 && run.row.config["model.depth"] === 3
        ? { ...run, layers: run.layers.map((row) => ({ ...row, l2: row.l2 * 1e-4 })) }
        : run,
    ),
  };
  const ratio = (experiment: ExperimentData): number =>
    Number(/post-ln encoder ([\d.]+)×/.exec(registry.gradientByDepth.title(experiment))![1]);
  // Half of the runs at the deeper end are 1e-4 of what they were, on the log scale two decades in the middle. The title
  // rounds to two digits, each way by at most 5 %.
  expect(ratio(collapsed) / ratio(tiny)).toBeGreaterThan(0.0089);
  expect(ratio(collapsed) / ratio(tiny)).toBeLessThan(0.0112);
});

test("layers count from 1 in figures, and the diverged run is drawn apart", () => {
  const { values } = registry.gradientByLayer.spec(data).data as { values: Record<string, unknown>[] };
  expect(values.map(({ layer }) => (layer as number[])[0])).toEqual(values.map(() => 1));
  const apart = values.filter(({ kind }) => kind === "diverged");
  expect(apart.map(({ panel, line, seed }) => [panel, line, seed])).toEqual([
    ["post-ln", "6", 2],
    ["post-ln", "6", 2],
  ]);
});

test("values a logarithmic axis cannot show are counted in the notes", () => {
  const spec = registry.gradientHeatmap.spec(data) as { title: { subtitle: string[] } };
  expect(spec.title.subtitle.join(" ")).toContain("Values not drawn: 1 non-finite.");
});

test("a figure whose rows are missing says which", () => {
  const bare = { ...data, runs: data.runs.map((run) => ({ ...run, layers: [] })) };
  expect(unmet(registry.updateRatio, bare)).toContain("no run has recorded update");
  expect(unmet(registry.lossCurves, bare)).toBeUndefined();
  expect(unmet(registry.gradientByDepth, syntheticExperiment({ depths: [2] }))).toContain("model.depth");
});

test("a logarithmic axis keeps what is far from the rest, cuts what a diverging run leaves, and counts it", () => {
  const axis = logAxis([1, 2, 3, 1e-7, 1e-30, 0, NaN, Infinity]);
  expect(axis.domain[0]).toBeLessThan(1e-7);
  expect(axis.domain[0]).toBeGreaterThan(1e-9);
  expect(axis.hidden).toEqual({ zero: 1, nonFinite: 2, beyond: 1 });
  expect(logAxis([]).domain).toEqual([0.1, 10]);
  const flat = logAxis([2, 2]);
  expect(flat.domain[1] / flat.domain[0]).toBeGreaterThanOrEqual(9.9);
});

test("numbers read as a person would write them", () => {
  expect([0.01, 1, 20, 1e-5, 2e6].map(power)).toEqual(["0.01", "1", "20", "10⁻⁵", "2·10⁶"]);
  expect([0.0312, 4.13, 123, 0, 1.26e-5, NaN].map(times)).toEqual([
    "0.031×",
    "4.1×",
    "120×",
    "0×",
    "1.3·10⁻⁵×",
    "not finite",
  ]);
  expect([2, 6, 12, 200].map(layerTicks)).toEqual([
    [1, 2],
    [1, 2, 3, 4, 5, 6],
    [1, 2, 4, 6, 8, 10, 12],
    [1, 50, 100, 150, 200],
  ]);
  expect(wrapped("one two three", 7)).toEqual(["one two", "three"]);
});

test("of runs that recorded one step alone the gradient by depth shows no end", () => {
  const data = syntheticExperiment();
  const once = {
    ...data,
    runs: data.runs.map((run) => ({ ...run, layers: run.layers.filter(({ step }) => step === 0) })),
  };
  const { values } = registry.gradientByDepth.spec(once).data as unknown as { values: { column: string }[] };
  expect(new Set(values.map(({ column }) => column))).toEqual(new Set(["encoder, step 0", "decoder, step 0"]));
});
