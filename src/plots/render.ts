// `fathom plot`: from an experiment's folder to figures as files.

import { mkdirSync } from "node:fs";
import path from "node:path";
import type { TopLevelSpec } from "vega-lite";
import writeFileAtomic from "write-file-atomic";
import { UserError } from "../errors.ts";
import { lookup, members, unknownName } from "../registry.ts";
import type { ExperimentData } from "./experiment.ts";
import * as registry from "./index.ts";
import { loadExperiment, type LoadedExperiment } from "./load.ts";
import { pngOf, svgOf } from "./picture.ts";
import { csvOf } from "./csv.ts";
import { latexFigure } from "./latex.ts";
import { pdfOf } from "./pdf.ts";
import { unmet, type Plot } from "./plot.ts";
import { columnPoints } from "./paper.ts";
import { parseStyle, plotFormats, type PlotFormat, type Style } from "./styles.ts";

/** What to draw and how. */
export interface RenderOptions {
  /** Names of the registry; all that the data allows where absent. */
  readonly plots?: readonly string[];
  /** Those of the style where absent. */
  readonly formats?: readonly PlotFormat[];
  /** For the screen where absent. */
  readonly style?: Style;
  /** Told of each plot that is left out because the rows it needs are not there. */
  readonly onSkip?: (plot: string, reason: string) => void;
}

/** The plots to draw: those asked for (an unknown name is a `UserError` that lists the known ones), or all. */
export function selectedPlots(names: readonly string[] | undefined): Plot[] {
  if (names && names.length > 0) return names.map((name) => lookup<Plot>("plot", registry, name));
  return [...members<Plot>(registry).values()];
}

/** Formats by name, from a list such as `svg,png`; an unknown one is a `UserError` that lists the known ones. */
export function parseFormats(text: string): PlotFormat[] {
  return text.split(",").map((name) => {
    const format = plotFormats.find((known) => known === name.trim());
    if (!format) throw new UserError(unknownName("format", name.trim(), plotFormats));
    return format;
  });
}

/** A specification as JSON to read: indented, arrays of numbers on one line. */
export function specText(spec: TopLevelSpec): string {
  const text = JSON.stringify(spec, null, 1);
  return `${text.replace(/\[\s+(?:[-+.\de]+,?\s+)+\]/g, (numbers) => numbers.replace(/\s+/g, ""))}\n`;
}

/** Draws the figures of an experiment into its `plots/`, or a style's folder there: `<name>.vl.json`, `.svg`, `.png` (two pixels a
 *  point), `.csv`, `.pdf`, `.tex`; the paths written, in order. Of a figure without numbers, such as pictures, there is no CSV.
 *  The same rows give the same bytes. A plot asked for by name which the rows do not allow is a `UserError`; without names
 *  such plots are left out. `loaded` saves reading the folder again. */
export async function renderPlots(
  experimentDir: string,
  options: RenderOptions = {},
  loaded?: LoadedExperiment,
): Promise<string[]> {
  const wanted = selectedPlots(options.plots);
  const { data } = loaded ?? loadExperiment(experimentDir);
  return renderData(data, path.join(experimentDir, "plots", (options.style ?? screen).folder), wanted, options);
}

const screen = parseStyle("screen");

/** `renderPlots` for rows in memory, into any folder. */
export async function renderData(
  data: ExperimentData,
  folder: string,
  plots: readonly Plot[],
  { plots: named, style = screen, formats = style.formats, onSkip }: RenderOptions = {},
): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const written: string[] = [];
  for (const plot of plots) {
    const reason = unmet(plot, data);
    if (reason !== undefined) {
      if (named && named.length > 0)
        throw new UserError(`${data.name}: the plot ${plot.name} cannot be drawn: ${reason}`);
      onSkip?.(plot.name, reason);
      continue;
    }
    const files = await filesOf(plot, data, style, formats);
    for (const [ending, contents] of files) {
      const file = path.join(folder, `${plot.name}${ending}`);
      await writeFileAtomic(file, typeof contents === "string" ? contents : Buffer.from(contents));
      written.push(file);
    }
  }
  return written;
}

/** What is written of a figure, by the ending of its file's name. */
async function filesOf(
  plot: Plot,
  data: ExperimentData,
  style: Style,
  formats: readonly PlotFormat[],
): Promise<[ending: string, contents: string | Uint8Array][]> {
  const original = plot.spec(data);
  const isDrawn = formats.some((format) => format !== "csv" && format !== "tex");
  const spec = isDrawn ? await style.apply(original) : original;
  const isPicture = formats.some((format) => format === "svg" || format === "png" || format === "pdf");
  const svg = isPicture ? await svgOf(plot.name, spec) : "";
  const isPrinted = style.name === "paper";
  const csv = formats.includes("csv") ? csvOf(original) : undefined;
  const files: Record<PlotFormat, () => [string, string | Uint8Array][]> = {
    json: () => [[".vl.json", specText(spec)]],
    svg: () => [[".svg", isPrinted ? inPoints(svg) : svg]],
    png: () => [[".png", pngOf(svg, isPrinted ? printZoom : undefined)]],
    csv: () => (csv === undefined ? [] : [[".csv", csv]]),
    pdf: () => [[".pdf", pdfOf(svg.replaceAll("currentColor", "black"))]],
    tex: () => [[".tex", latexFigure(plot.name, original, plot.caption)]],
  };
  return plotFormats.flatMap((format) => (formats.includes(format) ? files[format]() : []));
}

/** 600 pixels an inch of a column's width. */
const printZoom = (600 * 3.35) / columnPoints;

/** A picture whose units are points. */
const inPoints = (svg: string): string => svg.replace(/(<svg [^>]*?width="[\d.]+)(" height="[\d.]+)"/, '$1pt$2pt"');
