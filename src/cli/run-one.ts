// How the command line ends a run in good order, and says how it ended.

import type { RunResult } from "../run-one.ts";
import { exitCodes } from "./verb.ts";

/** A signal that aborts at SIGINT, SIGTERM or SIGUSR2, which schedulers send before they take a machine away (the run then saves and
 *  ends). One that comes a second later or more ends the process at once: schedulers send the same one several times over. SIGUSR2 may come
 *  at any time. */
export function interruption(): { signal: AbortSignal; abort(): void; dispose(): void } {
  const controller = new AbortController();
  let first: number | undefined;
  const abort = (): void => controller.abort(new Error("interrupted"));
  const onSignal = (): void => {
    if (first !== undefined && performance.now() - first >= 1000) process.exit(exitCodes.interrupted);
    first ??= performance.now();
    abort();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal).on("SIGUSR2", abort);
  return {
    signal: controller.signal,
    abort,
    dispose: () => void process.off("SIGINT", onSignal).off("SIGTERM", onSignal).off("SIGUSR2", abort),
  };
}

/** One line about how a run ended. */
export function resultLine({ runDir, status, reason, finishedBefore }: RunResult): string {
  // A reason may say the status itself: "interrupted; the same command goes on with it".
  if (reason.startsWith(status)) return `${runDir}: ${reason}`;
  const why = reason ? `: ${reason}` : "";
  return finishedBefore ? `${runDir}: ${status} before${why}` : `${runDir}: ${status}${why}`;
}
