// A corpus as every run uses it: loaded, cleaned, divided, and cached in that state.

import { lookup } from "../registry.ts";
import { cachedJson, sha256 } from "./cache.ts";
import { clean, type FilterCounts } from "./corpus.ts";
import * as corpora from "./corpora/index.ts";
import { type FilesCorpus, openFiles } from "./files-corpus.ts";
import type { Say } from "./say.ts";
import { divide, type SplitSegment } from "./split.ts";

/** Counts as part of the cache key: raise it when cleaning or dividing changes. A test holds the hash of the outcome. */
const PREPARATION = 1;

/** A corpus, cleaned and divided. */
export interface PreparedCorpus {
  readonly name: string;
  /** Codes of all languages, sorted. */
  readonly languages: readonly string[];
  readonly segments: readonly SplitSegment[];
  readonly filtered: FilterCounts;
}

/** The corpus of a name, from the cache where it has been prepared before. An unknown name is a `UserError` that lists
 *  the known ones. */
export async function loadCorpus(name: string): Promise<PreparedCorpus> {
  const source = lookup("corpus", corpora, name);
  const key = sha256(JSON.stringify([PREPARATION, source.name, source.version]));
  const json = await cachedJson(`corpora/${source.name}-${key.slice(0, 16)}.json`, async () => {
    const { segments, filtered } = clean(await source.load());
    const languages = [...new Set(segments.flatMap((segment) => Object.keys(segment.text)))].sort();
    return JSON.stringify({ name, languages, segments: divide(segments), filtered } satisfies PreparedCorpus);
  });
  return JSON.parse(json) as PreparedCorpus;
}

/** A corpus to be read through, as often as one likes. */
export interface OpenCorpus extends Pick<PreparedCorpus, "name" | "languages" | "filtered"> {
  segments(): AsyncIterable<SplitSegment>;
  readonly trainingSegments: number;
  /** Whether the segments' names are part of the corpus; else they say where each stands in its files. */
  readonly hasNames: boolean;
}

/** The corpus of a name, or of files. */
export async function openCorpus(corpus: string | FilesCorpus, say?: Say): Promise<OpenCorpus> {
  if (typeof corpus !== "string") return openFiles(corpus, say);
  const prepared = await loadCorpus(corpus);
  return {
    name: prepared.name,
    languages: prepared.languages,
    filtered: prepared.filtered,
    hasNames: true,
    trainingSegments: prepared.segments.filter(({ split }) => split === "train").length,
    async *segments() {
      yield* prepared.segments;
    },
  };
}
