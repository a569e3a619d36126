// What .po and .mo files have in common: entries by message id, one file a language, joined across the files.

import { UserError } from "../../errors.ts";
import { cursorOf } from "./cursor.ts";
import { languageCode } from "./languages.ts";
import type { ReadUnit, Tally } from "./reader.ts";
import { isBlank } from "./lines.ts";

/** The language of message ids. */
export const SOURCE = "en";

/** Between a message's context and its id, in .mo files and in our keys. */
export const CONTEXT_END = "\u0004";

/** An entry of one file. */
export interface GettextEntry {
  /** Context and id. */
  readonly key: string;
  /** The message id: the English text. */
  readonly id: string;
  /** The translation, where there is one to use. */
  readonly text: string | undefined;
  readonly where: string;
}

/** Characters of entries that wait for the other languages. Files of one program have their entries in one order, and
 *  few wait; where the orders differ more than this allows, the oldest go out with the languages that they have. */
const MOST_WAITING = 2 ** 24;

/** The units of files that share their message ids. The English is the id, or where there is a file for English what it
 *  has for it. The files are read side by side, an entry at a time. */
export async function* joinEntries(
  files: Readonly<Record<string, string>>,
  languages: readonly string[],
  tally: Tally,
  entriesOf: (file: string, language: string, tally: Tally) => AsyncGenerator<readonly GettextEntry[]>,
): AsyncGenerator<readonly ReadUnit[]> {
  const sources = languages
    .filter((language) => Object.hasOwn(files, language))
    .map((language) => ({ language, cursor: cursorOf(entriesOf(files[language]!, language, tally)) }));
  const idIsText = languages.includes(SOURCE) && !Object.hasOwn(files, SOURCE);
  const waiting = new Map<string, { text: Record<string, string>; seen: Set<string>; where: string; size: number }>();
  let size = 0;
  let units: ReadUnit[] = [];
  const release = (key: string): void => {
    const { text, seen, where, size: own } = waiting.get(key)!;
    waiting.delete(key);
    size -= own;
    if (Object.keys(text).length >= 2) units.push({ text, where });
    // What a file has without a translation is counted already.
    else if (seen.size < sources.length) tally.skipped.incomplete++;
  };
  const add = (language: string, { key, id, text, where }: GettextEntry): void => {
    let entry = waiting.get(key);
    if (!entry) {
      const own = key.length + (idIsText ? id.length : 0);
      entry = { text: idIsText && !isBlank(id) ? { [SOURCE]: id } : {}, seen: new Set(), where, size: own };
      waiting.set(key, entry);
      size += own;
    }
    if (entry.seen.has(language)) return void tally.skipped.duplicate++;
    entry.seen.add(language);
    if (text !== undefined) {
      entry.text[language] = text;
      entry.size += text.length;
      size += text.length;
    }
    if (entry.seen.size === sources.length) release(key);
  };
  try {
    for (let live = sources; live.length > 0;) {
      const still: typeof sources = [];
      for (const source of live)
        if (await source.cursor.fill()) {
          add(source.language, source.cursor.take());
          still.push(source);
        }
      if (size > MOST_WAITING)
        for (const oldest of waiting.keys()) {
          if (size <= MOST_WAITING) break;
          release(oldest);
        }
      if (units.length >= 1000) {
        yield units;
        units = [];
      }
      live = still;
    }
    for (const key of waiting.keys()) {
      release(key);
      if (units.length >= 1000) {
        yield units;
        units = [];
      }
    }
    yield units;
  } finally {
    for (const { cursor } of sources) await cursor.close();
  }
}

/** The entry of a message, counted where it is not to be used. */
export function usable(id: string, text: string, fuzzy: boolean, tally: Tally): string | undefined {
  if (isBlank(text) || isBlank(id)) tally.skipped.untranslated++;
  else if (fuzzy) tally.skipped.fuzzy++;
  else return text;
  return undefined;
}

/** Checks what the header of a file (the translation of the empty id) says of encoding and language. */
export function checkHeader(header: string, where: string, language: string): void {
  const charset = /^Content-Type:.*charset=([^\s;]*)/im.exec(header)?.[1] ?? "";
  if (charset !== "" && !/^(utf-?8|us-ascii|ascii|charset)$/i.test(charset))
    throw new UserError(
      `${where}: expected UTF-8, got charset=${charset.slice(0, 40)}; convert the file: msgconv -t UTF-8`,
    );
  const said = languageCode(/^Language:[ \t]*([^\s]*)/im.exec(header)?.[1] ?? "");
  const main = (code: string): string => code.split(/[-@.]/)[0]!;
  if (said !== "" && main(said) !== main(language))
    throw new UserError(
      `${where}: expected a file in ${language}, got one whose header says Language: ${said.slice(0, 40)}; ` +
        `name it under ${main(said).slice(0, 40)}, or correct its header`,
    );
}
