// How a training step grows with depth: its time, the time until the first is done, and memory.

import { stepWords, type Timing, timeInChild } from "./network.ts";
import type { PeerTiming } from "./step.ts";
import { runPeer, stepCost, takeTurns } from "./turns.ts";
import { type Comparison, rangeOf, shapeText, shapeWords, type Work } from "./work.ts";

/** Steps after the first that are not timed: few, since those of 500 layers take seconds. */
const warmup = 1;

export const depth: Work = {
  name: "depth",
  summary: `time of a training step, time from a process' start to the end of its first, and memory, against depth: ${stepWords}`,
  // torch.compile takes minutes from 24 layers on, and hours at 500.
  comparesWith: ["torch", "jax"],
  shapes: [12, 24, 48, 96, 200, 500].map((depth) => ({ depth, width: 64 })),
  steps: 3,
  async measure(asked) {
    const comparisons: Comparison[] = [];
    const lines: object[] = [];
    const rows: string[][] = [];
    let perLayer: number | undefined;
    for (const threads of asked.threads)
      for (const shape of asked.shapes) {
        asked.say(`depth: ${shapeWords(shape)}, ${threads} thread(s) ...`);
        const what = { shape: shapeText(shape), threads };
        const timings: Timing[] = [];
        // One process gives both numbers: what is left is to compare the second from the same processes.
        const starts = new Map<string, number[]>();
        const secondsToFirst = (timing: { firstStepAt?: number; started: number }): number =>
          (timing.firstStepAt! - timing.started) / 1000;
        const note = (name: string, seconds: number): void =>
          void starts.set(name, [...(starts.get(name) ?? []), seconds]);
        const steps = await takeTurns(
          { work: "depth", ...what, unit: "ms/step" },
          asked,
          async () => {
            const timing = await timeInChild(shape, { threads, steps: asked.steps, warmup });
            timings.push(timing);
            note("fathom", secondsToFirst(timing));
            return { ...timing, cost: stepCost(timing) };
          },
          async (peer) => {
            const step = { ...shape, threads, steps: asked.steps, warmup };
            const timing = await runPeer<PeerTiming>(peer, peer.step(step));
            note(peer.name, secondsToFirst(timing));
            return { ...timing, cost: stepCost(timing) };
          },
        );
        comparisons.push(steps, firstSteps(steps, starts));
        const cost = (of: (timing: Timing) => number): number => rangeOf(timings.map(of)).median;
        const line = {
          ...shape,
          threads,
          step: steps.fathom.cost.median,
          compileMilliseconds: cost((timing) => timing.compileMilliseconds ?? NaN),
          firstStepMilliseconds: cost((timing) => timing.firstStepMilliseconds),
          secondsToFirstStep: rangeOf(starts.get("fathom")!).median,
          peakMemory: cost((timing) => timing.peakMemory),
        };
        lines.push(line);
        perLayer ??= line.step / shape.depth;
        rows.push([
          shapeText(shape),
          String(threads),
          line.step.toFixed(0),
          (line.step / shape.depth / perLayer).toFixed(2),
          line.compileMilliseconds.toFixed(0),
          line.firstStepMilliseconds.toFixed(0),
          (line.peakMemory / 2 ** 20).toFixed(0),
        ]);
      }
    return {
      comparisons,
      own: {
        head: [
          ...["layers, width", "threads", "ms/step", "ms a layer, relative", "compile ms", "first step ms"],
          "peak MiB",
        ],
        rows,
        under: "fathom alone, medians of the rounds; the first step has compiling in it",
        data: { lines },
      },
    };
  },
};

/** The comparison of times to the first step, from the same processes as that of steps. */
function firstSteps(steps: Comparison, starts: ReadonlyMap<string, readonly number[]>): Comparison {
  const ours = starts.get("fathom")!;
  const side = (values: readonly number[]) => ({ cost: rangeOf(values), values });
  return {
    ...steps,
    work: "depth-start",
    unit: "s",
    fathom: side(ours),
    peers: steps.peers.map(({ name }) => {
      const theirs = starts.get(name)!;
      return { name, ...side(theirs), ratio: rangeOf(ours.map((seconds, i) => seconds / theirs[i]!)) };
    }),
  };
}
