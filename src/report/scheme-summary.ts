// What the scheme comparison shows, as numbers and words: schemes, and for each a row a depth (and what else varies).

import { z } from "zod";
import type { RunConfig } from "../config/schema.ts";
import { layoutOf, plain, type ExperimentData } from "../plots/experiment.ts";
import { layerSeries } from "../plots/layer-series.ts";
import { profilesOf, type Profile } from "../plots/profile.ts";
import { outcomeOf, type Outcome } from "../plots/verdict.ts";
import { stepSeconds } from "../runs/cost.ts";
import type { RunRecord } from "../runs/run-folder.ts";
import { distinct, extent, groupBy, median } from "../statistics.ts";
import { summaryKeys, summaryOf, type SummaryRow } from "./summary.ts";

/** What a report knows of runs beside their rows. */
export interface RunFacts {
  readonly data: ExperimentData;
  /** `run.json` of the runs that have begun. */
  readonly records: readonly RunRecord[];
  /** Resolved configurations by run id. */
  readonly configs: ReadonlyMap<string, RunConfig>;
}

/** One residual scheme and what its runs did. */
export interface SchemeSummary {
  readonly name: string;
  /** Its description as the runs kept it; undefined where they are older than such records. */
  readonly described: SchemeRecord | undefined;
  /** The warm-ups its runs had, in words; empty where no configuration is known. */
  readonly warmups: readonly string[];
  readonly rows: readonly SchemeRow[];
}

/** One configuration of a scheme over its seeds. */
export interface SchemeRow {
  readonly summary: SummaryRow;
  /** `6 + 6`, encoder and decoder; a dash where it is not known. */
  readonly layers: string;
  /** Values of what varies besides scheme and depth, in the order of `otherKeys`. */
  readonly others: readonly string[];
  /** Constants with their values, a symbol a piece; none where the scheme has none. */
  readonly constants: readonly string[];
  /** Parameter-gradient norms by layer, over seeds and of runs that diverged. */
  readonly profiles: readonly Profile[];
  /** Numbers of runs by outcome, in order of runs. */
  readonly outcomes: ReadonlyMap<Outcome, number>;
  /** Median over runs of their median; NaN where not known. */
  readonly stepSeconds: number;
  /** Largest over runs; NaN where not known. */
  readonly peakMemoryBytes: number;
}

const valuesSchema = z.union([z.number(), z.array(z.number())]);
type Values = z.output<typeof valuesSchema>;
const constantsSchema = z.record(z.string(), valuesSchema);

/** What the comparison reads of `residual` in run.json. */
const schemeRecordSchema = z.looseObject({
  name: z.string(),
  equation: z.string(),
  paper: z.string(),
  year: z.number(),
  finalNorm: z.boolean(),
  warmupExpected: z.boolean(),
  constants: z.record(z.string(), constantsSchema),
  profiled: z.record(z.string(), z.number()).optional(),
});
/** A scheme as run.json describes it. */
export type SchemeRecord = z.output<typeof schemeRecordSchema>;

/** Keys that vary besides scheme and depth. */
export const otherKeys = (data: ExperimentData): string[] =>
  summaryKeys(layoutOf(data)).filter((key) => key !== schemeKey && !isDepth(key));

const schemeKey = "model.residual";
const isDepth = (key: string): boolean => key.startsWith("model.depth");

/** The schemes of an experiment in order of its runs; none where its models have no residual scheme. */
export function schemesOf(facts: RunFacts): SchemeSummary[] {
  const { data, records, configs } = facts;
  const described = new Map(
    records.flatMap(({ id, residual }) => {
      const parsed = schemeRecordSchema.safeParse(residual);
      return parsed.success ? [[id, parsed.data] as const] : [];
    }),
  );
  const nameOf = ({ id, config }: ExperimentData["runs"][number]["row"]): string | undefined => {
    const configured: unknown = configs.get(id)?.model.residual ?? config[schemeKey];
    return described.get(id)?.name ?? (configured === undefined ? undefined : String(configured));
  };
  const named = summaryOf(data).flatMap((summary) => {
    const name = nameOf(summary.configuration.runs[0]!.row);
    return name === undefined ? [] : [{ name, summary }];
  });
  const profiles = profilesOf(data, (run) => layerSeries(run, "parameter-gradient"));
  const others = otherKeys(data);
  return [...groupBy(named, ({ name }) => name)].map(([name, summaries]) => {
    const rows = summaries.map(({ summary }): SchemeRow => {
      const { panel, line, runs } = summary.configuration;
      const own = runs.flatMap(({ row }) => described.get(row.id) ?? []);
      return {
        summary,
        layers: layersText(facts, runs[0]!.row),
        others: others.map((key) => plain(runs[0]!.row.config[key])),
        constants: constantTexts(own),
        profiles: profiles.filter((profile) => profile.panel === panel && profile.line === line),
        outcomes: new Map(
          [...groupBy(runs, ({ row }) => outcomeOf(row))].map(([outcome, same]) => [outcome as Outcome, same.length]),
        ),
        stepSeconds: median(runs.map(({ metrics }) => stepSeconds(metrics)).filter(Number.isFinite)),
        peakMemoryBytes: largest(runs.map(({ row }) => peakMemoryOf(records, row.id)).filter(Number.isFinite)),
      };
    });
    const ids = summaries.flatMap(({ summary }) => summary.configuration.runs.map(({ row }) => row.id));
    return {
      name,
      described: ids.map((id) => described.get(id)).find((record) => record !== undefined),
      warmups: distinct(ids.flatMap((id) => configs.get(id) ?? []).map(warmupText)),
      rows,
    };
  });
}

/** The peak memory that a run's record states, bytes; NaN where it states none. */
export function peakMemoryOf(records: readonly RunRecord[], id: string): number {
  const bytes = records.find((record) => record.id === id)?.details["peakMemoryBytes"];
  return typeof bytes === "number" ? bytes : NaN;
}

const largest = (values: readonly number[]): number => (values.length > 0 ? extent(values)[1] : NaN);

function layersText({ configs }: RunFacts, row: ExperimentData["runs"][number]["row"]): string {
  const depth = configs.get(row.id)?.model.depth;
  if (depth) return Object.values<number>(depth).join(" + ");
  const varied = plain(row.config["model.depth"]);
  return varied === "none" ? "–" : varied.includes("+") ? varied.replace("+", " + ") : `${varied} + ${varied}`;
}

function warmupText({ train: { schedule } }: RunConfig): string {
  if (schedule.warmupSteps > 0) return `${schedule.warmupSteps} steps`;
  return schedule.kind === "linear-ramp" ? "a linear ramp" : "none";
}

/** The constants of one configuration, a symbol a piece: `alpha 1.25`, or where the stacks differ `alpha 1.25 / 1.86`, in the
 *  order of `stacksOf`; then what was measured before training, over all places and seeds. */
function constantTexts(described: readonly SchemeRecord[]): string[] {
  const [first] = described;
  if (!first) return [];
  const stacks = stacksOf(first);
  const symbols = distinct(stacks.flatMap((stack) => Object.keys(first.constants[stack]!)));
  const published = symbols.map(
    (symbol) => `${symbol} ${together(stacks.map((stack) => first.constants[stack]![symbol]))}`,
  );
  // `encoder/00/self-attention/omega`: first the stack, last the symbol.
  const measured = described.flatMap(({ profiled = {} }) =>
    Object.entries(profiled).map(([path, value]) => {
      const parts = path.split("/");
      return { stack: parts[0]!, symbol: parts.at(-1)!, value };
    }),
  );
  const ranges = [...groupBy(measured, ({ symbol }) => symbol)].map(([symbol, same]) => {
    const valuesOf = (wanted: string): number[] => same.flatMap(({ stack, value }) => (stack === wanted ? value : []));
    return `${symbol} ${together(stacks.map(valuesOf))}, measured`;
  });
  return [...published, ...ranges];
}

/** The stacks a scheme was described for: `encoder`, `decoder`, or of a GAN `generator`, `discriminator`. */
export const stacksOf = ({ constants }: Pick<SchemeRecord, "constants">): string[] => Object.keys(constants);

/** What all stacks have, or each what it has. */
const together = (stacks: readonly (Values | undefined)[]): string =>
  distinct(stacks.map((values) => (values === undefined ? "–" : valuesText(values)))).length === 1
    ? valuesText(stacks[0]!)
    : stacks.map((values) => (values === undefined ? "–" : valuesText(values))).join(" / ");

/** One value, or the smallest and the largest in the order in which they come. */
function valuesText(values: Values): string {
  if (typeof values === "number") return short(values);
  if (values.length === 0) return "–";
  const [low, high] = extent(values).map(short) as [string, string];
  if (low === high) return low;
  return values[0]! <= values.at(-1)! ? `${low} … ${high}` : `${high} … ${low}`;
}

const short = (value: number): string => String(Number(value.toPrecision(4)));
