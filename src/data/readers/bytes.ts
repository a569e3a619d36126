// The bytes of a regular file in chunks, unpacked where they are gzip data. Chunks are pulled: nothing is read ahead of
// the consumer but one buffer, and a consumer that stops early closes the file.

import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Readable, pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { messageOf, UserError } from "../../errors.ts";

/** Bytes of a chunk at most. */
export const CHUNK = 2 ** 18;

/** Unpacked bytes from which on the ratio counts: a small file may repeat itself as it likes. */
const RATIO_FROM = 2 ** 26;
/** Unpacked bytes for one packed: text comes to 3 to 10, gzip's own limit is 1032. */
const LARGEST_RATIO = 200;

/** The bytes of `file`, gzip data (told by its first two bytes, never by the name) unpacked. A chunk is valid until the
 *  next is asked for. A `UserError` where the file is missing, not a regular file, empty, cannot be read or unpacked, or
 *  unpacks to so much more than itself that it was made for that. */
export async function* bytesOf(file: string): AsyncGenerator<Buffer> {
  const handle = await openRegular(file);
  try {
    const magic = Buffer.alloc(2);
    const { bytesRead } = await reading(file, () => handle.read(magic, 0, 2, 0));
    if (bytesRead === 0) throw new UserError(`${file}: expected text, got an empty file; fetch or write it again`);
    yield* magic[0] === 0x1f && magic[1] === 0x8b ? unpacked(handle, file) : plain(handle, file, Buffer.alloc(CHUNK));
  } finally {
    await handle.close();
  }
}

async function openRegular(file: string): Promise<FileHandle> {
  // A pipe would be waited for without O_NONBLOCK, which Windows does not have.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const handle = await reading(file, () => open(file, flags));
  let kind: string | undefined;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) kind = stat.isDirectory() ? "a folder" : "a pipe, a socket or a device";
  } catch (error) {
    kind = messageOf(error);
  }
  if (kind === undefined) return handle;
  await handle.close();
  throw new UserError(`${file}: expected a regular file, got ${kind}; name the file itself`);
}

/** Runs a file operation; what it throws becomes a `UserError` that names the file. */
async function reading<T>(file: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT")
      throw new UserError(
        `${file}: expected a file, got nothing of that name; check the path, which starts where fathom runs`,
      );
    if (code === "EISDIR") throw new UserError(`${file}: expected a regular file, got a folder; name the file itself`);
    throw new UserError(`${file}: expected a file that can be read, got ${messageOf(error)}`);
  }
}

/** The file from its start, in `buffer` again and again, or each time in a new one. */
async function* plain(handle: FileHandle, file: string, buffer?: Buffer): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const into = buffer ?? Buffer.allocUnsafe(CHUNK);
    const { bytesRead } = await reading(file, () => handle.read(into, 0, CHUNK, position));
    if (bytesRead === 0) return;
    position += bytesRead;
    yield into.subarray(0, bytesRead);
  }
}

async function* unpacked(handle: FileHandle, file: string): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: CHUNK / 2 });
  // zlib still holds a chunk while the next one is read, so each needs a buffer of its own. Errors arrive by `gunzip`.
  pipeline(Readable.from(plain(handle, file)), gunzip, () => {});
  let size = 0;
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > RATIO_FROM && size > LARGEST_RATIO * gunzip.bytesWritten)
        throw new UserError(
          `${file}: expected gzip data of text, which unpacks to at most ${LARGEST_RATIO} times its size, ` +
            `got ${size} bytes out of ${gunzip.bytesWritten}; unpack the file yourself if you trust it`,
        );
      yield chunk;
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${file}: expected gzip data, as its first two bytes say, got ${messageOf(error)} after ${size} unpacked bytes; ` +
        `fetch the file again`,
    );
  }
}
