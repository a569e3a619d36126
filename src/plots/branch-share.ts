import type { ExperimentData } from "./experiment.ts";
import { readingSeries } from "./layer-series.ts";
import type { Plot } from "./plot.ts";
import type { Measure } from "./profile.ts";
import { profileGrid, rangeSentence } from "./profile-grid.ts";

const measure: Measure = (run) => readingSeries(run, "branch-share");
const title = (data: ExperimentData): string => rangeSentence(data, measure, "Branch share");

/** Share of the residual branches in what their sublayers write, by layer. */
export const branchShare: Plot = {
  name: "branch-share",
  summary: "share of the residual branches in what their sublayers write, by layer",
  title,
  caption:
    "Each point is the share that residual branches have in the output of their sublayers, averaged over the sublayers of a layer: the part of |x′|² that does not lie along what the scheme makes of a branch of zeros, over one batch, padding included. " +
    "For x′ = x + F it is |F|² / (|F|² + |x|²) where the two are orthogonal, and a norm behind the sum changes nothing, so that schemes can be compared. 1/2 means that branch and stream weigh the same; near 0 a layer adds nothing that the network would notice. " +
    "In pre-LN the share falls with depth, since the stream grows; post-LN keeps it level.",
  requires: ["branch-share"],
  spec: (data) => profileGrid(data, measure, { title: title(data), axisTitle: "branch share", scale: "linear" }),
};
