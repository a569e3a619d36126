// `fathom sweep`: the verb; run-sweep.ts does it.

import { availableParallelism } from "node:os";
import { keepGraphs, positional, verb } from "./verb.ts";

export const sweep = verb({
  usage: "sweep <config> [overrides..]",
  summary: "plan and run all runs of an experiment; continues where it stopped",
  positionals: { config: positional.config, overrides: positional.overrides },
  options: {
    plan: { type: "boolean", default: false, describe: "print what would run and why; run nothing" },
    jobs: { type: "number", default: availableParallelism(), requiresArg: true, describe: "runs at once" },
    launcher: { type: "string", default: "local", requiresArg: true, describe: "`fathom list launcher` names them" },
    "fail-fast": { type: "boolean", default: false, describe: "stop all at the first run that fails" },
    "keep-graphs": keepGraphs,
  },
  examples: [
    ["fathom sweep configs/quickstart.yaml", "all runs, then figures and report"],
    ["fathom sweep configs/quickstart.yaml --plan", "what would run and why"],
    ["fathom sweep configs/pre-vs-post.yaml train.steps=200 --jobs 4", "shorter, four runs at once"],
  ],
  async run(args) {
    const { runSweep } = await import("./run-sweep.ts");
    return runSweep({ ...args, failFast: args["fail-fast"], keepGraphs: args["keep-graphs"] });
  },
});
