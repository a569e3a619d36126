// What a reading thread works with.

import type { Kept } from "./kept.ts";

/** The folder that was opened, links resolved, and what is kept of its files: tables of numbers, and what else there is to know, which takes
 *  little and is not to go for them. */
export interface Desk {
  readonly root: string;
  readonly tables: Kept;
  readonly notes: Kept;
}
