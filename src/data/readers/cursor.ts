// Several files read side by side, item by item.

/** A place in a sequence that arrives in blocks. */
export interface Cursor<T> {
  /** The item here, once `fill` has said that there is one. */
  take(): T;
  /** Items of the block at hand that have not been taken. */
  readonly left: number;
  /** Items taken so far. */
  readonly taken: number;
  /** Whether there is an item to take; reads the next block where the last one is used up. */
  fill(): Promise<boolean>;
  /** Lets go of the file, wherever the cursor is. */
  close(): Promise<void>;
}

/** A cursor at the first item of the blocks. */
export function cursorOf<T>(blocks: AsyncGenerator<readonly T[]>): Cursor<T> {
  let block: readonly T[] = [];
  let at = 0;
  let before = 0;
  return {
    take: () => block[at++]!,
    get left() {
      return block.length - at;
    },
    get taken() {
      return before + at;
    },
    async fill() {
      while (at === block.length) {
        before += at;
        at = 0;
        block = [];
        const next = await blocks.next();
        if (next.done) return false;
        block = next.value;
      }
      return true;
    },
    async close() {
      await blocks.return(undefined);
    },
  };
}
