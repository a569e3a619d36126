// `fathom status`: the verb; run-status.ts does it.

import { exitCodes, findFolder, positional, print, verb } from "./verb.ts";

export const status = verb({
  usage: "status <dir>",
  summary: "how far the runs of an experiment are, and how long they will take",
  positionals: { dir: positional.experiment },
  options: {
    watch: { type: "boolean", default: false, describe: "stay, and keep it current, until all runs have ended" },
    all: { type: "boolean", default: false, describe: "a line a run, be there ever so many" },
  },
  examples: [
    ["fathom status results/quickstart", "one line a run; of many runs those that matter"],
    ["fathom status results/quickstart --watch", "until all have ended"],
  ],
  async run({ dir, out, quiet, json, watch, all }) {
    const { lookAt, statusText, watchRuns } = await import("./run-status.ts");
    const folder = findFolder(dir, out);
    if (watch) return watchRuns(folder, { quiet, json, all });
    const look = lookAt(folder);
    print({ quiet, json }, look.statuses, () => statusText(look, all ? Infinity : undefined));
    return exitCodes.done;
  },
});
