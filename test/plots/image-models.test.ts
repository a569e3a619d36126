// Figures of VAEs and GANs: what they say, that they draw without a warning, and that others know which models are theirs.
import { decode } from "fast-png";
import type { TopLevelSpec } from "vega-lite";
import { expect, test } from "vitest";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { fitting, sizeOf } from "../../src/plots/image-views.ts";
import * as registry from "../../src/plots/index.ts";
import { layerSeries } from "../../src/plots/layer-series.ts";
import { pngOf, svgOf } from "../../src/plots/picture.ts";
import { unmet, type Plot } from "../../src/plots/plot.ts";
import { configurationsOf } from "../../src/plots/profile.ts";
import { members } from "../../src/registry.ts";
import { cropped } from "../../src/runs/samples.ts";
import { ganExperiment, picture, vaeExperiment } from "./image-models.ts";
import { syntheticExperiment } from "./synthetic.ts";

const plots = [...members<Plot>(registry).values()];
const vae = vaeExperiment();
const gan = ganExperiment();

const drawn = (data: ExperimentData): string[] => plots.filter((plot) => !unmet(plot, data)).map(({ name }) => name);

const only = (data: ExperimentData, count: number): ExperimentData => ({ ...data, runs: data.runs.slice(0, count) });

test("a VAE and a GAN get the figures that are of them, and no others", () => {
  const both = ["activation-gradient-by-layer", "gradient-by-layer", "gradient-heatmap", "samples-over-training"];
  expect(drawn(vae).sort()).toEqual(
    [
      ...both,
      "elbo",
      "kl-by-dimension",
      "latent-scatter",
      "latent-traversal",
      "likelihood-estimates",
      "loss-curves",
      "reconstructions",
    ].sort(),
  );
  expect(drawn(gan).sort()).toEqual([...both, "gan-gradients", "gan-losses", "gan-scores"].sort());
  expect(unmet(registry.lossCurves, gan)).toBe("it is of a transformer or a VAE");
  expect(unmet(registry.elbo, syntheticExperiment({ steps: 2 }))).toBe("it is of a VAE");
});

test("titles state what the rows say", () => {
  expect(registry.elbo.title(only(vae, 2))).toMatch(
    /^Dev ELBO at the end: -8\d\.\d nats an image \(reconstruction 8\d\.\d, KL 4\.9\)/,
  );
  // D(G(z)) is 0.8^step / 2, of which the mean over steps 36 to 39 is taken; the norm is 1.5 times that, between the seeds.
  expect(registry.ganGradients.title(gan)).toBe(
    "The generator's gradient norm at the end: loss minimax: 1.8·10⁻⁴ where D(G(z)) is 1.2·10⁻⁴; loss non-saturating: 3 where D(G(z)) is 0.3",
  );
  expect(registry.klByDimension.title(vae)).toBe(
    "Latent 2: 2 of 2 latent dimensions carry 7.0 nats an image; latent 10: 3 of 10 latent dimensions carry 9.0 nats an image",
  );
  expect(registry.likelihoodEstimates.title(vae)).toContain("latent 2: 0.4 nats at 100 samples; latent 10: 2.0 nats");
  expect(registry.samplesOverTraining.title(gan)).toBe("Images generated after 0, 1 and 2 epochs");
  expect(registry.lossCurves.title(vae)).toBe("learns at every latent");
});

/** Experiments at the edge of what sweeps leave. */
const edges: Record<string, ExperimentData> = {
  "VAEs of two configurations": vae,
  "GANs of two losses": gan,
  "one VAE": only({ ...vae, varied: [] }, 1),
  "one GAN": only({ ...gan, varied: [] }, 1),
  "GANs that diverged, or are under way": {
    ...gan,
    runs: gan.runs.map((run, i) => ({
      ...run,
      row: { ...run.row, status: i % 2 === 0 ? ("diverged" as const) : ("running" as const) },
    })),
  },
  "GANs whose scores are negative": {
    ...gan,
    runs: gan.runs.map((run) => ({
      ...run,
      metrics: run.metrics.map((row) => (row.name === "discriminator/fake" ? { ...row, value: -row.value } : row)),
    })),
  },
  "VAEs of many configurations": {
    ...vae,
    runs: Array.from({ length: 12 }, (_, i) => ({
      ...vae.runs[2]!,
      row: { ...vae.runs[2]!.row, config: { "model.latent": i + 1 } },
    })),
  },
};

const negative = edges["GANs whose scores are negative"]!;

test("D(G(z)) stands beside the gradient norms where it is a probability, on a logarithmic scale", () => {
  /** The panels by title, and the lines in that of D(G(z)), from the specification's rows. */
  const drawn = (data: ExperimentData) => {
    const { hconcat } = registry.ganGradients.spec(data) as unknown as {
      hconcat: { title: { text: string }; data: { values: { line: string }[] }; layer: object[] }[];
    };
    const panel = hconcat.find(({ title }) => title.text === "D(G(z))");
    return {
      panels: hconcat.map(({ title }) => title.text),
      lines: panel?.data.values.map(({ line }) => line),
      isLog: JSON.stringify(panel?.layer ?? []).includes('"type":"log"'),
    };
  };
  const panels = ["generator", "discriminator", "D(G(z))"];
  const [minimax, nonSaturating] = ["loss minimax", "loss non-saturating"];
  expect(drawn(gan)).toEqual({ panels, lines: [minimax, nonSaturating], isLog: true });
  // One seed of a configuration says that none of its seeds has probabilities.
  const oneCritic = { ...gan, runs: [negative.runs[0]!, ...gan.runs.slice(1)] };
  expect(drawn(oneCritic)).toEqual({ panels, lines: [nonSaturating], isLog: true });
  expect(registry.ganGradients.title(oneCritic)).toMatch(
    /minimax: .* where the score of G\(z\) is .* where D\(G\(z\)\) is 0\.3$/,
  );
  expect(drawn(negative).panels).toEqual(panels.slice(0, 2));
  // A run that diverged ends in NaN.
  const [first, ...rest] = gan.runs;
  const metrics = first!.metrics.map((row) =>
    row.step > 20 && row.name === "discriminator/fake" ? { ...row, value: NaN } : row,
  );
  expect(drawn({ ...gan, runs: [{ ...first!, metrics }, ...rest] }).lines).toEqual([minimax, nonSaturating]);
});

test.each(Object.entries(edges))("every figure draws %s without warnings", async (_name, edge) => {
  for (const plot of plots)
    if (unmet(plot, edge) === undefined) {
      expect(plot.title(edge), plot.name).not.toMatch(/NaN|undefined|Infinity/);
      expect(await svgOf(plot.name, plot.spec(edge)), plot.name).toContain("<svg");
    }
});

/** The pictures within a specification, decoded. */
const picturesIn = (spec: TopLevelSpec) =>
  [...JSON.stringify(spec).matchAll(/data:image\/png;base64,([A-Za-z0-9+/=]+)/g)].map(([, text]) =>
    decode(Buffer.from(text!, "base64")),
  );

test("grids of several epochs stand in one picture, in which the images can be seen", async () => {
  const one = only({ ...gan, varied: [] }, 1);
  const spec = registry.samplesOverTraining.spec(one);
  expect(picturesIn(spec).map(({ data }) => Buffer.from(data as Uint8Array))).toEqual(
    one.runs[0]!.samples!.map(({ png }) => Buffer.from(decode(png).data as Uint8Array)),
  );
  const svg = await svgOf("samples", spec);
  expect(svg.match(/<image /g)).toHaveLength(3);
  // Drawn in shades of grey: without the images a figure is black text on white.
  const { data, channels } = decode(pngOf(svg));
  const shades = new Set<number>();
  for (let i = 0; i < data.length; i += channels) shades.add(data[i]!);
  expect(shades.size).toBeGreaterThan(100);
});

test("of several seeds the lowest is shown, and the figure says so", () => {
  const text = JSON.stringify(registry.samplesOverTraining.spec(gan));
  expect(text).toContain("Of 2 seeds the lowest is shown (1).");
});

test("large grids are cut down to what a figure can hold", () => {
  const large = picture("generated", 0, { rows: 60, columns: 60 });
  const small = fitting(large, { rows: 10, columns: 10 });
  expect([small.rows, small.columns]).toEqual([10, 10]);
  const whole = decode(large.png);
  const part = decode(small.png);
  expect([part.width, part.height]).toEqual([62, 62]);
  for (let y = 0; y < part.height; y++)
    expect(part.data.subarray(y * 62, (y + 1) * 62)).toEqual(
      whole.data.subarray(y * whole.width, y * whole.width + 62),
    );
  expect(cropped(small, { rows: 20, columns: 20 })).toBe(small);
  const huge = picture("generated", 0, { rows: 1, columns: 1, height: 4, width: 4 });
  expect(sizeOf({ ...huge, rows: 1, columns: 100, height: 64, width: 64 }).width).toBe(420);
  expect(JSON.stringify(registry.samplesOverTraining.spec(gan)).length).toBeLessThan(500_000);
});

test("a GAN's own stacks bear their names, and the other's that its loss passes through both", () => {
  const stacksOf = (quantity: "parameter-gradient" | "activation-gradient"): string[] =>
    layerSeries(gan.runs[0]!, quantity).map(({ stack, layer }) => `${stack} ${layer}`);
  expect(stacksOf("parameter-gradient")).toEqual(["generator 0", "generator 1", "discriminator 0", "discriminator 1"]);
  expect(stacksOf("activation-gradient")).toEqual([
    "generator 0",
    "generator 1",
    "discriminator 0",
    "discriminator 1",
    "generator: discriminator 0",
    "generator: discriminator 1",
  ]);
});

test("dimensions of two depths are named by their stack", () => {
  const runs = gan.runs.map((run, i) => ({
    ...run,
    row: { ...run.row, config: { "model.depth.generator": 1 + i, "model.depth.discriminator": 2 } },
  }));
  const data = { ...gan, varied: ["model.depth.generator", "model.depth.discriminator"], runs };
  expect(JSON.stringify(registry.gradientByDepth.spec(data))).toContain("discriminator 2");
});

/** The runs of `data` again and again, each with one of `configs`. */
const listed = (
  data: ExperimentData,
  varied: string[],
  configs: ExperimentData["runs"][number]["row"]["config"][],
) => ({
  ...data,
  varied,
  runs: configs.map((config, i) => {
    const run = data.runs[i % data.runs.length]!;
    return { ...run, row: { ...run.row, config, seed: 1 } };
  }),
});

test("in a list a name tells where a configuration departs from most, and a title what its lines range over", () => {
  const losses = ["minimax", "non-saturating", "lsgan", "hinge"].map((loss) => ({
    "model.loss": loss,
    "model.spectralNorm": false,
  }));
  const configs = [...losses, { "model.loss": "hinge", "model.spectralNorm": true }];
  const data = listed(gan, ["model.loss", "model.spectralNorm"], configs);
  expect(configurationsOf(data).map(({ name }) => name)).toEqual([
    "loss minimax",
    "loss non-saturating",
    "loss lsgan",
    "loss hinge",
    "spectral norm true, loss hinge",
  ]);
  const { title } = registry.gradientByLayer;
  expect(title(data)).toContain("spectral norm false, 2 layers, range of 4 lines: generator");
  expect(title(data)).toContain("spectral norm true, 2 layers: generator");
});

test("a row's name that is longer than the row is high stands in lines", async () => {
  const configs = ["none", "exponential over steps"].map((averaging) => ({
    "model.loss": "hinge",
    "model.averaging": averaging,
  }));
  const data = listed(gan, ["model.loss", "model.averaging"], configs);
  const svg = await svgOf("gradient-by-layer", registry.gradientByLayer.spec(data));
  for (const line of ["averaging none", "averaging exponential", "over steps"]) expect(svg).toContain(`>${line}<`);
});

test("of more configurations than are drawn the others are named, and the title is of those drawn", () => {
  const configs = Array.from({ length: 10 }, (_, i) => ({ "model.latent": i + 1 }));
  const data = listed(vae, ["model.latent"], configs);
  const late = { ...data.runs[9]!, samples: [picture("generated", 200)] };
  const plot = registry.samplesOverTraining;
  const all = { ...data, runs: [...data.runs.slice(0, 9), late] };
  expect(JSON.stringify(plot.spec(all))).toContain("Of 10 configurations 8 are shown; left out: latent 9; latent 10.");
  expect(plot.title(all)).toBe("Images generated after 0 and 2 epochs");
});
