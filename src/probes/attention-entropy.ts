import { type Probe, readingRows } from "./probe.ts";

/** Mean entropy in nats of every head's attention rows, over batch and queries, padding included; from 0 (one key) to the log of
 *  the number of keys. Its collapse goes before divergence (Zhai et al. 2023, sigma-reparam, section 3). */
export const attentionEntropy: Probe = {
  name: "attention-entropy",
  summary: "mean entropy of every head's attention rows, nats; a collapse towards 0 goes before divergence",
  needs: [],
  reads: ["attention-entropy"],
  numbers: (view) => readingRows(view, "attention-entropy", true),
};
