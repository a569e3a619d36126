// `manifest.jsonl`: the runs of an experiment, frozen. Editing the YAML later changes nothing that is already planned;
// runs it adds are appended.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { configHash } from "../config/identity.ts";
import type { PlannedRun } from "../config/sweep.ts";
import { messageOf, UserError } from "../errors.ts";
import { ensureFolder, isFile, writeWhole } from "./files.ts";

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
  const file = manifestFile(experimentDir);
  if (!isFile(file)) return [];
  const lines = readFileSync(file, "utf8").replace(/\n$/, "").split("\n");
  return lines.map((line, i) => {
    const damaged = (reason: string): UserError =>
      new UserError(
        `${file}:${i + 1}: expected a planned run as it was frozen, got ${reason}; restore the file or remove it to plan anew`,
      );
    let entry: Partial<ManifestEntry> | null;
    try {
      entry = JSON.parse(line) as typeof entry;
    } catch (error) {
      throw damaged(messageOf(error));
    }
    if (!isEntry(entry)) throw damaged("something else");
    if (entry.index !== i) throw damaged(`index ${entry.index} on line ${i + 1}`);
    if (configHash(entry.config) !== entry.hash) throw damaged("a configuration that does not match its hash");
    return entry;
  });
}

/** Whether a line has a run's keys; its configuration is then held to its hash. */
const isEntry = (entry: Partial<ManifestEntry> | null): entry is ManifestEntry =>
  typeof entry?.index === "number" &&
  [entry.id, entry.hash].every((text) => typeof text === "string") &&
  [entry.varied, entry.config].every((value) => typeof value === "object" && value !== null);

/** Run `index` of a manifest. */
export function manifestEntry(experimentDir: string, index: number): ManifestEntry {
  const entries = readManifest(experimentDir);
  const entry = entries[index];
  if (!entry)
    throw new UserError(
      `${manifestFile(experimentDir)}: expected --index from 0 to ${entries.length - 1}, got ${index}`,
    );
  return entry;
}

/** The manifest's path. */
export const manifestFile = (experimentDir: string): string => join(experimentDir, "manifest.jsonl");
