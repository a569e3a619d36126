// `fathom corpus`: the data of a configuration in figures.

import type { CorpusReport } from "../data/report.ts";
import { exitCodes, positional, print, unusedOut, verb } from "./verb.ts";

export const corpus = verb({
  usage: "corpus <config> [overrides..]",
  summary: "sizes, languages, token statistics, what was filtered, and examples of a configuration's data",
  positionals: { config: positional.config, overrides: positional.overrides },
  options: { out: unusedOut },
  examples: [
    ["fathom corpus configs/quickstart.yaml", "what the quickstart trains on"],
    ["fathom corpus configs/quickstart.yaml data.directions=many-to-many", "with other values"],
  ],
  async run({ config: file, overrides, quiet, json }) {
    const { loadRegistries } = await import("../config/registries.ts");
    const { loadRun } = await import("../config/load.ts");
    const { translationOf } = await import("../build.ts");
    const { loadTranslationData } = await import("../data/batches.ts");
    const { renderReport } = await import("../data/report.ts");

    const { config } = loadRun(file, overrides, await loadRegistries());
    const { data, train, seed } = translationOf(config, file);
    const { report } = await loadTranslationData(
      { ...data, batch: train.batch, seed },
      (doing) => void (quiet || console.error(doing)),
    );
    print({ quiet, json }, report, () => [renderReport(report), ...corpusNotes(report)].join("\n"));
    return exitCodes.done;
  },
});

/** The share of all pairs from which on it is said at the end that they are left out. */
const manyLeftOut = 0.25;

/** What is easily overlooked in the tables: that many pairs are too long, and what a unit is. */
export function corpusNotes({ directions, filtered }: Pick<CorpusReport, "directions" | "filtered">): string[] {
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  const tooLong = sum(directions.map((direction) => direction.tooLong));
  const all = tooLong + sum(directions.map(({ train, dev, test }) => train + dev + test));
  const notes: string[] = [];
  if (filtered.some(({ language }) => language === "units"))
    notes.push(
      "units are entries of the files as a whole, in all their languages; other counts are of one language's texts",
    );
  if (tooLong > manyLeftOut * all)
    notes.push(
      `${tooLong.toLocaleString("en-US")} of ${all.toLocaleString("en-US")} pairs (${Math.round((100 * tooLong) / all)} %) are left out ` +
        "because a text has more tokens than data.maxLength: raise it to keep them, or data.vocabulary.size to make texts shorter",
    );
  return notes;
}
