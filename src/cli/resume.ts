// `fathom resume`: goes on with an experiment as it was planned; no configuration is read.

import { launching, findFolder, positional, verb } from "./verb.ts";

export const resume = verb({
  usage: "resume <dir>",
  summary: "go on with the runs of an experiment that are not finished, as they were planned",
  positionals: { dir: positional.experiment },
  options: {
    failed: { type: "boolean", default: false, describe: "only those that failed" },
    stale: { type: "boolean", default: false, describe: "only those that were begun and left" },
    ...launching,
  },
  examples: [
    ["fathom resume results/quickstart", "all that is not finished"],
    ["fathom resume results/quickstart --failed", "what failed, from its last checkpoints"],
    ["fathom resume results/quickstart --stale --failed --jobs 1", "what was begun, one run at a time"],
  ],
  async run({ dir, out, failed, stale, ...args }) {
    const { resumeRuns } = await import("./run-sweep.ts");
    const wanted = [...(failed ? ["failed" as const] : []), ...(stale ? ["stale" as const] : [])];
    return resumeRuns(findFolder(dir, out), wanted, args);
  },
});
