// What the server says has changed, as counters that views read: whoever shows an experiment asks again when its counter moves.

import { signal, type Signal } from "@preact/signals";
import type { Change } from "../api.ts";

/** Whether changes arrive. `lost`: the browser is trying again. */
export const connection = signal<"connecting" | "open" | "lost">("connecting");

/** Moves with every change of anything. */
export const anyChange = signal(0);

const counters = new Map<string, Signal<number>>();
const counter = (key: string): Signal<number> => {
  const found = counters.get(key);
  if (found) return found;
  const made = signal(0);
  counters.set(key, made);
  return made;
};

/** Moves when a file of the experiment has changed. */
export const experimentVersion = (experiment: string): number => counter(`x ${experiment}`).value;

/** Moves when a file of the run has changed. */
export const runVersion = (experiment: string, run: string): number => counter(`r ${run} ${experiment}`).value;

const bump = (one: Signal<number>): void => void (one.value = one.peek() + 1);

/** Milliseconds before another attempt, where the browser makes none. */
const pause = 2000;

/** Listens while the page is in sight, and connects again when it comes back: browsers allow six connections a host, so that pages in
 *  other tabs would leave none for this one. */
export function listen(): void {
  let source: EventSource | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const disconnect = (): void => {
    clearTimeout(retry);
    source?.close();
    source = undefined;
  };
  const connect = (): void => {
    disconnect();
    source = connected(() => (retry = setTimeout(connect, pause)));
  };
  const follow = (): void => {
    if (document.visibilityState === "hidden") disconnect();
    else if (!source) connect();
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}

/** A stream of changes. The browser connects again by itself; `onEnd` is called where it gives up. */
function connected(onEnd: () => void): EventSource {
  const source = new EventSource("api/events");
  let isFirst = true;
  source.addEventListener("open", () => {
    connection.value = "open";
    isFirst = true;
  });
  source.addEventListener("change", (event) => {
    const { changed, gone, runs } = JSON.parse(event.data as string) as Change;
    // The first one says what is compared with from now on: whatever changed before, since the page last asked, was not told.
    if (isFirst) for (const one of counters.values()) bump(one);
    else {
      for (const name of [...changed, ...gone]) bump(counter(`x ${name}`));
      for (const [name, ids] of Object.entries(runs)) for (const id of ids) bump(counter(`r ${id} ${name}`));
    }
    if (isFirst || changed.length + gone.length > 0) bump(anyChange);
    isFirst = false;
  });
  source.addEventListener("error", () => {
    connection.value = "lost";
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    onEnd();
  });
  return source;
}
