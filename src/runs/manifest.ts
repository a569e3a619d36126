// `manifest.jsonl`: the runs of an experiment, frozen. Editing the YAML later changes nothing that is already planned;
// runs it adds are appended.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { configHash } from "../config/identity.ts";
import { checkResolved } from "../config/resolve.ts";
import type { PlannedRun } from "../config/sweep.ts";
import { messageOf, UserError } from "../errors.ts";
import { ensureFolder, isFile, writeWhole } from "./files.ts";

/** Bytes of a manifest at most: 2 KiB a run, of which a sweep has 100,000 at most. */
export const maxManifestBytes = 2 ** 28;

/** One line of the manifest. */
export interface ManifestEntry extends PlannedRun {
  /** Place in the manifest, from 0: what `fathom run --index` takes. */
  readonly index: number;
}

/** What became of a plan. */
export interface Plan {
  /** All runs of the experiment, those of earlier plans first. */
  readonly entries: readonly ManifestEntry[];
  /** Runs that this plan would append or has appended. */
  readonly added: readonly ManifestEntry[];
  /** Runs of earlier plans which the present configuration no longer asks for; they stay as they were planned. */
  readonly earlier: readonly ManifestEntry[];
}

/** The plan that results from asking for `runs` in this experiment; changes nothing. */
export function planRuns(experimentDir: string, runs: readonly PlannedRun[]): Plan {
  const known = readManifest(experimentDir);
  const hashes = new Set(known.map((e) => e.hash));
  const asked = new Set(runs.map((r) => r.hash));
  const added = runs.filter((r) => !hashes.has(r.hash)).map((r, i) => ({ index: known.length + i, ...r }));
  return { entries: [...known, ...added], added, earlier: known.filter((e) => !asked.has(e.hash)) };
}

/** Writes a plan's manifest, whole or not at all. */
export function freezePlan(experimentDir: string, { entries, added }: Plan): void {
  ensureFolder(experimentDir);
  if (added.length > 0) writeWhole(manifestFile(experimentDir), entries.map((e) => `${JSON.stringify(e)}\n`).join(""));
}

/** The author's file, kept beside the manifest for the report: the question it asks, and how to ask it again. */
export const authorsFile = (experimentDir: string): string => join(experimentDir, "experiment.yaml");

const overridesMark = "# overrides of this sweep: ";

/** The question of an author's file: its first comment that says something, to the end of the paragraph or the next `Word:`; empty where there
 *  is none. A file's name and what is for editors ask nothing. */
export function questionIn(text: string): string {
  const comments = text
    .split("\n")
    .filter((line) => line.startsWith("#") && !line.startsWith(overridesMark))
    .map((line) => line.replace(/^#+/, "").trim())
    .map((line) => (isForTools(line) ? "" : line));
  const start = comments.findIndex((line) => line !== "");
  if (start < 0) return "";
  const rest = comments.slice(start + 1);
  const end = rest.findIndex((line) => line === "" || /^[A-Z]\w*:/.test(line));
  const said = [comments[start]!, ...rest.slice(0, end < 0 ? rest.length : end)]
    .join(" ")
    .replace(/^Question:\s*/i, "");
  return said === "" ? "" : said[0]!.toUpperCase() + said.slice(1);
}

/** Whether a comment is an editor's, or nothing but the path of a file. */
const isForTools = (comment: string): boolean =>
  comment.startsWith("yaml-language-server:") || /^\S*[/\\]\S+\.\w+$|^\S+\.ya?ml$/.test(comment);

/** Keeps a copy of the configuration that was last swept, with its overrides on a line of their own. */
export function keepAuthorsFile(experimentDir: string, text: string, overrides: readonly string[]): void {
  const last = overrides.length > 0 ? `${overridesMark}${JSON.stringify(overrides)}\n` : "";
  writeWhole(authorsFile(experimentDir), `${text.trimEnd()}\n${last}`);
}

/** The overrides noted in a kept copy; a `UserError` where their line was changed by hand. */
export function keptOverrides({ path, text }: { path: string; text: string }): string[] {
  const line = text.trimEnd().split("\n").at(-1)!;
  if (!line.startsWith(overridesMark)) return [];
  const noted = line.slice(overridesMark.length);
  try {
    const overrides: unknown = JSON.parse(noted);
    if (Array.isArray(overrides) && overrides.every((one) => typeof one === "string")) return overrides;
  } catch {
    // Said below.
  }
  throw new UserError(`${path}: expected a list of overrides in its last line, got ${noted}; sweep again or remove it`);
}

/** The runs of an experiment; none where nothing was planned. A `UserError` where a line was changed by hand. */
export function readManifest(experimentDir: string): ManifestEntry[] {
  return manifestLines(experimentDir).map((line, i) => entryOf(manifestFile(experimentDir), line, i));
}

/** The lines of a manifest; none where nothing was planned. */
function manifestLines(experimentDir: string): string[] {
  const file = manifestFile(experimentDir);
  if (!isFile(file)) return [];
  const { size } = statSync(file);
  if (size > maxManifestBytes) throw damaged(file, `${size} bytes, more than any has`);
  return readFileSync(file, "utf8").replace(/\n$/, "").split("\n");
}

/** Runs have their names from their configurations, so that another plan finds them. */
const repair =
  "restore the file, or remove it and sweep again: finished runs stay in runs/, and are found and not run again";

const damaged = (place: string, reason: string): UserError =>
  new UserError(`${place}: expected a planned run as it was frozen, got ${reason}; ${repair}`);

/** The run on line `i` (from 0) of a manifest. */
function entryOf(file: string, line: string, i: number): ManifestEntry {
  const place = `${file}:${i + 1}`;
  let entry: unknown;
  let hash: string;
  try {
    entry = JSON.parse(line);
    if (!isEntry(entry)) throw new Error("something else");
    hash = configHash(entry.config);
  } catch (error) {
    throw damaged(place, messageOf(error));
  }
  if (entry.index !== i) throw damaged(place, `index ${entry.index} on line ${i + 1}`);
  if (hash !== entry.hash) throw damaged(place, "a configuration that does not match its hash");
  return entry;
}

/** Whether a line has a run's keys, and its configuration the sections that listing it needs. Whole configurations are checked
 *  where one is run. */
const isEntry = (entry: unknown): entry is ManifestEntry => entrySchema.safeParse(entry).success;

const section = z.record(z.string(), z.unknown());
const entrySchema = z.object({
  index: z.number(),
  id: z.string(),
  hash: z.string(),
  varied: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  config: z.looseObject({ name: z.string(), seed: z.number(), data: section, model: section, train: section }),
});

/** Runs of a manifest by their indices; a `UserError` where there is none, or its configuration is none. */
export function manifestEntries(experimentDir: string, indices: readonly (string | number)[]): ManifestEntry[] {
  // Of a large sweep each run would otherwise read all the others.
  const lines = manifestLines(experimentDir);
  return indices.map((index) => {
    const line = /^\d{1,9}$/.test(String(index)) ? lines[Number(index)] : undefined;
    if (line === undefined)
      throw new UserError(
        `${manifestFile(experimentDir)}: expected --index from 0 to ${lines.length - 1}, got ${index === "" ? "nothing" : index}`,
      );
    const entry = entryOf(manifestFile(experimentDir), line, Number(index));
    const checked = checkResolved(entry.config);
    if (checked.ok) return entry;
    const { path, message } = checked.problems[0]!;
    throw new UserError(
      `${manifestFile(experimentDir)}:${entry.index + 1}: expected a planned run's configuration: ` +
        `${[path.join("."), message].filter(Boolean).join(": ")}; ${repair}`,
    );
  });
}

/** The manifest's path. */
export const manifestFile = (experimentDir: string): string => join(experimentDir, "manifest.jsonl");
