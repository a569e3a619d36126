// `fathom sweep`: the verb; run-sweep.ts does it.

import { launching, positional, verb } from "./verb.ts";

export const sweep = verb({
  usage: "sweep <config> [overrides..]",
  summary: "plan and run all runs of an experiment; continues where it stopped",
  positionals: { config: positional.config, overrides: positional.overrides },
  options: {
    plan: { type: "boolean", default: false, describe: "print what would run and why; run nothing" },
    estimate: {
      type: "boolean",
      default: false,
      describe: "print memory and time of every configuration, from a few steps, and run nothing",
    },
    ...launching,
  },
  examples: [
    ["fathom sweep configs/quickstart.yaml", "all runs, then figures and report"],
    ["fathom sweep configs/quickstart.yaml --plan", "what would run and why"],
    ["fathom sweep configs/quickstart.yaml --estimate", "memory and time of each configuration and in all"],
    ["fathom sweep configs/pre-vs-post.yaml train.steps=200 --jobs 4", "shorter, four runs at once"],
  ],
  async run(args) {
    const { runSweep } = await import("./run-sweep.ts");
    return runSweep(args);
  },
});
