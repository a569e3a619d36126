// How much memory a process takes that trains.

import { stepWords } from "./network.ts";
import { compareSteps } from "./step.ts";
import { type Comparison, shapeWords, type Work } from "./work.ts";

export const memory: Work = {
  name: "memory",
  summary: `largest resident memory of a process after a few training steps, all of it counted: ${stepWords}`,
  comparesWith: ["torch", "torch-fused", "torch-compile", "jax"],
  target: () => 1,
  shapes: [{ depth: 24, width: 64 }],
  steps: 5,
  async measure(asked) {
    const comparisons: Comparison[] = [];
    for (const threads of asked.threads)
      for (const shape of asked.shapes) {
        asked.say(`memory: ${shapeWords(shape)}, ${threads} thread(s) ...`);
        const options = { ...asked, threads, warmup: 0 };
        comparisons.push(
          await compareSteps("memory", shape, options, "MiB", ({ peakMemory }) => peakMemory! / 2 ** 20),
        );
      }
    return { comparisons };
  },
};
