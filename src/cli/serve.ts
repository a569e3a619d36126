// What a process of fathom does: its command line, and where a launcher has started it those that it is sent afterwards.

import { writeFileSync } from "node:fs";
import { endOfOutput, launchedVariable, type LauncherMessage, type NextJob } from "../launchers/launcher.ts";
import { main } from "./main.ts";
import { exitCodes } from "./verb.ts";

/** Seconds after which a process has done enough: starting another one takes little beside so long a job, and gives its memory back. */
const LONG = 30;

/** Runs a command line, and in a process that a launcher started those it is sent, until one takes long or does not end well. Gives
 *  the exit code of the last. */
export async function serve(argv: readonly string[]): Promise<number> {
  const ends = performance.now() + 1000 * LONG;
  for (let args = argv; ;) {
    const code = await main(args);
    const isLaunched = process.env[launchedVariable] !== undefined && process.connected;
    if (code !== exitCodes.done || !isLaunched || performance.now() > ends || !forgetPeak()) return code;
    const next = nextJob();
    process.stdout.write(endOfOutput);
    process.stderr.write(endOfOutput);
    process.send!({ type: "free" } satisfies LauncherMessage, undefined, undefined, () => {}); // the launcher may be gone
    const job = await next;
    if (!job) return code;
    args = job.args.slice(1); // without the program
  }
}

/** The next job, or undefined where there is none. */
function nextJob(): Promise<NextJob | undefined> {
  return new Promise((resolve) => {
    const settle = (job?: NextJob): void => {
      process.off("message", settle).off("disconnect", settle);
      resolve(job);
    };
    process.on("message", settle).on("disconnect", settle);
  });
}

/** Sets the largest memory that this process has had to what it has now, so that the next run's is its own (proc(5), clear_refs);
 *  false where the system has no such thing. */
function forgetPeak(): boolean {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}
