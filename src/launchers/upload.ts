// The folder of a run on its way through Redis, from a worker that shares no file system with the sweep. One hash an upload:
// pieces of files, then a list of the files with their SHA-256, whose own SHA-256 is the job's result. Before that is there nobody
// looks at an upload, so that it is there whole or not at all; what is received is checked as anything that strangers send.

import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { makeFolders, withRoom } from "../folders.ts";
import { clearRun } from "../runs/run-folder.ts";
import type { Redis } from "./redis.ts";

/** Bytes of a piece, of a run's files together, and of the list of them; and how many files there may be. */
const PIECE = 2 ** 20;
const MOST_BYTES = 2 ** 30;
const MOST_LIST = 2 ** 22;
const MOST_FILES = 10_000;

/** Seconds that an upload, and what is said of it, waits to be collected. A run whose upload is gone by then is made again. */
export const LIFETIME = 7 * 24 * 3600;

/** What a run's folder may hold, by path. The rest of it, the lease above all, is its machine's own. */
const mayHold: readonly RegExp[] = [
  /^(run\.json|config\.yaml|events\.jsonl|(metrics|layers|readings)\.csv|log\.txt|tokenizer\.json)$/,
  /^checkpoints\/((best|average)-)?step-\d{8}\/((weights|optimizer)\.safetensors|state\.json|SHA256SUMS)$/,
  /^samples\/[A-Za-z0-9][A-Za-z0-9.=_+-]{0,199}\.(png|csv|jsonl)$/,
  /^graphs\/[A-Za-z0-9][A-Za-z0-9.=_+-]{0,199}\.(onnx|json)$/,
];
const mayBeHeld = (path: string): boolean => mayHold.some((pattern) => pattern.test(path));

const digest = z.string().regex(/^[0-9a-f]{64}$/);

/** Where an upload lies, and the SHA-256 of its list. */
export const uploadSchema = z.strictObject({ key: z.string().max(200), sha256: digest });
export type Upload = z.infer<typeof uploadSchema>;

const listSchema = z
  .array(
    z.strictObject({
      path: z.string().refine(mayBeHeld),
      bytes: z.number().int().min(0).max(MOST_BYTES),
      sha256: digest,
    }),
  )
  .max(MOST_FILES);
type List = z.infer<typeof listSchema>;

/** Why an upload was not taken. */
export class RefusedUpload extends Error {
  override name = "RefusedUpload";
}

const pieceField = (file: number, piece: number): string => `${file}/${piece}`;
const listField = "list";

/** Sends what a run's folder may hold; of a `small` one no checkpoints. Throws an `Error` where it is more than may be sent. */
export async function sendRun(redis: Redis, key: string, runDir: string, small: boolean): Promise<Upload> {
  const paths = filesWithin(runDir).filter((path) => mayBeHeld(path) && !(small && path.startsWith("checkpoints/")));
  const total = paths.reduce((sum, path) => sum + lstatSync(join(runDir, path)).size, 0);
  if (total > MOST_BYTES || paths.length > MOST_FILES)
    throw new Error(
      `${runDir}: ${paths.length} files of ${total} bytes are more than go through the queue ` +
        `(${MOST_FILES} files, ${MOST_BYTES} bytes); let the machines share the sweep's folder`,
    );
  const list: List = [];
  for (const [file, path] of paths.entries()) {
    const hash = createHash("sha256");
    let bytes = 0;
    let piece = 0;
    for await (const chunk of createReadStream(join(runDir, path), { highWaterMark: PIECE })) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      await redis.hset(key, pieceField(file, piece++), chunk as Buffer);
    }
    await redis.expire(key, LIFETIME);
    list.push({ path, bytes, sha256: hash.digest("hex") });
  }
  const text = JSON.stringify(list);
  await redis.hset(key, listField, text);
  await redis.expire(key, LIFETIME);
  return { key, sha256: sha256(text) };
}

/** The regular files of a folder, by path; links are no files of its. */
function filesWithin(folder: string, below = ""): string[] {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) return filesWithin(folder, path);
    return entry.isFile() ? [path] : [];
  });
}

/** Writes an upload's files into `folder`, which must be new. Throws {@link RefusedUpload} where it is not what was sent, or holds what no
 *  run's folder holds. */
export async function receiveRun(redis: Redis, upload: Upload, folder: string): Promise<void> {
  const list = await receiveList(redis, upload);
  makeFolders(folder);
  for (const [file, { path, bytes, sha256: expected }] of list.entries()) {
    const target = join(folder, path);
    makeFolders(dirname(target));
    const hash = createHash("sha256");
    const fd = openSync(target, "wx");
    try {
      for (let at = 0, piece = 0; at < bytes; piece++) {
        const chunk = await receive(redis, upload.key, pieceField(file, piece), Math.min(PIECE, bytes - at));
        if (chunk.length === 0) throw new RefusedUpload(`${path}: a piece is empty`);
        hash.update(chunk);
        withRoom(target, () => writeAll(fd, chunk));
        at += chunk.length;
      }
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    if (hash.digest("hex") !== expected) throw new RefusedUpload(`${path}: its SHA-256 is not the one that was sent`);
  }
}

async function receiveList(redis: Redis, { key, sha256: expected }: Upload): Promise<List> {
  const text = (await receive(redis, key, listField, MOST_LIST)).toString("utf8");
  if (sha256(text) !== expected) throw new RefusedUpload("the list of its files is not the one that was sent");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new RefusedUpload("the list of its files is no JSON");
  }
  const { data: list } = listSchema.safeParse(json);
  if (!list) throw new RefusedUpload("it holds what no run's folder holds");
  if (new Set(list.map(({ path }) => path)).size < list.length) throw new RefusedUpload("it holds a file twice");
  if (list.reduce((sum, { bytes }) => sum + bytes, 0) > MOST_BYTES)
    throw new RefusedUpload(`it holds more than ${MOST_BYTES} bytes`);
  return list;
}

/** A field's bytes, which are looked at only where they are no more than `most`. */
async function receive(redis: Redis, key: string, field: string, most: number): Promise<Buffer> {
  if ((await redis.hstrlen(key, field)) > most) throw new RefusedUpload(`${field}: larger than it may be`);
  const bytes = await redis.hgetBuffer(key, field);
  if (!bytes) throw new RefusedUpload(`${field}: missing`);
  return bytes;
}

/** Puts the files of a received run in the place of those of its folder, whose lease the caller holds. `run.json` goes first and comes
 *  last: without it nothing else counts. */
export function placeRun(received: string, runDir: string): void {
  clearRun(runDir);
  const names = readdirSync(received).filter((name) => name !== "run.json");
  for (const name of [...names, "run.json"])
    if (existsSync(join(received, name))) renameSync(join(received, name), join(runDir, name));
  rmSync(received, { recursive: true, force: true });
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
