// One run from claim to result, as `fathom train`, the launchers' `fathom run` and the library do it. What happens inside is
// `executeRun` in src/run.ts; this file holds the lease and keeps run.json true.

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { RunIdentity } from "./runs/run-folder.ts";
import * as folder from "./runs/run-folder.ts";
import { claim, type Lease } from "./runs/lease.ts";
import { differences, originOf } from "./runs/origin.ts";
import { versionsAndMachine } from "./runs/environment.ts";
import { messageOf, TryAgainError, UserError } from "./errors.ts";
import type { MemoryNeed } from "./launchers/launcher.ts";
import type { Progress } from "./types.ts";

/** How a run ended; `finished-before`: it was done already and nothing was run. */
export interface RunResult {
  readonly runDir: string;
  /** `waiting`: at the step it was to reach. */
  readonly status: "done" | "diverged" | "interrupted" | "waiting";
  readonly reason: string;
  readonly finishedBefore: boolean;
}

/** Runs (or resumes) one run in its folder. Does nothing if it is finished, unless `afresh`, which starts it anew.
 *  Throws `TryAgainError` if another live process works on it or takes it over; what the run itself throws is recorded in run.json. */
export async function runOne(
  experimentDir: string,
  run: RunIdentity,
  options: {
    signal: AbortSignal;
    afresh: boolean;
    /** Whether compiled programs are kept in the run's folder. */
    keepGraphs: boolean;
    /** Whether other runs may come before and after it in this process. */
    reuse?: boolean;
    /** The step at whose evaluation it is to wait. */
    until?: number | undefined;
    /** Waits until runs beside this one leave it the memory that it needs. */
    makeRoom?: (memory: MemoryNeed) => Promise<void>;
    onProgress: (progress: Progress) => void;
    say: (line: string) => void;
  },
): Promise<RunResult> {
  const runDir = folder.runFolder(experimentDir, run.id);
  const finished = (): RunResult | undefined => {
    const end = options.afresh ? undefined : folder.endFor(runDir, run.hash, options.until);
    return end && { runDir, ...end, finishedBefore: true };
  };
  const before = finished();
  if (before) return before;
  if (!existsSync(runDir)) {
    // Where the engine cannot work here nothing is left behind.
    const { requireEngine } = await import("./engine/select.ts");
    const { engine, threads } = run.config;
    await requireEngine(engine, { threads, keepGraphs: options.keepGraphs });
  }
  folder.createRunFolder(experimentDir, run.id);
  const lease = await claimRun(runDir, options.say);
  try {
    const meanwhile = finished();
    if (meanwhile) return meanwhile;
    if (options.afresh) folder.clearRun(runDir);
    const before = folder.readRun(runDir);
    if (!before && existsSync(join(runDir, "run.json")))
      options.say(`${runDir}/run.json: damaged; written anew, and the run goes on from its checkpoints`);
    const changed = before ? differences(originOf(before), originOf({ ...before, ...versionsAndMachine() })) : [];
    if (changed.length > 0)
      options.say(`${runDir}: begun with ${changed.join(", ")}: going on here may change the last bits of its numbers`);
    folder.startRun(runDir, run);
    const { executeRun } = await import("./run.ts");
    const { signal, onProgress, say, keepGraphs, makeRoom, until, reuse } = options;
    const outcome = await executeRun(run.config, runDir, {
      signal,
      lost: lease.lost,
      onProgress,
      say,
      keepGraphs,
      makeRoom,
      until,
      reuse,
    });
    const { status } = outcome;
    const reason =
      status === "waiting"
        ? `waits at step ${until} for the other runs`
        : outcome.reason || (status === "interrupted" ? "interrupted; the same command goes on with it" : "");
    // What stands in the folder from here on is the other process's.
    if (lease.isLost()) throw lease.lost.reason;
    if (status === "waiting") folder.updateRun(runDir, { status: "running", reason, waitsAt: until });
    else if (status === "interrupted") folder.updateRun(runDir, { status: "running", reason });
    else folder.updateRun(runDir, { status, reason, finished: new Date().toISOString() });
    return { runDir, status, reason, finishedBefore: false };
  } catch (error) {
    if (lease.isLost()) throw new TryAgainError(`${runDir}: ${messageOf(lease.lost.reason)}`, { cause: error });
    recordFailure(runDir, error);
    throw error;
  } finally {
    await lease.release();
  }
}

/** The lease of a run; a `TryAgainError` where another live process has it. */
export async function claimRun(runDir: string, say: (line: string) => void): Promise<Lease> {
  const lease = await claim(runDir, undefined, (seconds) =>
    say(`${runDir}: an earlier process left this run unfinished; taken over after ${seconds} s of its silence`),
  );
  if (lease) return lease;
  throw new TryAgainError(`${runDir}: another process works on this run; wait for it, or stop it and try again`);
}

/** What ends a run may keep its record from being written, too, as a full disk does: the error itself is what counts. */
function recordFailure(runDir: string, error: unknown): void {
  try {
    if (!folder.readRun(runDir)) return;
    folder.updateRun(runDir, {
      status: "failed",
      reason: messageOf(error),
      isRefused: error instanceof UserError,
      finished: new Date().toISOString(),
    });
  } catch {
    // The run then counts as begun and left, and the same command goes on with it as well.
  }
}

/** Folder of an experiment below `--out`. */
export function experimentFolder(out: string, name: string): string {
  if (name === "verify")
    throw new UserError(
      `name: expected another name than verify, since \`fathom verify\` writes to ${join(out, name)}; rename the experiment`,
    );
  return join(out, name);
}
