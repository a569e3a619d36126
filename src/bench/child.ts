// What a process started as `fathom bench child` measures.

import { UserError } from "../errors.ts";
import { timeDecoding } from "./decode.ts";
import { type EpochName, timeEpoch } from "./epoch.ts";
import { timeSteps } from "./network.ts";
import type { Shape } from "./work.ts";

/** Measures what is asked for: an epoch's steps, decodings of so many sentences, or training steps. What it gives is printed as JSON;
 *  `scripts/bench-guard.js` reads that of training steps from older versions too. */
export function measureHere(asked: {
  readonly shapes: readonly Shape[];
  readonly threads: number;
  readonly steps: number;
  readonly warmup: number;
  readonly engine?: string | undefined;
  readonly epoch?: EpochName | undefined;
  readonly sentences?: number | undefined;
}): Promise<object> {
  const { shapes, threads, steps, epoch, sentences } = asked;
  if (epoch !== undefined) return timeEpoch(epoch, threads, steps);
  if (shapes.length !== 1) throw new UserError("bench child: expected one --shape; it is what `bench step` starts");
  if (sentences !== undefined) return timeDecoding(shapes[0]!, { threads, steps, sentences });
  return timeSteps(shapes[0]!, asked);
}
