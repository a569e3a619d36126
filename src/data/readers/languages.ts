// Language codes as files write them, and those that a config asks for.

import type { Tally } from "./reader.ts";

/** `pt_BR`, `pt-BR` -> `pt-br`, the form of the project's own codes. */
export const languageCode = (code: string): string => code.toLowerCase().replaceAll("_", "-");

/** Codes that are remembered: real files have a few dozen, a hostile one has a new one in each line. */
const MOST_CODES = 1000;
/** Other languages that a message lists. */
const MOST_OTHERS = 30;

/** A function from a code in a file to the language asked for that it means: the same code, else one that it is a
 *  variety of (`en-us` is `en`, unless `en-us` is asked for too). Codes that mean none are noted in `tally.others`. */
export function languageMatcher(languages: readonly string[], tally: Tally): (code: string) => string | undefined {
  const known = new Map<string, string | undefined>();
  // The longest first, so that `zh-hant-tw` is `zh-hant` before it is `zh`.
  const byLength = [...languages].sort((a, b) => b.length - a.length);
  return (raw) => {
    if (known.has(raw)) return known.get(raw);
    const code = languageCode(raw);
    const language = byLength.find((asked) => code === asked || code.startsWith(`${asked}-`));
    if (known.size < MOST_CODES) known.set(raw, language);
    if (language === undefined && tally.others.size < MOST_OTHERS) tally.others.add(code.slice(0, 40));
    return language;
  };
}
