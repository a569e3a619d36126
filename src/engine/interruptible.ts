import { setImmediate as turn } from "node:timers/promises";
import type { Engine } from "./engine.ts";

/** `engine`, but for an end to its work once `signal` is aborted: whatever asks it to compute then throws the signal's reason.
 *  The runtime blocks the event loop while it computes, so each call lets it turn once: else no signal would ever arrive. */
export function interruptible(engine: Engine, signal: AbortSignal): Engine {
  const pause = async (): Promise<void> => {
    await turn();
    signal.throwIfAborted();
  };
  const { residence } = engine;
  return {
    ...engine,
    ...(residence && {
      residence: { ...residence, train: async (...given) => (await pause(), residence.train(...given)) },
    }),
    differentiate: async (...given) => (await pause(), engine.differentiate(...given)),
    evaluate: async (...given) => (await pause(), engine.evaluate(...given)),
    output: async (...given) => (await pause(), engine.output(...given)),
  };
}
