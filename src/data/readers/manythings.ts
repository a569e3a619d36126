// Sentence pairs as manythings.org/anki has them: text, text, attribution.

import type { TogetherReader } from "./reader.ts";
import { readTsv } from "./tsv.ts";

/** ManyThings' Anki files: two texts and mostly a third column that says whose they are. */
export const manythings: TogetherReader = {
  name: "manythings",
  summary: "sentence pairs as manythings.org has them: text, text, attribution, divided by tabs; plain or .gz",
  layout: "together",
  read: (files, languages, tally) =>
    readTsv(
      files,
      languages,
      tally,
      "manythings",
      "2 or 3 columns divided by tabs (text, text, attribution)",
      (columns) => {
        if (columns.length === 2 || columns.length === 3) return [columns[0]!, columns[1]!];
        return {
          got: `${columns.length} column${columns.length === 1 ? "" : "s"}`,
          repair:
            columns.length === 4
              ? "if they are id, text, id, text, the reader is tatoeba"
              : "fetch the file again, or repair the line",
        };
      },
    ),
};
