// Runs jobs on machines that share no scheduler: BullMQ's queue in Redis, and `fathom worker` on each machine (queue-worker.ts).
// A queue delivers at least once. That each run is completed exactly once is not its doing: a key in Redis says who has it, on a
// shared file system the run's lease lets one process at it at a time, and what comes back through Redis is put in its place by the
// sweep alone, which looks first whether the run is finished. Jobs stay in the queue until the sweep has their results, so that a
// sweep that was killed finds them.

import { createHash, randomBytes } from "node:crypto";
import { linkSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { assert, messageOf, UserError } from "../errors.ts";
import { withRoom } from "../folders.ts";
import { isFile } from "../runs/files.ts";
import { claim } from "../runs/lease.ts";
import { readManifest } from "../runs/manifest.ts";
import { createRunFolder, endFor, endOf, isFinished, readRun, runFolder, updateRun } from "../runs/run-folder.ts";
import type { Progress } from "../types.ts";
import type { Job, Launcher, LaunchOptions, Outcome, Work } from "./launcher.ts";
import { openLink, redisAddress, type Link, type Queue, type QueuedJob } from "./redis.ts";
import { placeRun, receiveRun, RefusedUpload, uploadSchema } from "./upload.ts";

/** The queue's name in Redis: one for all sweeps. */
export const queueName = "fathom";

/** Milliseconds between two looks at all jobs that are under way. Events tell sooner; none is relied on. */
const LOOK = 5000;
/** As {@link LOOK}, while they are being stopped. */
const LOOK_STOPPING = 500;
/** Milliseconds within which runs that are told to stop have to have saved what they are at. */
const STOP_PATIENCE = 60_000;
/** Milliseconds that a shared file system may take to show what another machine has written. */
const FILES_PATIENCE = 30_000;
/** Seconds for which a job that was told to stop stays told. */
const STOP_LIFETIME = 3600;
/** Seconds after which BullMQ drops jobs that have ended and were never collected. */
const JOB_LIFETIME = 30 * 24 * 3600;
/** How often a run is made again whose upload is refused. */
const MOST_REFUSALS = 2;

/** What a job says: a run as it was frozen, and where its sweep has it. Workers take nothing else from it, no command above all. */
export const taskSchema = z.strictObject({
  version: z.literal(1),
  /** The sweep's folder: a path on its machine, and the text of its {@link markFile}. */
  dir: z.string().max(4096),
  experiment: z.string().regex(/^[0-9a-f]{16}$/),
  index: z.number().int().min(0),
  /** The run's line of the manifest. */
  entry: z.looseObject({
    id: z.string().max(200),
    hash: z.string().regex(/^[0-9a-f]{16}$/),
    config: z.looseObject({}),
  }),
  keepGraphs: z.boolean(),
  until: z.number().int().min(0).nullable(),
});
/** A job as workers get it. */
export type Task = z.infer<typeof taskSchema>;

/** What is said of a job that has ended. */
export const resultSchema = z.strictObject({
  status: z.enum(["done", "diverged", "waiting", "failed", "interrupted"]),
  reason: z.string().max(100_000),
  code: z.number().nullable(),
  worker: z.string().max(1000),
  /** The run's folder, where the worker does not have the sweep's. */
  upload: uploadSchema.optional(),
});
/** How a job has ended, as its worker says. */
export type Result = z.infer<typeof resultSchema>;

/** The run of a task, whichever part of it is asked for: the name of a worker's own folder of it. */
export const runKey = ({ experiment, entry }: Pick<Task, "experiment" | "entry">): string =>
  `${experiment}-${entry.hash}-${createHash("sha256").update(entry.id).digest("hex").slice(0, 8)}`;
/** A job's id in the queue: adding it again adds nothing. */
export const jobIdOf = (task: Task): string => `${runKey(task)}${task.until === null ? "" : `-${task.until}`}`;
/** Where uploads of a job lie in Redis; each adds a name of its own. */
export const uploadPrefix = (jobId: string): string => `fathom:upload:${jobId}:`;
/** A key that is there while a job is to stop. */
export const stopKey = (jobId: string): string => `fathom:stop:${jobId}`;

/** A key that names the worker which has the run. BullMQ's own lock is lost when Redis is away for long; this one is taken anew. */
export const heldKey = (jobId: string): string => `fathom:held:${jobId}`;
/** A key with a job's result, for the case that its worker may no longer end it. */
export const resultKey = (jobId: string): string => `fathom:result:${jobId}`;

/** A file of the sweep's folder whose text names that folder and no other, on whichever machine it is seen. */
export const markFile = (experimentDir: string): string => join(experimentDir, "queue.json");

export const queue: Launcher = {
  name: "queue",
  summary:
    "machines that share no scheduler: `fathom worker` on each takes runs from BullMQ's queue in Redis (docs/queue.md)",
  isHere: false,
  options: [
    {
      name: "queue",
      value: "",
      summary:
        "redis://[user@]host[:port][/database], or rediss://; else FATHOM_QUEUE or this machine's. A password: FATHOM_QUEUE_PASSWORD",
    },
  ],
  check: (settings) => void redisAddress(settings["queue"] ?? ""),
  async launch(work, options) {
    const address = redisAddress(options.settings["queue"] ?? "");
    if (work.jobs.length === 0) return [];
    const link = await openLink(address, options.say);
    const queue = new link.bullmq.Queue(queueName, { connection: link.connection() });
    const events = new link.bullmq.QueueEvents(queueName, { connection: link.connection() });
    for (const one of [queue, events]) one.on("error", () => {}); // the link tells of Redis; what a command meets it throws
    try {
      return await carryThrough(work, options, { link, queue, events });
    } finally {
      await Promise.race([Promise.allSettled([events.close(), queue.close()]), sleep(2000, undefined, { ref: false })]);
      link.end();
    }
  },
};

/** Adds all jobs and collects their results; the outcomes in the order of the jobs. */
async function carryThrough(
  work: Work,
  options: LaunchOptions,
  {
    link,
    queue,
    events,
  }: { link: Link; queue: Queue; events: { on: Queue["on"]; waitUntilReady(): Promise<unknown> } },
): Promise<Outcome[]> {
  const { address } = link;
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const tasks = new Map(tasksOf(work).map((task, i) => [jobIdOf(task), { task, job: work.jobs[i]! }]));
  const pending = new Set(tasks.keys());
  const started = new Set<string>();
  const refusals = new Map<string, number>();
  const outcomes = new Map<Job, Outcome>();
  const due = new Set<string>();
  let wake = (): void => {};
  const touch = ({ jobId }: { jobId: string }): void => {
    if (!pending.has(jobId)) return;
    due.add(jobId);
    wake();
  };
  events.on("completed", touch);
  events.on("failed", touch);
  events.on("removed", touch);
  events.on("active", ({ jobId }: { jobId: string }) => void started.add(jobId));
  events.on("progress", ({ jobId, data }: { jobId: string; data: unknown }) => {
    const { job } = tasks.get(jobId) ?? {};
    const { data: progress } = progressSchema.safeParse(data);
    if (job && progress && pending.has(jobId)) options.onProgress(job, progress as Progress);
  });
  events.on("stalled", ({ jobId }: { jobId: string }) => {
    const { job } = tasks.get(jobId) ?? {};
    if (job && pending.has(jobId)) options.say(`${job.id}: nothing heard of its worker any more; another may take it`);
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);

  const end = (jobId: string, given: Pick<Outcome, "status" | "reason" | "code">): void => {
    const { job } = tasks.get(jobId)!;
    const outcome = { job, ...given };
    pending.delete(jobId);
    outcomes.set(job, outcome);
    options.onEnd(outcome);
    if (outcome.status === "failed" && options.failFast) failed.abort();
  };
  const stopped = (jobId: string): void =>
    started.has(jobId)
      ? end(jobId, { status: "interrupted", reason: "interrupted", code: null })
      : end(jobId, { status: "skipped", reason: "not started", code: null });
  /** Looks how far a job is, and does what is to be done about it. */
  const settle = async (jobId: string): Promise<void> => {
    const { task, job } = tasks.get(jobId)!;
    const found = await queue.getJob(jobId);
    // Another sweep of this experiment may have collected it.
    const runDir = runFolder(work.experimentDir, job.id);
    const here = endFor(runDir, job.hash);
    if (here && (found === undefined || found.finishedOn !== undefined)) {
      if (found) await discard(link, found);
      return end(jobId, { ...here, code: 0 });
    }
    // A Redis that keeps nothing forgets jobs when it restarts.
    if (!found) return signal.aborted ? stopped(jobId) : add(link, queue, [task]);
    if (found.finishedOn === undefined) {
      if (signal.aborted && (await isRemoved(found))) stopped(jobId);
      return;
    }
    const result = resultOf(found);
    if (result.status === "interrupted") {
      await discard(link, found);
      // Unless this sweep told it to stop, one before it did.
      return signal.aborted
        ? end(jobId, { status: "interrupted", reason: "interrupted", code: result.code })
        : add(link, queue, [task]);
    }
    const placed = await collect(link, { task, job, jobId, result, work });
    if (placed === "later") return; // as long as its folder is in other hands
    if (placed instanceof RefusedUpload) {
      const count = (refusals.get(jobId) ?? 0) + 1;
      refusals.set(jobId, count);
      const reason = `what worker ${result.worker} sent was refused: ${placed.message}`;
      options.say(`${job.id}: ${reason}`);
      await discard(link, found);
      if (count < MOST_REFUSALS && !signal.aborted) return add(link, queue, [task]);
      return end(jobId, { status: "failed", reason, code: null });
    }
    await discard(link, found);
    end(jobId, { status: result.status, reason: result.reason, code: result.code });
  };

  await events.waitUntilReady();
  await addAll(
    link,
    queue,
    [...tasks.values()].map(({ task }) => task),
  );
  const workers = await queue.getWorkersCount();
  options.say(
    `${pending.size} runs are in the queue at ${address.shown}, ${workers === 1 ? "1 worker is" : `${workers} workers are`} there` +
      (workers === 0 ? `; start some with \`fathom worker --queue ${address.shown}\`` : ""),
  );
  try {
    let isTold = false;
    const outOfPatience = patience(link, signal);
    for (const jobId of pending) due.add(jobId);
    while (pending.size > 0) {
      if (signal.aborted && !isTold) {
        isTold = true;
        for (const jobId of pending) due.add(jobId);
        void tellToStop(link, [...pending]);
      }
      const round = (async () => {
        for (const jobId of [...due]) {
          due.delete(jobId);
          if (pending.has(jobId)) await settle(jobId);
        }
      })();
      // Where Redis is away nothing comes back.
      if (await Promise.race([round.then(() => false), outOfPatience])) {
        round.catch(() => {});
        break;
      }
      if (due.size > 0 || pending.size === 0 || (signal.aborted && !isTold)) continue;
      const isWoken = await Promise.race([
        new Promise<true>((resolve) => (wake = () => resolve(true))),
        sleep(signal.aborted ? LOOK_STOPPING : LOOK, false, { ref: false }),
      ]);
      if (!isWoken) for (const jobId of pending) due.add(jobId);
    }
    for (const jobId of [...pending])
      end(jobId, { status: "interrupted", reason: "it was told to stop; nothing was heard of it", code: null });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  return work.jobs.map((job) => outcomes.get(job)!);
}

/** Resolves when what was to stop at `signal` has had its time, or Redis is not there to tell it. */
async function patience({ redis }: Link, signal: AbortSignal): Promise<true> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  const told = performance.now();
  for (let since = 0; since < STOP_PATIENCE; since = performance.now() - told) {
    await sleep(LOOK_STOPPING, undefined, { ref: false });
    if (redis.status !== "ready" && since > LOOK) break;
  }
  return true;
}

/** The runs of `work` as they go into the queue. */
function tasksOf({ experimentDir, command, jobs, until }: Work): Task[] {
  const experiment = markOf(experimentDir);
  const entries = readManifest(experimentDir);
  return jobs.map(({ id, index, hash }): Task => {
    const entry = entries[index];
    assert(entry?.hash === hash && entry.id === id, `run ${index} is another one than was planned`);
    const { index: place, ...rest } = entry;
    const keepGraphs = command.includes("--keep-graphs");
    return { version: 1, dir: experimentDir, experiment, index: place, entry: rest, keepGraphs, until: until ?? null };
  });
}

/** What the folder's {@link markFile} says, which is written where there is none. */
function markOf(experimentDir: string): string {
  const file = markFile(experimentDir);
  try {
    // Written aside and linked: others see all of it or nothing, and the first one stays.
    const aside = `${file}.${randomBytes(4).toString("hex")}`;
    const text = `${JSON.stringify({ experiment: randomBytes(8).toString("hex") })}\n`;
    if (!isFile(file))
      try {
        withRoom(aside, () => writeFileSync(aside, text, { flag: "wx" }));
        linkSync(aside, file);
      } finally {
        rmSync(aside, { force: true });
      }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const mark = readMark(experimentDir);
  if (mark === undefined)
    throw new UserError(
      `${file}: expected what the queue knows this experiment by, got something else; remove the file`,
    );
  return mark;
}

/** What names a sweep's folder in the queue; undefined where nothing does, or the folder is not here. */
export function readMark(experimentDir: string): string | undefined {
  try {
    const file = markFile(experimentDir);
    if (!isFile(file) || statSync(file).size > 4096) return undefined;
    const text = readFileSync(file, "utf8");
    return z.object({ experiment: taskSchema.shape.experiment }).safeParse(JSON.parse(text)).data?.experiment;
  } catch {
    return undefined;
  }
}

/** Adds jobs that are not there yet. Of those that are there and have ended without a result nothing is left first. */
async function addAll(link: Link, queue: Queue, tasks: readonly Task[]): Promise<void> {
  for (let at = 0; at < tasks.length; at += 200) {
    const some = tasks.slice(at, at + 200);
    await Promise.all(
      some.map(async (task) => {
        const found = await queue.getJob(jobIdOf(task));
        if (found?.finishedOn === undefined) return;
        if (["failed", "interrupted"].includes(resultOf(found).status)) await discard(link, found);
      }),
    );
    await add(link, queue, some);
  }
}

async function add(link: Link, queue: Queue, tasks: readonly Task[]): Promise<void> {
  await link.redis.del(...tasks.map((task) => stopKey(jobIdOf(task))));
  const opts = { attempts: 1, removeOnComplete: { age: JOB_LIFETIME }, removeOnFail: { age: JOB_LIFETIME } };
  await queue.addBulk(tasks.map((task) => ({ name: "run", data: task, opts: { ...opts, jobId: jobIdOf(task) } })));
}

/** What has become of a job that has ended. */
function resultOf({ failedReason, returnvalue }: QueuedJob): Result {
  const failed = (reason: string): Result => ({ status: "failed", reason, code: null, worker: "" });
  if (failedReason) return failed(`the queue gave it up: ${failedReason}`);
  return resultSchema.safeParse(returnvalue).data ?? failed("its worker gave no result that this version knows");
}

/** Removes a job that has ended, with its upload and what is said of it, which go first: they would be taken for a later job's. */
async function discard({ redis }: Link, job: QueuedJob): Promise<void> {
  const { upload } = resultOf(job);
  const isOwn = upload?.key.startsWith(uploadPrefix(job.id));
  await redis.del(resultKey(job.id), ...(upload && isOwn ? [upload.key] : []));
  await job.remove().catch(() => {}); // somebody else has
}

/** Whether a job that has not ended could be removed: one that a worker has could not. */
const isRemoved = (job: QueuedJob): Promise<boolean> =>
  job.remove().then(
    () => true,
    () => false,
  );

async function tellToStop({ redis }: Link, jobIds: readonly string[]): Promise<void> {
  try {
    await Promise.all(jobIds.map((jobId) => redis.set(stopKey(jobId), "stop", "EX", STOP_LIFETIME)));
  } catch {
    // Redis is away and so are we.
  }
}

/** Puts what a job has left in its place. `later` where the run's folder is in other hands now. */
async function collect(
  { redis }: Link,
  { task, job, jobId, result, work }: { task: Task; job: Job; jobId: string; result: Result; work: Work },
): Promise<RefusedUpload | "later" | "placed"> {
  const { experimentDir } = work;
  const runDir = runFolder(experimentDir, job.id);
  const isThere = (): boolean => {
    if (isFinished(runDir, job.hash)) return true;
    return result.status === "waiting" && endOf(runDir, task.until ?? undefined)?.status === "waiting";
  };
  const { upload, status } = result;
  if (!upload) {
    if (status === "failed") return "placed";
    for (const end = performance.now() + FILES_PATIENCE; !isThere(); await sleep(500))
      if (performance.now() > end)
        return new RefusedUpload(`${runDir} does not show it ${FILES_PATIENCE / 1000} s later`);
    return "placed";
  }
  if (isThere()) return "placed"; // another delivery of it was faster
  if (!upload.key.startsWith(uploadPrefix(jobId))) return new RefusedUpload("it lies under another run's key");
  // Beside the runs and not within one: what stays of a process that is killed here is no run's.
  const aside = mkdtempSync(join(experimentDir, "received-"));
  try {
    const received = join(aside, job.id);
    await receiveRun(redis, upload, received);
    const problem = problemOf(received, task, result);
    if (problem) return new RefusedUpload(problem);
    createRunFolder(experimentDir, job.id);
    const lease = await claim(runDir);
    if (!lease) return "later";
    try {
      if (isThere()) return "placed";
      // What a run has here that failed elsewhere may still be gone on with.
      if (status === "failed" && readRun(runDir)) updateRun(runDir, { status: "failed", reason: result.reason });
      else placeRun(received, runDir);
    } finally {
      await lease.release();
    }
    return "placed";
  } catch (error) {
    if (error instanceof RefusedUpload) return error;
    throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** Why a received folder is not what the result says. */
function problemOf(received: string, { entry, until }: Task, { status }: Result): string | undefined {
  const record = readRun(received);
  if (!record) return "it has no whole run.json";
  if (record.id !== entry.id || record.hash !== entry.hash) return `it is the run ${record.id} of hash ${record.hash}`;
  if (status === "failed") return undefined;
  const end = endOf(received, until ?? undefined);
  return end?.status === status ? undefined : `its files tell of ${end?.status ?? "no end"}, its worker of ${status}`;
}

const progressSchema = z.object({
  step: z.number(),
  steps: z.number(),
  loss: nullable(),
  gradientNorm: nullable(),
  stepsPerSecond: nullable(),
  secondsLeft: nullable(),
  doing: z.string().max(200).optional(),
});

/** A number that JSON made null of, as it does of NaN. */
function nullable() {
  return z
    .number()
    .nullable()
    .transform((value) => value ?? NaN);
}

/** What a worker says of something that went wrong with it, not with a run. */
export const failedResult = (error: unknown, worker: string): Result => ({
  status: "failed",
  reason: messageOf(error),
  code: error instanceof UserError ? 2 : 1,
  worker,
});
