import { type Probe, readingRows } from "./probe.ts";

/** Share of every residual branch in what its sublayer writes: |x' - x'_0|^2 / (|x' - x'_0|^2 + |x'_0|^2), x'_0 the output with a
 *  branch of zeros; for x' = x + F it is |F|^2 / (|F|^2 + |x|^2). It holds for every scheme alike, since the scheme itself says
 *  what it makes of nothing. After Liu et al. 2020 (Admin), section 4, whose ratio of variances it is where nothing follows
 *  the sum. */
export const branchShare: Probe = {
  name: "branch-share",
  summary: "share of every residual branch in its sublayer's output, 0 to 1",
  needs: [],
  reads: ["branch-share"],
  numbers: (view) => readingRows(view, "branch-share"),
};
