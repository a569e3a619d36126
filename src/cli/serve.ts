// What a process of fathom does: its command line, and where a launcher has started it those that it is sent afterwards.

import { writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { endOfOutput, launchedVariable, type LauncherMessage, type Order } from "../launchers/launcher.ts";
import { residentBytes } from "../runs/cost.ts";
import { main } from "./main.ts";
import { exitCodes } from "./verb.ts";

/** Seconds after which a process has done enough: starting another one takes little beside so long a job, and gives its memory back. */
const LONG = 30;

/** Bytes that a process may have left after a run; a small one leaves 210 MB, nearly all of it the program. */
const MOST_LEFT = 2 ** 28;

/** Runs a command line, and in a process that a launcher started those it is sent, until one takes long, leaves much or does not end well. Gives
 *  the exit code of the last. */
export async function serve(argv: readonly string[]): Promise<number> {
  const ends = performance.now() + 1000 * LONG;
  for (let args = argv; ;) {
    const code = await main(args);
    const isLaunched = process.env[launchedVariable] !== undefined && process.connected;
    if (code !== exitCodes.done || !isLaunched || performance.now() > ends || !forgetMemory()) return code;
    const next = nextJob();
    process.stdout.write(endOfOutput);
    process.stderr.write(endOfOutput);
    process.send!({ type: "free" } satisfies LauncherMessage, undefined, undefined, () => {}); // the launcher may be gone
    const job = await next;
    if (!job) return code;
    args = job.slice(1); // without the program
  }
}

/** The arguments of the next job, or undefined where there is none. */
function nextJob(): Promise<readonly string[] | undefined> {
  return new Promise((resolve) => {
    const settle = (order?: Order): void => {
      if (order && order.type !== "job") return;
      process.off("message", settle).off("disconnect", settle);
      resolve(order?.args);
    };
    process.on("message", settle).on("disconnect", settle);
  });
}

/** Gives back what the last run has left, and sets the largest memory that this process has had to what it has now (proc(5),
 *  clear_refs): the next run's is then its own, but for some 10 MB that stay of each. False where more stays, or the system has no such
 *  thing. */
function forgetMemory(): boolean {
  collectGarbage();
  if (residentBytes() > MOST_LEFT) return false;
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}

/** What Node has with --expose-gc: arrays that nobody holds any more would otherwise wait for memory to run short. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}
