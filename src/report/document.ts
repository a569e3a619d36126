// What fathom's pages share: the document around their contents, and charts that are pictures first and come alive where
// scripts run.

import type { TopLevelSpec } from "vega-lite";
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
 *  text. */
export const asDrawn = (spec: TopLevelSpec): TopLevelSpec => ({ ...spec, title: undefined, background: "transparent" });

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
