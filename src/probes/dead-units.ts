import { type Probe, readingRows } from "./probe.ts";

/** Share of the hidden units of every feed-forward branch, or plain layer, that are above 0 at no position of the batch: with ReLU
 *  they pass neither signal nor gradient. Other activations have no such units and leave no rows. */
export const deadUnits: Probe = {
  name: "dead-units",
  summary: "share of feed-forward units that are active nowhere in the batch",
  needs: [],
  reads: ["dead-units"],
  numbers: (view) => readingRows(view, "dead-units"),
};
