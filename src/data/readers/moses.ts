// Line-aligned files, as OPUS and WMT give them: line n of one is the translation of line n of the other.

import { UserError } from "../../errors.ts";
import { type Cursor, cursorOf } from "./cursor.ts";
import { isBlank, lineBlocks } from "./lines.ts";
import type { ApartReader, ReadUnit, Tally } from "./reader.ts";

/** Moses files: one a language, as many lines in each. */
export const moses: ApartReader = {
  name: "moses",
  summary: "line-aligned files, one a language, line n of each a translation of the others'; plain or .gz",
  layout: "apart",
  async *read(files, languages, tally) {
    const cursors = languages.map((language) => cursorOf(linesOf(files[language]!)));
    const names = languages.map((language) => files[language]!);
    try {
      while ((await fillAll(cursors)).every(Boolean)) yield units(cursors, names, languages, tally);
      await refuseOtherCounts(cursors, names);
    } finally {
      for (const cursor of cursors) await cursor.close();
    }
  },
};

async function* linesOf(file: string): AsyncGenerator<readonly string[]> {
  for await (const { lines } of lineBlocks(file)) yield lines;
}

/** One after the other, so that of two files that cannot be read the first is named, always. */
async function fillAll(cursors: readonly Cursor<string>[]): Promise<boolean[]> {
  const filled: boolean[] = [];
  for (const cursor of cursors) filled.push(await cursor.fill());
  return filled;
}

/** The units of as many lines as every file has at hand. A line that is blank in one language is left out of the unit. */
function units(
  cursors: readonly Cursor<string>[],
  names: readonly string[],
  languages: readonly string[],
  tally: Tally,
): ReadUnit[] {
  const found: ReadUnit[] = [];
  for (let count = Math.min(...cursors.map(({ left }) => left)); count > 0; count--) {
    const text: Record<string, string> = {};
    let texts = 0;
    for (const [i, cursor] of cursors.entries()) {
      const line = cursor.take();
      if (isBlank(line)) continue;
      text[languages[i]!] = line;
      texts++;
    }
    if (texts >= 2) found.push({ text, where: `${names[0]}:${cursors[0]!.taken}` });
    else tally.skipped.empty++;
  }
  return found;
}

/** Called when a file has ended: reads the others to their ends, so that the error can name all counts. */
async function refuseOtherCounts(cursors: readonly Cursor<string>[], names: readonly string[]): Promise<void> {
  for (const cursor of cursors) while (await cursor.fill()) while (cursor.left > 0) cursor.take();
  const counts = cursors.map(({ taken }) => taken);
  if (new Set(counts).size > 1)
    throw new UserError(
      `expected files with as many lines as each other, got ` +
        `${names.map((name, i) => `${counts[i]} lines in ${name}`).join(" and ")}; ` +
        `fetch them again: a file cut short, or of another release, is out of step from some line on`,
    );
}
