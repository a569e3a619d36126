// What a figure is drawn for: a screen, slides on dark ground, a column of a paper.

import type { TopLevelSpec } from "vega-lite";
import { UserError } from "../errors.ts";
import { unknownName } from "../registry.ts";
import { onePaperColumn } from "./paper.ts";

/** A way to draw figures. */
export interface Style {
  readonly name: string;
  /** Where its files go, below `plots/`; empty for that folder itself. */
  readonly folder: string;
  /** What is written where no format is asked for. */
  readonly formats: readonly PlotFormat[];
  /** The specification in this style, of one for the screen. */
  apply(spec: TopLevelSpec): Promise<TopLevelSpec>;
}

/** File formats of a figure: Vega-Lite's JSON, pictures, the numbers, and a LaTeX float that includes the PDF. */
export const plotFormats = ["json", "svg", "png", "csv", "pdf", "tex"] as const;
export type PlotFormat = (typeof plotFormats)[number];

/** Ink and paper of dark slides: those of the report's dark page. */
const dark = { ink: "#e6e9ec", paper: "#14171a" } as const;

const styles: readonly Style[] = [
  { name: "screen", folder: "", formats: ["json", "svg", "png", "csv"], apply: (spec) => Promise.resolve(spec) },
  {
    name: "dark",
    folder: "dark",
    formats: ["json", "svg", "png"],
    apply: (spec) => Promise.resolve(inked({ ...spec, background: dark.paper }, dark.ink)),
  },
  { name: "paper", folder: "paper", formats: ["pdf", "tex", "svg", "csv"], apply: onePaperColumn },
];

/** The names of the styles. */
export const styleNames: readonly string[] = styles.map(({ name }) => name);

/** A style by name; a `UserError` that lists the known ones where there is none. */
export function parseStyle(name: string): Style {
  const found = styles.find((style) => style.name === name);
  if (!found) throw new UserError(unknownName("style", name, styleNames));
  return found;
}

/** Foreground colours are `currentColor` in every specification; a file that is not part of a page says which. */
const inked = (spec: TopLevelSpec, ink: string): TopLevelSpec =>
  JSON.parse(JSON.stringify(spec), (_key, value: unknown) => (value === "currentColor" ? ink : value)) as TopLevelSpec;
