// `fathom evaluate`: metrics of a trained model of images, scores of a trained transformer.

import type { TranslationEvaluation } from "../evaluate-translation.ts";
import { exitCodes, findRun, print, verb } from "./verb.ts";

export const evaluate = verb({
  usage: "evaluate <run> [metrics..]",
  summary: "BLEU and chrF of a transformer; likelihood, Parzen window, Fréchet distance ... of a VAE or GAN",
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
    split: { choices: ["test", "dev"] as const, default: "test" as const, describe: "whose images or pairs" },
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
    beam: { type: "number", default: 5, requiresArg: true, describe: "of a transformer: hypotheses kept of a text" },
    lengthPenalty: {
      type: "number",
      default: 0.6,
      requiresArg: true,
      describe: "of a transformer: see `fathom translate`",
    },
    pairs: {
      type: "number",
      requiresArg: true,
      describe: "of a transformer: the first of each direction; all if not given",
    },
    step: {
      type: "number",
      requiresArg: true,
      describe:
        "of a transformer: its checkpoint; if not given, the average of the last ones where the run has made one (train.averageCheckpoints), else the best",
    },
  },
  examples: [
    ["fathom evaluate results/translate/runs/<id>", "the test split, translated and scored as sacreBLEU does"],
    ["fathom evaluate results/vae-mnist/runs/<id>", "what its configuration measures at the end"],
    [
      "fathom evaluate results/vae-mnist/runs/<id> importance-weighted-nll --importance-samples 500",
      "a quicker estimate",
    ],
    ["fathom evaluate results/gan-mnist/runs/<id> parzen frechet-distance --json", "two metrics, for machines"],
  ],
  async run({ run, metrics, split, importanceSamples, images, out, quiet, json, ...ofTranslation }) {
    const { UserError } = await import("../errors.ts");
    const { evaluateRun } = await import("../evaluate.ts");
    const { isKind } = await import("../config/schema.ts");
    const { readConfig } = await import("../runs/run-folder.ts");
    const { progressView } = await import("./progress.ts");
    const { interruption } = await import("./run-one.ts");
    const { table } = await import("./table.ts");
    const bounded = [
      ["importance-samples", importanceSamples, 1_000_000],
      ["images", images, 100_000],
      ["pairs", ofTranslation.pairs, 1_000_000],
    ] as const;
    for (const [name, value, most] of bounded)
      if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most))
        throw new UserError(`--${name}: expected a whole number from 1 to ${most}, got ${value}`);
    const runDir = findRun(run, out);
    const isTranslation = isKind(readConfig(runDir), "transformer");
    if (isTranslation && metrics.length > 0)
      throw new UserError(
        `expected no metrics for a transformer, whose scores are always the same, got ${metrics.join(", ")}`,
      );
    const view = progressView(quiet || json);
    const interrupt = interruption();
    const idle = { step: 0, steps: 1, loss: NaN, gradientNorm: NaN, stepsPerSecond: NaN, secondsLeft: NaN };
    const onProgress = (doing: string, share: number): void =>
      view.update(doing, { ...idle, step: share, doing: `${Math.floor(100 * share)} %` });
    const { signal } = interrupt;
    try {
      if (isTranslation) {
        const { evaluateTranslation } = await import("../evaluate-translation.ts");
        const result = await evaluateTranslation(runDir, { ...ofTranslation, split, signal, onProgress });
        view.stop();
        print({ quiet, json }, result, () => translationText(result, table));
        return exitCodes.done;
      }
      const result = await evaluateRun(runDir, {
        names: metrics,
        split,
        importanceSamples,
        images,
        signal,
        onProgress,
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

/** A row a direction; what the scores are called is said once. */
function translationText(
  { runDir, checkpoint, split, beam, lengthPenalty, scores, file, translations }: TranslationEvaluation,
  table: (head: readonly string[], rows: readonly (readonly string[])[]) => string,
): string {
  const names = [...new Set(scores.map(({ name }) => name))];
  const rows = [...new Set(scores.map(({ direction }) => direction))].map((direction) => {
    const of = scores.filter((score) => score.direction === direction);
    return [
      direction,
      String(of[0]!.pairs),
      ...names.map((name) => of.find((score) => score.name === name)!.value.toFixed(1)),
    ];
  });
  const signatures = names.map((name) => {
    const all = new Set(
      scores.filter((score) => score.name === name && score.signature).map(({ signature }) => signature),
    );
    return `${name}: ${[...all].join(" or ")}`;
  });
  return [
    `${runDir}, ${checkpoint}, ${split}, beam ${beam}, length penalty ${lengthPenalty}`,
    table(["direction", "pairs", ...names], rows),
    ...signatures,
    "all: the mean over directions; copy: the source, taken for a translation",
    `written to ${file}; the translations are in ${translations}`,
  ].join("\n");
}
