// What an export format is: a file of this folder and a line in index.ts. It writes what runs have recorded as another tool reads it.

import type { Member } from "../registry.ts";
import type { Experiment } from "../runs/experiment.ts";

/** What is exported: an experiment with all or some of its runs. */
export interface ExportSource {
  /** Name and varied keys as in the whole experiment; `runs` are those that are exported and have begun. */
  readonly experiment: Omit<Experiment, "manifest">;
}

/** Called between pieces of work: says what is being done, lets signals through, and throws the signal's reason where it is aborted.
 *  `done` of `all` parts are behind. */
export type Tick = (doing: string, done: number, all: number) => Promise<void>;

/** A member of the registry in index.ts. */
export interface ExportFormat extends Member {
  /** Writes into an empty folder. */
  write(source: ExportSource, folder: string, tick: Tick): Promise<void>;
}
