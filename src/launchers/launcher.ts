// What a launcher is. A job is a place in a manifest, and every launcher runs `fathom run --manifest DIR --index N` for it and
// nothing else. What counts as done is in the run folders, never in what a launcher has seen.

import type { Member } from "../registry.ts";
import type { Progress } from "../types.ts";

/** Set in the environment of processes that have a channel to the launcher which started them. */
export const launchedVariable = "FATHOM_LAUNCHED";

/** What a run's process tells the launcher that started it. */
export type LauncherMessage =
  | { readonly type: "progress"; readonly progress: Progress }
  | {
      readonly type: "result";
      readonly status: "done" | "diverged" | "interrupted" | "waiting";
      readonly reason: string;
    }
  /** It knows what memory it needs, and waits for `room`. */
  | { readonly type: "memory"; readonly memory: MemoryNeed }
  /** The job is done, all it had to say is written, up to {@link endOfOutput} on both streams, and another may be sent. */
  | { readonly type: "free" };

/** What a launcher sends to a process: the arguments of the next job where it is free, that there is room for a run that waits, that it
 *  is to save and end where the system has no signal for that. */
export type Order = { readonly type: "job"; readonly args: readonly string[] } | { readonly type: "room" | "stop" };

/** What a run's process will have resident at most, and what it has, bytes. */
export interface MemoryNeed {
  readonly bytes: number;
  readonly residentBytes: number;
}

/** What a process writes to its output and its errors where those of a job end. */
export const endOfOutput = "\0";

/** A run to be made. */
export interface Job {
  /** The run's, which is the name of its folder. */
  readonly id: string;
  /** The run's place in the manifest, and the hash that it must have there. */
  readonly index: number;
  readonly hash: string;
  /** Jobs of one kind may follow each other in one process. */
  readonly kind?: string;
  /** What it says is appended here where the launcher sees it. */
  readonly logFile: string;
}

/** The runs of an experiment that are to be made. */
export interface Work {
  /** Absolute, and the same on all machines that are to work on it. */
  readonly experimentDir: string;
  /** Node's arguments before those of {@link argumentsOf}: the program, `run`, the manifest, and what all runs are told. */
  readonly command: readonly string[];
  readonly jobs: readonly Job[];
  /** The step at whose evaluation the runs are to wait (the command says so), where they are not to train to their end. */
  readonly until?: number | undefined;
}

/** Node's arguments for some jobs of `work`. Several are run by child processes of that one, one after the other. */
export function argumentsOf(
  { command }: Pick<Work, "command">,
  jobs: readonly Pick<Job, "index" | "hash">[],
): string[] {
  const list = (values: readonly (string | number)[]): string => values.join(",");
  return [...command, "--index", list(jobs.map(({ index }) => index)), "--hash", list(jobs.map(({ hash }) => hash))];
}

/** How a job ended. */
export interface Outcome {
  readonly job: Job;
  /** `done` and `diverged` are results; `waiting`: at the step it was to reach; `busy`: another process works on it, or there is no place for it now; `skipped`: not
   *  started; `left`: for somebody else to start, as the launcher was asked. */
  readonly status: "done" | "diverged" | "waiting" | "interrupted" | "failed" | "busy" | "skipped" | "left";
  readonly reason: string;
  /** The process's exit code; null where a signal ended it or it was not started. */
  readonly code: number | null;
}

/** How jobs are to run. */
export interface LaunchOptions {
  /** Jobs at once at most; infinite where the user left it to a launcher whose processes do not run here. */
  readonly jobs: number;
  /** What the user sets of the launcher's own {@link Launcher.options}, by name. */
  readonly settings: Readonly<Record<string, string>>;
  /** After a failure start no further job and interrupt those that run. */
  readonly failFast: boolean;
  /** Aborted: start no further job, interrupt those that run and wait for them to save. */
  readonly signal: AbortSignal;
  /** A line for people, of what happens beside the runs: submissions, waiting. */
  say(line: string): void;
  onProgress(job: Job, progress: Progress): void;
  onEnd(outcome: Outcome): void;
}

/** Something of a launcher that `fathom sweep --option name=value` sets. */
export interface LauncherOption extends Member {
  /** What it is where it is not set; empty for nothing. */
  readonly value: string;
}

/** A member of the registry in index.ts. */
export interface Launcher extends Member {
  /** Whether its processes run on this machine, and share its memory. */
  readonly isHere: boolean;
  readonly options: readonly LauncherOption[];
  /** Throws a `UserError` where settings cannot be, before anything is planned. */
  check?(settings: LaunchOptions["settings"]): void;
  /** Runs all jobs and gives their outcomes in the order of the jobs. One that fails never stops the others by itself. */
  launch(work: Work, options: LaunchOptions): Promise<Outcome[]>;
}
