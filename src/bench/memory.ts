// How much memory a process takes that trains.

import { stepWords } from "./network.ts";
import { compareStepsOfEach } from "./step.ts";
import type { Work } from "./work.ts";

export const memory: Work = {
  name: "memory",
  summary: `largest resident memory of a process after a few training steps, all of it counted: ${stepWords}`,
  comparesWith: ["torch", "torch-fused", "torch-compile", "jax"],
  target: () => 1,
  shapes: [{ depth: 24, width: 64 }],
  steps: 5,
  minutes: 0.1,
  measure: (asked) =>
    compareStepsOfEach("memory", { ...asked, warmup: 0 }, "MiB", ({ peakMemory }) => peakMemory! / 2 ** 20),
};
