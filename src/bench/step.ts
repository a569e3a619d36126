// A training step of the transformer.

import { cellsOf, cellText, ofEach } from "./cells.ts";
import { stepWords, timeInChild } from "./network.ts";
import { runPeer, type Sample, stepCost, takeTurns } from "./turns.ts";
import { type Asked, type Comparison, shapeText, type Work } from "./work.ts";

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
  minutes: 0.6,
  measure: (asked) => compareStepsOfEach("step", { ...asked, warmup }, "ms/step", stepCost),
};

/** Processes of both sides that take the same training steps, with every network and number of threads, and what of them is compared. */
export async function compareStepsOfEach(
  work: string,
  asked: Asked & { readonly warmup: number },
  unit: Comparison["unit"],
  costOf: (timing: PeerTiming) => number,
): Promise<{ comparisons: Comparison[] }> {
  const { steps, warmup } = asked;
  const sampleOf = (timing: PeerTiming): Sample => ({
    cost: costOf(timing),
    parameters: timing.parameters,
    ...(timing.firstStepMilliseconds !== undefined && { firstStepMilliseconds: timing.firstStepMilliseconds }),
  });
  const comparisons = await ofEach(
    asked,
    cellsOf(asked),
    (cell) => `${work} ${cellText(cell)}`,
    (cell) =>
      takeTurns(
        { work, shape: shapeText(cell), threads: cell.threads, unit },
        asked,
        async () => sampleOf({ version: "", ...(await timeInChild(cell, { ...cell, steps, warmup })) }),
        async (peer) => sampleOf(await runPeer<PeerTiming>(peer, peer.step({ ...cell, steps, warmup }))),
      ),
  );
  return { comparisons };
}
