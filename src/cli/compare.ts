// `fathom compare`: final values over seeds, one line a configuration; scores of translations, with what chance explains of their
// differences.

import type { TranslationComparison } from "../compare-translations.ts";
import { groupBy, spreadOf, type Spread } from "../statistics.ts";
import type { ExperimentRun } from "../runs/experiment.ts";
import type { RunRow } from "../types.ts";
import { exitCodes, findFolder, print, verb } from "./verb.ts";

/** The runs that differ by seed alone. */
export interface Comparison {
  readonly experiment: string;
  readonly config: RunRow["config"];
  /** Runs by status. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly finalTrainLoss: Spread;
  readonly finalDevLoss: Spread;
  readonly bestDevLoss: Spread;
  /** What became of grey values, where it is images that are modelled: likelihoods depend on it. */
  readonly binarization?: string;
  /** What was measured of the test images at the end, by name: `nll`, `parzen` ... */
  readonly finals: Readonly<Record<string, Spread>>;
}

export const compare = verb({
  usage: "compare <dirs..>",
  summary: "final values over seeds, with mean and spread; or BLEU and chrF of runs, with intervals and p-values",
  positionals: {
    dirs: {
      type: "string",
      array: true,
      demandOption: true,
      describe: "folders of experiments, or their names below --out; with --translations runs as well",
    },
  },
  options: {
    translations: {
      choices: ["test", "dev"] as const,
      requiresArg: true,
      describe:
        "compare what `fathom evaluate` has translated of this split with that of the first run: paired bootstrap resampling",
    },
  },
  examples: [
    ["fathom compare results/quickstart", "one line a configuration"],
    ["fathom compare results/a results/b", "two experiments in one table"],
    [
      "fathom compare results/a/runs/<id> results/b/runs/<id> --translations test",
      "is the second better than the first, or better by chance?",
    ],
  ],
  async run({ dirs, translations, out, quiet, json }) {
    const tables = await import("./table.ts");
    if (translations) {
      const { compareTranslations, runFolders } = await import("../compare-translations.ts");
      const comparison = compareTranslations(
        dirs.flatMap((dir) => runFolders(findFolder(dir, out))),
        translations,
      );
      print({ quiet, json }, comparison, () => translationText(comparison, tables));
      return exitCodes.done;
    }
    const { readExperiment } = await import("../runs/experiment.ts");
    const comparisons = dirs.flatMap((dir) => {
      const { name, runs } = readExperiment(findFolder(dir, out));
      return compareRuns(name, runs);
    });
    print({ quiet, json }, comparisons, () => text(comparisons, tables));
    return exitCodes.done;
  },
});

/** Groups runs that differ by seed alone. A diverged run has no final loss worth averaging: it is counted, not averaged. */
export function compareRuns(
  experiment: string,
  runs: readonly Pick<ExperimentRun, "row" | "config" | "finals">[],
): Comparison[] {
  const groups = groupBy(runs, ({ row }) => JSON.stringify(row.config));
  return [...groups.values()].map((members) => {
    const group = members.map(({ row }) => row);
    const ended = members.filter(({ row }) => row.status === "done");
    const done = ended.map(({ row }) => row);
    const { data } = members[0]!.config;
    const names = [...new Set(ended.flatMap(({ finals }) => Object.keys(finals)))];
    return {
      experiment,
      config: group[0]!.config,
      statuses: Object.fromEntries([...groupBy(group, (row) => row.status)].map(([s, r]) => [s, r.length])),
      finalTrainLoss: spreadOf(done.map((row) => row.finalTrainLoss)),
      finalDevLoss: spreadOf(done.map((row) => row.finalDevLoss)),
      bestDevLoss: spreadOf(done.map((row) => row.bestDevLoss)),
      ...("binarization" in data && { binarization: data.binarization }),
      finals: Object.fromEntries(names.map((name) => [name, spreadOf(ended.map(({ finals }) => finals[name] ?? NaN))])),
    };
  });
}

function translationText(
  { split, runs, scores, resamples, seed }: TranslationComparison,
  { table }: typeof import("./table.ts"),
): string {
  const signed = (value: number): string => `${value < 0 ? "" : "+"}${value.toFixed(2)}`;
  const rows = scores.map(({ direction, pairs, name, run, score, low, high, difference, pValue }) => [
    direction,
    pairs,
    name,
    run,
    score.toFixed(2),
    `${low.toFixed(2)} to ${high.toFixed(2)}`,
    difference === undefined ? "-" : signed(difference),
    pValue === undefined ? "-" : pValue.toFixed(4),
  ]);
  const head = ["direction", "pairs", "metric", "run", "score", "95 % interval", "difference", "p"];
  const signatures = [...new Set(scores.map(({ name, signature }) => `${name} ${signature}`))];
  return [
    table(head, rows),
    "",
    `${split} split; difference to ${runs[0]} and its p-value by paired bootstrap resampling (Koehn 2004; ${resamples} resamples, seed ${seed})`,
    ...signatures,
  ].join("\n");
}

/** The measured numbers that the table has room for, in this order; `--json` has all. */
const shownFinals = ["nll", "parzen", "frechet-distance", "modes", "active-units"];

function text(comparisons: readonly Comparison[], { figure, table }: typeof import("./table.ts")): string {
  const keys = [...new Set(comparisons.flatMap((c) => Object.keys(c.config)))];
  const finals = shownFinals.filter((name) => comparisons.some((c) => name in c.finals));
  const several = new Set(comparisons.map((c) => c.experiment)).size > 1;
  const spread = ({ mean, sd }: Spread): string =>
    Number.isNaN(sd) ? figure(mean) : `${figure(mean)} ± ${sd.toPrecision(2)}`;
  const rows = comparisons.map((c) => [
    ...(several ? [c.experiment] : []),
    ...keys.map((key) => String(c.config[key] ?? "-")),
    Object.entries(c.statuses)
      .map(([s, n]) => `${n} ${s}`)
      .join(", "),
    spread(c.finalTrainLoss),
    spread(c.finalDevLoss),
    spread(c.bestDevLoss),
    ...finals.map((name) => (c.finals[name] ? spread(c.finals[name]) : "-")),
  ]);
  const losses = ["train loss", "dev loss", "best dev loss"];
  const head = [
    ...(several ? ["experiment"] : []),
    ...keys,
    "runs",
    ...losses,
    ...finals.map((name) => `test ${name}`),
  ];
  const binarizations = [...new Set(comparisons.flatMap(({ binarization }) => binarization ?? []))];
  const note =
    "losses at the last step in nats, a target token or an image (a GAN has none); mean ± standard deviation over the seeds that are done" +
    (binarizations.length > 0 ? `\nbinarization of the images: ${binarizations.join(", ")}` : "");
  return `${table(head, rows)}\n\n${note}`;
}
