// What fathom's pages share: the document around their contents, and charts that are pictures first and come alive where
// scripts run.

import type { TopLevelSpec } from "vega-lite";
import { csvOf } from "../plots/csv.ts";
import { round } from "../statistics.ts";
import { html, jsonForScript, programForScript, raw, type Html } from "./html.ts";
import { libraries, upgrade } from "./script.ts";
import { styleSheet } from "./style.ts";

// Nothing is fetched and nothing evaluated: what the page needs is in it.
const policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:";

/** A page as text: one file that opens from disk without a network. */
export const documentOf = (title: string, main: Html): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="generator" content="fathom" />
        <title>${title}</title>
        <style>
          ${raw(styleSheet)}
        </style>
      </head>
      <body>
        <main>${main}</main>
        ${libraries().map(
          (library) =>
            html`<script>
              ${programForScript(library)};
            </script>`,
        )}
        <script>
          ${programForScript(upgrade)};
        </script>
      </body>
    </html> `.html;

/** A specification as a page draws it: the page has its own headings and paper, and the drawing takes the colour of the
 *  text. Its numbers are rounded, which no eye can tell and makes a page half as long: the CSV beside it has them in full. */
export const asDrawn = (spec: TopLevelSpec): TopLevelSpec => ({
  ...(withRoundedData(spec) as TopLevelSpec),
  title: undefined,
  background: "transparent",
});

/** Significant digits of data in a page. */
const digitsShown = 5;

/** `node` with the numbers of all data in it rounded; whole numbers, such as steps, stay. */
function withRoundedData(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withRoundedData);
  if (typeof node !== "object" || node === null) return node;
  return Object.fromEntries(
    Object.entries(node).map(([key, value]) => [key, key === "data" ? rounded(value) : withRoundedData(value)]),
  );
}

function rounded(node: unknown): unknown {
  if (typeof node === "number") return Number.isInteger(node) ? node : round(node, digitsShown);
  if (Array.isArray(node)) return node.map(rounded);
  if (typeof node !== "object" || node === null) return node;
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, rounded(value)]));
}

/** A chart: its picture, and the specification from which a script draws it anew. `name` is unique in the page, `file` the
 *  name under which a reader saves it. */
export function chartOf(chart: {
  readonly name: string;
  readonly file: string;
  readonly label: string;
  readonly spec: TopLevelSpec;
  readonly picture: Html;
}): Html {
  const { name, file, label, spec, picture } = chart;
  return html`<div class="chart" role="img" aria-label="${label}" data-plot="${name}" data-file="${file}">
      ${picture}
    </div>
    <script type="application/json" id="spec-${name}">
      ${jsonForScript(asDrawn(spec))}
    </script>`;
}

/** The notes that a figure's file carries as its subtitle. */
export function notesOf(title: unknown): string {
  const { subtitle } = title as { subtitle?: string | string[] };
  return [subtitle ?? []].flat().join(" ");
}

/** Characters of a CSV that a page carries along: of a longer one there is the file beside it. */
const longestCsv = 150_000;

/** Links to what is behind a figure: its numbers, in the page itself where they are few, and `beside`, paths of its files below
 *  the page. */
export function sourcesOf(spec: TopLevelSpec, file: string, beside: readonly string[]): Html {
  const csv = csvOf(spec);
  const inPage = csv !== undefined && csv.length <= longestCsv;
  const links = [
    ...(inPage
      ? [
          html`<a download="${file}.csv" href="data:text/csv;charset=utf-8,${encodeURIComponent(csv)}"
            >numbers (CSV)</a
          >`,
        ]
      : []),
    ...beside
      .filter((path) => !(inPage && path.endsWith(".csv")))
      .map((path) => html`<a href="${path.split("/").map(encodeURIComponent).join("/")}">${kindOf(path)}</a>`),
  ];
  if (links.length === 0) return html``;
  return html`<p class="sources">Behind this figure: ${links.map((link, i) => html`${i > 0 ? " · " : ""}${link}`)}</p>`;
}

/** `SVG`, `Vega-Lite`. */
const kindOf = (path: string): string =>
  path.endsWith(".json")
    ? "Vega-Lite"
    : path.endsWith(".csv")
      ? "numbers (CSV)"
      : path.slice(path.lastIndexOf(".") + 1).toUpperCase();
