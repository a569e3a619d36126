// How a training step grows with depth: its time, the time until the first is done, and memory.

import { type Cell, cellsOf, cellText, ofEach } from "./cells.ts";
import { stepWords, type Timing, timeInChild } from "./network.ts";
import type { PeerTiming } from "./step.ts";
import { runPeer, stepCost, takeTurns } from "./turns.ts";
import { type Asked, type Comparison, rangeOf, type Shape, shapeText, type Work } from "./work.ts";

/** Steps after the first that are not timed: few, since those of 500 layers take seconds. */
const warmup = 1;

export const depth: Work = {
  name: "depth",
  summary: `time of a training step, time from a process' start to the end of its first, and memory, against depth: ${stepWords}`,
  // torch.compile takes minutes from 24 layers on, and hours at 500.
  comparesWith: ["torch", "jax"],
  shapes: [12, 24, 48, 96, 200, 500].map((depth) => ({ depth, width: 64 })),
  steps: 3,
  minutes: 2,
  async measure(asked) {
    const each = await ofEach(
      asked,
      cellsOf(asked),
      (cell) => `depth ${cellText(cell)}`,
      (cell) => measureCell(cell, asked),
    );
    const lines = each.map(({ line }) => line);
    const perLayer = ({ step, depth }: Line): number => step / depth;
    const rows = lines.map((line) => [
      shapeText(line),
      String(line.threads),
      line.step.toFixed(0),
      (perLayer(line) / perLayer(lines[0]!)).toFixed(2),
      line.compileMilliseconds.toFixed(0),
      line.firstStepMilliseconds.toFixed(0),
      (line.peakMemory / 2 ** 20).toFixed(0),
    ]);
    const head = [
      "layers, width",
      "threads",
      "ms/step",
      "ms a layer, relative",
      "compile ms",
      "first step ms",
      "peak MiB",
    ];
    const under =
      "fathom alone, medians of the rounds; compile ms: programs of one batch shape, without evaluation; the first step has them in it";
    return { comparisons: each.flatMap(({ comparisons }) => comparisons), own: { head, rows, under, data: { lines } } };
  },
};

/** What was found of fathom alone, medians. */
interface Line extends Shape {
  readonly threads: number;
  /** Milliseconds. */
  readonly step: number;
  readonly compileMilliseconds: number;
  readonly firstStepMilliseconds: number;
  readonly secondsToFirstStep: number;
  /** Bytes. */
  readonly peakMemory: number;
}

/** Steps, and from the same processes the time to the first of them. */
async function measureCell(cell: Cell, asked: Asked): Promise<{ comparisons: Comparison[]; line: Line }> {
  const timings: Timing[] = [];
  const starts = new Map<string, number[]>();
  const note = (name: string, { firstStepAt, started }: { firstStepAt?: number; started: number }): void =>
    void starts.set(name, [...(starts.get(name) ?? []), (firstStepAt! - started) / 1000]);
  const step = { ...cell, steps: asked.steps, warmup };
  const steps = await takeTurns(
    { work: "depth", shape: shapeText(cell), threads: cell.threads, unit: "ms/step" },
    asked,
    async () => {
      const timing = await timeInChild(cell, step);
      timings.push(timing);
      note("fathom", timing);
      return { ...timing, cost: stepCost(timing) };
    },
    async (peer) => {
      const timing = await runPeer<PeerTiming>(peer, peer.step(step));
      note(peer.name, timing);
      return { ...timing, cost: stepCost(timing) };
    },
  );
  // Where it was interrupted a last round is in part.
  const secondsOf = (name: string): number[] => starts.get(name)!.slice(0, steps.rounds);
  const cost = (of: (timing: Timing) => number): number => rangeOf(timings.slice(0, steps.rounds).map(of)).median;
  const line = {
    ...cell,
    step: steps.fathom.cost.median,
    compileMilliseconds: cost((timing) => timing.compileMilliseconds ?? NaN),
    firstStepMilliseconds: cost((timing) => timing.firstStepMilliseconds),
    secondsToFirstStep: rangeOf(secondsOf("fathom")).median,
    peakMemory: cost((timing) => timing.peakMemory),
  };
  return { comparisons: [steps, firstSteps(steps, secondsOf)], line };
}

/** The comparison of times to the first step, from the same processes as that of steps. */
function firstSteps(steps: Comparison, secondsOf: (name: string) => number[]): Comparison {
  const ours = secondsOf("fathom");
  const side = (values: readonly number[]) => ({ cost: rangeOf(values), values });
  return {
    ...steps,
    work: "depth-start",
    unit: "s",
    fathom: side(ours),
    peers: steps.peers.map(({ name }) => {
      const theirs = secondsOf(name);
      return { name, ...side(theirs), ratio: rangeOf(ours.map((seconds, i) => seconds / theirs[i]!)) };
    }),
  };
}
