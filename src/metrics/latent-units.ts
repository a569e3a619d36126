import type { Metric, MetricContext, MetricValue } from "./metric.ts";
import { outputOfRows, viewOf } from "./view.ts";

/** Variance over images above which the mean of a latent dimension says something of the image (Burda et al. 2016, section 4). */
const ACTIVE = 0.01;

/** Which dimensions of z carry anything: the number of active units, those with Var_x(E_q[z_d | x]) > 0.01 (Burda et al. 2016), and
 *  for each dimension KL(q(z_d | x) || N(0, 1)) = (s^2 + mu^2 - 1 - log s^2) / 2 in nats, the mean over all images of the split.
 *  Names: `active-units`, `kl/00` ... */
export const latentUnits: Metric = {
  name: "latent-units",
  summary: "dimensions of the latent variable in use, and the KL term of each (nats an image)",
  needs: ["encode"],
  async measure(context: MetricContext): Promise<MetricValue[]> {
    const { latent, split } = context;
    const { count, evaluated } = context.examples(split);
    const moments = await outputOfRows(context, viewOf(context, "encode"), "images", evaluated, count);
    const dimensions = latentDimensions(moments, { count, latent });
    const digits = Math.max(2, String(latent - 1).length);
    return [
      { name: "active-units", value: dimensions.filter(({ active }) => active).length },
      ...dimensions.map(({ kl }, d) => ({ name: `kl/${String(d).padStart(digits, "0")}`, value: kl })),
    ];
  },
};

/** A dimension of z over images: Var_x(E_q[z_d | x]), whether that makes it active, and its KL term in nats an image. */
export interface LatentDimension {
  readonly variance: number;
  readonly active: boolean;
  readonly kl: number;
}

/** Every dimension of z by the moments [count, 2 L] of q(z|x) for `count` images: means, then log-variances. */
export function latentDimensions(
  moments: Float32Array,
  { count, latent }: { readonly count: number; readonly latent: number },
): LatentDimension[] {
  return Array.from({ length: latent }, (_, d) => {
    let [sum, kl] = [0, 0];
    for (let row = 0; row < count; row++) {
      const mean = moments[row * 2 * latent + d]!;
      const logVariance = moments[row * 2 * latent + latent + d]!;
      sum += mean;
      kl += (Math.exp(logVariance) + mean * mean - 1 - logVariance) / 2;
    }
    let squares = 0;
    for (let row = 0; row < count; row++) squares += (moments[row * 2 * latent + d]! - sum / count) ** 2;
    const variance = squares / Math.max(1, count - 1);
    return { variance, active: variance > ACTIVE, kl: kl / count };
  });
}
