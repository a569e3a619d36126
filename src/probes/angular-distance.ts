import { type Probe, readingRows } from "./probe.ts";

/** Angle between the residual stream as every layer reads it and as it leaves it, arccos(cos(x_l, x_{l+1})) / pi, averaged over all positions of
 *  the batch: near 0 a layer hardly turns what it is given. Gromov et al. 2024; Sun et al. 2025 (Curse of Depth), section 3. */
export const angularDistance: Probe = {
  name: "angular-distance",
  summary: "how far every layer turns the residual stream, in parts of pi; near 0 it does next to nothing",
  needs: [],
  reads: ["angular-distance"],
  numbers: (view) => readingRows(view, "angular-distance"),
};
