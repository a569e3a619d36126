// A training step of the transformer.

import { stepWords, timeInChild } from "./network.ts";
import { runPeer, type Sample, stepCost, takeTurns } from "./turns.ts";
import { type Asked, type Comparison, type Shape, shapeText, shapeWords, type Work } from "./work.ts";

/** What a program of a training step prints. */
export interface PeerTiming {
  readonly milliseconds: readonly number[];
  readonly firstStepMilliseconds?: number;
  /** Milliseconds since 1970. */
  readonly firstStepAt?: number;
  readonly peakMemory?: number;
  readonly parameters: number;
  /** Of every step. */
  readonly losses?: readonly number[];
  readonly version: string;
}

const warmup = 3;

export const step: Work = {
  name: "step",
  summary: `a training step of the transformer: ${stepWords}`,
  comparesWith: ["torch", "torch-fused", "torch-compile", "jax"],
  // Products of matrices, which PyTorch's library does faster, are most of a wide network's step.
  target: (shape) => ({ 128: 0.9, 256: 1.1 })[shape.split(", ")[1]!] ?? 0.8,
  shapes: [
    { depth: 2, width: 64 },
    { depth: 6, width: 64 },
    { depth: 24, width: 64 },
    { depth: 24, width: 32 },
    { depth: 6, width: 128 },
    { depth: 6, width: 256 },
  ],
  steps: 8,
  async measure(asked) {
    const comparisons: Comparison[] = [];
    for (const threads of asked.threads)
      for (const shape of asked.shapes) {
        asked.say(`step: ${shapeWords(shape)}, ${threads} thread(s) ...`);
        comparisons.push(await compareSteps("step", shape, { ...asked, threads, warmup }, "ms/step", stepCost));
      }
    return { comparisons };
  },
};

/** Processes of both sides that take the same training steps, and what of them is compared. */
export const compareSteps = (
  work: string,
  shape: Shape,
  asked: Omit<Asked, "threads"> & { readonly threads: number; readonly warmup: number },
  unit: Comparison["unit"],
  costOf: (timing: PeerTiming & { readonly started: number }) => number,
): Promise<Comparison> => {
  const { threads, steps, warmup } = asked;
  const sampleOf = (timing: PeerTiming & { readonly started: number }): Sample => ({
    cost: costOf(timing),
    parameters: timing.parameters,
    ...(timing.firstStepMilliseconds !== undefined && { firstStepMilliseconds: timing.firstStepMilliseconds }),
  });
  return takeTurns(
    { work, shape: shapeText(shape), threads, unit },
    asked,
    async () => sampleOf({ version: "", ...(await timeInChild(shape, { threads, steps, warmup })) }),
    async (peer) => sampleOf(await runPeer<PeerTiming>(peer, peer.step({ ...shape, threads, steps, warmup }))),
  );
};
