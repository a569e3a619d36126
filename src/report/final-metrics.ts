// What was measured of models of images at the end: likelihoods, distances, what the latent variable carries.

import { areAll, humanised, layoutOf, type ExperimentData, type RunData } from "../plots/experiment.ts";
import { distinct, spreadOf, type Spread } from "../statistics.ts";
import type { MetricRow } from "../types.ts";
import { html, type Html } from "./html.ts";
import { spreadText, summaryKeys, type SummaryRow } from "./summary.ts";

/** A metric as a table and a sentence show it. */
interface Shown {
  readonly name: string;
  readonly head: string;
  readonly digits: number;
  /** What it says, after its name. */
  readonly meaning: string;
  /** A likelihood of pixels, which depends on how they were binarised. */
  readonly isLikelihood?: true;
  /** A number of things. */
  readonly isCount?: true;
}

const shown: readonly Shown[] = [
  {
    name: "nll",
    head: "NLL",
    digits: 2,
    meaning: "negative log-likelihood by importance sampling, nats an image, an upper bound in expectation",
    isLikelihood: true,
  },
  { name: "elbo", head: "ELBO", digits: 2, meaning: "evidence lower bound, nats an image", isLikelihood: true },
  { name: "kl", head: "KL", digits: 2, meaning: "KL term, nats an image" },
  { name: "active-units", head: "active units", digits: 1, isCount: true, meaning: "latent dimensions in use" },
  {
    name: "parzen",
    head: "Parzen",
    digits: 1,
    meaning:
      "Parzen-window log-likelihood of grey images, nats an image; it says little of a model, see Theis et al. (2016)",
  },
  {
    name: "frechet-distance",
    head: "Fréchet",
    digits: 2,
    meaning: "Fréchet distance in a classifier of fathom's own: no number to compare with those of other networks",
  },
  { name: "frechet-distance/floor", head: "its floor", digits: 2, meaning: "that of as many training images" },
  {
    name: "modes",
    head: "modes",
    digits: 1,
    isCount: true,
    meaning: "classes that are generated, each at a tenth of its share or more",
  },
  { name: "class-kl", head: "class KL", digits: 3, meaning: "of the generated classes to uniform ones, nats" },
];

/** A column: a metric of a split. */
interface Column extends Shown {
  readonly split: "dev" | "test";
}

const isOf =
  (name: string, split: MetricRow["split"]) =>
  (row: MetricRow): boolean =>
    row.name === name && row.split === split;

/** Metrics that runs recorded, of the test images where any run has them of these, else of dev. */
export function columnsOf({ runs }: ExperimentData): Column[] {
  const has = (name: string, split: MetricRow["split"]): boolean =>
    runs.some(({ metrics }) => metrics.some(isOf(name, split)));
  return shown.flatMap((metric) => {
    const split = (["test", "dev"] as const).find((one) => has(metric.name, one));
    return split ? [{ ...metric, split }] : [];
  });
}

/** A metric's last values over the runs that finished; of a single one with its standard error over images, where known. */
function valueOf(runs: readonly RunData[], { name, split }: Column): { spread: Spread; standardError: number } {
  const done = runs.filter(({ row }) => row.status === "done");
  const last = (wanted: string): number[] =>
    done.map(({ metrics }) => metrics.findLast(isOf(wanted, split))?.value ?? NaN);
  const spread = spreadOf(last(name));
  return {
    spread,
    standardError: spread.n === 1 ? (last(`${name}/standard-error`).find(Number.isFinite) ?? NaN) : NaN,
  };
}

function valueText(runs: readonly RunData[], column: Column): string {
  const { spread, standardError } = valueOf(runs, column);
  const text = spreadText(spread, column.isCount && !(spread.sd > 0) ? 0 : column.digits);
  return Number.isFinite(standardError) ? `${text} ± ${standardError.toFixed(column.digits)} s.e.` : text;
}

/** How the images' grey values were made binary, in a sentence; empty where nothing is said of likelihoods. */
export function binarizationNote(data: ExperimentData): string {
  const kinds = distinct(data.runs.flatMap(({ model }) => model?.binarization ?? []));
  return kinds.length > 0 ? `Binarisation: ${kinds.join(", ")}.` : "";
}

/** The table of final metrics; empty where none was measured. */
export function finalTable(data: ExperimentData, rows: readonly SummaryRow[]): Html {
  const columns = columnsOf(data);
  if (!areAll(data, "vae", "gan") || columns.length === 0) return html``;
  const keys = summaryKeys(layoutOf(data));
  const meanings = columns.map(({ head, meaning }) => `${head}: ${meaning}`).join(". ");
  return html`<div class="wide">
      <table>
        <thead>
          <tr>
            ${keys.map((key) => html`<th>${humanised(key)}</th>`)}
            <th class="number">seeds</th>
            ${columns.map(({ head, split }) => html`<th class="number">${head} (${split})</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ({ values, configuration: { runs } }) =>
              html`<tr>
                ${values.map((value) => html`<td>${value}</td>`)}
                <td class="number">${runs.length}</td>
                ${columns.map((column) => html`<td class="number">${valueText(runs, column)}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="note">
      At the end of training; mean ± sample standard deviation over the seeds that finished, of a single one ± its
      standard error over images. ${binarizationNote(data)} ${meanings}.
    </p>`;
}

/** `Test NLL 86.9 ± 0.1 (binarisation dynamic), ...`: what was measured of a panel's configurations. */
export function finalSentences(data: ExperimentData, rows: readonly SummaryRow[]): string[] {
  if (!areAll(data, "vae", "gan")) return [];
  const binarization = distinct(data.runs.flatMap(({ model }) => model?.binarization ?? [])).join(", ");
  return columnsOf(data)
    .filter(({ name }) => ["nll", "elbo", "parzen", "frechet-distance", "modes"].includes(name))
    .flatMap((column) => {
      const found = rows.filter(({ configuration: { runs } }) => Number.isFinite(valueOf(runs, column).spread.mean));
      if (found.length === 0) return [];
      // A sentence holds a few numbers; the table has them all.
      const said = found.length > 4 ? [found[0]!, found.at(-1)!] : found;
      const values = said.map((row) => {
        const { line } = row.configuration;
        return `${valueText(row.configuration.runs, column)}${rows.length > 1 && line !== "" ? ` (${line})` : ""}`;
      });
      const how = [
        ...(column.isLikelihood && binarization !== "" ? [`binarisation ${binarization}`] : []),
        ...(column.split === "test"
          ? distinct(data.runs.flatMap(({ model }) => model?.measuredWith?.[column.name] ?? []))
          : []),
      ];
      const head = [column.head, ...how].join(", ");
      return [`${column.split === "test" ? "Test" : "Dev"} ${head}: ${values.join(", ")}.`];
    });
}
