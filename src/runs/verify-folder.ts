// The folder `verify/` that `fathom verify` leaves: `checks/<name>.json`, what one check found in full, and the lists that
// derive from all of these, `checks.json` and `checks.csv`. So a single check can be run again without the others.

import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { assert, messageOf, UserError } from "../errors.ts";
import type { CheckFigure, Claim } from "../types.ts";
import type { Environment } from "./environment.ts";
import { discardEmpty, ensureFolder, isFile, writeWhole } from "./files.ts";
import { manifestFile } from "./manifest.ts";

/** What one check found, when, and with what. */
export interface CheckRecord {
  readonly check: string;
  readonly summary: string;
  readonly source: string;
  readonly conditions: string;
  readonly claims: readonly Claim[];
  /** Absent where the check failed before it had one. */
  readonly figure?: CheckFigure;
  /** Why the check could not be carried out; its one claim then fails, and its numbers are NaN. */
  readonly reason?: string;
  readonly engine: string;
  /** ISO 8601, when it was finished. */
  readonly made: string;
  /** Wall-clock seconds; training done by an earlier check is not counted again. */
  readonly seconds: number;
  readonly environment: Environment;
}

/** A line of `checks.json`: a claim, and which check made it when, and at which commit (`+` behind it: with changes). */
export interface ClaimLine extends Claim {
  readonly check: string;
  readonly source: string;
  readonly conditions: string;
  readonly reason?: string;
  readonly made: string;
  readonly commit: string | null;
}

/** The folder below `--out`. */
export const verifyFolder = (out: string): string => join(out, "verify");
/** Where figures are, one `<check>.json`, `.svg`, `.png` and `.csv` each. */
export const figuresFolder = (folder: string): string => join(folder, "plots");
export const figureExtensions = ["csv", "json", "png", "svg"] as const;

const recordsFolder = (folder: string): string => join(folder, "checks");
const recordFile = (folder: string, check: string): string => join(recordsFolder(folder), `${check}.json`);

/** Makes the folder; a `UserError` where it cannot be written to or is an experiment's. */
export function prepareVerifyFolder(folder: string): void {
  if (isFile(manifestFile(folder)) || existsSync(join(folder, "runs")))
    throw new UserError(
      `${folder}: expected no experiment here, got one that is named verify; choose another folder with --out`,
    );
  for (const path of [folder, recordsFolder(folder), figuresFolder(folder)]) ensureFolder(path);
}

/** Removes the folder where nothing came to be written to it. */
export const discardVerifyFolder = (folder: string): void =>
  discardEmpty(recordsFolder(folder), figuresFolder(folder), folder);

/** JSON in which a number that is not there (NaN) is null, as all numbers are of a claim that could not be carried out, its
 *  `reason` beside them. One that left the range of numbers, as what is measured may, is the text "Infinity" or "-Infinity". */
export const jsonText = (value: unknown, indent?: number): string =>
  JSON.stringify(
    value,
    (_key, part: unknown) => (part === Infinity || part === -Infinity ? String(part) : part),
    indent,
  );

/** The keys of claims and figures whose values are numbers and may be none that JSON has. */
const numericKeys = new Set("predicted measured relativeError tolerance claimed low high x y".split(" "));
const withNumbers = (key: string, part: unknown): unknown => {
  if (numericKeys.has(key)) return toNumber(part);
  return key === "within" && Array.isArray(part) ? part.map(toNumber) : part;
};
const toNumber = (part: unknown): unknown =>
  part === null ? NaN : part === "Infinity" || part === "-Infinity" ? Number(part) : part;

/** Writes what a check found. */
export function writeCheck(folder: string, record: CheckRecord): void {
  assert(/^[a-z0-9][a-z0-9.-]*$/.test(record.check), `"${record.check}" is no name for a file`);
  writeWhole(recordFile(folder, record.check), `${jsonText(record, 2)}\n`);
}

/** All that checks found so far, in the order of their names. A damaged file is a `UserError`. */
export const readChecks = (folder: string): CheckRecord[] =>
  regularFiles(recordsFolder(folder))
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => readRecord(join(recordsFolder(folder), name)));

/** The names of the regular files in a folder; none where there is no folder. */
function regularFiles(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : []));
  } catch {
    return [];
  }
}

function readRecord(file: string): CheckRecord {
  const damaged = (reason: string): UserError =>
    new UserError(`${file}: expected what a check found, got ${reason}; remove this file and run the check again`);
  let record: Partial<CheckRecord> | null;
  try {
    record = JSON.parse(readFileSync(file, "utf8"), withNumbers) as typeof record;
  } catch (error) {
    throw damaged(messageOf(error));
  }
  const texts = [record?.check, record?.summary, record?.source, record?.conditions, record?.made];
  if (!texts.every((text) => typeof text === "string") || !Array.isArray(record?.claims) || !record.environment)
    throw damaged("something else");
  // A copy under another name would list its claims twice.
  if (`${record.check}.json` !== basename(file)) throw damaged(`what the check ${record.check} found`);
  return record as CheckRecord;
}

/** Removes what checks found that are not among `known` (any more): their records and figures, and nothing else. */
export function keepChecks(folder: string, known: ReadonlySet<string>): void {
  const gone = readChecks(folder).flatMap(({ check }) => (known.has(check) ? [] : [check]));
  const theirs = new Set(gone.flatMap((check) => figureExtensions.map((extension) => `${check}.${extension}`)));
  // Records go last: without them nobody would know, after a crash, whose the figures are.
  for (const path of [figuresFolder(folder), recordsFolder(folder)])
    for (const name of regularFiles(path)) if (theirs.has(name)) rmSync(join(path, name), { force: true });
}

/** The claims of all `records`, a line each. */
export const claimLines = (records: readonly CheckRecord[]): ClaimLine[] =>
  records.flatMap(({ claims, check, source, conditions, reason, made, environment }) =>
    claims.map((claim) => ({
      ...claim,
      check,
      source,
      conditions,
      ...(reason !== undefined && { reason }),
      made,
      commit: commitOf(environment),
    })),
  );

/** The commit a check or run was made at, with a `+` where there were changes; null outside a repository. */
export const commitOf = ({ git }: Pick<Environment, "git">): string | null =>
  git && `${git.commit}${git.dirty ? "+" : ""}`;

/** Writes `checks.json` and `checks.csv` anew from all that checks found. */
export function writeLists(folder: string, records: readonly CheckRecord[]): void {
  const lines = claimLines(records);
  writeWhole(join(folder, "checks.json"), `${jsonText(lines, 2)}\n`);
  writeWhole(
    join(folder, "checks.csv"),
    stringify([Object.keys(columns), ...lines.map(csvLine)], { cast: { number: csvNumber } }),
  );
}

const columns: Record<string, (line: ClaimLine) => string | number | null | undefined> = {
  name: ({ name }) => name,
  verdict: ({ verdict }) => verdict,
  predicted: ({ predicted }) => predicted,
  measured: ({ measured }) => measured,
  relativeError: ({ relativeError }) => relativeError,
  tolerance: ({ tolerance }) => tolerance,
  seeds: ({ spread }) => spread?.seeds,
  low: ({ spread }) => spread?.low,
  high: ({ spread }) => spread?.high,
  claimed: ({ correction }) => correction?.claimed,
  correction: ({ correction }) => correction?.text,
  reason: ({ reason }) => reason,
  statement: ({ statement }) => statement,
  check: ({ check }) => check,
  source: ({ source }) => source,
  made: ({ made }) => made,
  commit: ({ commit }) => commit,
};
const csvNumber = (value: number): string => (Number.isNaN(value) ? "" : String(value));
const csvLine = (line: ClaimLine): unknown[] => Object.values(columns).map((of) => of(line));
