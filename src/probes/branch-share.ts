import { type Probe, readingRows } from "./probe.ts";

/** Share of every residual branch in what its sublayer writes: 1 - cos^2 between the sublayer's output and what the scheme makes of a
 *  branch of zeros. For x' = x + F with F orthogonal to x it is |F|^2 / (|F|^2 + |x|^2), and a norm behind the sum changes nothing,
 *  so that schemes can be compared. After Liu et al. 2020 (Admin), section 4, who follow the ratio of variances in the sum. */
export const branchShare: Probe = {
  name: "branch-share",
  summary: "share of every residual branch in its sublayer's output, 0 to 1",
  needs: [],
  reads: ["branch-share"],
  numbers: (view) => readingRows(view, "branch-share"),
};
