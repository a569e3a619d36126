// Somebody who listens to a server's changes.

import type { Change } from "../../src/ui/api.ts";
import type { RunningServer } from "../../src/ui/server.ts";

/** A stream of changes. */
export interface Listener {
  /** The next change; rejects where none comes within `seconds`. */
  next(seconds?: number): Promise<Change>;
  /** Changes up to and with the one that `isIt`. */
  until(isIt: (change: Change) => boolean, seconds?: number): Promise<Change[]>;
  close(): void;
}

/** Listens to `/api/events`, as a browser would: lines of an event, an empty one behind it. */
export async function listen({ url }: RunningServer): Promise<Listener> {
  const ending = new AbortController();
  const answer = await fetch(new URL("api/events", url), { signal: ending.signal });
  if (!answer.ok || !answer.body) throw new Error(`${answer.status}: ${await answer.text()}`);
  const changes: Change[] = [];
  let told = (): void => {};
  const read = async (): Promise<void> => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const part of answer.body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(part, { stream: true });
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const event = text.slice(0, end).split("\n");
        text = text.slice(end + 2);
        const [, data] = /^data: ?(.*)$/.exec(event.find((line) => line.startsWith("data:")) ?? "") ?? [];
        if (data !== undefined && event.includes("event: change")) changes.push(JSON.parse(data) as Change);
      }
      told();
    }
  };
  read().catch(() => {}); // ended
  const next = async (seconds = 20): Promise<Change> => {
    const end = performance.now() + 1000 * seconds;
    while (changes.length === 0) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`no change within ${seconds} s`);
      await new Promise<void>((resolve) => {
        told = resolve;
        setTimeout(resolve, left);
      });
    }
    return changes.shift()!;
  };
  return {
    next,
    async until(isIt, seconds = 20) {
      const found: Change[] = [];
      const end = performance.now() + 1000 * seconds;
      do found.push(await next((end - performance.now()) / 1000));
      while (!isIt(found.at(-1)!));
      return found;
    },
    close: () => ending.abort(),
  };
}
