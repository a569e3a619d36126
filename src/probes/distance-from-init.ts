import { parameterRows, type Probe } from "./probe.ts";

/** ||theta_t - theta_0|| of every parameter, before the update of step t (Cockpit's Distance: Schneider et al. 2021). */
export const distanceFromInit: Probe = {
  name: "distance-from-init",
  summary: "how far every parameter has moved from where it started",
  needs: ["start"],
  rows: (view) => parameterRows(view, "distance-from-init", view.distances ?? []),
};
