// What `fathom sweep --launcher slurm` leaves beside the runs, `slurm/<submission>/`: the tasks, the script that runs one, which
// arrays they were submitted as, and what each task says of itself. All that must be known when the sweep itself has gone is there.

import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { z } from "zod";
import { messageOf, UserError } from "../errors.ts";
import { ensureFolder, isFile, writeWhole } from "../runs/files.ts";
import type { Job, Work } from "./launcher.ts";
import { maxArraySize, sbatch } from "./slurm-commands.ts";
import { scriptOf } from "./slurm-script.ts";
import { countOf, readTasks, tasksOf, threadsOf, writeTasks, type TaskRun } from "./tasks.ts";

/** How tasks are submitted: the launcher's options, checked. */
export interface SlurmSettings {
  readonly runsPerTask: number;
  readonly retries: number;
  readonly requeues: number;
  /** Flags of sbatch that are the same for all arrays. */
  readonly flags: readonly string[];
}

/** A task that was submitted. */
export interface SubmittedTask {
  /** `<array's id>_<its number there>`. */
  readonly key: string;
  readonly array: string;
  readonly runs: readonly TaskRun[];
  /** Its output, and the file in which it says what it has tried. */
  readonly logFile: string;
  readonly stateFile: string;
  /** A file that is there where it was told to end: it then has itself not run again. */
  readonly cancelFile: string;
  /** Whether it runs what `work` would have it run. */
  fits(work: Work): boolean;
}

/** Flags that would take from fathom what it relies on. */
const reservedNames =
  "array output wrap wait hold test-only parsable requeue no-requeue signal open-mode chdir clusters quiet help usage version dependency cpus-per-task partition time mem".split(
    " ",
  );
/** sbatch takes the beginning of a flag for the flag. */
const isReserved = (flag: string): boolean =>
  /^-[aoWHhVDMQd]/.test(flag) ||
  (flag.startsWith("--") && reservedNames.some((name) => name.startsWith(flag.slice(2).split("=")[0]!)));

/** Checks the launcher's options; a `UserError` for what cannot be. */
export function slurmSettings(settings: Readonly<Record<string, string>>): SlurmSettings {
  const extra = (settings["sbatch"] ?? "").split(/\s+/).filter(Boolean);
  for (const flag of extra)
    if (!/^-[A-Za-z]|^--[a-z]/.test(flag) || isReserved(flag))
      throw new UserError(
        `--option sbatch: expected flags such as --account=NAME --gres=gpu:1, each in one word and none that fathom sets itself, ` +
          `got ${flag}; partition, time, cpus and memory have options of their own`,
      );
  const flags = { partition: "partition", time: "time", mem: "memory", "cpus-per-task": "cpus" };
  return {
    runsPerTask: countOf(settings, "runs-per-task", 1),
    retries: countOf(settings, "retries", 0),
    requeues: countOf(settings, "requeues", 0),
    flags: [
      `--signal=B:USR2@${countOf(settings, "signal-seconds", 1)}`,
      ...Object.entries(flags).flatMap(([flag, name]) => (settings[name] ? [`--${flag}=${settings[name]}`] : [])),
      ...extra,
    ],
  };
}

const submissionSchema = z.object({
  version: z.literal(1),
  /** Node's arguments before those that say which runs. */
  command: z.array(z.string()),
  /** In the order of the tasks. */
  arrays: z.array(
    z.object({ id: z.string().regex(/^\d+$/), tasks: z.number().int().min(1), sbatch: z.array(z.string()) }),
  ),
});
type Submission = z.infer<typeof submissionSchema>;

const submissionsFolder = (experimentDir: string): string => join(experimentDir, "slurm");
const submissionFile = (folder: string): string => join(folder, "submission.json");
const tasksFile = (folder: string): string => join(folder, "tasks");

/** Writes tasks of `jobs` and submits them, `atOnce` at once at most. Jobs of arrays that Slurm refuses after it took others are
 *  left out, and why is said; a `UserError` where it takes none. */
export async function submit(
  work: Work,
  jobs: readonly Job[],
  { runsPerTask, retries, requeues, flags }: SlurmSettings,
  { atOnce, say }: { atOnce: number; say(line: string): void },
): Promise<SubmittedTask[]> {
  const { experimentDir, command } = work;
  // Slurm reads a backslash in a file's name as "no placeholders in here".
  if (/[\\\n]/.test(experimentDir))
    throw new UserError(
      `${experimentDir}: expected a path without backslashes for launcher slurm; choose another --out`,
    );
  const size = await maxArraySize();
  const now = new Date().toISOString().replace(/[-:]|\..*/g, "");
  const folder = join(submissionsFolder(experimentDir), `${now}-${randomBytes(3).toString("hex")}`);
  ensureFolder(folder);
  const tasks = tasksOf(jobs, runsPerTask);
  writeTasks(tasksFile(folder), tasks);
  const script = join(folder, "task.sh");
  writeWhole(script, scriptOf({ folder, experimentDir, command, retries, requeues }));
  const chunks = chunksOf(tasks.length, size);
  let submission: Submission = { version: 1, command: [...command], arrays: [] };
  for (const [i, { first, count }] of chunks.entries()) {
    // Arrays share what may run at once; where there are more arrays than that, they wait for those before them.
    const share = Math.max(1, Math.floor(atOnce / chunks.length) + (i < atOnce % chunks.length ? 1 : 0));
    const before = submission.arrays[i - atOnce];
    const args = [
      `--job-name=fathom-${basename(experimentDir)}`,
      `--array=0-${count - 1}${Number.isFinite(share) ? `%${share}` : ""}`,
      "--requeue",
      "--open-mode=append",
      `--output=${join(folder, "%A_%a.out").replaceAll(/%(?![Aa])/g, "%%")}`,
      ...(before ? [`--dependency=afterany:${before.id}`] : []),
      ...(flags.some((flag) => flag.startsWith("--cpus-per-task="))
        ? []
        : [`--cpus-per-task=${threadsOf(work, jobs)}`]),
      ...flags,
      script,
      String(first),
    ];
    try {
      const id = await sbatch(args);
      submission = { ...submission, arrays: [...submission.arrays, { id, tasks: count, sbatch: args }] };
      writeWhole(submissionFile(folder), `${JSON.stringify(submission, null, 2)}\n`);
    } catch (error) {
      if (i === 0) throw error;
      say(`${tasks.length - first} of ${tasks.length} tasks are left for another time: ${messageOf(error)}`);
      break;
    }
  }
  return submittedTasks(folder, submission, tasks);
}

/** Where to begin each array and how many tasks it has. */
const chunksOf = (count: number, size: number): { first: number; count: number }[] =>
  Array.from({ length: Math.ceil(count / size) }, (_, i) => ({
    first: i * size,
    count: Math.min(size, count - i * size),
  }));

/** The tasks of all earlier submissions of an experiment, be they over or not. */
export function earlierTasks(experimentDir: string): SubmittedTask[] {
  const parent = submissionsFolder(experimentDir);
  let names: string[];
  try {
    names = readdirSync(parent).sort();
  } catch {
    return []; // none was ever submitted
  }
  return names.flatMap((name) => {
    const folder = join(parent, name);
    const submission = readSubmission(folder);
    const tasks = readTasks(tasksFile(folder));
    return submission && tasks ? submittedTasks(folder, submission, tasks) : [];
  });
}

function readSubmission(folder: string): Submission | undefined {
  try {
    return submissionSchema.safeParse(JSON.parse(readFileSync(submissionFile(folder), "utf8"))).data;
  } catch {
    return undefined; // it was killed before it had submitted anything
  }
}

function submittedTasks(
  folder: string,
  { command, arrays }: Submission,
  tasks: readonly (readonly TaskRun[])[],
): SubmittedTask[] {
  let first = 0;
  return arrays.flatMap(({ id, tasks: count }) => {
    const start = first;
    first += count;
    return tasks.slice(start, first).map((runs, element) => {
      const file = (ending: string): string => join(folder, `${start + element}.${ending}`);
      return {
        key: `${id}_${element}`,
        array: id,
        runs,
        logFile: join(folder, `${id}_${element}.out`),
        stateFile: file("state"),
        cancelFile: file("cancelled"),
        fits: (work) => JSON.stringify(work.command) === JSON.stringify(command),
      };
    });
  });
}

/** What a task says of itself: whether it has begun, and the exit code with which it has ended and will not go on. */
export function taskState({ stateFile }: SubmittedTask): {
  readonly hasBegun: boolean;
  readonly code: number | undefined;
} {
  if (!isFile(stateFile)) return { hasBegun: false, code: undefined };
  const code = /^\d+ \d+ \d+ (\d+)$/m.exec(readFileSync(stateFile, "utf8"))?.[1];
  return { hasBegun: true, code: code === undefined ? undefined : Number(code) };
}
