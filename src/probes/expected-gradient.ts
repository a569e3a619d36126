import type { LayerRow, Moments } from "../types.ts";
import { mean } from "../statistics.ts";
import { normColumns, parameterRows, type Probe } from "./probe.ts";

/** Two numbers that papers take for each other: `expected-gradient`, the norm of the mean gradient of K batches at the same
 *  parameters, and `mean-gradient-norm`, the mean of the norms of the K gradients. The first estimates the norm of the expected
 *  gradient, which Xiong et al. 2020 plot (figure 3); the second holds the batches' noise as well and is larger. K is
 *  `probes.batches`; rms and max of the second are means over the batches too. */
export const expectedGradient: Probe = {
  name: "expected-gradient",
  summary: "norm of K batches' mean gradient beside the mean of their norms",
  needs: ["batches"],
  rows: (view) =>
    view.sample
      ? [
          ...parameterRows(view, "expected-gradient", view.sample.mean),
          ...Array.from(view.sample.each, ([path, each]): LayerRow => {
            const [row] = parameterRows(view, "mean-gradient-norm", [[path, each[0]!]]);
            return { ...row!, ...meanColumns(each) };
          }),
        ]
      : [],
};

function meanColumns(each: readonly Moments[]): Pick<LayerRow, "l2" | "rms" | "max"> {
  const columns = each.map(normColumns);
  return {
    l2: mean(columns.map(({ l2 }) => l2)),
    rms: mean(columns.map(({ rms }) => rms)),
    max: mean(columns.map(({ max }) => max)),
  };
}
