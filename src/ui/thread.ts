// Threads that read: the server's own has to answer, and reading a table takes a second.

import { parentPort, Worker, workerData } from "node:worker_threads";
import { messageOf, UserError } from "../errors.ts";
import { keeping } from "./kept.ts";
import type { Desk } from "./desk.ts";
import { Refusal, type RefusalStatus } from "./refusal.ts";

/** Functions of a desk and of plain data, by name. */
type Jobs = Readonly<Record<string, (desk: Desk, ...args: never[]) => unknown>>;
type Rest<F> = F extends (desk: Desk, ...args: infer Args) => unknown ? Args : never;

/** A thread that does jobs, one after the other. */
export interface Thread<J> {
  /** Does a job. Throws what it throws: a `Refusal` or `UserError` as such. */
  ask<K extends keyof J>(name: K, ...args: Rest<J[K]>): Promise<J[K] extends (...args: never[]) => infer R ? R : never>;
  /** Starts it before it is asked. */
  warm(): void;
  close(): Promise<void>;
}

interface Question {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string; readonly kind: "ours" | "user" | RefusalStatus };

/** What a thread is started with. */
interface Start {
  readonly root: string;
  /** Bytes of what it keeps at most, of tables and of what else there is to know. */
  readonly mostBytes: { readonly tables: number; readonly notes: number };
}

/** Compiled files, from the sources as well as from where they were compiled to: Node 20 starts no thread from TypeScript. */
const compiled = (entry: string): URL => new URL(`../../dist/ui/${entry}.js`, import.meta.url);

/** A thread that runs the compiled file `entry`, which does `J`. It is started when it is first asked, and anew after it has died; of more
 *  than `heapMegabytes` of objects it dies. */
export function openThread<J>(entry: string, start: Start, heapMegabytes: number): Thread<J> {
  let worker: Worker | undefined;
  let last = 0;
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  const fail = (error: Error): void => {
    worker = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const started = (): Worker => {
    const one = new Worker(compiled(entry), {
      workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
    });
    one.on("message", (answer: Answer) => {
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      if ("result" in answer) asked?.resolve(answer.result);
      else asked?.reject(errorOf(answer));
    });
    one.on("error", (error: NodeJS.ErrnoException) => {
      if (worker !== one) return;
      const isLarge = error.code === "ERR_WORKER_OUT_OF_MEMORY";
      fail(isLarge ? new Refusal(422, "expected what fits into memory, got more; ask for less") : error);
    });
    one.on("exit", () => {
      if (worker === one) fail(new Error("the reading thread has ended"));
    });
    return one;
  };
  return {
    ask: (name, ...args) =>
      new Promise<unknown>((resolve, reject) => {
        worker ??= started();
        const id = ++last;
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, name: String(name), args } satisfies Question);
      }) as never,
    warm() {
      worker ??= started();
    },
    async close() {
      const one = worker;
      fail(new Refusal(503, "fathom ui is ending"));
      await one?.terminate();
    },
  };
}

function errorOf({ error, kind }: Extract<Answer, { kind: unknown }>): Error {
  if (kind === "ours") return new Error(error);
  return kind === "user" ? new UserError(error) : new Refusal(kind, error);
}

/** Does jobs for whoever started this thread: what an entry calls. */
export function serveJobs(jobs: Jobs): void {
  const { root, mostBytes } = workerData as Start;
  const desk: Desk = { root, tables: keeping(mostBytes.tables), notes: keeping(mostBytes.notes) };
  parentPort!.on("message", ({ id, name, args }: Question) => {
    let answer: Answer;
    try {
      answer = { id, result: jobs[name]!(desk, ...(args as never[])) };
    } catch (error) {
      const kind = error instanceof Refusal ? error.status : error instanceof UserError ? "user" : "ours";
      answer = { id, error: kind === "ours" && error instanceof Error ? error.stack! : messageOf(error), kind };
    }
    parentPort!.postMessage(answer);
  });
}
