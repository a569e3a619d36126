// What was read and is kept to be used again, within a bound of bytes: what was used longest ago goes first.

/** Values by name, of at most so many bytes together. */
export interface Kept {
  /** What is kept under a name; the caller knows its type by the name. */
  get<T>(name: string): T | undefined;
  /** Keeps a value that takes about `bytes`, in the place of what was there. One that is larger than all is not kept. */
  set(name: string, value: unknown, bytes: number): void;
  delete(name: string): void;
}

/** Keeps values of at most `mostBytes` together. */
export function keeping(mostBytes: number): Kept {
  const entries = new Map<string, { readonly value: unknown; readonly bytes: number }>();
  let total = 0;
  const remove = (name: string): void => {
    total -= entries.get(name)?.bytes ?? 0;
    entries.delete(name);
  };
  return {
    get<T>(name: string) {
      const entry = entries.get(name);
      if (!entry) return undefined;
      // A map is in the order of insertion: what is used moves to its end.
      entries.delete(name);
      entries.set(name, entry);
      return entry.value as T;
    },
    set(name, value, bytes) {
      remove(name);
      if (bytes > mostBytes) return;
      entries.set(name, { value, bytes });
      total += bytes;
      for (const oldest of entries.keys()) {
        if (total <= mostBytes) break;
        remove(oldest);
      }
    },
    delete: remove,
  };
}
