// Runs jobs as child processes of this one, several at a time. A process each isolates TensorFlow.js's globals, memory
// and crashes, and ONNX Runtime blocks the event loop of its process.

import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import {
  launchedVariable,
  type Job,
  type Launcher,
  type LauncherMessage,
  type LaunchOptions,
  type Outcome,
} from "./launcher.ts";

export const local: Launcher = {
  name: "local",
  summary: "child processes on this machine, as many at once as there are cores",
  isHere: true,
  async launch(jobs, options) {
    const outcomes = new Array<Outcome>(jobs.length);
    const stop = new AbortController();
    const signal = AbortSignal.any([options.signal, stop.signal]);
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < jobs.length) {
        const index = next++;
        const job = jobs[index]!;
        const outcome: Outcome = signal.aborted
          ? { job, status: "skipped", reason: "not started", code: null }
          : await runJob(job, signal, options);
        outcomes[index] = outcome;
        options.onEnd(outcome);
        if (outcome.status === "failed" && options.failFast) stop.abort();
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.jobs, jobs.length) }, worker));
    return outcomes;
  },
};

function runJob(job: Job, signal: AbortSignal, { onProgress }: LaunchOptions): Promise<Outcome> {
  const log = openSync(job.logFile, "a");
  // Detached: a terminal's Ctrl-C reaches this process only, which passes it on once. The channel closes when this
  // process ends, however it ends, and the child ends with it.
  const env = { ...process.env, [launchedVariable]: "1" };
  const child = spawn(process.execPath, job.args, { stdio: ["ignore", log, log, "ipc"], detached: true, env });
  closeSync(log);
  const interrupt = (): void => void child.kill("SIGINT");
  signal.addEventListener("abort", interrupt);
  let result: Extract<LauncherMessage, { type: "result" }> | undefined;
  child.on("message", (message: LauncherMessage) => {
    if (message.type === "progress") onProgress(job, message.progress);
    else result = message;
  });
  return ended(child).then(({ code, endedBy, reason }) => {
    signal.removeEventListener("abort", interrupt);
    if (result && (code === 0 || code === 130)) return { job, status: result.status, reason: result.reason, code };
    if (code === 0) return { job, status: "done", reason: "", code };
    // A child that was interrupted before it listens ends by the signal itself: nothing failed, it goes on later.
    if (code === 130 || (endedBy === "SIGINT" && signal.aborted))
      return { job, status: "interrupted", reason: "interrupted", code };
    return { job, status: code === 75 ? "busy" : "failed", reason: `${reason}; see ${job.logFile}`, code };
  });
}

function ended(child: ChildProcess): Promise<{ code: number | null; endedBy: NodeJS.Signals | null; reason: string }> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ code: null, endedBy: null, reason: error.message }));
    child.once("close", (code, signal) =>
      resolve({ code, endedBy: signal, reason: signal ? `ended by ${signal}` : `ended with exit code ${code}` }),
    );
  });
}
