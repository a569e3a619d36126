// What the server says has changed, as counters that views read: whoever shows an experiment asks again when its counter moves.

import { signal, type Signal } from "@preact/signals";
import type { Change } from "../api.ts";

/** Whether changes arrive. `lost`: the browser is trying again. */
export const connection = signal<"connecting" | "open" | "lost">("connecting");

/** When the last change arrived, milliseconds of `Date.now()`; 0 before the first. */
export const lastChange = signal(0);

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

/** Begins to listen; the browser connects again by itself, and after a while without it a new attempt is made here. */
export function listen(): void {
  const source = new EventSource("api/events");
  let wasLost = false;
  source.addEventListener("open", () => {
    connection.value = "open";
    // Whatever happened in between was not heard.
    if (wasLost) for (const one of [...counters.values(), anyChange]) bump(one);
    wasLost = false;
  });
  source.addEventListener("change", (event) => {
    const { changed, gone, runs } = JSON.parse(event.data as string) as Change;
    for (const name of [...changed, ...gone]) bump(counter(`x ${name}`));
    for (const [name, ids] of Object.entries(runs)) for (const id of ids) bump(counter(`r ${id} ${name}`));
    if (changed.length + gone.length > 0) {
      lastChange.value = Date.now();
      bump(anyChange);
    }
  });
  source.addEventListener("error", () => {
    wasLost = true;
    connection.value = "lost";
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    setTimeout(() => {
      listen();
      // The new source starts without knowing that something was missed.
      for (const one of [...counters.values(), anyChange]) bump(one);
    }, 2000);
  });
}
