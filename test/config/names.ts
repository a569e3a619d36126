// Names for tests that need no registry.

import type { Registries } from "../../src/config/schema.ts";

const named = (name: string) => ({ name, summary: `summary of ${name}` });

export const names: Registries = {
  residual: [
    { ...named("post-ln"), finalNorm: false },
    { ...named("pre-ln"), finalNorm: true },
  ],
  norms: [named("layer-norm"), named("rms-norm")],
  probes: [
    ...["activation-gradient", "activation-rms", "gradient-norm", "update-ratio"].map((name) => ({
      ...named(name),
      comparesBatches: false,
    })),
    { ...named("noise-scale"), comparesBatches: true },
  ],
  presets: [
    {
      ...named("light"),
      record: ["gradient-norm", "activation-gradient", "activation-rms", "update-ratio"],
      everySteps: 1,
    },
    { ...named("full"), record: ["gradient-norm", "noise-scale"], everySteps: 10 },
  ],
  corpora: [named("software-messages"), named("typescript-diagnostics")],
  readers: [named("moses"), named("tatoeba")],
  imageSets: [named("mnist")],
  metrics: ["latent-units", "importance-weighted-nll", "parzen", "frechet-distance", "class-histogram"].map(named),
};

/** The shortest valid experiment. */
export const minimal = `name: tiny
data:
  corpus: typescript-diagnostics
  directions: [en-de]
model:
  depth: 2
  width: 16
  heads: 2
  residual: pre-ln
train:
  steps: 20
`;
