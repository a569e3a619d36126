// Runs jobs as child processes of this one, several at a time. Child processes isolate TensorFlow.js's globals, memory
// and crashes, and ONNX Runtime blocks the event loop of its process. A process that says it is free is sent the next job of the
// same kind: of short runs most would go into starting up.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import type { Readable } from "node:stream";
import {
  argumentsOf,
  endOfOutput,
  launchedVariable,
  type Job,
  type Launcher,
  type LauncherMessage,
  type LaunchOptions,
  type Order,
  type Outcome,
  type Work,
} from "./launcher.ts";
import { endFor, runFolder } from "../runs/run-folder.ts";
import { memoryRoom } from "./room.ts";

export const local: Launcher = {
  name: "local",
  summary: "child processes on this machine, as many at once as there are cores and memory for",
  isHere: true,
  options: [],
  async launch(work, options) {
    const { jobs } = work;
    const outcomes = new Array<Outcome>(jobs.length);
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    const room = memoryRoom();
    let next = 0;
    const leaving: Promise<void>[] = [];
    const worker = async (): Promise<void> => {
      let child: Child | undefined;
      while (next < jobs.length) {
        const index = next++;
        const job = jobs[index]!;
        let outcome: Outcome = { job, status: "skipped", reason: "not started", code: null };
        if (!signal.aborted) {
          if (!child?.takes(job)) {
            if (child) leaving.push(child.dismiss());
            child = startChild(work, job, { ...options, signal, room });
          }
          outcome = await child.run(job);
          if (outcome.status === "skipped") {
            child = startChild(work, job, { ...options, signal, room });
            outcome = await child.run(job);
          }
          room.leave(child.pid);
        }
        outcomes[index] = outcome;
        options.onEnd(outcome);
        if (outcome.status === "failed" && options.failFast) stop.abort();
      }
      if (child) leaving.push(child.dismiss());
    };
    await Promise.all(Array.from({ length: Math.min(options.jobs, jobs.length) }, worker));
    await Promise.all(leaving);
    return outcomes;
  },
};

/** What makes the C library of most Linux systems give large blocks back to the system as they are freed (mallopt(3)): a process that does
 *  several runs would keep those of each, 160 MB after one of a 2 + 2-layer network. */
const givingBack = { MALLOC_MMAP_THRESHOLD_: "131072" };

type Child = ReturnType<typeof startChild>;

/** Starts a process with its first job, which is then to be run. */
export function startChild(
  work: Work,
  first: Job,
  { signal, room, onProgress }: Pick<LaunchOptions, "signal" | "onProgress"> & { room: ReturnType<typeof memoryRoom> },
) {
  // Detached: a terminal's Ctrl-C reaches this process only, which passes it on once. The channel closes when this
  // process ends, however it ends, and the child ends with it.
  const child = spawn(process.execPath, argumentsOf(work, [first]), {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    detached: true,
    windowsHide: true,
    env: { ...process.env, ...givingBack, [launchedVariable]: "1" },
  });
  const pid = child.pid ?? 0; // none where it could not be started
  let job = first;
  let isFree = false;
  let hasBegun = true; // it is started with its first job
  let hasEnded = false;
  let result: Extract<LauncherMessage, { type: "result" }> | undefined;
  /** What of the end of the job has come, in a process that goes on: of its output, of its errors, and its word. */
  const ended = new Set<"output" | "errors" | "word">();
  let settle: (outcome: Outcome) => void = () => {};
  const cameIn = (what: "output" | "errors" | "word"): void => {
    if (ended.add(what).size < 3) return;
    isFree = true;
    settle({ job, status: result?.status ?? "done", reason: result?.reason ?? "", code: 0 });
  };
  const logging = (what: "output" | "errors", stream: Readable | null): void =>
    void stream?.setEncoding("utf8").on("data", (text: string) => {
      hasBegun = true;
      keep(job.logFile, text.replaceAll(endOfOutput, ""));
      if (text.includes(endOfOutput)) cameIn(what);
    });
  logging("output", child.stdout);
  logging("errors", child.stderr);
  const send = (order: Order): void => void child.send(order, () => {}); // one that has gone closes
  child.on("message", (message: LauncherMessage) => {
    hasBegun = true;
    if (message.type === "progress") onProgress(job, message.progress);
    else if (message.type === "result") result = message;
    else if (message.type === "memory") void room.enter(pid, message.memory).then(() => send({ type: "room" }));
    else cameIn("word");
  });
  // On Windows a signal would end it at once.
  const interrupt = (): void => (process.platform === "win32" ? send({ type: "stop" }) : void child.kill("SIGINT"));
  signal.addEventListener("abort", interrupt);
  const onEnd = (code: number | null, endedBy: NodeJS.Signals | null, reason: string): void => {
    hasEnded = true;
    signal.removeEventListener("abort", interrupt);
    // A child that was interrupted when it did not listen, before its run or after, ends by the signal itself: nothing failed.
    const isOrderly = code === 0 || code === 130 || (endedBy === "SIGINT" && signal.aborted);
    if (!hasBegun && !isOrderly) settle({ job, status: "skipped", reason: "its process was gone", code });
    else if (result && isOrderly) settle({ job, status: result.status, reason: result.reason, code });
    else if (code === 0) settle({ job, status: "done", reason: "", code });
    else if (isOrderly) settle({ job, status: "interrupted", reason: "interrupted", code });
    else if (code === 75)
      settle({ job, status: "busy", reason: `another process works on it; see ${job.logFile}`, code });
    else {
      // Killed after its run was over: what is in the folder counts.
      const end = endFor(runFolder(work.experimentDir, job.id), job.hash);
      settle({ job, status: end?.status ?? "failed", reason: end?.reason ?? `${reason}; see ${job.logFile}`, code });
    }
  };
  child.once("error", (error) => onEnd(null, null, error.message));
  child.once("close", (code, endedBy) =>
    onEnd(
      code,
      endedBy,
      endedBy
        ? `ended by ${endedBy}${endedBy === "SIGKILL" ? " (killed by hand, or by the system for want of memory)" : ""}`
        : `ended with exit code ${code}`,
    ),
  );

  return {
    pid,
    /** Whether it waits for a job, and this may be it. */
    takes: (next: Job): boolean =>
      isFree && !hasEnded && child.connected && next.kind !== undefined && next.kind === job.kind,
    /** Its first job, or one that it takes; how that has ended. `skipped`: killed as it waited, the process has not
     *  heard of the job. */
    run: (given: Job): Promise<Outcome> =>
      new Promise((resolve) => {
        settle = resolve;
        keep(given.logFile, ""); // there even if nothing is said
        if (given === first) return;
        [job, isFree, hasBegun, result] = [given, false, false, undefined];
        ended.clear();
        send({ type: "job", args: argumentsOf(work, [given]) });
      }),
    /** Lets it end, and waits until it has. */
    dismiss: async (): Promise<void> => {
      signal.removeEventListener("abort", interrupt); // what it had to do is done
      if (hasEnded || child.pid === undefined) return;
      // Not "close", which Node 20 does not tell of once the channel is closed from here.
      const gone = child.exitCode ?? child.signalCode;
      const exit = gone === null ? once(child, "exit") : undefined;
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}

/** What a job says is lost where the disk is full; what it does is not. */
function keep(logFile: string, text: string): void {
  try {
    appendFileSync(logFile, text);
  } catch {
    // The run's folder tells how it has ended.
  }
}
