// gettext's .po files, line by line.

import { UserError } from "../../errors.ts";
import { checkHeader, CONTEXT_END, type GettextEntry, joinEntries, SOURCE, usable } from "./gettext.ts";
import { LONGEST, lineBlocks } from "./lines.ts";
import type { ApartReader, Tally } from "./reader.ts";

/** Translations of programs, one file a language; the message ids are the English texts. */
export const po: ApartReader = {
  name: "po",
  summary:
    "gettext's .po files, one a language, message ids being the English texts; fuzzy entries and plurals left out",
  layout: "apart",
  shared: SOURCE,
  read: (files, languages, tally) => joinEntries(files, languages, tally, poEntries),
};

type Field = "context" | "id" | "plural" | "text" | "form";

/** An entry being read. */
interface Draft {
  fields: Partial<Record<Field, string>>;
  /** What a further quoted line belongs to. */
  last: Field | undefined;
  fuzzy: boolean;
  /** Line of its id. */
  line: number;
  size: number;
}

const newDraft = (): Draft => ({ fields: {}, last: undefined, fuzzy: false, line: 0, size: 0 });

const FIELDS: Readonly<Record<string, Field>> = {
  msgctxt: "context",
  msgid: "id",
  msgid_plural: "plural",
  msgstr: "text",
};

async function* poEntries(file: string, language: string, tally: Tally): AsyncGenerator<readonly GettextEntry[]> {
  let draft = newDraft();
  for await (const { first, lines } of lineBlocks(file)) {
    const entries: GettextEntry[] = [];
    for (const [i, raw] of lines.entries()) {
      const line = raw.trim();
      if (line === "") continue;
      // A comment, a context or an id begins the next entry once this one has its translation.
      if (isFull(draft) && /^(#|msgctxt|msgid(?!_))/.test(line)) {
        entries.push(...finished(draft, file, language, tally));
        draft = newDraft();
      }
      readLine(line, draft, file, first + i, tally);
    }
    yield entries;
  }
  if (isFull(draft)) yield finished(draft, file, language, tally);
  else if (draft.last !== undefined)
    throw new UserError(
      `${file}:${draft.line}: expected msgstr after msgid, got the end of the file; it is cut short, fetch it again`,
    );
}

const isFull = ({ fields }: Draft): boolean => fields.text !== undefined || fields.form !== undefined;

function readLine(line: string, draft: Draft, file: string, number: number, tally: Tally): void {
  const refuse = (expected: string, got: string): never => {
    throw new UserError(`${file}:${number}: expected ${expected}, got ${got}; check the file with msgfmt -c`);
  };
  if (line.startsWith("#")) {
    if (line.startsWith("#~")) {
      draft.fuzzy = false;
      if (/^#~\s*msgid\s/.test(line)) tally.skipped.obsolete++;
    } else if (line.startsWith("#,") && /[,\s]fuzzy\s*(,|$)/.test(line)) draft.fuzzy = true;
    return;
  }
  const quote = line.indexOf('"');
  if (quote < 0) return refuse("a keyword and a text in quotes", excerpt(line));
  const word = line.slice(0, quote).trim();
  const form = /^msgstr\s*\[\s*\d{1,3}\s*\]$/.test(word);
  const field = form ? "form" : word === "" ? draft.last : FIELDS[word];
  if (field === undefined)
    return refuse(
      "msgctxt, msgid, msgid_plural or msgstr",
      word === "" ? "a text that follows none of them" : excerpt(word),
    );
  if (word !== "") {
    if (field !== "form" && draft.fields[field] !== undefined)
      refuse("an entry with each keyword once", `a second ${word}`);
    if (field === "context" && draft.fields.id !== undefined) refuse("msgstr after msgid", word);
    if (field === "id") draft.line = number;
    else if (field !== "context" && draft.fields.id === undefined) refuse("msgid first", word);
    // Of the plural forms nothing is kept.
    if (field !== "form") draft.fields[field] = "";
    else draft.fields.form = "";
    if (draft.line === 0) draft.line = number;
    draft.last = field;
  }
  const text = unquote(line.slice(quote), refuse);
  draft.size += text.length;
  if (draft.size > LONGEST) refuse(`entries of at most ${LONGEST} characters`, "a longer one");
  if (field !== "form" && field !== "plural") draft.fields[field] += text;
}

const excerpt = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);

const ESCAPES: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  a: "\x07",
  b: "\b",
  v: "\v",
  f: "\f",
  '"': '"',
  "\\": "\\",
};

/** The text between the quotes, escapes resolved. */
function unquote(quoted: string, refuse: (expected: string, got: string) => never): string {
  const pieces: string[] = [];
  const next = (mark: string, from: number): number => {
    const at = quoted.indexOf(mark, from);
    return at < 0 ? quoted.length : at;
  };
  let quote = -1;
  let escape = -1;
  for (let from = 1; ;) {
    // Looked for again only where it was passed: else a line of escapes would be searched to its end for each of them.
    if (quote < from) quote = next('"', from);
    if (escape < from) escape = next("\\", from);
    if (quote < escape) {
      if (quote !== quoted.length - 1) refuse("nothing after the text", excerpt(quoted.slice(quote + 1)));
      pieces.push(quoted.slice(from, quote));
      return pieces.join("");
    }
    if (escape >= quoted.length - 1) return refuse("a text that ends in a quote", excerpt(quoted));
    pieces.push(quoted.slice(from, escape));
    from = escape + 1;
    const coded = /^(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2}))/.exec(quoted.slice(from, from + 3));
    if (coded) {
      const byte = coded[1] ? parseInt(coded[1], 8) : parseInt(coded[2]!, 16);
      if (byte > 0x7f) refuse("characters beyond ASCII written as such", `the escaped byte ${coded[0]}`);
      pieces.push(String.fromCharCode(byte));
      from += coded[0].length;
    } else {
      const meant = ESCAPES[quoted[from] ?? ""];
      if (meant === undefined) refuse("an escape that gettext has", excerpt(quoted.slice(from - 1, from + 1)));
      pieces.push(meant!);
      from++;
    }
  }
}

/** The entry of a full draft, if it is one to use. */
function finished({ fields, fuzzy, line }: Draft, file: string, language: string, tally: Tally): GettextEntry[] {
  const where = `${file}:${line}`;
  const id = fields.id!;
  if (id === "" && fields.context === undefined) {
    checkHeader(fields.text ?? "", where, language);
    return [];
  }
  if (fields.plural !== undefined || fields.form !== undefined) {
    tally.skipped.plural++;
    return [];
  }
  const key = fields.context === undefined ? id : fields.context + CONTEXT_END + id;
  return [{ key, id, text: usable(id, fields.text!, fuzzy, tally), where }];
}
