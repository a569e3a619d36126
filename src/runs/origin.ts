// Where a run's `config.yaml` comes from: a comment at its head says of which run it is and what that was made with, so that
// the file alone, copied to another machine, tells what differs there, and that it is still what the run wrote.

import { z } from "zod";
import { configHash } from "../config/identity.ts";
import type { RunConfig } from "../config/schema.ts";
import { yamlData } from "../config/yaml.ts";
import { messageOf, UserError } from "../errors.ts";
import { groupBy } from "../statistics.ts";
import type { Environment } from "./environment.ts";

const mark = "# made with: ";

const originSchema = z.object({
  hash: z.string(),
  engine: z.string(),
  versions: z.record(z.string(), z.string()),
  cpu: z.string(),
  platform: z.string(),
});

/** What a run was made with, as far as its bits may depend on it. */
export interface Origin {
  /** Hash of the run's resolved configuration. */
  readonly hash: string;
  /** The engine that computed, empty where it was not chosen yet. */
  readonly engine: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly cpu: string;
  readonly platform: string;
}

/** The origin of a run by its record. */
export const originOf = ({
  hash,
  engine,
  versions,
  machine: { cpu, platform },
}: Pick<Environment, "versions" | "machine"> & { readonly hash: string; readonly engine: string }): Origin => ({
  hash,
  engine,
  versions,
  cpu,
  platform,
});

/** The comment that says it. */
export const originLine = (origin: Origin): string => `${mark}${JSON.stringify(origin)}`;

/** The origin that a run's `config.yaml` tells of in its `text`; undefined in a file that no run wrote, or an earlier version.
 *  A `UserError` that names `file` where the comment is damaged, or what stands below it is not what the run wrote. */
export function parseOrigin(file: string, text: string): Origin | undefined {
  const line = text.split("\n", 5).find((one) => one.startsWith(mark.trimEnd()));
  if (line === undefined) return undefined;
  const repair = `restore the file, or remove its line "${mark.trimEnd()} ..." to use it as it is now`;
  let noted: unknown;
  let configuration: unknown;
  try {
    noted = JSON.parse(line.slice(mark.length));
    configuration = yamlData(text);
  } catch (error) {
    throw new UserError(`${file}: expected a configuration as its run wrote it: ${firstLine(error)}; ${repair}`);
  }
  const origin = originSchema.safeParse(noted);
  if (!origin.success) {
    const { path, message } = origin.error.issues[0]!;
    throw new UserError(`${file}: expected what its run was made with: ${[...path, message].join(": ")}; ${repair}`);
  }
  const hash = configHash(configuration as RunConfig);
  if (hash !== origin.data.hash)
    throw new UserError(
      `${file}: expected the configuration of its run (hash ${origin.data.hash}), got another (${hash}): ` +
        `it was changed or damaged since; ${repair}`,
    );
  return origin.data;
}

/** What differs between an origin and here, one phrase each: `node 20.19.0 (here 20.20.2)`. Engines are compared where both are
 *  known. */
export function differences(there: Omit<Origin, "hash">, here: Omit<Origin, "hash">): string[] {
  const names = [...new Set([...Object.keys(there.versions), ...Object.keys(here.versions)])];
  const pairs: [string, string, string][] = [
    ...names.map((name): [string, string, string] => [
      name,
      there.versions[name] ?? "none",
      here.versions[name] ?? "none",
    ]),
    ["engine", there.engine, here.engine || there.engine],
    ["processor", there.cpu, here.cpu],
    ["platform", there.platform, here.platform],
  ];
  return pairs.flatMap(([name, then, now]) => (then === now || then === "" ? [] : [`${name} ${then} (here ${now})`]));
}

const firstLine = (error: unknown): string => messageOf(error).split("\n")[0]!;

/** What runs were made with that differs among them, a line each for code and versions: `runs were made by different code: 3 runs at
 *  a1b2c3d, 2 at d4e5f6a (changed since)`. Nothing where they agree. Two that were both changed since a commit pass for the same. */
export function codeNotes(runs: readonly Pick<Environment, "git" | "versions">[]): string[] {
  const code = counted(
    runs.map(({ git }) =>
      git ? `at ${git.commit.slice(0, 7)}${git.dirty ? " (changed since)" : ""}` : "outside a git repository",
    ),
  );
  const names = [...new Set(runs.flatMap(({ versions }) => Object.keys(versions)))];
  const versions = names
    .map((name) => counted(runs.map((run) => `with ${name} ${run.versions[name] ?? "none"}`)))
    .filter((values) => values.length > 1)
    .map((values) => values.join(", "));
  return [
    ...(code.length > 1 ? [`runs were made by different code: ${code.join(", ")}`] : []),
    ...(versions.length > 0 ? [`runs were made with different versions: ${versions.join("; ")}`] : []),
  ];
}

/** Each different text with the number of times it is there: `3 runs at a`, `2 at b`. */
const counted = (texts: readonly string[]): string[] =>
  [...groupBy(texts, (text) => text)].map(([text, same], i) =>
    i === 0 ? `${same.length} ${same.length === 1 ? "run" : "runs"} ${text}` : `${same.length} ${text}`,
  );
