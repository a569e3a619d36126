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
import { unmet, type Plot } from "./plot.ts";

/** File formats of a figure. */
export const plotFormats = ["json", "svg", "png"] as const;
export type PlotFormat = (typeof plotFormats)[number];

/** What to draw and how. */
export interface RenderOptions {
  /** Names of the registry; all that the data allows where absent. */
  readonly plots?: readonly string[];
  readonly formats?: readonly PlotFormat[];
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

/** Draws the figures of an experiment into its `plots/`: `<name>.vl.json`, `.svg`, `.png` (two pixels a point); the
 *  paths written, in order. The same rows give the same bytes. A plot asked for by name which the rows do not allow is a
 *  `UserError`; without names such plots are left out. `loaded` saves reading the folder again. */
export async function renderPlots(
  experimentDir: string,
  options: RenderOptions = {},
  loaded?: LoadedExperiment,
): Promise<string[]> {
  const wanted = selectedPlots(options.plots);
  const { data } = loaded ?? loadExperiment(experimentDir);
  return renderData(data, path.join(experimentDir, "plots"), wanted, options);
}

/** `renderPlots` for rows in memory, into any folder. */
export async function renderData(
  data: ExperimentData,
  folder: string,
  plots: readonly Plot[],
  { plots: named, formats = plotFormats, onSkip }: RenderOptions = {},
): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const written: string[] = [];
  const write = async (file: string, contents: string | Uint8Array): Promise<void> => {
    await writeFileAtomic(file, typeof contents === "string" ? contents : Buffer.from(contents));
    written.push(file);
  };
  for (const plot of plots) {
    const reason = unmet(plot, data);
    if (reason !== undefined) {
      if (named && named.length > 0)
        throw new UserError(`${data.name}: the plot ${plot.name} cannot be drawn: ${reason}`);
      onSkip?.(plot.name, reason);
      continue;
    }
    const spec = plot.spec(data);
    const base = path.join(folder, plot.name);
    if (formats.includes("json")) await write(`${base}.vl.json`, specText(spec));
    if (!formats.includes("svg") && !formats.includes("png")) continue;
    const svg = await svgOf(plot.name, spec);
    if (formats.includes("svg")) await write(`${base}.svg`, svg);
    if (formats.includes("png")) await write(`${base}.png`, pngOf(svg));
  }
  return written;
}
