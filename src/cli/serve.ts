// What a process of fathom does: its command line, and where a launcher has started it those that it is sent afterwards.

import { endOfOutput, launchedVariable, type LauncherMessage } from "../launchers/launcher.ts";
import { keptBytes } from "../engine/reuse.ts";
import { residentBytes, restartPeak } from "../runs/cost.ts";
import { main } from "./main.ts";
import { nextOrder } from "./orders.ts";
import { exitCodes } from "./verb.ts";

/** Seconds after which a process has done enough: starting another one takes little beside so long a job, and gives its memory back. */
const LONG = 120;

/** Bytes that a process may have left after a run; a small one leaves 210 MB, nearly all of it the program. */
const MOST_LEFT = 2 ** 28;

/** Runs a command line, and in a process that a launcher started those it is sent, until one takes long, leaves much or does not end well. Gives
 *  the exit code of the last. */
export async function serve(argv: readonly string[]): Promise<number> {
  const ends = performance.now() + 1000 * LONG;
  for (let args = argv; ;) {
    const code = await main(args);
    const isLaunched = process.env[launchedVariable] !== undefined && process.connected;
    if (code !== exitCodes.done || !isLaunched || performance.now() > ends || !isLight()) return code;
    const next = nextOrder("job");
    process.stdout.write(endOfOutput);
    process.stderr.write(endOfOutput);
    process.send!({ type: "free" } satisfies LauncherMessage, undefined, undefined, () => {}); // the launcher may be gone
    const job = await next;
    if (!job) return code;
    args = job.args.slice(1); // without the program
  }
}

/** Whether a process has little left of its run, what is kept for the next one of the same network aside, and its peak from here on is that
 *  of the next. */
function isLight(): boolean {
  const isOwn = restartPeak();
  return isOwn && residentBytes() - keptBytes() <= MOST_LEFT;
}
