// What schedulers of job arrays have in common: a task is the n-th line of a file, which says the runs that it is to make. So an array
// needs nothing but its number to know its work, and what waits in a queue for days is what was planned when it was submitted.

import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import { writeWhole } from "../runs/files.ts";
import { readManifest } from "../runs/manifest.ts";
import type { Job, Work } from "./launcher.ts";

/** A run as a task's line names it. */
export type TaskRun = Pick<Job, "index" | "hash" | "id">;

/** The jobs in tasks of `count`, in their order; the last may have fewer. */
export function tasksOf(jobs: readonly Job[], count: number): Job[][] {
  return Array.from({ length: Math.ceil(jobs.length / count) }, (_, i) => jobs.slice(i * count, (i + 1) * count));
}

/** Writes tasks, a line each: indices, hashes and ids of its runs, such as `3,4 0f..,1e.. a-s1,a-s2`. None of them holds a space. */
export function writeTasks(file: string, tasks: readonly (readonly TaskRun[])[]): void {
  const line = (task: readonly TaskRun[]): string =>
    [task.map((run) => run.index), task.map((run) => run.hash), task.map((run) => run.id)].join(" ");
  writeWhole(file, tasks.map((task) => `${line(task)}\n`).join(""));
}

/** The tasks of a file as {@link writeTasks} left it; undefined where there is none such. */
export function readTasks(file: string): TaskRun[][] | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
  const tasks: TaskRun[][] = [];
  for (const line of text.trimEnd().split("\n")) {
    const [indices, hashes, ids] = line.split(" ").map((list) => list.split(","));
    if (!ids || hashes!.length !== ids.length || indices!.length !== ids.length) return undefined;
    tasks.push(ids.map((id, i) => ({ id, hash: hashes![i]!, index: Number(indices![i]) })));
  }
  return tasks;
}

/** A word as a shell takes it for itself, whatever is in it. */
export const shellQuoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** A launcher's option that is a whole number of `least` or more; else a `UserError`. */
export function countOf(settings: Readonly<Record<string, string>>, name: string, least: number): number {
  const text = settings[name] ?? "";
  if (!/^\d{1,6}$/.test(text) || Number(text) < least)
    throw new UserError(`--option ${name}: expected a whole number of ${least} or more, got "${text}"`);
  return Number(text);
}

/** The threads that a run of `jobs` computes with, the most of them: the processors a task asks for. */
export function threadsOf({ experimentDir }: Work, jobs: readonly Job[]): number {
  const entries = readManifest(experimentDir);
  return Math.max(1, ...jobs.map(({ index }) => entries[index]?.config.threads ?? 1));
}
