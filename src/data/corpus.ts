// A corpus is a list of messages, each in several languages. Here they are cleaned: normalised, filtered by language,
// duplicates merged, and everything that was removed counted by reason.

import type { Member } from "../registry.ts";
import { isCode, normalise, placeholders } from "./text.ts";

/** One message in several languages, keyed by language code (`en`, `fr`, `pt-br`, `zh-hans` ...). */
export interface Segment {
  readonly id: string;
  readonly text: Readonly<Record<string, string>>;
}

/** A member of the registry of corpora. */
export interface CorpusSource extends Member {
  /** What the corpus is made of, versions included: a cached copy is valid for this and nothing else. */
  readonly version: string;
  /** The messages as the source has them, English first where a message has several variants. */
  load(): Promise<Segment[]>;
}

/** Why a text, or a whole segment, is not in the corpus. */
export const FILTERS = {
  empty: "texts without any letter or digit",
  untranslated: "texts identical to the English one, which is not only placeholders and code names",
  placeholders: "texts whose placeholders differ from those of the English one",
  plural: "texts with plural or choice forms, which differ in number between languages",
  duplicate: "segments whose English is that of an earlier one (languages it lacked are taken over)",
  alone: "segments with English alone left",
} as const;
export type Filter = keyof typeof FILTERS;

/** Counts by reason, and for the reasons that concern one text, by language; whole segments under the first. */
export type FilterCounts = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Cleans the messages of a corpus. Each segment that remains has English and at least one other language, all of its
 *  texts are normalised, and no two segments have the same English. What one language lacks never depends on the
 *  others. In the counts, whole segments are counted under `en`. */
export function clean(messages: readonly Segment[]): { segments: Segment[]; filtered: FilterCounts } {
  const counts = Object.fromEntries(Object.keys(FILTERS).map((reason) => [reason, {}])) as Record<
    Filter,
    Record<string, number>
  >;
  const count = (reason: Filter, language: string): void => {
    counts[reason][language] = (counts[reason][language] ?? 0) + 1;
  };
  const languages = [...new Set(messages.flatMap((message) => Object.keys(message.text)))].sort();
  const byEnglish = new Map<string, { id: string; text: Record<string, string> }>();
  for (const { id, text } of messages) {
    const english = normalise(text.en ?? "");
    const wrong = reasonAgainstEnglish(english);
    if (wrong) {
      count(wrong, "en");
      continue;
    }
    const earlier = byEnglish.get(english);
    if (earlier) count("duplicate", "en");
    const segment = earlier ?? { id, text: { en: english } };
    if (!earlier) byEnglish.set(english, segment);
    for (const language of languages) {
      if (language === "en" || segment.text[language] !== undefined) continue;
      // What a source never had in a language was not removed from it.
      if (text[language] === undefined) continue;
      const translated = normalise(text[language]);
      const reason = reasonAgainst(english, translated);
      if (!reason) segment.text[language] = translated;
      else if (!earlier) count(reason, language);
    }
  }
  const segments: Segment[] = [];
  for (const segment of byEnglish.values())
    if (Object.keys(segment.text).length > 1) segments.push(segment);
    else count("alone", "en");
  return { segments, filtered: counts };
}

const isPlural = (text: string): boolean => /\{\s*\w+\s*,\s*(plural|select|selectordinal)\s*,/.test(text);

function reasonAgainstEnglish(english: string): Filter | undefined {
  if (!/[\p{L}\p{N}]/u.test(english)) return "empty";
  return isPlural(english) ? "plural" : undefined;
}

function reasonAgainst(english: string, translated: string): Filter | undefined {
  if (!/[\p{L}\p{N}]/u.test(translated)) return "empty";
  if (isPlural(translated)) return "plural";
  if (translated === english) return isCode(english) ? undefined : "untranslated";
  return placeholders(english).join(" ") === placeholders(translated).join(" ") ? undefined : "placeholders";
}
