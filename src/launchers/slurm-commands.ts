// Slurm's own programs, as far as they are needed: sbatch, squeue, scancel, scontrol. Never sacct: many clusters, and Debian's packages
// by themselves, keep no accounts.

import { execFile } from "node:child_process";
import { UserError } from "../errors.ts";

/** What a program has left. */
interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of Slurm's programs; a `UserError` where it is not installed. */
function call(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { maxBuffer: 2 ** 28 }, (error, stdout, stderr) => {
      if (error?.code === "ENOENT")
        reject(
          new UserError(
            `launcher slurm: expected Slurm's ${program} on the PATH, got none; start the sweep where jobs are submitted, ` +
              `a login node most often, or load the cluster's module of Slurm`,
          ),
        );
      else resolve({ code: error ? (typeof error.code === "number" ? error.code : 1) : 0, stdout, stderr });
    });
  });
}

/** Submits a job array and gives its id; a `UserError` with what Slurm says where it refuses. */
export async function sbatch(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await call("sbatch", ["--parsable", ...args]);
  const id = /^(\d+)(;.*)?$/m.exec(stdout)?.[1];
  if (code !== 0 || id === undefined)
    throw new UserError(
      `launcher slurm: expected sbatch to take the job array, got: ${oneLine(stderr || stdout) || `exit code ${code}`}; ` +
        `what it was asked for is set by --option (\`fathom list launcher-option\`)`,
    );
  return id;
}

/** An array task that Slurm knows. */
export interface QueuedTask {
  /** `<array's id>_<its number there>`. */
  readonly key: string;
  /** Such as `PENDING`. */
  readonly state: string;
  /** Why it waits, such as `Resources`. */
  readonly reason: string;
}

/** The tasks of some arrays that Slurm still knows, by {@link QueuedTask.key}: those in its queue, and for some minutes those that have
 *  ended. A string, what was said, where Slurm does not answer. */
export async function squeue(arrays: readonly string[]): Promise<ReadonlyMap<string, QueuedTask> | string> {
  if (arrays.length === 0) return new Map();
  const asked = ["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r", `--jobs=${arrays.join(",")}`];
  const { code, stdout, stderr } = await call("squeue", asked);
  // Of one array alone that it no longer knows it says so.
  if (code !== 0 && !stderr.includes("Invalid job id")) return oneLine(stderr) || `exit code ${code}`;
  const tasks = stdout.split("\n").flatMap((line) => {
    const [array, element, state, reason] = line.split("|");
    return reason === undefined ? [] : [{ key: `${array!.trim()}_${element!}`, state: state!, reason }];
  });
  return new Map(tasks.map((task) => [task.key, task]));
}

/** Whether a task in this state will not go on. */
export const hasEnded = (state: string): boolean =>
  /^(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|REVOKED|TIMEOUT)/.test(state);

/** Cancels tasks that have not begun. */
export const cancelPending = (keys: readonly string[]): Promise<void> => cancel(["--state=PENDING"], keys);
/** Sends SIGTERM to the scripts of tasks that run, and to nothing else of theirs. */
export const tellToEnd = (keys: readonly string[]): Promise<void> =>
  cancel(["--signal=TERM", "--batch", "--state=RUNNING"], keys);

async function cancel(flags: readonly string[], keys: readonly string[]): Promise<void> {
  // What it could not do shows in the queue.
  for (let at = 0; at < keys.length; at += 500) await call("scancel", [...flags, ...keys.slice(at, at + 500)]);
}

/** Tasks that an array may have at most. */
export async function maxArraySize(): Promise<number> {
  const { stdout } = await call("scontrol", ["show", "config"]);
  const size = Number(/^MaxArraySize\s*=\s*(\d+)/m.exec(stdout)?.[1] ?? 1001); // what it is where nobody sets it
  if (size < 2)
    throw new UserError(
      `launcher slurm: expected a cluster that takes job arrays, got MaxArraySize ${size} in its slurm.conf`,
    );
  return size;
}

/** A program's words in one line, without its name. */
const oneLine = (text: string): string =>
  text
    .trim()
    .replace(/^\w+: (error: )?/gm, "")
    .replace(/\s*\n\s*/g, "; ");
