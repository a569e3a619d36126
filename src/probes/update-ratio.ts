import { parameterNorm } from "./parameter-norm.ts";
import { parameterRows, type Probe } from "./probe.ts";

/** Rows `update` and `parameter` of every parameter; ||theta_{t+1} - theta_t|| / ||theta_t|| is their quotient, about
 *  1e-3 in a healthy run by a rule of thumb (Karpathy, CS231n notes). */
export const updateRatio: Probe = {
  name: "update-ratio",
  summary: "size of every parameter and of its last update; their ratio is about 1e-3 in a healthy run",
  needs: [],
  covers: ["parameter-norm"],
  rows: (view) => [
    ...parameterRows(
      view,
      "update",
      Array.from(view.updates, ([path, { update }]) => [path, update] as const),
    ),
    ...parameterNorm.rows!(view),
  ],
};
