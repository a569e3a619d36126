import { refuseGrey } from "./binarised.ts";
import type { Metric, MetricContext, MetricValue } from "./metric.ts";
import { logMeans, ROWS } from "./monte-carlo.ts";
import { meanOver, viewOf } from "./view.ts";

/** The negative log-likelihood by importance sampling (Rezende et al. 2014; Burda et al. 2016):
 *  -log p(x) ~ -log 1/K sum_k p(x, z_k) / q(z_k|x), z_k ~ q(z|x), the mean over all images of the split and its standard error over
 *  them, nats an image. K is `importanceSamples`. In expectation it is an upper bound, which falls with K. Name: `nll`. A
 *  `UserError` where images are not binarised. */
export const importanceWeightedNll: Metric = {
  name: "importance-weighted-nll",
  summary: "negative log-likelihood by importance sampling (nats an image)",
  needs: ["weigh"],
  isLikelihood: true,
  async measure(context: MetricContext): Promise<MetricValue[]> {
    refuseGrey(importanceWeightedNll.name, context);
    const { count, evaluated } = context.examples(context.split);
    const [estimates] = await importanceEstimates(context, evaluated, count, [context.importanceSamples]);
    const nll = meanOver(
      "nll",
      estimates!.map((value) => -value),
    );
    return [{ ...nll, detail: `${context.importanceSamples} samples of z an image` }];
  },
};

/** log 1/K sum_k p(x, z_k) / q(z_k|x) of every image of `pixels` [count, P], for each K of `samples` (ascending), nats:
 *  [samples, count]. */
export function importanceEstimates(
  context: MetricContext,
  pixels: Float32Array,
  count: number,
  samples: readonly number[],
): Promise<Float64Array[]> {
  const { engine, parameters, seed } = context;
  const view = viewOf(context, "weigh");
  const group = Math.max(1, Math.floor(ROWS / samples.at(-1)!));
  return logMeans(context, { pixels, count, samples, group }, (images, k, step) => {
    const tensors = { images, samples: { dtype: "float32", shape: [k], data: new Float32Array(k) } as const };
    return engine.output(view, parameters, { tensors, tokens: images.shape[0]! }, { step, seed });
  });
}
