// Writes what an experiment or one of its runs recorded in a format of index.ts: into a folder aside, which then takes the place of the
// one that an earlier export left.

import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { UserError } from "../errors.ts";
import { makeFolders } from "../folders.ts";
import { lookup } from "../registry.ts";
import { packageVersion } from "../runs/environment.ts";
import { readExperiment, readRunRow } from "../runs/experiment.ts";
import { ensureFolder, isFile, writeWhole } from "../runs/files.ts";
import { readConfig } from "../runs/run-folder.ts";
import type { ExportFormat, ExportSource, Tick } from "./format.ts";
import * as formats from "./index.ts";

/** The formats of a list such as `tensorboard,parquet`; a `UserError` that lists the known ones where one is not known. */
export function parseExportFormats(list: string): ExportFormat[] {
  const names = list.split(",").map((name) => name.trim());
  return [...new Set(names)].map((name) => lookup<ExportFormat>("export format", formats, name));
}

/** Reads what is to be exported: the folder of an experiment, or of one of its runs. Runs that have not begun are left out. A `UserError`
 *  where it is neither. */
export function exportSource(dir: string): ExportSource {
  const isRun = isFile(join(dir, "config.yaml")) && !existsSync(join(dir, "runs"));
  const { name, varied, runs } = isRun ? ofRun(dir) : readExperiment(dir);
  const begun = runs.filter(({ row }) => row.status !== "pending");
  if (begun.length === 0)
    throw new UserError(
      `${dir}: expected runs that have begun, got none; \`fathom sweep\` or \`fathom resume\` runs them`,
    );
  return { experiment: { name, varied, runs: begun } };
}

/** A run with the keys that tell it from the others of its experiment; without such where it lies apart. */
function ofRun(dir: string): ExportSource["experiment"] {
  const runsDir = dirname(resolve(dir));
  if (basename(runsDir) === "runs") {
    const { name, varied, runs } = readExperiment(dirname(runsDir));
    const run = runs.find(({ row }) => row.id === basename(resolve(dir)));
    if (run) return { name, varied, runs: [run] };
  }
  const config = readConfig(dir);
  return { name: config.name, varied: [], runs: [readRunRow(dir, {}, config)] };
}

/** What says that a folder is an export, and of what. */
const markFile = "export.json";

/** Writes `source` in a format into `folder`, in the place of an earlier export; gives the paths of its files. A `UserError` where
 *  `folder` holds something else. Throws the reason of `tick`'s signal, having changed nothing. */
export async function writeExport(
  source: ExportSource,
  format: ExportFormat,
  folder: string,
  tick: Tick,
): Promise<string[]> {
  const parent = dirname(resolve(folder));
  ensureFolder(parent, "choose another with --to"); // first: below a file nothing can be looked for
  refuseForeign(folder, format);
  const aside = (ending: string): string => join(parent, `.${basename(resolve(folder))}.${process.pid}.${ending}`);
  const [fresh, old] = [aside("new"), aside("old")];
  removeAbandoned(parent, basename(resolve(folder)));
  for (const path of [fresh, old]) rmSync(path, { recursive: true, force: true });
  makeFolders(fresh);
  try {
    await format.write(source, fresh, tick);
    const { name, runs } = source.experiment;
    const mark = { format: format.name, experiment: name, runs: runs.length, fathom: packageVersion() };
    writeWhole(join(fresh, markFile), `${JSON.stringify(mark, null, 2)}\n`);
    const files = filesIn(fresh);
    if (existsSync(folder)) renameSync(folder, old);
    renameSync(fresh, folder);
    return files.map((file) => join(folder, file));
  } finally {
    for (const path of [fresh, old]) rmSync(path, { recursive: true, force: true });
  }
}

/** What is replaced must be an export of this format: `--to` may name any folder. */
function refuseForeign(folder: string, { name }: ExportFormat): void {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (!found || (found.isDirectory() && readdirSync(folder).length === 0)) return;
  let format: unknown;
  try {
    format = (JSON.parse(readFileSync(join(folder, markFile), "utf8")) as { format?: unknown }).format;
  } catch {
    // Said below.
  }
  if (format !== name)
    throw new UserError(
      `${folder}: expected no such folder, or an earlier export as ${name} (with ${markFile}), got something else; ` +
        `choose another with --to, or remove it`,
    );
}

/** A day: none takes as long, and a folder that is being written may not have changed itself for long. */
const abandonedAfter = 24 * 3600 * 1000;

/** Removes what exports left aside that were killed. */
function removeAbandoned(parent: string, name: string): void {
  for (const entry of readdirSync(parent)) {
    if (!entry.startsWith(`.${name}.`) || !/^\d+\.(new|old)$/.test(entry.slice(name.length + 2))) continue;
    const path = join(parent, entry);
    const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    if (Date.now() - changed > abandonedAfter) rmSync(path, { recursive: true, force: true });
  }
}

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => isFile(join(folder, file)))
    .map((file) => file.split(sep).join("/"))
    .sort();
