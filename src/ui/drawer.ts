// The thread that makes figures, which takes seconds: see thread.ts.

import { figureOf, figuresOf } from "./figures.ts";
import type { Desk } from "./desk.ts";
import { serveJobs } from "./thread.ts";

/** The jobs by name: as the functions of figures.ts, which need no desk. */
export const drawings = {
  figures: (_desk: Desk, ...args: Parameters<typeof figuresOf>) => figuresOf(...args),
  figure: (_desk: Desk, ...args: Parameters<typeof figureOf>) => figureOf(...args),
} as const;

serveJobs(drawings);
