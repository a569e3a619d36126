// The scheme comparison: a section that prints as a page of its own. A table with small pictures in its cells, since it
// is read along a row (what became of this scheme) and down a column (where the others differ), however many rows.

import { areAll, humanised, lossWords, type ExperimentData } from "../plots/experiment.ts";
import { svgOf } from "../plots/picture.ts";
import type { Moment } from "../plots/layer-series.ts";
import { profileSparkline, type SparklineOptions } from "../plots/profile-sparkline.ts";
import { hiddenNote, logAxis, stackColours } from "../plots/style.ts";
import { unigramMargin, type Outcome } from "../plots/verdict.ts";
import { distinct } from "../statistics.ts";
import { durationText, memoryText } from "./cost-text.ts";
import { html, raw, type Html } from "./html.ts";
import { inlineSvg } from "./inline-svg.ts";
import { otherKeys, schemesOf, stacksOf, type RunFacts, type SchemeRow, type SchemeSummary } from "./scheme-summary.ts";
import { ratioText, spreadText } from "./summary.ts";

/** An outcome as this table says it, with the mark that stands before it. */
const verdicts: Record<Outcome, { readonly words: string; readonly mark: string; readonly look: string }> = {
  learns: { words: "learning", mark: "●", look: "good" },
  "at the unigram line": { words: "stuck at unigram", mark: "○", look: "stuck" },
  "still above the unigram line": { words: "still above unigram", mark: "△", look: "stuck" },
  diverged: { words: "diverged", mark: "✕", look: "bad" },
  unfinished: { words: "unfinished", mark: "…", look: "open" },
  finished: { words: "finished", mark: "●", look: "open" },
};

/** How the line to beat is called where there is little room. */
const shortLine = (data: ExperimentData): string => (areAll(data, "vae", "gan") ? "the line" : "unigram");

const verdictWords = (outcome: Outcome, line: string): string => verdicts[outcome].words.replace("unigram", line);

/** The section; empty where the models have no residual scheme. */
export async function schemeSection(facts: RunFacts): Promise<Html> {
  const all = schemesOf(facts);
  const schemes = all
    .map((scheme) => ({ ...scheme, rows: scheme.rows.filter(hasBegun) }))
    .filter((scheme) => scheme.rows.length > 0);
  if (schemes.length === 0) return html``;
  const rows = schemes.flatMap((scheme) => scheme.rows);
  const open = all.flatMap((scheme) => scheme.rows).length - rows.length;
  const profiles = rows.flatMap((row) => row.profiles);
  const stacks = distinct(profiles.map(({ stack }) => stack));
  const y = logAxis(profiles.flatMap(({ layers }) => layers.flatMap(({ values }) => values)));
  const keys = otherKeys(facts.data);
  const line = shortLine(facts.data);
  const bodies: Html[] = [];
  for (const scheme of schemes) bodies.push(await schemeBody(scheme, { keys, stacks, y, line, before: bodies.length }));
  return html`<section class="schemes" id="schemes">
    <h2>Schemes compared</h2>
    ${overview(all, keys, line)}
    <div class="wide">
      <table class="comparison">
        <thead>
          <tr>
            <th class="number">layers</th>
            ${keys.map((key) => html`<th>${humanised(key)}</th>`)}
            <th>constants, ${constantStacks(schemes).join(" / ")}</th>
            ${
              stacks.length === 0
                ? ""
                : html`<th>gradient norm by layer, first step${legend(stacks)}</th>
                    <th>at the end${legend(stacks)}</th>`
            }
            <th class="number">dev loss</th>
            <th>verdict</th>
            <th class="number">step time, memory</th>
          </tr>
        </thead>
        ${bodies}
      </table>
    </div>
    <p class="note">${notes(facts.data, rows, stacks, open).join(" ")} ${hiddenNote(y.hidden).join(" ")}</p>
  </section>`;
}

const constantStacks = (schemes: readonly SchemeSummary[]): string[] => {
  const described = schemes.flatMap((scheme) => scheme.described ?? [])[0];
  return described ? stacksOf(described) : ["encoder", "decoder"];
};

/** What has not begun is told in a sentence, not in rows of dashes. */
const hasBegun = ({ summary }: SchemeRow): boolean =>
  summary.configuration.runs.some(({ metrics }) => metrics.length > 0);

interface Frame extends Pick<SparklineOptions, "stacks" | "y"> {
  readonly keys: readonly string[];
  readonly line: string;
  /** Schemes above this one: pictures are named by it. */
  readonly before: number;
}

async function schemeBody(scheme: SchemeSummary, frame: Frame): Promise<Html> {
  const { name, rows } = scheme;
  const lines: Html[] = [];
  for (const [i, row] of rows.entries()) lines.push(await schemeLine(row, frame, `scheme-${frame.before}-${i}`));
  const columns = 5 + frame.keys.length + (frame.stacks.length > 0 ? 2 : 0);
  return html`<tbody>
    <tr class="scheme">
      <th colspan="${columns}" scope="rowgroup">
        <div class="about"><strong>${name}</strong> ${aboutScheme(scheme)}</div>
      </th>
    </tr>
    ${lines}
  </tbody>`;
}

function aboutScheme({ described, warmups }: SchemeSummary): Html {
  const had = warmups.length > 0 ? `these runs had ${warmups.join(" or ")}` : "";
  if (!described) {
    const warmup = had === "" ? "" : ` Warm-up: ${had}.`;
    return html`<span class="source">Equation and paper were not recorded by these runs.${warmup}</span>`;
  }
  const { equation, paper, year, finalNorm, warmupExpected } = described;
  const expected = warmupExpected ? "expected by the paper" : "not expected by the paper";
  const lacking = warmupExpected && warmups.includes("none");
  return html`<code>${equation}</code>
    <span class="source">
      ${paper}, ${year} · final norm: ${finalNorm ? "yes" : "no"} · warm-up:
      ${expected}${had === "" ? "" : ", "}${lacking ? html`<b>${had}</b>` : had}
    </span>`;
}

async function schemeLine(row: SchemeRow, { keys, line, stacks, y }: Frame, id: string): Promise<Html> {
  const { summary, layers, others, constants } = row;
  const pictures =
    stacks.length === 0
      ? []
      : [
          await profileCell(row, "first", { stacks, y, labelled: true }, `${id}-first`),
          await profileCell(row, "end", { stacks, y, labelled: false }, `${id}-end`),
        ];
  const margin = summary.unigramEntropy - summary.devLoss.mean;
  return html`<tr>
    <td class="number" data-label="layers">${layers}</td>
    ${others.map((value, i) => html`<td data-label="${humanised(keys[i]!)}">${value}</td>`)}
    <td class="constants" data-label="constants">
      <div>${constants.length > 0 ? constants.map((constant) => html`<span>${constant}</span>`) : "–"}</div>
    </td>
    ${pictures}
    <td class="number" data-label="dev loss">
      ${spreadText(summary.devLoss)}
      ${Number.isFinite(margin) ? html`<div class="aside">${marginText(margin, line)}</div>` : ""}
    </td>
    <td class="verdicts" data-label="verdict">${verdictOf(row, line)}</td>
    <td class="number" data-label="step, memory">
      ${durationText(row.stepSeconds)}
      ${Number.isFinite(row.peakMemoryBytes) ? html`<div class="aside">${memoryText(row.peakMemoryBytes)}</div>` : ""}
    </td>
  </tr>`;
}

const marginText = (margin: number, line: string): string =>
  margin >= 0 ? `${margin.toFixed(2)} below ${line}` : `${(-margin).toFixed(2)} above ${line}`;

async function profileCell(row: SchemeRow, moment: Moment, options: SparklineOptions, id: string): Promise<Html> {
  const label = moment === "first" ? "gradient, first step" : "gradient, at the end";
  const profiles = row.profiles.filter((profile) => profile.moment === moment);
  const isDrawable = (value: number): boolean => Number.isFinite(value) && value > 0;
  if (!profiles.some(({ layers }) => layers.some(({ values }) => values.some(isDrawable))))
    return html`<td data-label="gradient, ${moment}">–</td>`;
  const svg = inlineSvg(await svgOf(id, profileSparkline(profiles, options)), id);
  const ratios = row.summary.ratios.map((ratio) => `${ratio.stack} ${ratioText(ratio[moment])}`).join(", ");
  return html`<td class="spark ${moment}" data-label="gradient, ${moment}">
    <div
      role="img"
      aria-label="${label}, first layer over last: ${ratios || "–"}"
      title="first layer over last: ${ratios || "–"}"
    >
      ${raw(svg)}
    </div>
  </td>`;
}

/** What became of a row's runs; with numbers where its seeds differ. */
function verdictOf({ outcomes }: Pick<SchemeRow, "outcomes">, line: string): Html[] {
  return [...outcomes].map(([outcome, count]) => {
    const { mark, look } = verdicts[outcome];
    const words = verdictWords(outcome, line);
    return html`<div class="verdict">
      <span class="${look}" aria-hidden="true">${mark}</span> ${outcomes.size > 1 ? `${words}: ${count}` : words}
    </div>`;
  });
}

const legend = (stacks: readonly string[]): Html =>
  html`<div class="stacks">
    ${stacks.map((stack, i) => html`<span style="border-color: ${stackColours(stacks)[i]!}">${stack}</span>`)}
  </div>`;

/** Schemes down, what varies besides across: a verdict's mark and the dev loss in each cell. Of one row or column there is
 *  nothing to see that the table does not show. */
function overview(schemes: readonly SchemeSummary[], keys: readonly string[], line: string): Html {
  const columnOf = ({ layers, others }: SchemeRow): string => [layers, ...others].join(" · ");
  const columns = distinct(schemes.flatMap(({ rows }) => rows.map(columnOf)));
  const hasLosses = schemes.some(({ rows }) => rows.some(({ summary }) => Number.isFinite(summary.devLoss.mean)));
  if (!hasLosses && schemes.every(({ rows }) => rows.every(({ outcomes }) => outcomes.has("finished")))) return html``;
  if (schemes.length < 2 || columns.length < 2 || columns.length > 8) return html``;
  const cell = (row: SchemeRow | undefined): Html => {
    if (!row) return html`<td></td>`;
    const marks = [...row.outcomes].map(([outcome, count]) => {
      const { mark, look } = verdicts[outcome];
      return html`<span class="${look}" title="${verdictWords(outcome, line)}"
        >${row.outcomes.size > 1 ? count : ""}${mark}</span
      >`;
    });
    return html`<td class="number">${spreadText(row.summary.devLoss)} ${marks}</td>`;
  };
  const seen = distinct(schemes.flatMap(({ rows }) => rows.flatMap(({ outcomes }) => [...outcomes.keys()])));
  return html`<div class="wide">
      <table class="overview">
        <thead>
          <tr>
            <th>dev loss by ${["layers", ...keys.map(humanised)].join(" · ")}</th>
            ${columns.map((column) => html`<th class="number">${column}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${schemes.map(
            ({ name, rows }) =>
              html`<tr>
                <th scope="row">${name}</th>
                ${columns.map((column) => cell(rows.find((row) => columnOf(row) === column)))}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="note">
      ${seen.map((outcome) => html`<span class="${verdicts[outcome].look}">${verdicts[outcome].mark}</span> ${verdictWords(outcome, line)}&ensp;`)}
    </p>`;
}

function notes(data: ExperimentData, rows: readonly SchemeRow[], stacks: readonly string[], open: number): string[] {
  const entropies = rows.map(({ summary }) => summary.unigramEntropy).filter(Number.isFinite);
  const words = lossWords(data);
  const unigram = distinct(entropies.map((value) => value.toFixed(2))).join(" or ");
  const most = Math.max(...rows.map(({ summary }) => summary.configuration.runs.length));
  const diverged = rows.some(({ outcomes }) => outcomes.has("diverged"));
  const recorded = [
    "Gradient norm: of all parameters of a layer, one batch, before clipping; one logarithmic scale for all schemes; in each panel the first layer is left, the last right.",
    most > 1 ? `Line: median over seeds (${most}); band: smallest to largest.` : "",
    diverged ? "Dashed: the last finite values of a run that diverged." : "",
    "End: median of the last tenth of the recorded steps.",
  ];
  const lossNotes = [
    `Dev loss: ${words.unit}${most > 1 ? ", mean ± sample standard deviation over the seeds that finished" : ""}${unigram === "" ? "" : `; ${words.lineIs} ${unigram}`}.`,
    `The verdict rests on loss alone: learning is more than ${unigramMargin} nats below the ${words.entropy} at the end, stuck is within ${unigramMargin} of it.`,
  ];
  return [
    open > 0 ? `${open} configurations have not begun and are left out of the table.` : "",
    ...(stacks.length > 0 ? recorded : ["No gradient norms were recorded."]),
    ...(areAll(data, "gan") ? [] : lossNotes),
    "Step time: median, evaluation left out; memory: the largest resident size of a run's process. Both depend on the machine and on what else it did.",
  ].filter((sentence) => sentence !== "");
}
