import type { ExperimentData } from "./experiment.ts";
import { hasMetric, medianAt, metricPanels, perConfiguration } from "./metric-panels.ts";
import type { Plot } from "./plot.ts";

function title(data: ExperimentData): string {
  const text = perConfiguration(data, (configuration) => {
    const [elbo, reconstruction, kl] = ["elbo", "reconstruction", "kl"].map((name) =>
      medianAt(configuration, { name, split: "dev" }),
    ) as [number, number, number];
    return Number.isFinite(elbo)
      ? `${elbo.toFixed(1)} nats an image (reconstruction ${reconstruction.toFixed(1)}, KL ${kl.toFixed(1)})`
      : undefined;
  });
  return text === "" ? "The evidence lower bound and its two terms" : `Dev ELBO at the end: ${text}`;
}

/** The ELBO of a VAE and its two terms over training. */
export const elbo: Plot = {
  name: "elbo",
  summary: "reconstruction, KL term and ELBO of a VAE by epoch (nats an image)",
  title,
  caption:
    "ELBO = -reconstruction - KL, a lower bound of log p(x), in nats an image: sums over pixels, means over images, one sample of z each. The reconstruction term is what the image costs given z, the KL term what z costs. " +
    "Usually the reconstruction falls while the KL term rises: the model pays for latent dimensions that help. A KL term that stays near 0 is posterior collapse: the decoder ignores z. " +
    "With beta, free bits or a warm-up the loss is not -ELBO; what stands here is the ELBO all the same.",
  requires: [],
  of: ["vae"],
  lacks: (data) => (hasMetric(data, "elbo") ? undefined : "no run has recorded an ELBO (grey images have none)"),
  spec: (data) =>
    metricPanels(
      data,
      [
        { title: "reconstruction", name: "reconstruction", splits: ["train", "dev"], axisTitle: "nats an image" },
        { title: "KL term", name: "kl", splits: ["train", "dev"], axisTitle: "nats an image" },
        { title: "ELBO", name: "elbo", splits: ["train", "dev"], axisTitle: "nats an image" },
      ],
      { title: title(data) },
    ),
};
