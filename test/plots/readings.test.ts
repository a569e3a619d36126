// Figures of readings: numbers by layer that are no norms, on linear axes, and the noise scale over steps.
import { compile } from "vega-lite";
import { expect, test } from "vitest";
import { attentionEntropy } from "../../src/plots/attention-entropy.ts";
import { attentionLogit } from "../../src/plots/attention-logit.ts";
import { branchShare } from "../../src/plots/branch-share.ts";
import { expectedGradient } from "../../src/plots/expected-gradient.ts";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { gradientCoherence } from "../../src/plots/gradient-coherence.ts";
import { counts } from "../../src/plots/layer-series.ts";
import { summed } from "../../src/plots/load.ts";
import { noiseScale } from "../../src/plots/noise-scale.ts";
import { unmet } from "../../src/plots/plot.ts";
import type { LayerRow, ReadingQuantity, ReadingRow } from "../../src/types.ts";
import { syntheticExperiment } from "./synthetic.ts";

/** The synthetic experiment with readings: `value` of a place and step, times 1 plus a tenth of the seed. */
function withReadings(
  quantity: ReadingQuantity,
  places: readonly Pick<ReadingRow, "stack" | "layer" | "component" | "parameter">[],
  value: (place: Pick<ReadingRow, "stack" | "layer" | "component" | "parameter">, step: number) => number,
): ExperimentData {
  const data = syntheticExperiment({ schemes: ["pre-ln"], depths: [2], steps: 3 });
  return {
    ...data,
    runs: data.runs.map((run) => ({
      ...run,
      readings: [0, 1, 2].flatMap((step) =>
        places.map((place) => ({
          ...{ step, player: "model", ...place, quantity },
          value: value(place, step) * (1 + run.row.seed / 10),
        })),
      ),
    })),
  };
}

interface Drawn {
  readonly column: string;
  readonly kind: string;
  readonly layer: number[];
  readonly value: number[];
  readonly low: number[];
  readonly high: number[];
}
const rowsOf = (spec: unknown): Drawn[] =>
  (spec as { data: { values: Drawn[] } }).data.values.filter(({ kind }) => kind === "seeds");

const heads = (component: string) =>
  [0, 1].flatMap((layer) =>
    ["head-0", "head-1"].map((parameter) => ({ stack: "decoder", layer, component, parameter })),
  );

test("heads of a layer are averaged, sublayers stand apart, and seeds make median and band", () => {
  const places = [...heads("self-attention"), ...heads("cross-attention")];
  const data = withReadings("attention-entropy", places, ({ layer, component, parameter }, step) =>
    component === "self-attention" ? 1 + Number(layer) + (parameter === "head-1" ? 0.5 : 0) + step : 4,
  );
  expect(unmet(attentionEntropy, data)).toBeUndefined();
  const rows = rowsOf(attentionEntropy.spec(data));
  expect(rows.map(({ column }) => column).sort()).toEqual([
    "decoder cross-attention, at the end",
    "decoder cross-attention, step 0",
    "decoder self-attention, at the end",
    "decoder self-attention, step 0",
  ]);
  const [first] = rows.filter(({ column }) => column === "decoder self-attention, step 0");
  // Layer 1: heads 1 and 1.5, seeds times 1.1 and 1.2.
  expect(first!.layer).toEqual([1, 2]);
  expect(first!.value[0]).toBeCloseTo(1.25 * 1.15, 3);
  expect([first!.low[0], first!.high[0]]).toEqual([1.375, 1.5]);
  expect(attentionEntropy.title(data)).toContain("decoder cross-attention 4.6, decoder self-attention 3.7 to 4.9");
});

test("the largest logit of a layer is that of its largest head", () => {
  const data = withReadings("attention-logit", heads("self-attention"), ({ parameter }) =>
    parameter === "head-1" ? 7 : -3,
  );
  // 7 times 1.1, in binary.
  expect(rowsOf(attentionLogit.spec(data))[0]!.low).toEqual([7 * 1.1, 7 * 1.1]);
});

test("zero and negative readings are drawn, on an axis that holds them", () => {
  const layers = [0, 1].map((layer) => ({ stack: "encoder", layer, component: "layer", parameter: "" }));
  const cosines = withReadings("gradient-coherence", layers, ({ layer }) => (layer === 0 ? -0.2 : 0));
  const spec = gradientCoherence.spec(cosines);
  expect(rowsOf(spec)[0]!.low).toEqual([-0.24, 0]);
  const { spec: compiled } = compile(spec);
  const y = compiled.scales!.find(({ name }) => name === "y")!;
  expect(y.type).toBe("linear");
  const [low, high] = y.domain as [number, number];
  expect(low).toBeLessThan(-0.24);
  expect(high).toBeGreaterThan(0);
});

test("a figure of readings asks for the probe that leaves them", () => {
  expect(unmet(branchShare, syntheticExperiment({ depths: [2] }))).toContain("branch-share");
});

test("the noise scale averages trace and signal before it divides, and leaves out what comes out below 0", () => {
  const all = { stack: "all", layer: "" as const, component: "layer", parameter: "" };
  const traces = withReadings("noise-trace", [all], () => 100);
  const data = {
    ...traces,
    runs: traces.runs.map((run) => ({
      ...run,
      readings: [
        ...run.readings!,
        ...[-1, 5, 2].map((value, step) => ({
          ...{ step, player: "model", ...all, quantity: "noise-signal" as const },
          value,
        })),
        ...[0, 1, 2].map((step) => ({
          ...{ step, player: "model", ...all, quantity: "noise-scale" as const },
          value: NaN,
        })),
      ],
    })),
  };
  expect(unmet(noiseScale, data)).toBeUndefined();
  const points = (noiseScale.spec(data).data as unknown as { values: { step: number; low: number; high: number }[] })
    .values;
  // Signals -1, (-1 + 5) / 2 = 2, (-1 + 5 + 2) / 3 = 2; traces 110 and 120.
  expect(points.map(({ step, low, high }) => [step, low, high])).toEqual([
    [1, expect.closeTo(55, 9), 60],
    [2, expect.closeTo(55, 9), 60],
  ]);
  compile(noiseScale.spec(data));
});

test("norm of the mean and mean of the norms stand beside each other, of layers as wholes", () => {
  const data = syntheticExperiment({ schemes: ["pre-ln"], depths: [2], steps: 2 });
  const row = { step: 0, player: "model", stack: "encoder", rms: 1, max: 1, count: 9 };
  const layers = [0, 1].flatMap((layer): LayerRow[] => [
    { ...row, layer, component: "feed-forward", parameter: "in/weight", quantity: "expected-gradient", l2: 100 },
    { ...row, layer, component: "layer", parameter: "all", quantity: "expected-gradient", l2: 3 },
    { ...row, layer, component: "layer", parameter: "all", quantity: "mean-gradient-norm", l2: 4 + layer },
  ]);
  const kept = summed(layers.filter((one) => counts(one, one.quantity)));
  const measured = { ...data, runs: data.runs.map((run) => ({ ...run, layers: kept })) };
  expect(unmet(expectedGradient, measured)).toBeUndefined();
  const rows = rowsOf(expectedGradient.spec(measured));
  expect(rows.filter(({ column }) => column.endsWith("step 0")).map(({ column, value }) => [column, value])).toEqual([
    ["encoder, norm of the mean, step 0", [3, 3]],
    ["encoder, mean of norms, step 0", [4, 5]],
  ]);
});
