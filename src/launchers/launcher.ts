// What a launcher is. A job is data: an argument list and a file for its output. A launcher neither knows what a run is
// nor decides what counts as done: that is in the run folders.

import type { Member } from "../registry.ts";
import type { Progress } from "../types.ts";

/** Set in the environment of processes that have a channel to the launcher which started them. */
export const launchedVariable = "FATHOM_LAUNCHED";

/** What a run's process tells the launcher that started it. */
export type LauncherMessage =
  | { readonly type: "progress"; readonly progress: Progress }
  | { readonly type: "result"; readonly status: "done" | "diverged" | "interrupted"; readonly reason: string }
  /** The job is done, all it had to say is written, up to {@link endOfOutput} on both streams, and another may be sent. */
  | { readonly type: "free" };

/** What a launcher sends to a process that is free: the arguments of the next job. */
export interface NextJob {
  readonly type: "job";
  readonly args: readonly string[];
}

/** What a process writes to its output and its errors where those of a job end. */
export const endOfOutput = "\0";

/** A process to run: `node <args>`. */
export interface Job {
  readonly id: string;
  readonly args: readonly string[];
  /** Jobs of one kind may follow each other in one process, which is sent their arguments: the first is the program, and alike. */
  readonly kind?: string;
  /** Its output is appended here. */
  readonly logFile: string;
}

/** How a job ended. */
export interface Outcome {
  readonly job: Job;
  /** `done` and `diverged` are results; `busy`: another process works on it; `skipped`: not started. */
  readonly status: "done" | "diverged" | "interrupted" | "failed" | "busy" | "skipped";
  readonly reason: string;
  /** The process's exit code; null where a signal ended it or it was not started. */
  readonly code: number | null;
}

/** How jobs are to run. */
export interface LaunchOptions {
  /** Jobs at once. */
  readonly jobs: number;
  /** After a failure start no further job and interrupt those that run. */
  readonly failFast: boolean;
  /** Aborted: start no further job, interrupt those that run and wait for them to save. */
  readonly signal: AbortSignal;
  onProgress(job: Job, progress: Progress): void;
  onEnd(outcome: Outcome): void;
}

/** A member of the registry in index.ts. */
export interface Launcher extends Member {
  /** Whether its processes run on this machine, and share its memory. */
  readonly isHere: boolean;
  /** Runs all jobs and gives their outcomes in the order of the jobs. One that fails never stops the others by itself. */
  launch(jobs: readonly Job[], options: LaunchOptions): Promise<Outcome[]>;
}
