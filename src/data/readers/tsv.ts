// What the two formats of tab-separated sentence pairs have in common. No quoting and no escapes: a quotation mark is
// part of a sentence.

import { UserError } from "../../errors.ts";
import { isBlank, unitsOfLines } from "./lines.ts";
import type { ReadUnit, Tally } from "./reader.ts";

/** The two texts of a line by its columns, or what is wrong with them: what came, and how to repair it. */
export type TsvColumns = (columns: readonly string[]) => readonly [string, string] | { got: string; repair: string };

/** The pairs of the files, in the order of the two `languages`; blank lines and pairs with a blank text are counted. */
export function readTsv(
  files: readonly string[],
  languages: readonly string[],
  tally: Tally,
  reader: string,
  expected: string,
  textsOf: TsvColumns,
): AsyncGenerator<readonly ReadUnit[]> {
  if (languages.length !== 2)
    throw new UserError(
      `reader ${reader}: expected two languages, in the order of the columns, got ${languages.join(", ")}`,
    );
  const [left, right] = languages as [string, string];
  return unitsOfLines(files, tally, (line, where) => {
    const texts = textsOf(line.split("\t"));
    if ("got" in texts) throw new UserError(`${where}: expected ${expected}, got ${texts.got}; ${texts.repair}`);
    if (isBlank(texts[0]) || isBlank(texts[1])) return "empty";
    return { text: { [left]: texts[0], [right]: texts[1] }, where };
  });
}
