// What else a run has left to look at: pictures, translations, its record. Sizes are bounded, and no link is followed out of the folder
// that was opened.

import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { isFile, translationsFile } from "../runs/files.ts";
import { GAP, readSamples, sampleFile, sampleName } from "../runs/samples.ts";
import type { RunRecordView, SampleList, Translations } from "./api.ts";
import type { Desk } from "./desk.ts";
import { readLines } from "./lines.ts";
import { linkOut, lstatOf } from "./place.ts";
import { Refusal } from "./refusal.ts";

/** Bytes at most: of a picture (a thousand images of 100 x 100 pixels are 10 MB), of `run.json` and `config.yaml`, of translations, and of the
 *  end of `log.txt` that is shown. */
const most = { picture: 2 ** 26, text: 2 ** 22, translations: 2 ** 28, log: 2 ** 16 };

/** Pictures of all samples of a run together, bytes. */
const mostSamples = 2 ** 28;

function refuseLinks(root: string, ...paths: readonly string[]): void {
  const out = linkOut(root, paths);
  if (out !== undefined) throw new Refusal(403, out);
}

function refuseLarge(file: string, bytes: number): void {
  const size = Number(lstatOf(file)?.size ?? 0);
  if (size > bytes) throw new UserError(`${file}: expected at most ${bytes} bytes to show here, got ${size}`);
}

/** The pictures a run has left, in order of kinds and steps. */
export function samplesOf({ root, notes }: Desk, runDir: string): SampleList {
  const folder = join(runDir, "samples");
  refuseLinks(root, runDir, folder);
  const names = pictureNames(folder);
  refuseLinks(root, ...names.map((name) => join(folder, name)));
  const stats = names.map((name) => lstatOf(join(folder, name)));
  const key = stats.map((one, i) => `${names[i]} ${one?.size} ${one?.mtimeMs}`).join("/");
  const known = notes.get<{ key: string; list: SampleList }>(`samples ${runDir}`);
  if (known?.key === key) return known.list;
  const bytes = stats.reduce((sum, one) => sum + Number(one?.size ?? 0), 0);
  if (bytes > mostSamples)
    throw new UserError(`${folder}: expected at most ${mostSamples} bytes of pictures to show here, got ${bytes}`);
  const samples = readSamples(runDir)
    .map(({ kind, step, epoch, rows, columns, width, height }) => ({
      file: sampleName({ kind, step }),
      kind,
      step,
      epoch,
      width: columns * (width + GAP) + GAP,
      height: rows * (height + GAP) + GAP,
    }))
    // One may say another kind or step of itself than its name does.
    .filter(({ file }) => names.includes(file))
    .sort((a, b) => a.step - b.step);
  const list = { samples };
  notes.set(`samples ${runDir}`, { key, list }, 2 * key.length + 200 * samples.length);
  return list;
}

function pictureNames(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(".png"));
  } catch {
    return [];
  }
}

/** A picture of a run as it lies there; one that is not listed is a refusal. */
export function pictureOf(desk: Desk, runDir: string, name: string): Uint8Array {
  if (!samplesOf(desk, runDir).samples.some(({ file }) => file === name))
    throw new Refusal(404, `${name}: expected a picture that the run has left, got none of that name`);
  const file = sampleFile(runDir, name);
  refuseLinks(desk.root, file);
  refuseLarge(file, most.picture);
  return readFileSync(file);
}

const translation = z.object({
  direction: z.string(),
  source: z.string(),
  reference: z.string(),
  translation: z.string(),
});

/** Translations of a split: `count` of those that hold the text `find` (all where it is empty, letters in either case), from the one
 *  numbered `from`. */
export function translationsOf(
  { root }: Desk,
  runDir: string,
  { split, from, count, find }: { split: "dev" | "test"; from: number; count: number; find: string },
): Translations {
  const file = translationsFile(runDir, split);
  refuseLinks(root, runDir, join(runDir, "samples"), file);
  if (!isFile(file))
    throw new Refusal(
      404,
      `${file}: expected translations of the ${split} split, got none; \`fathom evaluate\` makes them`,
    );
  refuseLarge(file, most.translations);
  const wanted = find.toLowerCase();
  const lines: z.infer<typeof translation>[] = [];
  let of = 0;
  let number = 0;
  const fd = openSync(file, "r");
  try {
    readLines(fd, 0, file, (bytes, start, end) => {
      number++;
      const isShown = (): boolean => of >= from && lines.length < count;
      if (wanted === "" && !isShown()) {
        of++;
        return;
      }
      const one = parsed(bytes.toString("utf8", start, end), file, number);
      const texts = [one.direction, one.source, one.reference, one.translation];
      if (!texts.some((text) => text.toLowerCase().includes(wanted))) return;
      if (isShown()) lines.push(one);
      of++;
    });
  } finally {
    closeSync(fd);
  }
  return { split, of, lines };
}

function parsed(line: string, file: string, number: number): z.infer<typeof translation> {
  try {
    return translation.parse(JSON.parse(line));
  } catch {
    throw new UserError(
      `${file}: expected a translation on line ${number}, got something else; run \`fathom evaluate\` again`,
    );
  }
}

/** A run's record, configuration and the end of its log, as they are; empty what is not there. */
export function recordOf({ root }: Desk, runDir: string): RunRecordView {
  const [record, config, log] = ["run.json", "config.yaml", "log.txt"].map((name) => join(runDir, name));
  refuseLinks(root, runDir, record!, config!, log!);
  const whole = (file: string): string => {
    if (!isFile(file)) return "";
    refuseLarge(file, most.text);
    return readFileSync(file, "utf8");
  };
  return { record: whole(record!), config: whole(config!), log: endOf(log!, most.log) };
}

/** The last lines of a file, of at most so many bytes. */
function endOf(file: string, bytes: number): string {
  if (!isFile(file)) return "";
  const fd = openSync(file, "r");
  try {
    const { size } = fstatSync(fd);
    const start = Math.max(0, size - bytes);
    const buffer = Buffer.alloc(size - start);
    const text = buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, start));
    return start === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    closeSync(fd);
  }
}
