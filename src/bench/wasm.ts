// A training step on the eager engines, beside plain TensorFlow.js on the same backend.

import { timeInChild } from "./network.ts";
import type { PeerName } from "./peers.ts";
import type { PeerTiming } from "./step.ts";
import { runPeer, stepCost, takeTurns } from "./turns.ts";
import { type Comparison, shapeText, shapeWords, type Work } from "./work.ts";

/** Engines of fathom, and the peer that computes on the same backend. */
const pairs: readonly (readonly [engine: string, peer: PeerName])[] = [
  ["wasm", "tfjs-wasm"],
  ["tensorflow", "tfjs-tensorflow"],
];
/** Steps after the first that are not timed: nothing is compiled here but JavaScript. */
const warmup = 1;

export const wasm: Work = {
  name: "wasm",
  summary:
    "a training step on the engines wasm and tensorflow, beside plain TensorFlow.js on the same backend; one thread",
  comparesWith: ["tfjs-wasm", "tfjs-tensorflow"],
  target: () => 0.5,
  shapes: [{ depth: 6, width: 128 }],
  steps: 3,
  async measure(asked) {
    const { shapes, steps } = asked;
    const comparisons: Comparison[] = [];
    for (const shape of shapes)
      for (const [engine, peerName] of pairs) {
        const peers = asked.peers.filter(({ name }) => name === peerName);
        // Where its backend is missing, the engine that stands on it is missing as well.
        if (engine !== "wasm" && peers.length === 0) continue;
        asked.say(`wasm: ${shapeWords(shape)}, engine ${engine} ...`);
        const what = { work: "wasm", shape: `${shapeText(shape)}, ${engine}`, threads: 1, unit: "ms/step" } as const;
        comparisons.push(
          await takeTurns(
            what,
            { ...asked, peers },
            async () => {
              const timing = await timeInChild(shape, { threads: 1, steps, warmup, engine });
              return { cost: stepCost(timing), parameters: timing.parameters };
            },
            async (peer) => {
              const timing = await runPeer<PeerTiming>(peer, peer.step({ ...shape, threads: 1, steps }));
              return { cost: stepCost(timing), parameters: timing.parameters };
            },
          ),
        );
      }
    return { comparisons };
  },
};
