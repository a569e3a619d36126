// Texts that vocabularies are tested with.

import fc from "fast-check";
import { loadCorpus } from "../../src/data/prepared.ts";
import { type WordCounts, wordCounter } from "../../src/data/vocabulary.ts";

/** Any Unicode text without lone surrogates, with more than its share of what the word pattern tells apart. */
export const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom(..."{}0 \n\0\u001b'aeé型を"),
    fc
      .constantFrom("grapheme", "binary")
      .chain((unit) => fc.string({ unit: unit as "binary", minLength: 1, maxLength: 1 })),
  ),
  maxLength: 60,
});

/** Whether a text spells a special symbol, which libraries read as one, and fathom as text. */
export const spellsSpecial = (text: string): boolean => /<pad>|<\/?s>|<2/.test(text);

/** Up to 400 texts of every language of a corpus. */
export async function someTexts(corpus: string, languages: readonly string[]): Promise<string[]> {
  const { segments } = await loadCorpus(corpus);
  return languages.flatMap((language) => segments.slice(0, 400).map(({ text }) => text[language] ?? ""));
}

/** How often their words occur. */
export function countWords(texts: Iterable<string>): WordCounts {
  const words = wordCounter();
  for (const text of texts) words.add(text);
  return words.counts;
}
