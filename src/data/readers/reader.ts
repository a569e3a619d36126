// A reader takes the files of one format and gives their aligned units, one after the other, in memory that does not
// grow with the files. Texts come out as they stand in the files: NFC and white space are the corpus's matter.

import { UserError } from "../../errors.ts";
import type { Member } from "../../registry.ts";
import { languageCode } from "./languages.ts";

/** One aligned unit as it stands in a file: texts by language code, at least two of them, none blank. */
export interface ReadUnit {
  readonly text: Readonly<Record<string, string>>;
  /** Where it came from: `corpus.tsv:12`, or `de.mo entry 12` in a file without lines. */
  readonly where: string;
}

/** What readers leave out without an error, and count. */
export const SKIPPED = {
  empty: "blank lines, and units with a blank text",
  incomplete: "units with texts in fewer than two of the languages asked for",
  fuzzy: "translations marked fuzzy",
  untranslated: "entries without a translation",
  plural: "entries with plural forms, which differ in number between languages",
  obsolete: "entries that their program no longer has",
  duplicate: "entries that their file had before",
} as const;
export type SkipReason = keyof typeof SKIPPED;

/** What a reader says of its files beside their units. */
export interface Tally {
  readonly skipped: Record<SkipReason, number>;
  /** Languages that the files have and nobody asked for; a few of them, for messages. */
  readonly others: Set<string>;
}

/** A file of the format holds all languages; several such files are read one after the other. */
export interface TogetherReader extends Member {
  readonly layout: "together";
  /** The units in small batches. A `UserError` with file and line where a file is not what it should be. */
  read(files: readonly string[], languages: readonly string[], tally: Tally): AsyncGenerator<readonly ReadUnit[]>;
}

/** Each language has a file of its own, under its code. */
export interface ApartReader extends Member {
  readonly layout: "apart";
  /** The language that needs no file, because the files hold it beside their own. */
  readonly shared?: string;
  read(
    files: Readonly<Record<string, string>>,
    languages: readonly string[],
    tally: Tally,
  ): AsyncGenerator<readonly ReadUnit[]>;
}

/** A member of the registry of readers. */
export type Reader = TogetherReader | ApartReader;

/** What a config says under `files`: a list where files hold all languages, else one file a language. */
export type ReaderFiles = readonly string[] | Readonly<Record<string, string>>;

/** A reading under way. */
export interface Reading {
  /** The units. Ends with a `UserError` where a file is damaged, where there is no unit at all, or where a language
   *  asked for never occurs. What only the end of a file shows, such as a missing last line, is thrown at the end. */
  readonly units: AsyncGenerator<ReadUnit, void>;
  /** What was left out so far, by reason. */
  readonly skipped: Readonly<Record<SkipReason, number>>;
}

/** Reads `files` with `reader`: units with texts in two or more of `languages`. Where columns have no names, the order
 *  of the languages is that of the columns. A `UserError` at once where files or languages cannot fit the reader; the
 *  files are opened when the first unit is asked for. */
export function readUnits(reader: Reader, files: ReaderFiles, languages: readonly string[]): Reading {
  checkLanguages(languages);
  const skipped = Object.fromEntries(Object.keys(SKIPPED).map((reason) => [reason, 0])) as Tally["skipped"];
  const tally: Tally = { skipped, others: new Set() };
  const names = Array.isArray(files) ? (files as readonly string[]) : Object.values(files);
  if (names.length === 0 || names.some((name) => typeof name !== "string" || name === ""))
    throw new UserError(`reader ${reader.name}: expected the names of one or more files, got ${JSON.stringify(files)}`);
  const batches = batchesOf(reader, files, languages, tally);
  return { units: checked(batches, names, languages, tally), skipped };
}

function batchesOf(
  reader: Reader,
  files: ReaderFiles,
  languages: readonly string[],
  tally: Tally,
): AsyncGenerator<readonly ReadUnit[]> {
  if (reader.layout === "together") {
    if (!Array.isArray(files))
      throw new UserError(
        `reader ${reader.name}: expected a list of files, each with all languages, got one file a language; ` +
          `write files: [${Object.values(files).join(", ")}]`,
      );
    return reader.read(files as readonly string[], languages, tally);
  }
  if (Array.isArray(files))
    throw new UserError(
      `reader ${reader.name}: expected one file a language, got a list of files; ` +
        `write files: {${languages.map((language) => `${language}: FILE`).join(", ")}}`,
    );
  const byLanguage = files as Readonly<Record<string, string>>;
  for (const language of Object.keys(byLanguage)) checkLanguage(language);
  const missing = languages.filter((language) => !Object.hasOwn(byLanguage, language) && language !== reader.shared);
  if (missing.length > 0)
    throw new UserError(
      `reader ${reader.name}: expected a file for each of ${languages.join(", ")}, got none for ${missing.join(", ")}; ` +
        `files has: ${Object.keys(byLanguage).join(", ")}`,
    );
  return reader.read(byLanguage, languages, tally);
}

function checkLanguages(languages: readonly string[]): void {
  for (const language of languages) checkLanguage(language);
  if (languages.length < 2 || new Set(languages).size < languages.length)
    throw new UserError(
      `expected two or more languages, each once, got ${languages.length ? languages.join(", ") : "none"}`,
    );
}

function checkLanguage(language: string): void {
  if (!/^[a-z]{2,8}(-[a-z0-9]{1,8})*$/.test(languageCode(language)))
    throw new UserError(`expected a language code such as en or pt-br, got ${JSON.stringify(language)}`);
  if (languageCode(language) !== language)
    throw new UserError(
      `expected a language code in small letters with hyphens, got ${language}; write ${languageCode(language)}`,
    );
}

/** The units of the batches, and after the last one the checks that no single file can make. */
async function* checked(
  batches: AsyncGenerator<readonly ReadUnit[]>,
  files: readonly string[],
  languages: readonly string[],
  tally: Tally,
): AsyncGenerator<ReadUnit, void> {
  let units = 0;
  const absent = new Set(languages);
  for await (const batch of batches)
    for (const unit of batch) {
      units++;
      if (absent.size > 0)
        for (const language of absent) if (Object.hasOwn(unit.text, language)) absent.delete(language);
      yield unit;
    }
  const others =
    tally.others.size > 0 ? `; languages there that were not asked for: ${[...tally.others].join(", ")}` : "";
  const left = Object.entries(tally.skipped).filter(([, count]) => count > 0);
  const skipped = left.length > 0 ? ` (left out: ${left.map(([reason, n]) => `${n} ${reason}`).join(", ")})` : "";
  if (units === 0)
    throw new UserError(
      `${files.join(", ")}: expected units with texts in two or more of ${languages.join(", ")}, got none${skipped}${others}`,
    );
  if (absent.size > 0)
    throw new UserError(
      `${files.join(", ")}: expected texts in ${[...absent].join(", ")}, got none in ${units} units${skipped}${others}; ` +
        `leave the language out, or add a file that has it`,
    );
}
