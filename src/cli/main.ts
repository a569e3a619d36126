// The command line: registers the verbs of index.ts with yargs and turns what they throw into messages and exit codes.

import pc from "picocolors";
import yargs from "yargs";
import { messageOf, TryAgainError, UserError } from "../errors.ts";
import { members, nearest } from "../registry.ts";
import { packageVersion } from "../runs/environment.ts";
import * as verbs from "./index.ts";
import { common, exitCodes, type Verb } from "./verb.ts";

/** Runs one command line (`process.argv` without node and script) and gives its exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = exitCodes.done;
  const parser = yargs()
    .scriptName("fathom")
    .usage("$0 <command>\n\nMeasures how the error signal travels through deep networks.")
    .locale("en")
    .strict()
    .recommendCommands()
    .demandCommand(1, "expected a command; `fathom --help` lists them")
    .exitProcess(false)
    // A callback that returns would let the verb run with bad arguments.
    .fail((message: string | null, error: Error | undefined) => {
      // yargs has an error of its own for some bad arguments, such as an option without its value.
      if (error && error.name !== "YError") throw error;
      throw new UserError(
        `${clearer(message ?? error!.message, argv)}\n\`fathom --help\` and \`fathom <command> --help\` say more`,
      );
    })
    .version(packageVersion())
    .help()
    .alias("help", "h")
    .wrap(Math.min(100, process.stdout.columns ?? 100));
  for (const verb of members<Verb>(verbs).values())
    parser.command({
      command: verb.usage,
      describe: verb.hidden ? false : verb.summary,
      builder: (y) => {
        for (const [key, options] of Object.entries(verb.positionals)) y.positional(key, options);
        for (const [line, does] of verb.examples) y.example(line, does);
        return y.options({ ...common, ...verb.options });
      },
      handler: async (args) => {
        code = await verb.run(args as never);
      },
    });
  try {
    await parser.parseAsync([...argv]);
    return code;
  } catch (error) {
    return report(error);
  }
}

/** What yargs says of a command line, with the way out where it is a slip that is often made. */
function clearer(message: string, argv: readonly string[]): string {
  const known = members<Verb>(verbs);
  const name = argv.find((word) => known.has(word));
  if (name === undefined) return message;
  const verb = known.get(name)!;
  const [, given] = /^Not enough non-option arguments: got (\d+)/.exec(message) ?? [];
  if (given !== undefined) return missing(verb, Number(given));
  const [, unknown] = /^Unknown arguments?: (.*)$/.exec(message) ?? [];
  if (unknown === undefined) return message;
  const ways = unknown.split(", ").flatMap((one) => wayOut(verb, one, argv) ?? []);
  return [message, ...new Set(ways)].join("\n");
}

/** That a verb wants more arguments than the `given` first ones, with an example. */
function missing({ name, positionals, examples }: Verb, given: number): string {
  const needed = Object.entries(positionals).filter(([, options]) => options.demandOption);
  const wanted = needed.slice(given).map(([key, { describe }]) => `${key.toUpperCase()} (${describe})`);
  const example = examples.length > 0 ? `; for example: ${examples[0]![0]}` : "";
  return `fathom ${name}: expected ${wanted.join(" and ")}, got ${given === 0 ? "none" : "nothing more"}${example}`;
}

/** What may have been meant by an option that a verb does not have: a similar one, or a key of the configuration. */
function wayOut(verb: Verb, unknown: string, argv: readonly string[]): string | undefined {
  const isDotted = argv.some((word) => word.startsWith(`--${unknown}.`));
  const option = isDotted ? undefined : nearest(unknown, Object.keys({ ...common, ...verb.options }));
  if (option !== undefined) return `--${unknown}: did you mean --${option}?`;
  if (!("overrides" in verb.positionals)) return undefined;
  // yargs names the first part of `--train.steps`.
  const isIt = (word: string): boolean =>
    word.startsWith(`--${unknown}`) && /^[.=]?$/.test(word.charAt(unknown.length + 2));
  const overrides = argv.flatMap((word, i) => {
    if (!isIt(word)) return [];
    const next = argv[i + 1];
    const value = next === undefined || next.startsWith("--") ? "VALUE" : next;
    return word.includes("=") ? word.slice(2) : `${word.slice(2)}=${value}`;
  });
  return overrides.length === 0
    ? undefined
    : `a key of the configuration is written without dashes, after its file: ${overrides.join(" ")}`;
}

/** Prints an error as its reader needs it, and gives the exit code. */
function report(error: unknown): number {
  const ours = !(error instanceof UserError || error instanceof TryAgainError);
  const text = ours && process.env["FATHOM_DEBUG"] && error instanceof Error ? error.stack! : messageOf(error);
  console.error(`${pc.red("fathom:")} ${text}`);
  if (ours && !process.env["FATHOM_DEBUG"]) console.error("set FATHOM_DEBUG=1 to see where this comes from");
  return error instanceof UserError ? exitCodes.userError : ours ? exitCodes.failure : exitCodes.tryAgain;
}
