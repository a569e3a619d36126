// Runs jobs on a cluster as Slurm's job arrays. The tasks look after themselves: they save and are queued again when they are
// pre-empted, and go on if this process is gone. It submits what is not in the queue since before, and then watches run folders
// for what has become of each run and the queue for which tasks will not go on.

import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { isFile } from "../runs/files.ts";
import { lastProgress } from "../runs/progress.ts";
import { endFor, endOf, runFolder, type RunEnd } from "../runs/run-folder.ts";
import type { Job, Launcher, LaunchOptions, Outcome, Work } from "./launcher.ts";
import { cancelPending, hasEnded, squeue, tellToEnd, type QueuedTask } from "./slurm-commands.ts";
import { earlierTasks, slurmSettings, submit, taskState, type SubmittedTask } from "./slurm-submission.ts";

/** Milliseconds between two looks at the folders of runs that are under way, and at the queue. */
const LOOK = 1000;
const LOOK_QUEUE = 2000;
/** Milliseconds that a shared file system may take to show what a task has written that is over: one that has failed, by its own word or
 *  Slurm's, and one that should have left results. */
const FAILED_PATIENCE = 2000;
const FILES_PATIENCE = 30_000;
/** Milliseconds for which tasks that are to end are waited for while Slurm does not answer. */
const STOP_PATIENCE = 60_000;

export const slurm: Launcher = {
  name: "slurm",
  summary:
    "a cluster: Slurm's job arrays, queued again when they are pre-empted; --jobs is tasks at once (docs/clusters.md)",
  isHere: false,
  options: [
    { name: "partition", value: "", summary: "else Slurm's default" },
    {
      name: "time",
      value: "",
      summary: "a task's limit, such as 2:00:00, at which it saves and is queued again; else the partition's",
    },
    { name: "cpus", value: "", summary: "processors a task; else the threads of its runs" },
    { name: "memory", value: "", summary: "a task's, such as 4G; else the cluster's default" },
    { name: "runs-per-task", value: "1", summary: "runs that a task makes one after the other: more of short ones" },
    {
      name: "signal-seconds",
      value: "120",
      summary: "how long before its limit a task is told to save; Slurm may be a minute early",
    },
    {
      name: "retries",
      value: "1",
      summary: "how often a task that fails is tried again; never one that exit code 2 ended",
    },
    { name: "requeues", value: "20", summary: "how often a task that was told to save has itself queued again" },
    { name: "sbatch", value: "", summary: 'more flags of sbatch, such as "--account=NAME --gres=gpu:1"' },
  ],
  check: (settings) => void slurmSettings(settings),
  async launch(work, options) {
    const settings = slurmSettings(options.settings);
    if (work.jobs.length === 0) return [];
    const known = await knownTasks(work, options);
    const isKnown = new Set([...known.values()].flat());
    const due = work.jobs.filter((job) => !isKnown.has(job));
    if (due.length > 0 && !options.signal.aborted) {
      const submitted = await submit(work, due, settings, { atOnce: options.jobs, say: options.say });
      const arrays = [...new Set(submitted.map(({ array }) => array))].join(",");
      options.say(`${submitted.length} tasks are in Slurm's queue; \`squeue --jobs=${arrays}\` shows them`);
      for (const [task, jobs] of withJobs(submitted, due)) known.set(task, jobs);
    }
    return watch(work, known, options);
  },
};

/** Tasks, and the jobs among `jobs` that each is to make. */
function withJobs(tasks: readonly SubmittedTask[], jobs: readonly Job[]): Map<SubmittedTask, Job[]> {
  const byRun = new Map(jobs.map((job) => [`${job.index} ${job.hash}`, job]));
  const found = tasks.map(
    (task) => [task, task.runs.flatMap((run) => byRun.get(`${run.index} ${run.hash}`) ?? [])] as const,
  );
  return new Map(found.filter(([, some]) => some.length > 0).map(([task, some]) => [task, [...some]]));
}

/** The tasks of earlier submissions that will still make some of the jobs. Those that were told to end are waited for: what they are
 *  at would be in their hands. */
async function knownTasks(work: Work, { say, signal }: LaunchOptions): Promise<Map<SubmittedTask, Job[]>> {
  const candidates = withJobs(
    earlierTasks(work.experimentDir).filter((task) => task.fits(work) && taskState(task).code === undefined),
    work.jobs,
  );
  for (let told = false; ; told = true) {
    const queue = await squeue([...new Set([...candidates.keys()].map(({ array }) => array))]);
    if (typeof queue === "string") {
      say(`squeue does not answer (${queue}); asked again`);
      if (signal.aborted) return new Map();
      await sleep(LOOK_QUEUE);
      continue;
    }
    for (const task of candidates.keys()) if (!isLive(queue.get(task.key))) candidates.delete(task);
    const ending = [...candidates.keys()].filter(({ cancelFile }) => isFile(cancelFile));
    if (ending.length === 0 || signal.aborted) break;
    if (!told) say(`${ending.length} tasks of before were told to end; waiting for them`);
    await sleep(LOOK_QUEUE);
  }
  // A run that several tasks are to make is the first's.
  const taken = new Set<Job>();
  for (const [task, jobs] of candidates) {
    const own = jobs.filter((job) => !taken.has(job));
    for (const job of own) taken.add(job);
    candidates.set(task, own);
  }
  const arrays = [...new Set([...candidates.keys()].map(({ array }) => array))].join(", ");
  if (taken.size > 0)
    say(`${taken.size} runs are in Slurm's queue since before, in array ${arrays}; they are not submitted again`);
  return candidates;
}

const isLive = (task: QueuedTask | undefined): task is QueuedTask => task !== undefined && !hasEnded(task.state);

/** What is known of a task that is watched. */
interface Watched {
  readonly task: SubmittedTask;
  readonly pending: Set<Job>;
  /** As the queue last had it. */
  state: string;
  /** When it was first not to be found among tasks that go on. */
  goneSince?: number | undefined;
}

/** Waits until it is known of every job how it ended. */
async function watch(
  { experimentDir, jobs, until }: Work,
  tasks: ReadonlyMap<SubmittedTask, readonly Job[]>,
  options: LaunchOptions,
): Promise<Outcome[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const outcomes = new Map<Job, Outcome>();
  const steps = new Map<Job, number>();
  const end = (job: Job, status: Outcome["status"], reason: string, code: number | null): void => {
    const outcome = { job, status, reason, code };
    outcomes.set(job, outcome);
    options.onEnd(outcome);
    if (status === "failed" && options.failFast) failed.abort();
  };
  const watched = [...tasks].map(([task, some]): Watched => ({ task, pending: new Set(some), state: "PENDING" }));
  const submitted = new Set([...tasks.values()].flat());
  for (const job of jobs) if (!submitted.has(job)) end(job, "busy", "not submitted; sweep again", null);

  /** Looks at the runs of a task that is under way, or over. */
  const look = (one: Watched): void => {
    const { task, pending, goneSince } = one;
    for (const job of pending) {
      const runDir = runFolder(experimentDir, job.id);
      // What failed may be tried again for as long as its task goes on, and may have failed before it.
      const found = endFor(runDir, job.hash, until);
      if (found) {
        pending.delete(job);
        end(job, found.status, found.reason, 0);
      } else if (goneSince === undefined) {
        const progress = lastProgress(runDir);
        if (!progress || progress.step === steps.get(job)) continue;
        steps.set(job, progress.step);
        options.onProgress(job, progress);
      }
    }
    if (goneSince === undefined || pending.size === 0) return;
    const { hasBegun, code } = taskState(task);
    const waited = performance.now() - goneSince;
    const isCancelled = signal.aborted || one.state.startsWith("CANCELLED");
    const hasFailed = code ? true : code === undefined && hasEnded(one.state) && one.state !== "COMPLETED";
    if (waited < (hasFailed || isCancelled ? FAILED_PATIENCE : FILES_PATIENCE)) return;
    for (const job of pending)
      end(job, ...endedWithout(one, { hasBegun, code, isCancelled }, endOf(runFolder(experimentDir, job.id), until)));
    pending.clear();
  };

  const told = new Set<string>();
  const said = new Set<string>();
  let lastAnswer = performance.now();
  let nextQueue = 0;
  for (;;) {
    const active = watched.filter(({ pending }) => pending.size > 0);
    if (active.length === 0) break;
    const now = performance.now();
    if (now >= nextQueue) {
      const queue = await squeue([...new Set(active.map(({ task }) => task.array))]);
      if (typeof queue === "string") {
        if (!said.has(queue)) options.say(`squeue does not answer (${queue}); asked again`);
        said.add(queue);
        if (signal.aborted && now - lastAnswer > STOP_PATIENCE) break;
      } else {
        lastAnswer = now;
        for (const one of active) update(one, queue);
        for (const reason of reasons(active, queue))
          if (!said.has(reason)) {
            said.add(reason);
            options.say(`tasks wait in Slurm's queue: ${reason}`);
          }
        if (signal.aborted) await stop(active, told);
      }
      nextQueue = performance.now() + (signal.aborted ? LOOK : LOOK_QUEUE);
    }
    for (const one of active) if (one.state !== "PENDING" || one.goneSince !== undefined) look(one);
    await sleep(LOOK, undefined, { signal: signal.aborted ? new AbortController().signal : signal }).catch(() => {
      nextQueue = 0; // told to stop meanwhile
    });
  }
  for (const { task, pending } of watched)
    for (const job of pending)
      end(job, "interrupted", `it was told to stop; Slurm does not answer, and task ${task.key} may go on`, null);
  return jobs.map((job) => outcomes.get(job)!);
}

function update(one: Watched, queue: ReadonlyMap<string, QueuedTask>): void {
  // Tasks that were cancelled before they began have lost their numbers.
  const found = queue.get(one.task.key) ?? queue.get(`${one.task.array}_N/A`);
  if (found) one.state = found.state;
  one.goneSince = isLive(found) ? undefined : (one.goneSince ?? performance.now());
}

/** Why tasks wait, beside what is usual: for processors, their turn, the time after which they may run again. */
function reasons(active: readonly Watched[], queue: ReadonlyMap<string, QueuedTask>): Set<string> {
  const usual = ["None", "Priority", "Resources", "JobArrayTaskLimit", "Dependency", "BeginTime", "Prolog", "Cleaning"];
  const waiting = active.map(({ task }) => queue.get(task.key)).filter((task) => task?.state === "PENDING");
  return new Set(waiting.map((task) => task!.reason).filter((reason) => !usual.includes(reason)));
}

/** Takes tasks that have not begun out of the queue, and tells those that run to save and to end, each once. */
async function stop(active: readonly Watched[], told: Set<string>): Promise<void> {
  const live = active.filter(({ goneSince }) => goneSince === undefined).map(({ task, state }) => ({ task, state }));
  await cancelPending(live.filter(({ state }) => state === "PENDING").map(({ task }) => task.key));
  const running = live.filter(({ task, state }) => state === "RUNNING" && !told.has(task.key)).map(({ task }) => task);
  for (const { cancelFile, key } of running) {
    writeFileSync(cancelFile, "");
    told.add(key);
  }
  // Of an array that has more to begin, scancel tries for a minute what it has long done.
  await Promise.race([tellToEnd(running.map(({ key }) => key)), sleep(LOOK, undefined, { ref: false })]);
}

/** How a job has ended whose task is over and left it without a result. */
function endedWithout(
  { task, state }: Watched,
  { hasBegun, code, isCancelled }: { hasBegun: boolean; code: number | undefined; isCancelled: boolean },
  found: RunEnd | undefined,
): [status: Outcome["status"], reason: string, code: number | null] {
  const log = `see ${task.logFile}`;
  if (!hasBegun)
    return isCancelled
      ? ["skipped", "its task was cancelled before it began", null]
      : ["failed", `task ${task.key} is gone from Slurm's queue and never began (${state}); ${log}`, null];
  if (code === 75) return ["busy", `another process works on it; ${log}`, code];
  if (code === 130 || (isCancelled && code === undefined))
    return [
      "interrupted",
      isCancelled ? "interrupted" : `task ${task.key} was interrupted and not queued again; ${log}`,
      130,
    ];
  if (found?.status === "failed") return ["failed", found.reason, code ?? null];
  if (code === undefined) return ["failed", `task ${task.key} ended without a word (${state}); ${log}`, null];
  return ["failed", `task ${task.key} ended with exit code ${code}, and left no result; ${log}`, code];
}
