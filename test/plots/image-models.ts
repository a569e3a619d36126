// Invented experiments with VAEs and GANs: two configurations, two seeds, pictures of 4 x 4 pixels.

import { stream } from "../../src/random.ts";
import { gridPng, type SampleFacts, type SamplePicture } from "../../src/runs/samples.ts";
import type { LayerRow, MetricRow } from "../../src/types.ts";
import type { ExperimentData, RunData } from "../../src/plots/experiment.ts";

/** Steps of an epoch. */
const stepsPerEpoch = 20;

export interface ImageModelOptions {
  readonly seeds?: readonly number[];
  readonly steps?: number;
  /** Put before names of configurations: for tests of escaping. */
  readonly mark?: string;
}

const row = (
  status: RunData["row"]["status"],
  config: RunData["row"]["config"],
  seed: number,
  steps: number,
): RunData["row"] => ({
  id: `${Object.values(config).join("-")}_seed=${seed}`,
  status,
  seed,
  config,
  steps,
  seconds: 2,
  finalTrainLoss: NaN,
  finalDevLoss: NaN,
  bestDevLoss: NaN,
  unigramEntropy: 206.02,
  engine: "onnx",
  reason: "",
});

/** A picture of noise, the same for the same facts. */
export function picture(kind: SampleFacts["kind"], step: number, extra: Partial<SampleFacts> = {}): SamplePicture {
  const facts = { kind, step, epoch: step / stepsPerEpoch, rows: 3, columns: 3, height: 4, width: 4, ...extra };
  const count = facts.rows * facts.columns * 16;
  const images = stream(1, `${kind}/${step}`).uniform(new Float32Array(count));
  return { ...facts, png: gridPng({ ...facts, images }) };
}

const metric = (step: number, split: MetricRow["split"], name: string, value: number): MetricRow => ({
  step,
  tokens: step * 100,
  seconds: step * 0.01,
  split,
  name,
  value,
});

/** VAEs of 2 and 10 latent dimensions; three of the ten are active. */
export function vaeExperiment({ seeds = [1, 2], steps = 40, mark = "" }: ImageModelOptions = {}): ExperimentData {
  return {
    name: "vae",
    varied: ["model.latent"],
    runs: [2, 10].flatMap((latent) => seeds.map((seed) => vaeRun(latent, { seed, steps, mark }))),
  };
}

function vaeRun(latent: number, { seed, steps, mark }: { seed: number; steps: number; mark: string }): RunData {
  const active = Math.min(3, latent);
  const at = (step: number) => {
    const reconstruction = 80 + (480 - 8 * latent) * Math.exp((-8 * step) / steps) + seed;
    const kl = 2 * latent * (1 - Math.exp((-4 * step) / steps));
    return { loss: reconstruction + kl, elbo: -reconstruction - kl, reconstruction, kl };
  };
  const metrics = Array.from({ length: steps }, (_, step) => step).flatMap((step) => [
    ...Object.entries(at(step)).map(([name, value]) => metric(step, "train", name, value)),
    ...(step % 10 === 0 ? Object.entries(at(step)).map(([name, value]) => metric(step, "dev", name, value + 1)) : []),
  ]);
  const dimensions = Array.from({ length: latent }, (_, d) => (d < active ? 4 - d : 0.001));
  metrics.push(
    ...Object.entries(at(steps)).map(([name, value]) => metric(steps, "dev", name, value + 1)),
    ...dimensions.map((kl, d) => metric(steps, "dev", `kl/${String(d).padStart(2, "0")}`, kl)),
    metric(steps, "dev", "active-units", active),
    metric(steps, "test", "nll", 100 - latent + seed),
    metric(steps, "test", "nll/standard-error", 0.25),
    ...[1, 10, 100].flatMap((samples) => [
      metric(steps, "test", `naive-log-likelihood/${samples}`, -100 - (20 * latent) / samples),
      metric(steps, "test", `importance-log-likelihood/${samples}`, -100 - 1 / samples),
    ]),
  );
  const config = { "model.latent": mark === "" ? latent : `${mark}${latent}` };
  const points = stream(seed, "points").normal(new Float64Array(60));
  return {
    row: { ...row("done", config, seed, steps), finalDevLoss: at(steps).loss, finalTrainLoss: at(steps).loss },
    model: {
      kind: "vae",
      binarization: `${mark}dynamic`,
      measuredWith: { nll: "5000 samples of z an image" },
      stepsPerEpoch,
    },
    metrics,
    layers: layersOf("model", ["encoder", "decoder"], ["encoder", "decoder"], steps),
    samples: [
      picture("generated", 0),
      picture("generated", steps),
      picture("reconstructions", steps, { rows: 2 }),
      picture("traversal", steps, { dimensions: [1, 0, 2].slice(0, active), rows: active, range: [-3, 3] }),
      ...(latent === 2 ? [picture("manifold", steps, { range: [-3, 3] })] : []),
    ],
    latent:
      latent === 2
        ? Array.from({ length: 30 }, (_, i) => ({
            x: points[2 * i]!,
            y: points[2 * i + 1]!,
            label: `${mark}${i % 10}`,
          }))
        : [],
  };
}

/** GANs of two losses: of minimax the generator's gradient vanishes with D(G(z)), of the other it stays. */
export function ganExperiment({ seeds = [1, 2], steps = 40, mark = "" }: ImageModelOptions = {}): ExperimentData {
  return {
    name: "gan",
    varied: ["model.loss"],
    runs: ["minimax", "non-saturating"].flatMap((loss) => seeds.map((seed) => ganRun(loss, { seed, steps, mark }))),
  };
}

function ganRun(loss: string, { seed, steps, mark }: { seed: number; steps: number; mark: string }): RunData {
  const vanishes = loss === "minimax";
  const metrics = Array.from({ length: steps }, (_, step) => step).flatMap((step) => {
    const fake = vanishes ? 0.5 * 0.8 ** step : 0.3;
    return Object.entries({
      "discriminator/loss": 1.4 * 0.95 ** step,
      "discriminator/real": 1 - 0.5 * 0.9 ** step,
      "discriminator/fake": fake,
      "discriminator/gradient-norm": 1 + seed,
      "generator/loss": vanishes ? Math.log(1 - fake) : -Math.log(fake),
      "generator/fake": fake,
      "generator/gradient-norm": vanishes ? fake * seed : 3,
    }).map(([name, value]) => metric(step, "train", name, value));
  });
  metrics.push(
    ...Object.entries({ parzen: 220 + seed, "parzen/standard-error": 2, modes: vanishes ? 1 : 10 }).map(
      ([name, value]) => metric(steps, "test", name, value),
    ),
  );
  return {
    row: row("done", { "model.loss": `${mark}${loss}` }, seed, steps),
    model: { kind: "gan", binarization: "none", stepsPerEpoch },
    metrics,
    layers: [
      ...layersOf("discriminator", ["discriminator"], ["discriminator"], steps),
      // The generator's loss passes through the discriminator, whose parameters get no gradient of it.
      ...layersOf("generator", ["generator"], ["generator", "discriminator"], steps),
    ],
    samples: [picture("generated", 0), picture("generated", 20), picture("generated", steps)],
  };
}

/** Two layers a stack: gradients of parameters in some stacks, of the stream in others. */
function layersOf(player: string, owned: readonly string[], passed: readonly string[], steps: number): LayerRow[] {
  const rows: LayerRow[] = [];
  for (let step = 0; step < steps; step += 10)
    for (const layer of [0, 1]) {
      const base = { step, player, layer, rms: 0.1, max: 0.2, count: 100 };
      const l2 = 0.5 ** (1 - layer) * 0.9 ** step;
      for (const stack of owned)
        rows.push({ ...base, stack, component: "linear", parameter: "weight", quantity: "parameter-gradient", l2 });
      for (const stack of passed)
        rows.push({ ...base, stack, component: "layer", parameter: "stream", quantity: "activation-gradient", l2 });
    }
  return rows;
}
