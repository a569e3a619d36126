// Many small runs at once: a whole sweep, start-up, figures and report among it, beside as many processes of a peer.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../errors.ts";
import { type Cell, cellsOf, cellText, ofEach } from "./cells.ts";
import type { FoundPeer } from "./peers.ts";
import { inFolder, startFathom } from "./processes.ts";
import type { PeerTiming } from "./step.ts";
import { runPeer, takeTurns } from "./turns.ts";
import { type Shape, shapeText, type Work } from "./work.ts";

/** Runs of the sweep, which differ by their seeds, and how many of them are under way at once, each on one thread. */
const [runs, atOnce] = [8, 2];
const batch = { rows: 16, length: 16, vocabulary: 1000 } as const;

export const sweep: Work = {
  name: "sweep",
  summary:
    `seconds of ${runs} runs of a small transformer, ${atOnce} at a time with a thread each, batch ${batch.rows} x ${batch.length} tokens: a real ` +
    "`fathom sweep` with its evaluations, figures and report; peers take as many steps and do nothing else",
  comparesWith: ["torch", "torch-fused", "jax"],
  target: () => 0.5,
  shapes: [{ depth: 2, width: 32 }],
  steps: 50,
  minutes: 0.3,
  async measure(asked) {
    const { steps } = asked;
    const cells = cellsOf({ ...asked, threads: [1] });
    const name = (cell: Cell): string => `sweep ${runs} runs, ${cellText(cell)}`;
    const comparisons = await ofEach(asked, cells, name, async (cell) => {
      asked.say(`${name(cell)}: a first run, which is not timed ...`);
      // It reads the corpus into the cache, and programs from the disk.
      await secondsOfSweep(cell, 1, 1);
      for (const peer of asked.peers) await secondsOfPeer(peer, cell, 1, 1).catch(() => undefined); // its turn will tell
      return takeTurns(
        { work: "sweep", shape: `${runs} runs, ${shapeText(cell)}`, threads: 1, unit: "s" },
        asked,
        async () => ({ cost: await secondsOfSweep(cell, steps, runs) }),
        async (peer) => ({ cost: await secondsOfPeer(peer, cell, steps, runs) }),
      );
    });
    return { comparisons };
  },
};

const configOf = ({ depth, width }: Shape, steps: number, runs: number): string => `
name: small-runs
data:
  corpus: typescript-diagnostics
  directions: [en-de]
  vocabulary: { kind: bpe, size: ${batch.vocabulary} }
  maxLength: ${batch.length}
model: { kind: transformer, depth: ${depth}, width: ${width}, heads: 4, residual: pre-ln }
train:
  steps: ${steps}
  batch: { sentences: ${batch.rows} }
  optimizer: { kind: adam, learningRate: 0.001 }
  clipNorm: 1
  evaluateEverySteps: ${steps}
sweep:
  method: grid
  parameters: {}
  seeds: [${Array.from({ length: runs }, (_, i) => i + 1).join(", ")}]
`;

/** A sweep from its command to its report; seconds. */
const secondsOfSweep = (shape: Shape, steps: number, runs: number): Promise<number> =>
  inFolder(async (folder) => {
    const config = join(folder, "small-runs.yaml");
    writeFileSync(config, configOf(shape, steps, runs));
    const began = performance.now();
    const code = await startFathom(["sweep", config, "--out", folder, "--jobs", String(atOnce), "--quiet"]).ended;
    assert(code === 0, `fathom sweep ${config}: exit code 0, not ${code}`);
    return (performance.now() - began) / 1000;
  });

/** The same number of processes, as many at a time; seconds. */
async function secondsOfPeer(peer: FoundPeer, { depth, width }: Shape, steps: number, runs: number): Promise<number> {
  const began = performance.now();
  let next = 0;
  const worker = async (firstCore: number): Promise<void> => {
    while (next < runs) {
      const { rows, ...rest } = batch;
      // The first step counts as well, so that both take as many.
      const step = {
        depth,
        width,
        threads: 1,
        steps: steps - 1,
        warmup: 0,
        batch: rows,
        ...rest,
        seed: ++next,
        firstCore,
      };
      await runPeer<PeerTiming>(peer, peer.step(step));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, i) => worker(i)));
  return (performance.now() - began) / 1000;
}
