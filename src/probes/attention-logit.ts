import { type Probe, readingRows } from "./probe.ts";

/** Largest attention score q k / sqrt(K) of every head over the batch, before the softmax, masked pairs left out. Growth beyond
 *  some tens goes before divergence at large learning rates (Wortsman et al. 2023, section 3.1). */
export const attentionLogit: Probe = {
  name: "attention-logit",
  summary: "largest attention score of every head before the softmax; runaway growth goes before divergence",
  needs: [],
  reads: ["attention-logit"],
  numbers: (view) => readingRows(view, "attention-logit", true),
};
