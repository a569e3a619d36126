// How long a user waits for the first training step: from the command to its end.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { assert } from "../errors.ts";
import { eventsFile } from "../runs/files.ts";
import { type Cell, cellsOf, cellText, ofEach } from "./cells.ts";
import type { FoundPeer } from "./peers.ts";
import { inFolder, startFathom } from "./processes.ts";
import type { PeerTiming } from "./step.ts";
import { runPeer, takeTurns } from "./turns.ts";
import { type Shape, shapeText, type Work } from "./work.ts";

export const start: Work = {
  name: "start",
  summary:
    "seconds from the command to the end of the first training step: a real `fathom train`, its corpus in the cache, which reads " +
    "sentences, estimates memory and evaluates the dev split first; peers read and evaluate nothing",
  comparesWith: ["torch", "torch-fused", "torch-compile", "jax"],
  target: () => 1,
  shapes: [{ depth: 6, width: 64 }],
  steps: 1,
  minutes: 0.07,
  async measure(asked) {
    const name = (cell: Cell): string => `start ${cellText(cell)}`;
    const comparisons = await ofEach(asked, cellsOf(asked), name, async (cell) => {
      const { threads } = cell;
      const step = { ...cell, steps: 0, warmup: 0, vocabulary };
      const secondsOfPeer = async (peer: FoundPeer): Promise<number> => {
        const { firstStepAt, started } = await runPeer<PeerTiming>(peer, peer.step(step));
        return (firstStepAt! - started) / 1000;
      };
      asked.say(`${name(cell)}: a first time, which is not timed ...`);
      // It reads programs from the disk, prepares the corpus and compiles what is kept: none of that is a later user's.
      await secondsToFirstStep(cell, threads);
      for (const peer of asked.peers) await secondsOfPeer(peer).catch(() => undefined); // its turn will tell
      return takeTurns(
        { work: "start", shape: shapeText(cell), threads, unit: "s" },
        asked,
        async () => ({ cost: await secondsToFirstStep(cell, threads) }),
        async (peer) => ({ cost: await secondsOfPeer(peer) }),
      );
    });
    return { comparisons };
  },
};

const vocabulary = 4000;

/** As a user would write it; everything that it leaves out is as where a user says nothing. */
const configOf = ({ depth, width }: Shape, threads: number): string => `
name: start
threads: ${threads}
data:
  corpus: typescript-diagnostics
  directions: [en-de, en-fr]
  vocabulary: { kind: bpe, size: ${vocabulary} }
  maxLength: 32
model: { kind: transformer, depth: ${depth}, width: ${width}, heads: 4, residual: pre-ln }
train:
  steps: 100000
  batch: { sentences: 32 }
  optimizer: { kind: adam, learningRate: 0.001 }
  clipNorm: 1
`;

/** Starts `fathom train` and waits until its first step stands in its events; seconds. */
function secondsToFirstStep(shape: Shape, threads: number): Promise<number> {
  return inFolder(async (folder) => {
    const config = join(folder, "start.yaml");
    writeFileSync(config, configOf(shape, threads));
    const runs = join(folder, "start", "runs");
    const began = performance.now();
    const run = startFathom(["train", config, "--out", folder, "--quiet"]);
    let isOver = false;
    void run.ended.then(() => (isOver = true));
    try {
      for (;;) {
        const dirs = existsSync(runs) ? readdirSync(runs) : [];
        if (dirs.some((dir) => hasFirstStep(join(runs, dir)))) return (performance.now() - began) / 1000;
        assert(!isOver, `fathom train ${config}: takes its first step`);
        await delay(5);
      }
    } finally {
      run.kill();
      await run.ended;
    }
  });
}

/** Whether a run has recorded a training step: its evaluation before that is of the split `dev`. */
const hasFirstStep = (runDir: string): boolean =>
  existsSync(eventsFile(runDir)) && readFileSync(eventsFile(runDir), "utf8").includes(',"train","loss",');
