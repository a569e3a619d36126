// What changes in the folder that was opened: files are looked at about once a second while somebody listens. Notices of the file system
// would be quicker, and do not come where a network file system is written to by another machine.

import type { Change } from "./api.ts";
import type { Library, Standing } from "./library.ts";

/** Milliseconds between two looks, at least; looking takes a fifth of the time at most. */
const pause = 1000;

/** How everything stands: of each experiment its own state and that of its runs. */
export type Snapshot = ReadonlyMap<string, { readonly own: string; readonly runs: ReadonlyMap<string, string> }>;

/** The name under which changes of what `fathom verify` has found are told: no experiment may have it. */
export const verificationName = "verify";

/** What looks for changes. */
export interface Watch {
  /** Tells of every change from now on, and once at first, of none, when it knows how all stands. What it gives ends that. */
  listen(onChange: (change: Change) => void): () => void;
  close(): void;
}

/** Watches what a library is over. `onError` is told why a look has failed; the next one may not. */
export function openWatch(library: Library, onError: (error: unknown) => void): Watch {
  const listeners = new Set<(change: Change) => void>();
  const waiting = new Set<(change: Change) => void>();
  let timer: NodeJS.Timeout | undefined;
  let isLooking = false;
  let isClosed = false;
  let latest: Snapshot | undefined;

  async function look(): Promise<void> {
    isLooking = true;
    const start = performance.now();
    try {
      const now = snapshotOf(await library.standings());
      if (latest) {
        const change = changeOf(latest, now);
        if (change.changed.length + change.gone.length > 0) for (const tell of listeners) tell(change);
      }
      latest = now;
      for (const tell of waiting) {
        listeners.add(tell);
        tell({ changed: [], gone: [], runs: {} });
      }
      waiting.clear();
    } catch (error) {
      if (!isClosed) onError(error);
    }
    isLooking = false;
    if (listeners.size + waiting.size === 0) latest = undefined;
    else timer = setTimeout(() => void look(), Math.max(pause, 4 * (performance.now() - start)));
  }

  return {
    listen(onChange) {
      waiting.add(onChange);
      if (!isLooking && listeners.size + waiting.size === 1) void look();
      return () => {
        waiting.delete(onChange);
        listeners.delete(onChange);
        if (listeners.size + waiting.size > 0) return;
        clearTimeout(timer);
        if (!isLooking) latest = undefined;
      };
    },
    close() {
      isClosed = true;
      listeners.clear();
      waiting.clear();
      clearTimeout(timer);
    },
  };
}

function snapshotOf({
  experiments,
  verification,
}: {
  readonly experiments: readonly Standing[];
  readonly verification: string;
}): Snapshot {
  const entries = experiments.map(({ name, damage, outline, glances }) => {
    const runs = new Map(glances.map(({ id, signature }) => [id, signature]));
    return [name, { own: `${outline.signature} ${damage ?? ""}`, runs }] as const;
  });
  return new Map([...entries, [verificationName, { own: verification, runs: new Map() }]]);
}

/** What differs between two snapshots. */
export function changeOf(before: Snapshot, now: Snapshot): Change {
  const changed: string[] = [];
  const runs: Record<string, string[]> = {};
  for (const [name, { own, runs: current }] of now) {
    const old = before.get(name);
    const ids = [...current].filter(([id, signature]) => old?.runs.get(id) !== signature).map(([id]) => id);
    const isSame = old?.own === own && ids.length === 0 && old.runs.size === current.size;
    if (isSame) continue;
    changed.push(name);
    if (ids.length > 0) runs[name] = ids;
  }
  return { changed, gone: [...before.keys()].filter((name) => !now.has(name)), runs };
}
