// Reports of VAEs and GANs speak of images, name the binarisation, and hold the pictures.
import { expect, test } from "vitest";
import { limits } from "../../src/report/provenance.ts";
import { reportPage, type ReportInput } from "../../src/report/page.ts";
import { escapeHtml } from "../../src/report/html.ts";
import { schemesOf } from "../../src/report/scheme-summary.ts";
import type { ExperimentData } from "../../src/plots/experiment.ts";
import { ganExperiment, vaeExperiment } from "../plots/image-models.ts";
import { recordsOf } from "./records.ts";

const inputOf = (data: ExperimentData): ReportInput => ({
  data,
  records: recordsOf(data),
  configs: new Map(),
  source: undefined,
  folder: `results/${data.name}`,
  files: [],
});

/** What a reader sees: without programs and data, tags and runs of spaces. */
const textOf = (page: string): string =>
  page
    .slice(page.indexOf("<body>"))
    .replace(/<script[^>]*>[\s\S]*?<\/script>/g, "")
    .replace(/<[^>]+>/g, " ")
    .replace(/\s+/g, " ");

const vaePage = reportPage(inputOf(vaeExperiment()));
const ganPage = reportPage(inputOf(ganExperiment()));

test("a VAE's report gives likelihoods in nats an image, with spread, and how images were made binary", async () => {
  const text = textOf(await vaePage);
  // 100 - latent + seed over seeds 1 and 2.
  expect(text).toContain(
    "Test NLL, binarisation dynamic, 5000 samples of z an image: 99.50 ± 0.71 (2), 91.50 ± 0.71 (10).",
  );
  expect(text).toContain("Losses in nats an image;");
  expect(text).toContain("the loss of the best model without input, is 206.02");
  expect(text).toContain("NLL (test) ELBO (dev) KL (dev) active units (dev)");
  // The loss curves' caption alone explains both kinds of lines.
  expect(text).not.toMatch(/previous tokens|measure translation|nats a target token|above unigram/);
});

test("of a single seed the standard error over images stands beside a likelihood", async () => {
  const text = textOf(await reportPage(inputOf(vaeExperiment({ seeds: [1] }))));
  expect(text).toContain("99.00 ± 0.25 s.e. (2), 91.00 ± 0.25 s.e. (10)");
});

test("a GAN's report judges no loss: it shows both players and what was measured of the images", async () => {
  const text = textOf(await ganPage);
  expect(text).toContain("Test Parzen: 221.5 ± 0.7 (minimax), 221.5 ± 0.7 (non-saturating).");
  expect(text).toContain("Test modes: 1 ± 0 (minimax), 10 ± 0 (non-saturating).");
  expect(text).toMatch(/discriminator loss generator loss D\(x\) D\(G\(z\)\) outcome/);
  expect(text).not.toMatch(/unigram|Learns|206\.02|translation/);
  expect(limits(ganExperiment(), undefined).join(" ")).toContain("A GAN has no likelihood");
});

test("pictures stand in the page, which names only figures of its models as missing and stays small", async () => {
  for (const page of [await vaePage, await ganPage]) {
    const markup = page.replace(/<script[^>]*>[\s\S]*?<\/script>/g, "");
    expect(markup).toMatch(/<image [^>]*href="data:image\/png;base64,/);
    expect(Buffer.byteLength(page)).toBeLessThan(5_000_000);
    const missing = /Not drawn here: (.*?)<\/p>/s.exec(markup)?.[1] ?? "";
    expect(missing).not.toMatch(/it is of/);
  }
});

test("markup in names of configurations and classes stays text", async () => {
  const mark = `<img src=x onerror=alert(1)>`;
  for (const data of [vaeExperiment({ mark }), ganExperiment({ mark })]) {
    const page = await reportPage(inputOf(data));
    const markup = page.slice(page.indexOf("<body>")).replace(/<script[^>]*>[\s\S]*?<\/script>/g, "");
    expect(markup.includes(escapeHtml(mark))).toBe(true);
    expect(markup.includes("<img")).toBe(false);
  }
});

test("constants of a scheme are those of a GAN's stacks", () => {
  const data = ganExperiment({ seeds: [1] });
  const residual = {
    name: "deepnorm",
    equation: "x' = LN(alpha x + F(x))",
    paper: "A paper",
    year: 2022,
    finalNorm: false,
    warmupExpected: false,
    constants: { generator: { alpha: 1.25 }, discriminator: { alpha: 1.5 } },
  };
  const records = recordsOf(data).map((record) => ({ ...record, residual }));
  const [scheme] = schemesOf({ data, records, configs: new Map() });
  expect(scheme!.rows[0]!.constants).toEqual(["alpha 1.25 / 1.5"]);
});
