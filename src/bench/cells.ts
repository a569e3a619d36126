// What a work goes through: networks and numbers of threads, one after the other, until the user interrupts.

import { setImmediate as turn } from "node:timers/promises";
import { type Asked, type Shape, shapeText, withThreads } from "./work.ts";

/** A network, and how many threads it is measured with. */
export interface Cell extends Shape {
  readonly threads: number;
}

/** Every network with every number of threads. */
export const cellsOf = ({ shapes, threads }: Pick<Asked, "shapes" | "threads">): Cell[] =>
  threads.flatMap((count) => shapes.map((shape) => ({ ...shape, threads: count })));

/** `6+6, 64, 2 threads`. */
export const cellText = (cell: Cell): string => withThreads(shapeText(cell), cell.threads);

/** What `measure` gives of each, one after the other. Once interrupted it gives what is there, and `missed` is told the names of the others. */
export async function ofEach<T, R>(
  { signal, missed }: Pick<Asked, "signal" | "missed">,
  items: readonly T[],
  nameOf: (item: T) => string,
  measure: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const item of items)
    try {
      signal.throwIfAborted();
      results.push(await measure(item));
    } catch (error) {
      if (!signal.aborted) throw error;
      missed(nameOf(item));
    }
  return results;
}

/** Lets signals arrive, which the work of this process holds up while it computes, and throws once one has interrupted it. */
export async function pause(signal: AbortSignal): Promise<void> {
  await turn();
  signal.throwIfAborted();
}
