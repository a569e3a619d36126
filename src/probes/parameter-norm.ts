import { parameterRows, type Probe } from "./probe.ts";

/** ||theta_t|| of every parameter, before the update of step t. */
export const parameterNorm: Probe = {
  name: "parameter-norm",
  summary: "size of every parameter",
  needs: [],
  rows: (view) =>
    parameterRows(
      view,
      "parameter",
      Array.from(view.updates, ([path, { parameter }]) => [path, parameter] as const),
    ),
};
