// What `fathom worker` does: takes jobs from the queue and runs each in a child process, so that this one is always free to renew
// its locks (a job whose lock is not renewed is given to another worker). Where the sweep's folder is here the run is made
// in it; elsewhere in a folder of the worker's own, from which it is sent when it has ended.

import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureFolder, writeWhole } from "../runs/files.ts";
import { freezePlan, type ManifestEntry } from "../runs/manifest.ts";
import { createRunFolder, endFor, isFinished, readRun, runFolder } from "../runs/run-folder.ts";
import type { Progress } from "../types.ts";
import type { Job, Outcome } from "./launcher.ts";
import { startChild } from "./local.ts";
import {
  failedResult,
  heldKey,
  jobIdOf,
  queueName,
  readMark,
  resultKey,
  resultSchema,
  runKey,
  stopKey,
  taskSchema,
  uploadPrefix,
  type Result,
  type Task,
} from "./queue.ts";
import { openLink, type Link, type Queue, type QueuedJob, type RedisAddress } from "./redis.ts";
import { memoryRoom } from "./room.ts";
import { LIFETIME, sendRun } from "./upload.ts";

/** Milliseconds for which a job is a worker's that says nothing; it renews twice as often. */
const LOCK = 15_000;
/** Milliseconds between two looks for jobs whose worker has gone. */
const STALLED = 5000;
/** How often a job may lose its worker: one that takes its worker down each time must come to an end. */
const MOST_STALLED = 10;
/** Milliseconds between two looks whether a run is to stop, and between two words on how far it is. */
const BEAT = 1000;
/** Milliseconds after which a job is tried again whose run another process works on. */
const BUSY = 5000;
/** Seconds for which a run is a worker's that says nothing. */
const HELD = LOCK / 1000;

/** How a worker works. */
export interface WorkerOptions {
  /** Runs at once. */
  readonly jobs: number;
  /** Folder of runs whose sweep's folder is not here. */
  readonly outDir: string;
  /** Whether runs are made there even where the sweep's folder is here. */
  readonly apart: boolean;
  /** What Node is to run: fathom's program. */
  readonly program: string;
  /** Aborted: take no further job, interrupt those that run, wait for them to save and give them back. */
  readonly signal: AbortSignal;
  say(line: string): void;
  onProgress(id: string, progress: Progress): void;
  onEnd(id: string, result: Pick<Outcome, "status" | "reason">): void;
}

/** A run's result, or why it has none yet: it is in another process's hands, or was begun here and given back. */
type Taken = Result | "busy" | "given back";

/** Works until `signal` is aborted. Throws a `UserError` where the queue cannot be reached at first. */
export async function workOn(address: RedisAddress, options: WorkerOptions): Promise<void> {
  const { say, signal } = options;
  const link = await openLink(address, say);
  const outDir = resolve(options.outDir);
  const name = `${hostname()}:${process.pid}`;
  const { Queue, Worker, DelayedError, WaitingError } = link.bullmq;
  const queue = new Queue(queueName, { connection: link.connection() });
  queue.on("error", () => {}); // the link tells of Redis
  const here: Here = { link, name, room: memoryRoom(), children: new Set() };
  /** Runs that are under way here. A job may be delivered again while it is one: it is then the same run. */
  const active = new Map<string, Promise<Taken>>();
  const take = async (job: QueuedJob, token: string): Promise<Result> => {
    const { data: task } = taskSchema.safeParse(job.data);
    if (!task || jobIdOf(task) !== job.id)
      return failedResult(new Error(`job ${job.id} is none that this version knows`), name);
    let run = active.get(job.id);
    if (!run) {
      run = runTask(task, job, { ...options, outDir }, here).finally(() => active.delete(job.id));
      active.set(job.id, run);
    }
    const taken = await run;
    if (taken === "busy") {
      await job.moveToDelayed(Date.now() + BUSY, token);
      throw new DelayedError();
    }
    if (taken === "given back") {
      await job.moveToWait(token);
      throw new WaitingError();
    }
    return taken;
  };
  const worker = new Worker(queueName, take, {
    name,
    connection: link.connection(),
    concurrency: options.jobs,
    lockDuration: LOCK,
    stalledInterval: STALLED,
    maxStalledCount: MOST_STALLED,
  });
  worker.on("error", (error: Error) => {
    // A job that was delivered again meanwhile is no longer this worker's to end: whoever has it finds the run finished.
    if (link.redis.status === "ready" && !/Connection is closed|ECONN|lock|moveToFinished/i.test(error.message))
      say(`queue: ${error.message}`);
  });
  worker.on("completed", () => void tidy(outDir, queue, active).catch(() => {}));
  await worker.waitUntilReady();
  say(
    `worker ${name} takes runs from ${address.shown}, ${options.jobs} at once; Ctrl-C saves them and gives them back`,
  );
  await tidy(outDir, queue, active);
  if (!signal.aborted) await new Promise((end) => signal.addEventListener("abort", end, { once: true }));
  const closed = worker.close().catch(() => {}); // takes none, and waits for those that are under way
  for (let idle = 0; !(await Promise.race([closed.then(() => true), sleep(BEAT, false)])) && idle < 5;) {
    // Where Redis is away it is not waited for: what was not given back is missed soon. And BullMQ 6.7 sometimes waits forever for a
    // connection that is being made anew.
    const isIdle = here.children.size === 0 && (link.redis.status !== "ready" || active.size === 0);
    idle = isIdle ? idle + 1 : 0;
  }
  const closing = tidy(outDir, queue, active).then(() => queue.close());
  await Promise.race([closing.catch(() => {}), sleep(BEAT)]);
  link.end();
}

/** What the runs of a worker have in common. */
interface Here {
  readonly link: Link;
  readonly name: string;
  readonly room: ReturnType<typeof memoryRoom>;
  /** The processes that make runs now, by id. */
  readonly children: Set<number>;
}

/** Makes the run of a task, or as much of it as is asked for, where no other worker has it. */
async function runTask(task: Task, job: QueuedJob, options: WorkerOptions, here: Here): Promise<Taken> {
  const { link, name } = here;
  const { redis } = link;
  const [stopped, held, ended] = [stopKey(job.id), heldKey(job.id), resultKey(job.id)];
  const stop = new AbortController();
  // A worker that was cut off for long says that it still has the run before the job is given away, or finds that another has it.
  const beat = async (): Promise<void> => {
    if (redis.status !== "ready") return; // commands would queue up
    if (((await redis.get(held)) ?? name) === name) await redis.set(held, name, "EX", HELD);
    if ((await redis.exists(stopped)) > 0) stop.abort();
  };
  if (options.signal.aborted) return "given back";
  const { data: known } = resultSchema.safeParse(parsed(await redis.get(ended)));
  if (known) return known;
  if ((await redis.exists(stopped)) > 0)
    return { status: "interrupted", reason: "told to stop", code: null, worker: name };
  if ((await redis.set(held, name, "EX", HELD, "NX")) === null) return "busy";
  const timer = setInterval(() => void beat().catch(() => {}), BEAT);
  try {
    const taken = await makeRun(task, job, stop.signal, options, here);
    // Should this worker no longer have the job, whoever has it finds this.
    if (typeof taken !== "string" && taken.status !== "interrupted")
      await redis.set(ended, JSON.stringify(taken), "EX", LIFETIME, "NX");
    return taken;
  } catch (error) {
    const result = failedResult(error, name);
    options.onEnd(task.entry.id, result);
    return result;
  } finally {
    clearInterval(timer);
    if ((await redis.get(held)) === name) await redis.del(held);
  }
}

/** The value of a text of JSON; undefined where it is none. */
function parsed(text: string | null): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}

/** Makes it in a child process, which goes on where an earlier one was, and sends what came of it where the sweep is elsewhere. */
async function makeRun(
  task: Task,
  job: QueuedJob,
  stopped: AbortSignal,
  { outDir, apart, program, signal, say, onProgress, onEnd }: WorkerOptions,
  { link, room, name, children }: Here,
): Promise<Taken> {
  const { id, hash } = task.entry;
  const isShared = !apart && readMark(task.dir) === task.experiment;
  const experimentDir = isShared ? task.dir : join(outDir, runKey(task));
  if (!isShared) prepareOwn(experimentDir, task, job.id);
  const runDir = runFolder(experimentDir, id);
  let outcome: Pick<Outcome, "status" | "reason" | "code"> | undefined = before(runDir, task);
  if (!outcome) {
    const run: Job = {
      id,
      index: isShared ? task.index : 0,
      hash,
      logFile: join(createRunFolder(experimentDir, id), "log.txt"),
    };
    const flags = [
      ...(task.keepGraphs ? ["--keep-graphs"] : []),
      ...(task.until === null ? [] : ["--until", String(task.until)]),
    ];
    const command = [program, "run", "--manifest", experimentDir, ...flags];
    say(`${id}: begins in ${runDir}`);
    const tell = teller(job);
    const child = startChild({ experimentDir, command, jobs: [run] }, run, {
      signal: AbortSignal.any([signal, stopped]),
      room,
      onProgress(_, progress) {
        onProgress(id, progress);
        tell(progress);
      },
    });
    children.add(child.pid);
    outcome = await child.run(run);
    room.leave(child.pid);
    await child.dismiss();
    children.delete(child.pid);
  }
  const { status, code } = outcome;
  const isBack = status === "interrupted" && !stopped.aborted;
  const reason = isBack ? "saved, and given back" : whyOf(runDir, outcome);
  onEnd(id, { status, reason });
  if (status === "busy" || status === "skipped" || status === "left") return "busy";
  if (isBack) return "given back";
  const result: Result = { status, reason, code, worker: name };
  if (isShared || status === "interrupted" || !readRun(runDir)) return result;
  const key = `${uploadPrefix(job.id)}${randomBytes(6).toString("hex")}`;
  return { ...result, upload: await sendRun(link.redis, key, runDir, status === "failed") };
}

/** How a run has ended already, as far as it is asked for; one that failed is tried again. */
function before(runDir: string, { entry, until }: Task): Pick<Outcome, "status" | "reason" | "code"> | undefined {
  const end = endFor(runDir, entry.hash, until ?? undefined);
  return end && { ...end, code: 0 };
}

/** What the run itself recorded of its failure says more than how its process ended. */
function whyOf(runDir: string, { status, reason }: Pick<Outcome, "status" | "reason">): string {
  const record = status === "failed" ? readRun(runDir) : undefined;
  return record?.status === "failed" && record.reason !== "" ? record.reason : reason;
}

/** The file in which a folder of the worker's own says which job it is for. */
const jobFile = (dir: string): string => join(dir, "job.txt");

/** Makes a worker's own folder of a run: an experiment of that run alone. */
function prepareOwn(dir: string, { entry }: Task, jobId: string): void {
  const planned = { index: 0, ...entry } as unknown as ManifestEntry; // checked by the process that reads it
  ensureFolder(dir);
  freezePlan(dir, { entries: [planned], added: [planned], earlier: [] });
  writeWhole(jobFile(dir), jobId);
}

/** Says how far a run is, now and then. A word that does not get through is not repeated. */
function teller(job: QueuedJob): (progress: Progress) => void {
  let next = 0;
  let isUnderWay = false;
  return (progress) => {
    if (isUnderWay || performance.now() < next) return;
    isUnderWay = true;
    next = performance.now() + BEAT;
    job
      .updateProgress(progress)
      .catch(() => {})
      .finally(() => (isUnderWay = false));
  };
}

/** Removes this worker's own folders of finished runs that the sweep has collected: their jobs are no longer in the queue. Those
 *  of runs that were begun stay, to be gone on with. */
async function tidy(outDir: string, queue: Queue, active: ReadonlyMap<string, unknown>): Promise<void> {
  if (!existsSync(outDir)) return;
  for (const name of readdirSync(outDir)) {
    const dir = join(outDir, name);
    if (!/^[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{8}$/.test(name) || !existsSync(jobFile(dir))) continue;
    const jobId = readFileSync(jobFile(dir), "utf8");
    const runs = existsSync(join(dir, "runs")) ? readdirSync(join(dir, "runs")) : [];
    const isWhole = runs.length > 0 && runs.every((id) => isFinished(join(dir, "runs", id)));
    if (isWhole && !active.has(jobId) && !(await queue.getJob(jobId))) rmSync(dir, { recursive: true, force: true });
  }
}
