import { mean } from "../statistics.ts";
import type { ReadingQuantity, ReadingRow } from "../types.ts";
import { byLayer, type Probe, sumOver } from "./probe.ts";

/** The gradient noise scale tr(Sigma) / |G|^2 in targets, by layer and of the whole network: the batch size beyond which more data
 *  a step brings little. With g_k the gradients of K batches and B the harmonic mean of their targets,
 *  |G|^2 = (K |mean g_k|^2 - mean |g_k|^2) / (K - 1) (`noise-signal`) and
 *  tr(Sigma) = B K / (K - 1) (mean |g_k|^2 - |mean g_k|^2) (`noise-trace`), both without bias. Their quotient at one step is rough,
 *  and |G|^2 may come out below 0: average both over steps before dividing. McCandlish et al. 2018, appendix A.1, with a small
 *  batch of B and a large one of K B. */
export const noiseScale: Probe = {
  name: "noise-scale",
  summary: "gradient noise scale, in targets: the batch size beyond which more data a step brings little",
  needs: ["batches"],
  numbers({ step, player, sample }) {
    if (!sample) return [];
    const { batches: K, targets: B } = sample;
    return byLayer(sample.mean.keys()).flatMap(({ stack, layer, component, paths }) => {
      const ofMean = sumOver(paths, (path) => sample.mean.get(path)!.sumSquares);
      const meanOf = sumOver(paths, (path) => mean(sample.each.get(path)!.map(({ sumSquares }) => sumSquares)));
      const signal = (K * ofMean - meanOf) / (K - 1);
      const trace = ((B * K) / (K - 1)) * (meanOf - ofMean);
      const row = (quantity: ReadingQuantity, value: number): ReadingRow => {
        return { step, player, stack, layer, component, parameter: "", quantity, value };
      };
      return [row("noise-signal", signal), row("noise-trace", trace), row("noise-scale", trace / signal)];
    });
  },
};
