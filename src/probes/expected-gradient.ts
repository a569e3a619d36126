import type { LayerRow, Moments, Quantity } from "../types.ts";
import { mean } from "../statistics.ts";
import { byLayer, type GradientSample, normColumns, parameterRows, type Probe, type StepView } from "./probe.ts";

/** Two numbers that papers take for each other: `expected-gradient`, the norm of the mean gradient of K batches at the same
 *  parameters, and `mean-gradient-norm`, the mean of the norms of the K gradients. The first estimates the norm of the expected
 *  gradient, which Xiong et al. 2020 plot (figure 3); the second holds the batches' noise as well and is larger. K is
 *  `probes.batches`; rms and max of the second are means over the batches too. One row a parameter, and one with the parameter
 *  `all` for all of a layer's together, since a mean of norms cannot be put together from its parts. */
export const expectedGradient: Probe = {
  name: "expected-gradient",
  summary: "norm of K batches' mean gradient beside the mean of their norms",
  needs: ["batches"],
  rows: (view) => (view.sample ? [...ofParameters(view, view.sample), ...ofLayers(view, view.sample)] : []),
};

const ofParameters = (view: StepView, { mean, each }: GradientSample): LayerRow[] => [
  ...parameterRows(view, "expected-gradient", mean),
  ...Array.from(each, ([path, moments]) => {
    const [row] = parameterRows(view, "mean-gradient-norm", [[path, moments[0]!]]);
    return { ...row!, ...meanColumns(moments) };
  }),
];

const ofLayers = ({ step, player }: StepView, { batches, mean, each }: GradientSample): LayerRow[] =>
  byLayer(mean.keys()).flatMap(({ stack, layer, component, paths }) => {
    if (stack === "all") return []; // no stack of layers.csv
    const row = (quantity: Quantity, columns: ReturnType<typeof normColumns>): LayerRow => {
      return { step, player, stack, layer, component, parameter: "all", quantity, ...columns };
    };
    const ofBatches = Array.from({ length: batches }, (_, k) => together(paths.map((path) => each.get(path)![k]!)));
    return [
      row("expected-gradient", normColumns(together(paths.map((path) => mean.get(path)!)))),
      row("mean-gradient-norm", meanColumns(ofBatches)),
    ];
  });

/** Moments of several tensors as of one. */
const together = (all: readonly Moments[]): Moments => ({
  sumSquares: all.reduce((sum, { sumSquares }) => sum + sumSquares, 0),
  max: all.reduce((largest, { max }) => (max <= largest ? largest : max), 0), // NaN stays
  count: all.reduce((sum, { count }) => sum + count, 0),
});

function meanColumns(each: readonly Moments[]): ReturnType<typeof normColumns> {
  const columns = each.map(normColumns);
  return {
    l2: mean(columns.map(({ l2 }) => l2)),
    rms: mean(columns.map(({ rms }) => rms)),
    max: mean(columns.map(({ max }) => max)),
    count: each[0]!.count,
  };
}
