// `fathom inspect`: one training step in full, for other frameworks to check.

import { exitCodes, findRun, print, verb } from "./verb.ts";

export const inspect = verb({
  usage: "inspect <run>",
  summary: "write one step of a run in full: weights, batch, noise, loss and every gradient",
  positionals: { run: { type: "string", demandOption: true, describe: "the run's folder, or its path below --out" } },
  options: {
    step: { type: "number", default: 0, requiresArg: true, describe: "the step, from 0; weights are those before it" },
  },
  examples: [
    [
      "fathom inspect results/debug/runs/seed=1_8ef088d5 --step 10",
      "safetensors and JSON under inspect/ in that folder",
    ],
  ],
  async run({ run, step, out, quiet, json }) {
    const { inspectStep } = await import("../inspect.ts");
    const folder = await inspectStep(findRun(run, out), step);
    print({ quiet, json }, { folder }, () => folder);
    return exitCodes.done;
  },
});
