// The report's tables: losses and gradients by configuration, and the runs.

import { power } from "../plots/style.ts";
import { areAll, humanised, layoutOf, lossWords, type ExperimentData, type RunData } from "../plots/experiment.ts";
import { metricAt } from "../plots/metric-panels.ts";
import { divergedStep, unigramMargin } from "../plots/verdict.ts";
import { stepSeconds } from "../runs/cost.ts";
import type { RunRecord } from "../runs/run-folder.ts";
import { durationText, memoryText } from "./cost-text.ts";
import { html, raw, type Html } from "./html.ts";
import { peakMemoryOf } from "./scheme-summary.ts";
import { spreadOf, type Spread } from "../statistics.ts";
import { ratioText, spreadText, summaryKeys, type SummaryRow } from "./summary.ts";

/** What each configuration's loss came to, of a GAN those of both players. */
export function lossTable(data: ExperimentData, rows: readonly SummaryRow[]): Html {
  return areAll(data, "gan") ? playersTable(data, rows) : oneLossTable(data, rows);
}

/** Scores near 0 differ by orders of magnitude. */
const scoreText = ({ mean, sd }: Spread): string =>
  Number.isFinite(mean)
    ? [mean, sd]
        .filter(Number.isFinite)
        .map((value) => sizeText(value))
        .join(" ± ")
    : "–";

const playersColumns = [
  ["discriminator loss", "discriminator/loss"],
  ["generator loss", "generator/loss"],
  ["D(x)", "discriminator/real"],
  ["D(G(z))", "discriminator/fake"],
] as const;

function playersTable(data: ExperimentData, rows: readonly SummaryRow[]): Html {
  const keys = summaryKeys(layoutOf(data));
  const spread = (runs: readonly RunData[], name: string): string =>
    scoreText(
      spreadOf(
        runs.filter(({ row }) => row.status === "done").map((run) => metricAt(run, { name, split: "train" }, "end")),
      ),
    );
  return html`<div class="wide">
      <table>
        <thead>
          <tr>
            ${keys.map((key) => html`<th>${humanised(key)}</th>`)}
            <th class="number">seeds</th>
            ${playersColumns.map(([head]) => html`<th class="number">${head}</th>`)}
            <th>outcome</th>
            <th class="number">seconds a run</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) =>
              html`<tr>
                ${row.values.map((value) => html`<td>${value}</td>`)}
                <td class="number">${row.configuration.runs.length}</td>
                ${playersColumns.map(([, name]) => html`<td class="number">${spread(row.configuration.runs, name)}</td>`)}
                <td class="text">${row.outcome}${divergence(row)}</td>
                <td class="number">${spreadText(row.seconds, 1)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="note">
      Of the last tenth of the training steps, 20 at most; mean ± sample standard deviation over the seeds that
      finished. No player's loss says how good the images are: neither need fall.
    </p>`;
}

function oneLossTable(data: ExperimentData, rows: readonly SummaryRow[]): Html {
  const words = lossWords(data);
  const keys = summaryKeys(layoutOf(data));
  return html`<div class="wide">
      <table>
        <thead>
          <tr>
            ${keys.map((key) => html`<th>${humanised(key)}</th>`)}
            <th class="number">seeds</th>
            <th class="number">train loss</th>
            <th class="number">dev loss</th>
            <th class="number">${words.entropy}</th>
            <th>outcome</th>
            <th class="number">seconds a run</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(lossRow)}
        </tbody>
      </table>
    </div>
    <p class="note">
      Losses in ${words.unit}; mean ± sample standard deviation over the seeds that finished. Train loss: mean over the
      last tenth of the steps, as trained (with dropout and label smoothing where configured). A run learns when its
      final dev loss is more than ${unigramMargin} nats below the ${words.definition}; within ${unigramMargin} nats it
      is at the line.
    </p>`;
}

function lossRow(row: SummaryRow): Html {
  return html`<tr>
    ${row.values.map((value) => html`<td>${value}</td>`)}
    <td class="number">${row.configuration.runs.length}</td>
    <td class="number">${spreadText(row.trainLoss)}</td>
    <td class="number">${spreadText(row.devLoss)}</td>
    <td class="number">${Number.isFinite(row.unigramEntropy) ? row.unigramEntropy.toFixed(2) : "–"}</td>
    <td class="text">${row.outcome}${divergence(row)}</td>
    <td class="number">${spreadText(row.seconds, 1)}</td>
  </tr>`;
}

function divergence({ configuration }: SummaryRow): string {
  const steps = configuration.runs.filter((run) => run.row.status === "diverged").map((run) => divergedStep(run.row));
  return steps.length > 0 ? ` (at step ${steps.sort((a, b) => a - b).join(", ")})` : "";
}

/** What each configuration's gradient norms are: the layers' as a ratio, what is no layer's apart. */
export function gradientTable(data: ExperimentData, rows: readonly SummaryRow[]): Html {
  const stacks = [...new Set(rows.flatMap((row) => row.ratios.map(({ stack }) => stack)))];
  const others = [...new Set(rows.flatMap((row) => [...row.unlayered.keys()]))];
  if (stacks.length + others.length === 0) return html`<p class="note">No gradient norms were recorded.</p>`;
  const keys = summaryKeys(layoutOf(data));
  const rest = areAll(data, "vae", "gan") ? "outside its layers" : "final norm";
  const body = rows.map(
    (row) =>
      html`<tr>
        ${row.values.map((value) => html`<td>${value}</td>`)}
        ${stacks.map((stack) =>
          pair(
            row.ratios.find((ratio) => ratio.stack === stack),
            ratioText,
          ),
        )}
        ${others.map((stack) => pair(row.unlayered.get(stack), sizeText))}
      </tr>`,
  );
  return html`<div class="wide">
      <table>
        <thead>
          <tr>
            ${keys.map((key) => html`<th rowspan="2">${humanised(key)}</th>`)}
            ${stacks.map((stack) => html`<th colspan="2" class="group">${stack}: first layer / last</th>`)}
            ${others.map((stack) => html`<th colspan="2" class="group">${stacks.includes(stack) ? `${stack} ${rest}` : stack}</th>`)}
          </tr>
          <tr>
            ${[...stacks, ...others].map(
              () =>
                html`<th class="number">first step</th>
                  <th class="number">end</th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${body}
        </tbody>
      </table>
    </div>
    <p class="note">
      Gradient norms of single batches before clipping, over all parameters of a layer; medians over seeds; end: median
      of the last tenth of the recorded steps, of runs that finished. Embedding, latent variable, final norms and output
      belong to no layer and are kept apart: with them, a ratio would show the scale of the embedding.
    </p>`;
}

interface Moments {
  readonly first: number;
  readonly end: number;
}

const pair = (values: Moments | undefined, text: (value: number) => string): Html =>
  html`<td class="number">${text(values?.first ?? NaN)}</td>
    <td class="number">${text(values?.end ?? NaN)}</td>`;

const sizeText = (value: number): string => (Number.isFinite(value) ? power(Number(value.toPrecision(2))) : "–");

/** Every run with its state, linked to its folder. */
export function runTable(data: ExperimentData, records: readonly RunRecord[]): Html {
  const rows = data.runs.map(
    ({ row, metrics }) =>
      html`<tr>
        <td class="text"><a href="runs/${encodeURIComponent(row.id)}/">${row.id}</a></td>
        <td class="number">${row.seed}</td>
        <td>${row.status}</td>
        <td class="number">${row.steps}</td>
        <td class="number">${row.seconds.toFixed(1)}</td>
        <td class="number">${durationText(stepSeconds(metrics))}</td>
        <td class="number">${memoryText(peakMemoryOf(records, row.id))}</td>
        <td>${row.engine}</td>
        <td class="text">${row.reason}</td>
      </tr>`,
  );
  return html`<details ${raw(data.runs.length <= 12 ? "open" : "")}>
    <summary>${data.runs.length} runs, each with its configuration and tables</summary>
    <div class="wide">
      <table>
        <thead>
          <tr>
            <th>run</th>
            <th class="number">seed</th>
            <th>status</th>
            <th class="number">steps</th>
            <th class="number">seconds</th>
            <th class="number">a step</th>
            <th class="number">peak memory</th>
            <th>engine</th>
            <th>reason</th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
    </div>
  </details>`;
}
