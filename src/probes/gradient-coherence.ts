import type { ReadingRow } from "../types.ts";
import { byLayer, type Probe, sumOver } from "./probe.ts";

/** Cosine between the gradients of two batches at the same parameters, by layer over all its parameters, and of the whole
 *  network: 1 where both say the same, 0 where they have nothing to do with each other. The batches are the step's own and the
 *  one after it. NaN where a gradient is 0. */
export const gradientCoherence: Probe = {
  name: "gradient-coherence",
  summary: "cosine between the gradients of two batches, layer by layer; near 0 noise has taken over",
  needs: ["batches"],
  numbers({ step, player, sample }) {
    if (!sample) return [];
    const { each, product } = sample;
    return byLayer(product.keys()).map(({ stack, layer, component, paths }): ReadingRow => {
      const squares = (batch: number): number => sumOver(paths, (path) => each.get(path)![batch]!.sumSquares);
      const value = sumOver(paths, (path) => product.get(path)!) / Math.sqrt(squares(0)) / Math.sqrt(squares(1));
      return { step, player, stack, layer, component, parameter: "", quantity: "gradient-coherence", value };
    });
  },
};
