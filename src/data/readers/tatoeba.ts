// Sentence pairs as tatoeba.org exports them: id, text, id, text.

import type { TogetherReader } from "./reader.ts";
import { readTsv } from "./tsv.ts";

/** Tatoeba's "sentence pairs": four columns; the first language is that of the left text. */
export const tatoeba: TogetherReader = {
  name: "tatoeba",
  summary: "sentence pairs as tatoeba.org exports them: id, text, id, text, divided by tabs; plain or .gz",
  layout: "together",
  read: (files, languages, tally) =>
    readTsv(files, languages, tally, "tatoeba", "4 columns divided by tabs (id, text, id, text)", (columns) => {
      if (columns.length !== 4) {
        const pairs = columns.length === 2 || columns.length === 3;
        const repair = pairs
          ? "if they are text, text and perhaps a source, the reader is manythings"
          : "export the pairs again, or repair the line";
        return { got: `${columns.length} column${columns.length === 1 ? "" : "s"}`, repair };
      }
      const [leftId, left, rightId, right] = columns as [string, string, string, string];
      if (!isId(leftId) || !isId(rightId))
        return {
          got: `${JSON.stringify(leftId.slice(0, 40))} and ${JSON.stringify(rightId.slice(0, 40))} for ids`,
          repair: "export the pairs again, or repair the line",
        };
      return [left, right];
    }),
};

const isId = (text: string): boolean => /^\d{1,12}$/.test(text);
