import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { UserError } from "./errors.ts";

/** Makes a folder and its parents, those that are missing. `mkdir` with `recursive` would do, but in Node 20 it never
 *  returns where the file system answers "no such entry" to it, as /proc does. Throws what `mkdir` throws. */
export function makeFolders(folder: string): void {
  const path = resolve(folder);
  const isThere = (): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isThere()) return;
  if (dirname(path) !== path) makeFolders(dirname(path));
  try {
    mkdirSync(path);
  } catch (error) {
    if (!isThere()) throw error; // another process may have made it meanwhile
  }
}

const noRoom: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on its disk",
  EDQUOT: "the quota of its disk is used up",
  EFBIG: "no file may be as large here (ulimit -f)",
};

/** Does `write`, which writes to `file`. Where there is no room for it, a `UserError` names the file, which system calls on an open
 *  file do not. Throws whatever else `write` throws. */
export function withRoom<T>(file: string, write: () => T): T {
  try {
    return write();
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!Object.hasOwn(noRoom, code)) throw error;
    throw new UserError(
      `${file}: expected room to write it, but ${noRoom[code]} (${code}); make room and give the same command again: ` +
        `it goes on from what is whole`,
      { cause: error },
    );
  }
}
