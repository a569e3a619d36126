// What a verb of the command line is: data and one function. Each verb is a file of this folder and a line in index.ts.
// Verb files are all imported at start: they import what is heavy (engines, registries, plots) inside `run`.

import { existsSync, readdirSync } from "node:fs";
import { basename, isAbsolute, join, resolve } from "node:path";
import type { InferredOptionTypes, Options, PositionalOptions } from "yargs";
import { UserError } from "../errors.ts";
import { nearest, type Member } from "../registry.ts";

type Table<T> = { readonly [key: string]: T };

/** A verb as main.ts registers it. */
export interface Verb extends Member {
  /** Command and positional arguments in yargs' form: `corpus <config> [overrides..]`. */
  readonly usage: string;
  readonly positionals: Table<PositionalOptions>;
  /** Beyond those that all have (see `common`). */
  readonly options: Table<Options>;
  /** Examples for `--help`: command line and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** A verb for fathom's own child processes is not listed. */
  readonly hidden?: boolean;
  /** Does the work, prints to stdout, and gives the exit code (see `exitCodes`). Throws `UserError` for the user's errors. */
  run(args: never): Promise<number>;
}

/** Declares a verb; the types of `args` follow from its positionals and options. */
export function verb<P extends Table<PositionalOptions>, O extends Table<Options>>(definition: {
  readonly usage: string;
  readonly summary: string;
  readonly positionals: P;
  readonly options: O;
  readonly examples: readonly (readonly [string, string])[];
  readonly hidden?: boolean;
  run(args: InferredOptionTypes<typeof common & P & O>): Promise<number>;
}): Verb {
  return { ...definition, name: definition.usage.split(" ")[0]! };
}

/** Exit codes of every verb. */
export const exitCodes = { done: 0, failure: 1, userError: 2, tryAgain: 75, interrupted: 130 } as const;

/** The options that all verbs have; main.ts adds them. A verb that gives one of these names describes it anew. */
export const common = {
  out: { type: "string", default: "results", describe: "folder of all experiments", requiresArg: true },
  quiet: { type: "boolean", default: false, describe: "print errors only" },
  json: { type: "boolean", default: false, describe: "print JSON for machines" },
} as const satisfies Table<Options>;

/** `--keep-graphs` of the verbs that run something. */
export const keepGraphs = {
  type: "boolean",
  default: false,
  describe: "keep every compiled program as an ONNX file in graphs/ of a run's folder",
} as const;

/** Options of the verbs that launch several runs. */
export const launching = {
  jobs: {
    type: "number",
    requiresArg: true,
    describe: "runs at once; if not given here one a core, or fewer of several threads, elsewhere as many as may be",
  },
  launcher: { type: "string", default: "local", requiresArg: true, describe: "`fathom list launcher` names them" },
  option: {
    type: "string",
    array: true,
    nargs: 1,
    default: [] as string[],
    requiresArg: true,
    describe: "name=value of the launcher, may be given again; `fathom list launcher-option` names them",
  },
  queue: {
    type: "string",
    requiresArg: true,
    describe: "with --launcher queue: its Redis, as `fathom worker --queue`; the same as --option queue=...",
  },
  "fail-fast": { type: "boolean", default: false, describe: "stop all at the first run that fails" },
  "keep-going": { type: "boolean", default: false, describe: "run all whichever fail, which is so by itself" },
  "max-runs": { type: "number", requiresArg: true, describe: "start at most so many; the rest is left for later" },
  "keep-graphs": keepGraphs,
} as const satisfies Table<Options>;

/** `--out` of verbs that neither read nor write experiments: all verbs take it, so that scripts may pass it to all. */
export const unusedOut = { ...common.out, describe: "of no use here: no experiment is read or written" } as const;

/** Prints a verb's result: JSON with `--json`, nothing with `--quiet` alone, else a text for people. */
export function print(how: { quiet: boolean; json: boolean }, result: unknown, text: () => string): void {
  if (how.json) console.log(JSON.stringify(result, null, 2));
  else if (!how.quiet) console.log(text());
}

/** A folder as it was named: where there is none and the path is relative, the one of that name below `--out`. Where there is neither, a
 *  `UserError` that says which folder has a similar name; if none has, the name as it is, for its reader to say what was expected. */
export function findFolder(named: string, out: string): string {
  const places = isAbsolute(named) ? [named] : [named, join(out, named)];
  const found = places.find((place) => existsSync(place));
  if (found !== undefined) return found;
  const similar = places.flatMap((place) => similarFolder(place) ?? []);
  if (similar.length === 0) return named;
  throw new UserError(`${named}: expected a folder, got none of that name; did you mean ${similar[0]}?`);
}

/** The folder whose path is like this one, which is not there, but for slips in names. */
function similarFolder(path: string): string | undefined {
  if (existsSync(path)) return path;
  const parent = join(path, "..");
  const inside = parent === path || basename(path) === ".." ? undefined : similarFolder(parent);
  if (inside === undefined) return undefined;
  const here = join(inside, basename(path));
  if (existsSync(here)) return here;
  const name = nearest(basename(path), foldersIn(inside));
  return name === undefined ? undefined : join(inside, name);
}

/** The names of the folders in a folder; none where it cannot be read. */
function foldersIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
  } catch {
    return [];
  }
}

/** Runs of an experiment that are named at most. */
const mostNamed = 10;

/** A run's folder as {@link findFolder} finds it; a `UserError` that names its runs where it is an experiment's. */
export function findRun(named: string, out: string): string {
  const folder = findFolder(named, out);
  const isRun = (dir: string): boolean => existsSync(join(dir, "config.yaml"));
  if (isRun(folder)) return folder;
  const runsDir = basename(resolve(folder)) === "runs" ? folder : join(folder, "runs");
  const runs = foldersIn(runsDir)
    .map((id) => join(runsDir, id))
    .filter(isRun);
  if (runs.length === 0) return folder;
  const more = runs.length - mostNamed;
  throw new UserError(
    `${folder}: expected the folder of a run, got that of an experiment; name one of its runs:\n` +
      `${runs.slice(0, mostNamed).join("\n")}${more > 0 ? `\nand ${more} more` : ""}`,
  );
}

/** The positional arguments that most verbs share. */
export const positional = {
  experiment: { type: "string", demandOption: true, describe: "the experiment's folder, or its name below --out" },
  config: { type: "string", demandOption: true, describe: "experiment as YAML" },
  overrides: {
    type: "string",
    array: true,
    default: [] as string[],
    describe: "key=value on top of it: train.steps=50",
  },
} as const satisfies Table<PositionalOptions>;
