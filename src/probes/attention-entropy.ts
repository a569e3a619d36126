import { type Probe, readingRows } from "./probe.ts";

/** Mean entropy of every head's attention rows in parts of that of even attention, log n for n keys in sight: from 0 (one key) to 1
 *  (all alike), over batch and queries, padding among the queries included. Its collapse goes before divergence (Zhai et al.
 *  2023, sigma-reparam, section 3). */
export const attentionEntropy: Probe = {
  name: "attention-entropy",
  summary: "entropy of every head's attention rows, 1 for even attention; a collapse towards 0 goes before divergence",
  needs: [],
  reads: ["attention-entropy"],
  numbers: (view) => readingRows(view, "attention-entropy", true),
};
