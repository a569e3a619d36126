// `fathom compare`: final values over seeds, one line a configuration, with what chance explains of their differences; scores of
// translations likewise.

import type { TranslationComparison } from "../compare-translations.ts";
import { UserError } from "../errors.ts";
import { holm, pairedDifference, type PairedDifference } from "../paired.ts";
import { extent, groupBy, spreadOf, type Spread } from "../statistics.ts";
import type { ExperimentRun } from "../runs/experiment.ts";
import type { RunRow } from "../types.ts";
import { unknownName } from "../registry.ts";
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
  /** Of the runs that are done, the fewest and the most steps that were trained; null where none is. */
  readonly steps: readonly [fewest: number, most: number] | null;
  /** Ids of the runs that diverged, which count in no mean. */
  readonly diverged: readonly string[];
}

/** A configuration, and its runs that are done. */
interface Group {
  readonly comparison: Comparison;
  readonly done: readonly Pick<ExperimentRun, "row" | "finals">[];
}

/** A configuration's metric less that of the baseline, over the seeds that both have. */
export interface Paired extends PairedDifference {
  readonly metric: string;
  /** Holm's correction of p over all comparisons. */
  readonly pCorrected: number;
}

export const compare = verb({
  usage: "compare <dirs..>",
  summary: "final values over seeds: mean, spread, paired tests; or BLEU and chrF of runs, with intervals and p-values",
  positionals: {
    dirs: {
      type: "string",
      array: true,
      demandOption: true,
      describe: "folders of experiments, or their names below --out; with --translations runs as well",
    },
  },
  options: {
    baseline: {
      type: "string",
      requiresArg: true,
      describe:
        "key=value[,key=value] of the configuration that the others are compared with, or, of several, each with the one that is like it in all else; the first if not given",
    },
    metric: {
      type: "string",
      requiresArg: true,
      describe:
        "what is compared: finalDevLoss, if not given, bestDevLoss, finalTrainLoss, or what was measured at the end",
    },
    translations: {
      choices: ["test", "dev"] as const,
      requiresArg: true,
      describe:
        "compare what `fathom evaluate` has translated of this split with that of the first run: paired bootstrap resampling",
    },
  },
  examples: [
    ["fathom compare results/quickstart", "one line a configuration, each compared with the first"],
    [
      "fathom compare results/quickstart --baseline model.residual=post-ln,model.depth=6",
      "each compared with that one",
    ],
    ["fathom compare results/quickstart --baseline model.residual=pre-ln", "at each depth, with pre-LN of that depth"],
    ["fathom compare results/a results/b", "two experiments in one table"],
    [
      "fathom compare results/a/runs/<id> results/b/runs/<id> --translations test",
      "is the second better than the first, or better by chance?",
    ],
  ],
  async run({ dirs, translations, baseline: wanted, metric = "finalDevLoss", out, quiet, json }) {
    const tables = await import("./table.ts");
    if (translations) {
      if (wanted !== undefined || metric !== "finalDevLoss")
        throw new UserError("--translations: expected without --baseline and --metric, which are of final values");
      const { compareTranslations, runFolders } = await import("../compare-translations.ts");
      const comparison = compareTranslations(
        dirs.flatMap((dir) => runFolders(findFolder(dir, out))),
        translations,
      );
      print({ quiet, json }, comparison, () => translationText(comparison, tables));
      return exitCodes.done;
    }
    const [{ readExperiment }, { codeNotes }] = await Promise.all([
      import("../runs/experiment.ts"),
      import("../runs/origin.ts"),
    ]);
    const experiments = dirs.map((dir) => readExperiment(findFolder(dir, out)));
    const groups = experiments.flatMap(({ name, runs }) => groupRuns(name, runs));
    const comparisons = groups.map(({ comparison }) => comparison);
    const { baselines, label } = baselinesOf(groups, wanted);
    const paired = compareWith(baselines, groups, metric);
    const made = experiments.flatMap(({ runs }) => runs.flatMap(({ madeWith }) => madeWith ?? []));
    print(
      { quiet, json },
      comparisons.map((comparison, i) => ({ ...comparison, paired: paired[i] ?? null })),
      () =>
        [text(comparisons, tables), ...pairedText(comparisons, label, paired, tables), ...codeNotes(made)].join("\n"),
    );
    return exitCodes.done;
  },
});

/** Final values of the configurations of an experiment, the runs of which differ by seed alone. A diverged run has no final loss worth
 *  averaging: it is counted, not averaged. */
export const compareRuns = (
  experiment: string,
  runs: readonly Pick<ExperimentRun, "row" | "config" | "finals">[],
): Comparison[] => groupRuns(experiment, runs).map(({ comparison }) => comparison);

function groupRuns(experiment: string, runs: readonly Pick<ExperimentRun, "row" | "config" | "finals">[]): Group[] {
  const groups = groupBy(runs, ({ row }) => JSON.stringify(row.config));
  return [...groups.values()].map((members) => {
    const group = members.map(({ row }) => row);
    const ended = members.filter(({ row }) => row.status === "done");
    const done = ended.map(({ row }) => row);
    const { data } = members[0]!.config;
    const names = [...new Set(ended.flatMap(({ finals }) => Object.keys(finals)))];
    const comparison: Comparison = {
      experiment,
      config: group[0]!.config,
      statuses: Object.fromEntries([...groupBy(group, (row) => row.status)].map(([s, r]) => [s, r.length])),
      finalTrainLoss: spreadOf(done.map((row) => row.finalTrainLoss)),
      finalDevLoss: spreadOf(done.map((row) => row.finalDevLoss)),
      bestDevLoss: spreadOf(done.map((row) => row.bestDevLoss)),
      ...("binarization" in data && { binarization: data.binarization }),
      finals: Object.fromEntries(names.map((name) => [name, spreadOf(ended.map(({ finals }) => finals[name] ?? NaN))])),
      steps: done.length > 0 ? extent(done.map((row) => row.steps)) : null,
      diverged: group.filter((row) => row.status === "diverged").map((row) => row.id),
    };
    return { comparison, done: ended };
  });
}

/** With which configuration each is compared. */
interface Baselines {
  readonly baselines: ReadonlyMap<Group, Group>;
  /** Which ones these are. */
  readonly label: string;
}

/** The baselines that have the values of `key=value[,key=value]`; `experiment` is a key, too. Of one all others are compared with it, of several
 *  each with the one that has the same values of all other keys: schemes with a scheme at each depth. The first configuration without
 *  `wanted`. A `UserError` that lists the configurations where none has the values, or several of which no other is alike. */
function baselinesOf(groups: readonly Group[], wanted: string | undefined): Baselines {
  const all = groups.map(({ comparison }) => comparison);
  const single = (baseline: Group): Baselines => ({
    baselines: new Map(groups.filter((group) => group !== baseline).map((group) => [group, baseline])),
    label: labelOf(baseline.comparison, all),
  });
  if (wanted === undefined) return groups[0] ? single(groups[0]) : { baselines: new Map(), label: "" };
  const pairs = wanted
    .split(/,(?=[\w.-]+=)/)
    .map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
  const has = ({ comparison: { experiment, config } }: Group, [key, value]: readonly string[]): boolean => {
    const own = key === "experiment" ? experiment : config[key!];
    return own !== undefined && (String(own) === value || (typeof own === "number" && own === Number(value)));
  };
  const found = groups.filter((group) => pairs.every((pair) => has(group, pair)));
  if (found.length === 1) return single(found[0]!);
  const named = new Set(pairs.map(([key]) => key));
  const rest = ({ comparison: { experiment, config } }: Group): string =>
    JSON.stringify(Object.entries({ experiment, ...config }).filter(([key]) => !named.has(key)));
  const byRest = new Map(found.map((group) => [rest(group), group]));
  const baselines = new Map(
    groups.flatMap((group) => {
      const baseline = byRest.get(rest(group));
      return baseline && !found.includes(group) ? [[group, baseline] as const] : [];
    }),
  );
  if (baselines.size > 0) return { baselines, label: `${wanted} with the same values of all other keys` };
  const listed = (found.length > 0 ? found : groups).map((group) => `\n  ${labelOf(group.comparison, all)}`);
  const more = listed.length - mostListed;
  throw new UserError(
    `--baseline ${wanted}: expected key=value[,key=value] of one configuration, got ${found.length > 0 ? `that of ${found.length}, like which no other is in all else` : "none"}; ` +
      `choose among:${listed.slice(0, mostListed).join("")}${more > 0 ? `\n  and ${more} more` : ""}`,
  );
}

/** Names in a message or note at most. */
const mostListed = 20;

/** `model.residual=pre-ln,model.depth=6`, as --baseline takes it. */
function labelOf({ experiment, config }: Comparison, groups: readonly Comparison[]): string {
  const several = new Set(groups.map((group) => group.experiment)).size > 1;
  const values = Object.entries(config).map(([key, value]) => `${key}=${value}`);
  return [...(several || values.length === 0 ? [`experiment=${experiment}`] : []), ...values].join(",");
}

const rowMetrics = ["finalDevLoss", "bestDevLoss", "finalTrainLoss"] as const satisfies (keyof RunRow)[];

/** Each configuration's `metric` less its baseline's, in their order; undefined where it has none. A `UserError` where no run has such a
 *  metric. */
function compareWith(
  baselines: Baselines["baselines"],
  groups: readonly Group[],
  metric: string,
): (Paired | undefined)[] {
  if (groups.length === 0) return [];
  const rowMetric = rowMetrics.find((name) => name === metric);
  const measured = new Set(groups.flatMap(({ comparison }) => Object.keys(comparison.finals)));
  if (!rowMetric && !measured.has(metric))
    throw new UserError(`--metric: ${unknownName("metric", metric, [...rowMetrics, ...measured])}`);
  const bySeed = ({ done }: Group): Map<number, number> => {
    const values = done.map(
      ({ row, finals }) => [row.seed, rowMetric ? row[rowMetric] : (finals[metric] ?? NaN)] as const,
    );
    return new Map(values.filter(([, value]) => Number.isFinite(value)));
  };
  const tested = [...baselines].map(([group, baseline]) => {
    const base = bySeed(baseline);
    const differences = [...bySeed(group)].flatMap(([seed, value]) =>
      base.has(seed) ? [value - base.get(seed)!] : [],
    );
    return { group, ...pairedDifference(differences) };
  });
  const corrected = holm(tested.map(({ p }) => p));
  const paired = new Map(
    tested.map(({ group, ...test }, i) => [group, { metric, ...test, pCorrected: corrected[i]! }]),
  );
  return groups.map((group) => paired.get(group));
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
  const finals = shownFinals.filter((name) => comparisons.some((c) => name in c.finals));
  const { head, cells } = identity(comparisons);
  const spread = (value: Spread): string => spreadText(value, figure);
  const ends = extent(comparisons.flatMap(({ steps }) => steps ?? []));
  const differ = ends[0] < ends[1];
  const rows = comparisons.map((c) => [
    ...cells(c),
    Object.entries(c.statuses)
      .map(([s, n]) => `${n} ${s}`)
      .join(", "),
    ...(differ ? [c.steps ? [...new Set(c.steps)].join(" to ") : "-"] : []),
    spread(c.finalTrainLoss),
    spread(c.finalDevLoss),
    spread(c.bestDevLoss),
    ...finals.map((name) => (c.finals[name] ? spread(c.finals[name]) : "-")),
  ]);
  const losses = ["train loss", "dev loss", "best dev loss"];
  const binarizations = [...new Set(comparisons.flatMap(({ binarization }) => binarization ?? []))];
  const early = comparisons.filter(({ steps }) => steps && steps[0] < ends[1]).length;
  const diverged = comparisons.flatMap((c) => c.diverged);
  const notes = [
    "losses at the last step in nats, a target token or an image (a GAN has none); mean ± standard deviation over the seeds that are done",
    ...(binarizations.length > 0 ? [`binarization of the images: ${binarizations.join(", ")}`] : []),
    ...(differ
      ? [
          `runs ended at different steps, ${early} of ${comparisons.length} configurations before step ${ends[1]}: their losses are not comparable`,
        ]
      : []),
    ...(diverged.length > 0 ? [`diverged, and in no mean: ${listText(diverged)}`] : []),
  ];
  const titles = [...head, "runs", ...(differ ? ["steps"] : []), ...losses, ...finals.map((name) => `test ${name}`)];
  return `${table(titles, rows)}\n\n${notes.join("\n")}`;
}

/** The columns that name a configuration. */
function identity(comparisons: readonly Comparison[]): { head: string[]; cells: (of: Comparison) => string[] } {
  const keys = [...new Set(comparisons.flatMap((c) => Object.keys(c.config)))];
  const several = new Set(comparisons.map((c) => c.experiment)).size > 1;
  return {
    head: [...(several ? ["experiment"] : []), ...keys],
    cells: (c) => [...(several ? [c.experiment] : []), ...keys.map((key) => String(c.config[key] ?? "-"))],
  };
}

/** `5.022 ± 0.042`, or the mean alone of one value. */
export const spreadText = ({ mean, sd }: Spread, figure: (value: number) => string): string =>
  Number.isNaN(sd) ? figure(mean) : `${figure(mean)} ± ${sd.toPrecision(2)}`;

function pairedText(
  comparisons: readonly Comparison[],
  baseline: string,
  paired: readonly (Paired | undefined)[],
  { figure, table }: typeof import("./table.ts"),
): string[] {
  const compared = comparisons.flatMap((one, i) => (paired[i] ? [{ one, of: paired[i] }] : []));
  if (compared.length === 0) return [];
  const { head, cells } = identity(comparisons);
  const small = (p: number): string => (p < 0.0001 ? "<0.0001" : Number.isNaN(p) ? "-" : p.toFixed(4));
  const rows = compared.map(({ one, of }) => [
    ...cells(one),
    of.pairs,
    of.difference > 0 ? `+${figure(of.difference)}` : figure(of.difference),
    Number.isNaN(of.low) ? "-" : `${figure(of.low)} to ${figure(of.high)}`,
    small(of.p),
    small(of.pCorrected),
  ]);
  const tests = compared.filter(({ of }) => !Number.isNaN(of.p)).length;
  return [
    "",
    table([...head, "pairs", "difference", "95 % interval", "p", "corrected p"], rows),
    "",
    `${compared[0]!.of.metric} less that of ${baseline}, a pair each seed that both have; interval and p of a paired t-test, ` +
      `two-sided; corrected p by Holm's method over ${tests} ${tests === 1 ? "comparison" : "comparisons"}`,
  ];
}

const listText = (names: readonly string[]): string =>
  names.slice(0, mostListed).join(", ") + (names.length > mostListed ? ` and ${names.length - mostListed} more` : "");
