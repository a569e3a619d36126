// `fathom report`: one HTML file with what an experiment found, that opens from disk without a network.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import { loadExperiment, type LoadedExperiment } from "../plots/load.ts";
import { readRun } from "../runs/run-folder.ts";
import { authorsFile } from "../runs/manifest.ts";
import { reportPage } from "./page.ts";

/** Writes `report.html` into an experiment's folder and gives its path. Reads only what the runs wrote. Throws
 *  `UserError` where the folder is no experiment. `loaded` saves reading the folder again. */
export async function writeReport(experimentDir: string, loaded?: LoadedExperiment): Promise<string> {
  const { data, runs } = loaded ?? loadExperiment(experimentDir);
  const source = authorsFile(experimentDir);
  const page = await reportPage({
    data,
    records: runs.flatMap(({ dir }) => readRun(dir) ?? []),
    configs: new Map(runs.map(({ row, config }) => [row.id, config])),
    source: existsSync(source) ? { path: source, text: readFileSync(source, "utf8") } : undefined,
    folder: experimentDir,
    figureFiles: figureFiles(experimentDir),
    files: ["runs.csv", "manifest.jsonl"].filter((file) => existsSync(path.join(experimentDir, file))),
  });
  const file = path.join(experimentDir, "report.html");
  await writeFileAtomic(file, page);
  return file;
}

/** The files of figures that lie in `plots/`, as a page beside that folder names them. */
function figureFiles(experimentDir: string): string[] {
  const folder = path.join(experimentDir, "plots");
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => `plots/${name}`)
    .sort();
}
