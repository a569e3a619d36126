// The cache folder: what took long to make and can be made again. Each JSON file carries the SHA-256 of its content, and
// of other files it is known to the code, so that a damaged one is refused by name instead of being trained on.

import { createHash } from "node:crypto";
import { accessSync, constants, mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import { assert, messageOf, UserError } from "../errors.ts";
import { makeFolders } from "../folders.ts";

/** The cache folder: `FATHOM_CACHE`, or the place the operating system gives to caches. */
export function cacheDirectory(): string {
  if (process.env.FATHOM_CACHE) return path.resolve(process.env.FATHOM_CACHE);
  if (process.platform === "darwin") return path.join(homedir(), "Library", "Caches", "fathom");
  if (process.platform === "win32" && process.env.LOCALAPPDATA)
    return path.join(process.env.LOCALAPPDATA, "fathom", "cache");
  return path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "fathom");
}

/** SHA-256 of a text (UTF-8) or of bytes, in hexadecimal. */
export const sha256 = (content: string | Uint8Array): string => createHash("sha256").update(content).digest("hex");

/** The JSON text cached under `name` (a path inside the cache folder), or what `make` gives, which is then cached.
 *  A cached file whose content does not fit its hash is a `UserError` that names it. Where the default cache folder
 *  cannot be written, nothing is cached; where `FATHOM_CACHE` cannot be, that is a `UserError`. */
export async function cachedJson(name: string, make: () => string | Promise<string>): Promise<string> {
  const file = path.join(cacheDirectory(), name);
  const found = await readIfPresent(file);
  if (found !== undefined) return verified(file, found.toString("utf8"));
  const content = await make();
  await store(file, `${head(sha256(content))}${content}}\n`);
  return content;
}

/** The bytes cached under `name`, or what `make` gives, which is then cached; either has to fit `hash`, the SHA-256 of
 *  what is always made. Errors as of `cachedJson`. */
export function cachedBytes(name: string, hash: string, make: () => Promise<Uint8Array>): Promise<Uint8Array> {
  return cachedFile(name, (bytes) => sha256(bytes) === hash, make);
}

/** As `cachedBytes`, of what carries in itself the means to tell whether it is whole. */
export async function cachedFile(
  name: string,
  isWhole: (bytes: Uint8Array) => boolean,
  make: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const file = path.join(cacheDirectory(), name);
  const found = await readIfPresent(file);
  if (found !== undefined) return isWhole(found) ? found : refuseCached(file);
  const content = await make();
  assert(isWhole(content), `${name} was made with SHA-256 ${sha256(content)}, which does not fit`);
  await store(file, content);
  return content;
}

async function store(file: string, content: string | Uint8Array): Promise<void> {
  try {
    makeFolders(path.dirname(file));
    await writeFileAtomic(file, typeof content === "string" ? content : Buffer.from(content));
  } catch (error) {
    refuseChosen(error);
  }
}

/** The cache cannot be written: an error where the user has chosen its place, else everything works without it. */
function refuseChosen(error: unknown): void {
  if (process.env.FATHOM_CACHE)
    throw new UserError(
      `FATHOM_CACHE: expected a folder that can be written, got ${cacheDirectory()} (${messageOf(error)}); ` +
        `choose another folder or unset FATHOM_CACHE`,
    );
}

/** A folder within the cache for files that are written bit by bit; where the default cache cannot be written one within a temporary
 *  folder, which is the process's and goes with it. Where `FATHOM_CACHE` cannot be, that is a `UserError`. */
export function folderForWriting(name: string): string {
  const folder = path.join(cacheDirectory(), name);
  try {
    makeFolders(folder);
    accessSync(folder, constants.W_OK);
    return folder;
  } catch (error) {
    refuseChosen(error);
  }
  const instead = path.join(temporaryFolder(), name);
  makeFolders(instead);
  return instead;
}

let temporary: string | undefined;

/** A folder of this process, removed when it ends: runs that follow each other in one share it. */
function temporaryFolder(): string {
  if (temporary === undefined) {
    const made = mkdtempSync(path.join(tmpdir(), "fathom-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    temporary = made;
  }
  return temporary;
}

const head = (hash: string): string => `{"sha256":"${hash}","content":`;

/** The content of a cached file, whose bytes are compared with the hash before anything is parsed. */
function verified(file: string, found: string): string {
  const content = found.slice(head("0".repeat(64)).length, -2);
  if (found === `${head(sha256(content))}${content}}\n`) return content;
  return refuseCached(file);
}

/** Refuses a file of the cache, `what` it is, that is not as it was written. */
export function refuseCached(file: string, what = "the cached file"): never {
  throw new UserError(
    `${file}: expected ${what} as it was written, got content that does not fit its SHA-256 ` +
      `(truncated or changed); delete the file and run again`,
  );
}

async function readIfPresent(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new UserError(`${file}: expected a cached file that can be read, got ${messageOf(error)}; delete it`);
  }
}
