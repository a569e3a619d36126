// Figures of `fathom plot` for the page: from all rows of an experiment, which are read at once and kept while its files stay as they are.

import { messageOf, UserError } from "../errors.ts";
import { members } from "../registry.ts";
import * as registry from "../plots/index.ts";
import { csvOf } from "../plots/csv.ts";
import { loadExperiment, type LoadedExperiment } from "../plots/load.ts";
import { unmet, type Plot } from "../plots/plot.ts";
import { eventsFile, layersFile, metricsFile, readingsFile } from "../runs/files.ts";
import type { Figure, FigureList } from "./api.ts";
import { lstatOf } from "./place.ts";
import { Refusal } from "./refusal.ts";

/** Bytes of rows beyond which an experiment is not drawn here: reading them makes objects of some five times as much. */
const mostBytes = 2 ** 28;

/** The experiment that was read last. */
let latest: { readonly dir: string; readonly key: string; readonly loaded: LoadedExperiment } | undefined;

/** What an experiment's figures are made from. */
export interface DrawnRuns {
  readonly dir: string;
  /** Tells the states of its files apart. */
  readonly key: string;
  /** Folders of the runs that are drawn. */
  readonly runDirs: readonly string[];
  /** Those that cannot be read. */
  readonly leftOut: FigureList["leftOut"];
}

/** The rows of an experiment. A refusal where they are too many. */
function rowsOf({ dir, key, runDirs, leftOut }: DrawnRuns): LoadedExperiment {
  if (latest?.dir === dir && latest.key === key) return latest.loaded;
  latest = undefined;
  const size = (file: string): number => Number(lstatOf(file)?.size ?? 0);
  const bytes = runDirs.reduce((sum, run) => {
    const rows = size(eventsFile(run)) || size(layersFile(run)) + size(readingsFile(run));
    return sum + rows + size(metricsFile(run));
  }, 0);
  if (bytes > mostBytes)
    throw new Refusal(
      422,
      `${dir}: expected runs of at most ${megabytes(mostBytes)} to draw figures of here, got ${megabytes(bytes)}; ` +
        `\`fathom plot ${dir} --plot NAME\` draws them as files, the curves and layers here show them all the same`,
    );
  try {
    latest = { dir, key, loaded: loadExperiment(dir, new Set(leftOut.map(({ id }) => id))) };
  } catch (error) {
    if (error instanceof UserError) throw new Refusal(422, messageOf(error));
    throw error;
  }
  return latest.loaded;
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** The figures that an experiment's rows allow. */
export function figuresOf(drawn: DrawnRuns): FigureList {
  const { data } = rowsOf(drawn);
  const figures = [...members<Plot>(registry).values()]
    .filter((plot) => unmet(plot, data) === undefined)
    .map(({ name, summary }) => ({ name, summary }));
  return { figures, leftOut: drawn.leftOut };
}

/** A figure of an experiment. */
export function figureOf(drawn: DrawnRuns, name: string): Figure {
  const plot = members<Plot>(registry).get(name);
  if (!plot)
    throw new Refusal(404, `${name}: expected the name of a figure, got none; \`fathom list plot\` names them`);
  const { data } = rowsOf(drawn);
  const reason = unmet(plot, data);
  if (reason !== undefined) throw new Refusal(422, `${data.name}: the figure ${name} cannot be drawn: ${reason}`);
  const spec = plot.spec(data);
  return { name, title: plot.title(data), caption: plot.caption, spec, csv: csvOf(spec) ?? null };
}
