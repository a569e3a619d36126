// `fathom evaluate`: metrics of a trained model of images.

import { exitCodes, findFolder, print, verb } from "./verb.ts";

export const evaluate = verb({
  usage: "evaluate <run> [metrics..]",
  summary: "metrics of a trained VAE or GAN: likelihood, Parzen window, Fréchet distance ...",
  positionals: {
    run: { type: "string", demandOption: true, describe: "a run's folder, or its path below --out" },
    metrics: {
      type: "string",
      array: true,
      default: [] as string[],
      describe: "names from `fathom list metric`; those of the run's metrics.final if none is given",
    },
  },
  options: {
    split: { choices: ["test", "dev"] as const, default: "test" as const, describe: "whose images" },
    importanceSamples: {
      type: "number",
      requiresArg: true,
      describe: "samples of z an image; metrics.importanceSamples of the run if not given",
    },
    images: {
      type: "number",
      requiresArg: true,
      describe: "generated images that are compared with real ones; metrics.images of the run if not given",
    },
  },
  examples: [
    ["fathom evaluate results/vae-mnist/runs/<id>", "what its configuration measures at the end"],
    [
      "fathom evaluate results/vae-mnist/runs/<id> importance-weighted-nll --importance-samples 500",
      "a quicker estimate",
    ],
    ["fathom evaluate results/gan-mnist/runs/<id> parzen frechet-distance --json", "two metrics, for machines"],
  ],
  async run({ run, metrics, split, importanceSamples, images, out, quiet, json }) {
    const { UserError } = await import("../errors.ts");
    const { evaluateRun } = await import("../evaluate.ts");
    const { progressView } = await import("./progress.ts");
    const { interruption } = await import("./run-one.ts");
    const { table } = await import("./table.ts");
    const bounded = [
      ["importance-samples", importanceSamples, 1_000_000],
      ["images", images, 100_000],
    ] as const;
    for (const [name, value, most] of bounded)
      if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most))
        throw new UserError(`--${name}: expected a whole number from 1 to ${most}, got ${value}`);
    const view = progressView(quiet || json);
    const interrupt = interruption();
    const idle = { step: 0, steps: 1, loss: NaN, gradientNorm: NaN, stepsPerSecond: NaN, secondsLeft: NaN };
    try {
      const result = await evaluateRun(findFolder(run, out), {
        names: metrics,
        split,
        importanceSamples,
        images,
        signal: interrupt.signal,
        onProgress: (doing, share) =>
          view.update(doing, { ...idle, step: share, doing: `${Math.floor(100 * share)} %` }),
      });
      view.stop();
      const rows = result.evaluated.flatMap(({ values }) =>
        values.map(({ name, value, standardError, detail }) => [
          name,
          value.toPrecision(6),
          standardError === undefined ? "" : `+- ${standardError.toPrecision(2)}`,
          detail ?? "",
        ]),
      );
      print({ quiet, json }, result, () =>
        [
          `${result.runDir}, step ${result.step}, ${result.split} images, binarization ${result.binarization}`,
          table(["metric", "value", "standard error", "made with"], rows),
          `written to ${result.file}`,
        ].join("\n"),
      );
      return exitCodes.done;
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      console.error("interrupted; nothing was written");
      return exitCodes.interrupted;
    } finally {
      view.stop();
      interrupt.dispose();
    }
  },
});
