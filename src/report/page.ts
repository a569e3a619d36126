// The report as HTML: a pure function of what the runs left. All text passes through the escaping template.

import type { TopLevelSpec } from "vega-lite";
import { byNumber, layoutOf, plain, type ExperimentData } from "../plots/experiment.ts";
import * as registry from "../plots/index.ts";
import { svgOf } from "../plots/picture.ts";
import { isOf, unmet, type Plot } from "../plots/plot.ts";
import { questionIn } from "../runs/manifest.ts";
import { distinct } from "../statistics.ts";
import { asDrawn, chartOf, documentOf, notesOf, sourcesOf } from "./document.ts";
import { finalSentences, finalTable } from "./final-metrics.ts";
import { html, raw, type Html } from "./html.ts";
import { inlineSvg } from "./inline-svg.ts";
import { limits, provenance, reproduction } from "./provenance.ts";
import type { RunFacts } from "./scheme-summary.ts";
import { schemeSection } from "./scheme-table.ts";
import { findings, summaryKeys, summaryOf, type Finding, type SummaryRow } from "./summary.ts";
import { gradientTable, lossTable, runTable } from "./tables.ts";

/** All that a report is made from. */
export interface ReportInput extends RunFacts {
  /** The author's YAML, whose first comment asks the question. */
  readonly source: { readonly path: string; readonly text: string } | undefined;
  /** The experiment's folder as the user named it. */
  readonly folder: string;
  /** Files beside the report to link to. */
  readonly files: readonly string[];
  /** Files of figures, paths below the report: `plots/loss-curves.svg`. */
  readonly figureFiles?: readonly string[];
}

/** In the order in which a reader needs them: did it learn, what reached the layers, how did that change. */
const figureOrder = [
  registry.lossCurves,
  registry.elbo,
  registry.ganLosses,
  registry.ganScores,
  registry.samplesOverTraining,
  registry.reconstructions,
  registry.klByDimension,
  registry.latentTraversal,
  registry.latentScatter,
  registry.likelihoodEstimates,
  registry.learningRateLimit,
  registry.ganGradients,
  registry.gradientByLayer,
  registry.gradientByDepth,
  registry.activationGradientByLayer,
  registry.gradientHeatmap,
  registry.updateRatio,
];

/** Characters of all figures' pictures together. With their data, the schemes' small pictures and the drawing libraries a
 *  page then stays below five megabytes, which mail and review tools still open. */
const pictureBudget = 2_200_000;

/** The page as text. */
export async function reportPage(input: ReportInput): Promise<string> {
  const { data } = input;
  const plots = [...figureOrder, ...Object.values<Plot>(registry).filter((plot) => !figureOrder.includes(plot))];
  const rows = summaryOf(data);
  const specs = new Map(plots.filter((plot) => unmet(plot, data) === undefined).map((plot) => [plot, plot.spec(data)]));
  const pictures = new Map<Plot, string>();
  for (const [plot, spec] of specs) pictures.set(plot, inlineSvg(await svgOf(plot.name, asDrawn(spec)), plot.name));
  const kept = withinBudget(pictures);
  const figures = [...specs].map(([plot, spec]) => figure(plot, input, spec, kept.get(plot)));
  const missing = missingText(
    plots.filter((plot) => !specs.has(plot) && isOf(plot, data)).map((plot) => [plot.name, unmet(plot, data)!]),
  );
  const main = html`<h1>${data.name}</h1>
    <p class="question">${questionOf(input)}</p>
    <p class="facts">${factsOf(input)}</p>
    <h2>What was found</h2>
    ${findings(data).map(withFinals(data, rows)).map(finding)} ${await schemeSection(input)}
    <h2>Summary</h2>
    ${finalTable(data, rows)} ${lossTable(data, rows)} ${gradientTable(data, rows)}
    <h2>Figures</h2>
    <noscript
      ><p class="note">
        Scripts are off: the figures are pictures. With scripts on, they answer to the pointer.
      </p></noscript
    >
    <p class="note interactive">
      Point at a mark for its values; select in a legend to single a line out; the menu at a figure's corner saves it.
    </p>
    ${figures} ${missing === "" ? "" : html`<p class="note">Not drawn here: ${missing}.</p>`}
    <h2>What these numbers do not show</h2>
    <ul>
      ${limits(data, [...input.configs.values()][0]).map((limit) => html`<li>${limit}</li>`)}
    </ul>
    <h2>Runs</h2>
    ${runTable(data, input.records)}
    <h2>Provenance</h2>
    ${provenance(input.records)}
    <h2>To repeat this</h2>
    ${reproduction(input)}`;
  return documentOf(data.name, main);
}

/** Figures that cannot be drawn, each with the reason; those whose rows a probe would record together. */
export function missingText(missing: readonly (readonly [plot: string, reason: string])[]): string {
  const isUnrecorded = ([, reason]: readonly [string, string]): boolean =>
    reason.includes("(see probes in the configuration)");
  const names = missing.filter(isUnrecorded).map(([plot]) => plot);
  return [
    ...missing.filter((one) => !isUnrecorded(one)).map(([plot, reason]) => `${plot} (${reason})`),
    ...(names.length > 0
      ? [`${names.join(", ")}: no run has recorded what they show (see probes in the configuration)`]
      : []),
  ].join("; ");
}

/** The question of the author's file, else one made of what varies. */
export function questionOf({ source, data }: Pick<ReportInput, "source" | "data">): string {
  const said = source === undefined ? "" : questionIn(source.text);
  if (said !== "") return said;
  const layout = layoutOf(data);
  const keys = summaryKeys(layout);
  if (keys.length === 0) return "What reaches each layer of this model, and does it learn?";
  const varied = keys.map((key) => {
    const values = distinct(data.runs.map((run) => plain(run.row.config[key]))).sort(byNumber);
    return `${key} (${values.slice(0, 6).join(", ")}${values.length > 6 ? ", ..." : ""})`;
  });
  return `How does what reaches each layer, and what is learnt, depend on ${varied.join(" and ")}?`;
}

function factsOf({ data, records }: ReportInput): string {
  const statuses = new Map<string, number>();
  for (const { row } of data.runs) statuses.set(row.status, (statuses.get(row.status) ?? 0) + 1);
  const finished = records.flatMap(({ finished }) => finished ?? []).sort();
  const seconds = data.runs.reduce((sum, run) => sum + run.row.seconds, 0);
  return [
    `${data.runs.length} runs: ${[...statuses].map(([status, count]) => `${count} ${status}`).join(", ")}`,
    `${Math.round(seconds)} s of training in all`,
    ...(finished.length > 0 ? [`finished ${finished.at(-1)!.slice(0, 16).replace("T", " ")} UTC`] : []),
  ].join(" · ");
}

/** A finding with what was measured at the end, after what became of the loss. */
const withFinals =
  (data: ExperimentData, rows: readonly SummaryRow[]) =>
  ({ panel, sentences: [first, ...rest] }: Finding): Finding => {
    const own = rows.filter(({ configuration }) => configuration.panel === panel);
    return { panel, sentences: [...(first === undefined ? [] : [first]), ...finalSentences(data, own), ...rest] };
  };

const finding = ({ panel, sentences }: Finding): Html =>
  html`<div class="finding">
    ${panel === "" ? "" : html`<h3>${panel}</h3>`}
    <ul>
      ${sentences.map((sentence) => html`<li>${sentence}</li>`)}
    </ul>
  </div>`;

/** The pictures, less the largest where all would make the page too large. */
export function withinBudget<Key>(pictures: ReadonlyMap<Key, string>, budget = pictureBudget): Map<Key, string> {
  const kept = new Map(pictures);
  let size = [...kept.values()].reduce((sum, { length }) => sum + length, 0);
  for (const [key, { length }] of [...pictures].sort(([, a], [, b]) => b.length - a.length)) {
    if (size <= budget) break;
    kept.delete(key);
    size -= length;
  }
  return kept;
}

function figure(
  plot: Plot,
  { data, figureFiles = [] }: ReportInput,
  spec: TopLevelSpec,
  picture: string | undefined,
): Html {
  const beside = figureFiles.filter((file) => file.startsWith(`plots/${plot.name}.`));
  const finding = plot.title(data);
  const left = html`<p class="note">
    This picture would make the page too large. With scripts on it is drawn here; as a file it is
    plots/${plot.name}.svg.
  </p>`;
  const chart = chartOf({
    name: plot.name,
    file: `${data.name}-${plot.name}`,
    label: finding,
    spec,
    picture: picture === undefined ? left : raw(picture),
  });
  return html`<figure id="${plot.name}">
    <h3>${finding}</h3>
    ${chart}
    <figcaption>
      <p>${notesOf(spec.title)}</p>
      <p>${plot.caption}</p>
      ${sourcesOf(spec, `${data.name}-${plot.name}`, beside)}
    </figcaption>
  </figure>`;
}
