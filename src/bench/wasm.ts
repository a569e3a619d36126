// A training step on the eager engines, beside plain TensorFlow.js on the same backend.

import { ofEach } from "./cells.ts";
import { timeInChild } from "./network.ts";
import type { PeerName } from "./peers.ts";
import type { PeerTiming } from "./step.ts";
import { runPeer, stepCost, takeTurns } from "./turns.ts";
import { nameOf, shapeText, type Work } from "./work.ts";

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
  target: (shape) => (shape.endsWith(", wasm") ? 0.5 : undefined),
  shapes: [{ depth: 6, width: 128 }],
  steps: 3,
  minutes: 0.3,
  async measure(asked) {
    const { steps } = asked;
    const items = asked.shapes.flatMap((shape) =>
      pairs.flatMap(([engine, peerName]) => {
        const peers = asked.peers.filter(({ name }) => name === peerName);
        const what = { work: "wasm", shape: `${shapeText(shape)}, ${engine}`, threads: 1, unit: "ms/step" } as const;
        // Where its backend is missing, the engine that stands on it is missing as well.
        return engine !== "wasm" && peers.length === 0 ? [] : [{ ...what, network: shape, engine, peers }];
      }),
    );
    const comparisons = await ofEach(asked, items, nameOf, ({ network, engine, peers, ...what }) =>
      takeTurns(
        what,
        { ...asked, peers },
        async () => {
          const timing = await timeInChild(network, { threads: 1, steps, warmup, engine });
          return { cost: stepCost(timing), parameters: timing.parameters };
        },
        async (peer) => {
          const timing = await runPeer<PeerTiming>(peer, peer.step({ ...network, threads: 1, steps }));
          return { cost: stepCost(timing), parameters: timing.parameters };
        },
      ),
    );
    return { comparisons };
  },
};
