import { type Probe, readingRows } from "./probe.ts";

/** Share of the hidden units of every feed-forward branch that are above 0 at no position of the batch: with ReLU they pass
 *  neither signal nor gradient. With GELU it counts units that are never positive. */
export const deadUnits: Probe = {
  name: "dead-units",
  summary: "share of feed-forward units that are active nowhere in the batch",
  needs: [],
  reads: ["dead-units"],
  numbers: (view) => readingRows(view, "dead-units"),
};
