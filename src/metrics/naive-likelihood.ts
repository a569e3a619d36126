import { stream } from "../random.ts";
import { refuseGrey } from "./binarised.ts";
import { importanceEstimates } from "./importance-weighted-nll.ts";
import type { Metric, MetricContext, MetricValue } from "./metric.ts";
import { logMeans } from "./monte-carlo.ts";
import { matrix, meanOver, viewOf } from "./view.ts";

/** Images at most. */
const IMAGES = 500;
/** Images that share samples of z: the decoder runs once for all of them. */
const GROUP = 50;

/** Question 2 of the seed: the naive Monte-Carlo estimate of the evidence, log p(x) ~ log 1/S sum_s p(x|z_s) with z_s ~ N(0, I), beside
 *  the importance-weighted one of as many samples, for S = 1, 10, 100 ... up to twice `importanceSamples`; means over at most 500
 *  images of the split and their standard errors over them, nats an image. In expectation both are lower bounds that rise to
 *  log p(x) with S (Jensen's inequality); the naive one needs a number of samples that grows exponentially with what x says of z.
 *  Images in groups of 50 share their z_s. Names: `naive-log-likelihood/1000`, `importance-log-likelihood/1000` ... A `UserError`
 *  where images are not binarised. */
export const naiveLikelihood: Metric = {
  name: "naive-likelihood",
  summary: "log-likelihood by naive Monte Carlo beside importance sampling, by number of samples (nats an image)",
  needs: ["likelihood", "weigh"],
  isLikelihood: true,
  async measure(context: MetricContext): Promise<MetricValue[]> {
    refuseGrey(naiveLikelihood.name, context);
    const { engine, parameters, latent, seed } = context;
    const { count, evaluated: pixels } = context.examples(context.split, IMAGES);
    const samples = powersOfTen(2 * context.importanceSamples);
    const view = viewOf(context, "likelihood");
    const prior = stream(seed, "metric/prior");
    // Progress is that of the importance weights, whose decoder runs fifty times as often.
    const quiet: MetricContext = { ...context, progress: () => {} };
    const naive = await logMeans(quiet, { pixels, count, samples, group: GROUP }, (images, k, call) => {
      const z = prior.normal(new Float32Array(k * latent), call);
      const tensors = { latent: matrix(z, k), images };
      return engine.output(view, parameters, { tensors, tokens: images.shape[0]! });
    });
    const weighted = await importanceEstimates(context, pixels, count, samples);
    const detail = `${count} images`;
    return samples.flatMap((s, i) => [
      { ...meanOver(`naive-log-likelihood/${s}`, naive[i]!), detail },
      { ...meanOver(`importance-log-likelihood/${s}`, weighted[i]!), detail },
    ]);
  },
};

/** 1, 10, 100 ... up to `limit`. */
const powersOfTen = (limit: number): number[] =>
  [1, 10, 100, 1000, 10_000, 100_000, 1_000_000].filter((power) => power <= limit);
