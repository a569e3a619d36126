import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

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
