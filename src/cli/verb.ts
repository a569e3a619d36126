// What a verb of the command line is: data and one function. Each verb is a file of this folder and a line in index.ts.
// Verb files are all imported at start: they import what is heavy (engines, registries, plots) inside `run`.

import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { InferredOptionTypes, Options, PositionalOptions } from "yargs";
import type { Member } from "../registry.ts";

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

/** A folder as it was named: where there is none and the path is relative, the one of that name below `--out`. */
export function findFolder(named: string, out: string): string {
  const below = join(out, named);
  return !existsSync(named) && !isAbsolute(named) && existsSync(below) ? below : named;
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
