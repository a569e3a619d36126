// Files that are written from their beginning to their end.

import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { withRoom } from "../folders.ts";

/** A file that is being written. */
export interface Output {
  write(bytes: Uint8Array): void;
  /** Writes what is still held, and forces all of it onto the disk. */
  close(): void;
}

/** Bytes that are held before they are written. */
const held = 1 << 20;

/** Makes a file. A `UserError` where there is no room for it. */
export function openOutput(file: string): Output {
  const fd = withRoom(file, () => openSync(file, "w"));
  const buffer = Buffer.alloc(held);
  let size = 0;
  const put = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length;) at += withRoom(file, () => writeSync(fd, bytes, at));
  };
  const flush = (): void => {
    put(buffer.subarray(0, size));
    size = 0;
  };
  return {
    write(bytes) {
      if (size + bytes.length > held) flush();
      if (bytes.length > held) return put(bytes);
      buffer.set(bytes, size);
      size += bytes.length;
    },
    close() {
      try {
        flush();
        withRoom(file, () => fsyncSync(fd));
      } finally {
        closeSync(fd);
      }
    },
  };
}
