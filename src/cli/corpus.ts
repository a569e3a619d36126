// `fathom corpus`: the data of a configuration in figures.

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
    print({ quiet, json }, report, () => renderReport(report));
    return exitCodes.done;
  },
});
