// Ends this process where one input keeps it busy for too long, or its memory grows beyond a bound: neither leaves the event
// loop a chance to say so, hence a thread of its own.

import { Worker } from "node:worker_threads";

/** What a watchdog watches. */
export interface Watchdog {
  /** To be called before each input. */
  next(): void;
  /** The most memory that this process had resident since, as seen every 100 ms, bytes. */
  peakBytes(): number;
  stop(): Promise<number>;
}

/** Plain JavaScript, so that a process without this file's loader can run it as well. */
export const watching = `
const { workerData } = require("node:worker_threads");
const { writeSync } = require("node:fs");
const { shared, seconds, bytes, where } = workerData;
const [count, peak] = [new Int32Array(shared, 0, 1), new Float64Array(shared, 8, 1)];
let [last, since] = [-1, Date.now()];
const end = (what) => {
  writeSync(2, "fuzz: " + what + " at input " + Atomics.load(count, 0) + ", which lies in " + where + "\\n");
  process.kill(process.pid, "SIGKILL");
};
setInterval(() => {
  const [now, rss] = [Atomics.load(count, 0), process.memoryUsage.rss()];
  peak[0] = Math.max(peak[0], rss);
  if (now !== last) [last, since] = [now, Date.now()];
  else if (Date.now() - since > 1000 * seconds) end("no end after " + seconds + " s");
  if (rss > bytes) end(rss + " bytes of memory");
}, 100);
`;

/** Starts watching: `seconds` an input, `bytes` of this process in all. `where` the input lies, for the message. */
export function watchdog(limits: { seconds: number; bytes: number; where: string }): Watchdog {
  const shared = new SharedArrayBuffer(16);
  const worker = new Worker(watching, { eval: true, workerData: { shared, ...limits } });
  worker.unref();
  const count = new Int32Array(shared, 0, 1);
  return {
    next: () => void Atomics.add(count, 0, 1),
    peakBytes: () => new Float64Array(shared, 8, 1)[0]!,
    stop: () => worker.terminate(),
  };
}
