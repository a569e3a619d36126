// JSON lines as Hugging Face's translation data sets have them: {"translation": {"en": "...", "de": "..."}}.

import { UserError } from "../../errors.ts";
import { languageCode, languageMatcher } from "./languages.ts";
import { isBlank, unitsOfLines } from "./lines.ts";
import type { TogetherReader } from "./reader.ts";

const EXPECTED = `{"translation": {"en": "...", "de": "..."}}`;

/** One JSON object a line, texts by language under `translation`; any other keys are ignored. */
export const jsonl: TogetherReader = {
  name: "jsonl",
  summary: `lines of ${EXPECTED}; plain or .gz`,
  layout: "together",
  read(files, languages, tally) {
    const match = languageMatcher(languages, tally);
    return unitsOfLines(files, tally, (line, where) => {
      const text = textsOf(line, where, match);
      return Object.keys(text).length >= 2 ? { text, where } : "incomplete";
    });
  },
};

function textsOf(line: string, where: string, match: (code: string) => string | undefined): Record<string, string> {
  const refuse = (got: string): never => {
    throw new UserError(`${where}: expected ${EXPECTED}, got ${got}; repair or delete the line`);
  };
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    // What V8 says quotes the whole text at times.
    refuse(`what is no JSON (${(error as Error).message.slice(0, 120)})`);
  }
  if (!isObject(value)) return refuse(kindOf(value));
  const translation = Object.hasOwn(value, "translation") ? value.translation : undefined;
  if (!isObject(translation))
    return refuse(translation === undefined ? `no "translation"` : `${kindOf(translation)} under "translation"`);
  const text: Record<string, string> = {};
  for (const [code, translated] of Object.entries(translation)) {
    const language = match(code);
    // A data set writes null where a unit lacks a language.
    if (language === undefined || translated === null) continue;
    if (typeof translated !== "string") return refuse(`${kindOf(translated)} for the text in ${language}`);
    if (/\p{Cs}/u.test(translated))
      return refuse(`half a surrogate pair in the text in ${language}, which is no character`);
    // Of several varieties of a language the one with the very code counts, else the first.
    if (!isBlank(translated) && (!Object.hasOwn(text, language) || languageCode(code) === language))
      text[language] = translated;
  }
  return text;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const kindOf = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "a list"
      : typeof value === "object"
        ? "an object"
        : `a ${typeof value}`;
