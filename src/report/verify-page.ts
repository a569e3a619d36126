// The page of `fathom verify`: every claim with its verdict, then check by check what it rests on and its figure. A pure
// function of what the checks left.

import type { TopLevelSpec } from "vega-lite";
import { checkFigure } from "../plots/check-figure.ts";
import { svgOf } from "../plots/picture.ts";
import { commitOf, type CheckRecord } from "../runs/verify-folder.ts";
import { distinct } from "../statistics.ts";
import type { Claim } from "../types.ts";
import { count, numberText, toleranceText, verdictCounts } from "./claim-text.ts";
import { asDrawn, chartOf, documentOf, notesOf, sourcesOf } from "./document.ts";
import { html, raw, type Html } from "./html.ts";
import { inlineSvg } from "./inline-svg.ts";
import { environmentFacts } from "./provenance.ts";

/** What the page is made from. */
export interface VerifyPageInput {
  /** At least one. */
  readonly records: readonly CheckRecord[];
  /** The names of all checks there are. */
  readonly known: readonly string[];
}

/** The page as text. */
export async function verifyPage({ records, known }: VerifyPageInput): Promise<string> {
  const newest = records.reduce((latest, record) => (record.made > latest.made ? record : latest));
  const missing = known.filter((name) => !records.some(({ check }) => check === name));
  const sections = [];
  for (const record of records) sections.push(await section(record, newest));
  const main = html`<h1>What was verified</h1>
    <p class="question">
      Do the claims about how signals and gradients travel through deep networks hold, those of the seed and those of
      published papers, when each formula is computed and the same quantity is measured?
    </p>
    <p class="facts">${factsOf(records, newest)}</p>
    <p class="note">
      The seed is the text fathom grew from, worked answers to a course assignment (H. Bel Hadj Hassine, Introduction to
      deep learning, 3A-MDS), not to be taken for the seeds of random numbers.
    </p>
    ${missing.length > 0 ? html`<p class="note">Not run yet: ${missing.join(", ")}.</p>` : ""}
    <h2>Verdicts</h2>
    ${verdicts(records)}
    <p class="note">
      The relative error is |measured - predicted| / |predicted|, of a prediction of 0 the measurement itself. A claim
      <span class="${classOf.holds}">holds</span> where it is within the tolerance. It is
      <span class="${classOf.corrected}">corrected</span> where it does not hold as it was stated and the formula that
      stands in its place does: as stated, the number that was claimed; predicted, the one of that formula. It
      <span class="${classOf.fails}">fails</span> where neither does. Measured over several seeds, the median counts, or
      the one furthest from the prediction where a claim is about every seed; the smallest and the largest stand beside
      it.
    </p>
    <h2>Check by check</h2>
    <p class="note interactive">
      Point at a mark for its values; the menu at a figure's corner saves it. As files the figures are in plots/.
    </p>
    ${sections}
    <h2>What these numbers do not show</h2>
    <ul>
      <li>
        The networks are small, so that all checks take minutes. What holds at these widths and depths need not hold at
        those of large models.
      </li>
      <li>
        A claim that holds was not refuted under the conditions that stand beside it. That is no proof, and says nothing
        of other conditions.
      </li>
    </ul>
    <h2>Provenance</h2>
    ${provenance(records)}
    <h2>To repeat this</h2>
    <p>At the commit and with the versions above, in the folder where fathom is installed:</p>
    <pre><code>npx fathom verify --out again</code></pre>
    <p>
      One check alone: <code>npx fathom verify ${records[0]!.check}</code>. Beside this page:
      <a href="checks.json">checks.json</a> <a href="checks.csv">checks.csv</a>
    </p>`;
  return documentOf("fathom verify", html`<div class="verified">${main}</div>`);
}

/** Classes of the style sheet, by verdict. */
const classOf: Record<Claim["verdict"], string> = { holds: "good", corrected: "stuck", fails: "bad" };

function factsOf(records: readonly CheckRecord[], newest: CheckRecord): string {
  const claims = records.flatMap((record) => record.claims);
  const seconds = records.reduce((sum, record) => sum + record.seconds, 0);
  return [
    `${count(claims.length, "claim")} of ${count(records.length, "check")}: ${verdictCounts(claims)}`,
    `${Math.round(seconds)} s in all`,
    `last made ${momentOf(newest)}`,
  ].join(" · ");
}

/** `2026-11-22 18:03 UTC`. */
const momentOf = ({ made }: CheckRecord): string => `${made.slice(0, 16).replace("T", " ")} UTC`;

function verdicts(records: readonly CheckRecord[]): Html {
  const rows = records.flatMap((record) =>
    record.claims.map(
      (claim) =>
        html`<tr>
          <td class="${classOf[claim.verdict]}">${claim.verdict}</td>
          <td><a href="#${record.check}">${claim.name}</a></td>
          <td class="number">${claim.correction ? numberText(claim.correction.claimed) : ""}</td>
          <td class="number">${numberText(claim.predicted)}</td>
          <td class="number">${numberText(claim.measured)}</td>
          <td class="number">${numberText(claim.relativeError)}</td>
          <td class="number">${toleranceText(claim)}</td>
        </tr>`,
    ),
  );
  return html`<div class="wide">
    <table>
      <thead>
        <tr>
          <th>verdict</th>
          <th>claim</th>
          <th class="number">as stated</th>
          <th class="number">predicted</th>
          <th class="number">measured</th>
          <th class="number">relative error</th>
          <th class="number">tolerance</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}

async function section(record: CheckRecord, newest: CheckRecord): Promise<Html> {
  const { check, summary, source, conditions, claims, reason } = record;
  return html`<section id="${check}">
    <h3>${check}: ${summary}</h3>
    <dl>
      <dt>Source</dt>
      <dd>${source}</dd>
      <dt>Conditions</dt>
      <dd>${conditions}</dd>
    </dl>
    ${reason === undefined ? "" : html`<p class="bad">It could not be carried out: ${reason}</p>`}
    ${claims.map(claimText)} ${await figureOf(record)}
    <p class="note">
      ${Math.max(0.1, record.seconds).toFixed(1)} s, made ${momentOf(record)}${isOlder(record, newest)}
    </p>
  </section>`;
}

/** Where other checks were made with other code since: at which commit this one was. */
function isOlder(record: CheckRecord, newest: CheckRecord): string {
  const commit = commitOf(record.environment);
  if (commit === commitOf(newest.environment)) return "";
  return ` by other code than the newest check here (${commit === null ? "outside of a repository" : `commit ${commit.slice(0, 12)}`})`;
}

function claimText(claim: Claim): Html {
  const { name, statement, predicted, measured, relativeError, verdict, correction, spread } = claim;
  const facts: [string, string][] = [
    ["predicted", numberText(predicted)],
    ["measured", numberText(measured)],
    ...(spread
      ? [[`of ${spread.seeds} seeds`, `${numberText(spread.low)} to ${numberText(spread.high)}`] as [string, string]]
      : []),
    ["relative error", numberText(relativeError)],
    ["tolerance", toleranceText(claim)],
  ];
  return html`<div class="claim">
    <p>
      <strong class="${classOf[verdict]}">${verdict}</strong> <code>${name}</code><br />
      ${statement}
    </p>
    ${
      correction
        ? html`<p>
            As it was stated: ${numberText(correction.claimed)}.
            ${verdict === "corrected" ? "In its place stands" : "Meant to stand in its place"}: ${correction.text}
          </p>`
        : ""
    }
    <p class="numbers">${facts.map(([what, value]) => html`<span>${what} <b>${value}</b></span>`)}</p>
  </div>`;
}

async function figureOf({ check, figure }: CheckRecord): Promise<Html> {
  if (!figure) return html``;
  const spec: TopLevelSpec = checkFigure(figure);
  const chart = chartOf({
    name: `figure-${check}`,
    file: `verify-${check}`,
    label: figure.title,
    spec,
    picture: raw(inlineSvg(await svgOf(check, asDrawn(spec)), check)),
  });
  return html`<figure>
    <h4>${figure.title}</h4>
    ${chart}
    <figcaption>
      <p>${notesOf(spec.title)}</p>
      <p>${figure.caption}</p>
      ${sourcesOf(spec, `verify-${check}`, [])}
    </figcaption>
  </figure>`;
}

/** What made the checks; where it differs, every variant with the checks it made. */
function provenance(records: readonly CheckRecord[]): Html {
  const facts: [name: string, of: (record: CheckRecord) => string][] = [
    ["engine", ({ engine }) => engine],
    ...environmentFacts.map(([name, of]): [string, (record: CheckRecord) => string] => [
      name,
      ({ environment }) => of(environment),
    ]),
  ];
  return html`<dl>
    ${facts.map(([name, of]) => {
      const different = distinct(records.map(of));
      const items = different.map((value) => {
        const made = records.filter((record) => of(record) === value).map(({ check }) => check);
        return html`<dd>${value}${different.length > 1 ? ` (${made.join(", ")})` : ""}</dd>`;
      });
      return html`<dt>${name}</dt>
        ${items}`;
    })}
  </dl>`;
}
