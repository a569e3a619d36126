// The command line: registers the verbs of index.ts with yargs and turns what they throw into messages and exit codes.

import pc from "picocolors";
import yargs from "yargs";
import { messageOf, TryAgainError, UserError } from "../errors.ts";
import { members } from "../registry.ts";
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
      throw new UserError(`${message ?? error?.message}\n\`fathom --help\` and \`fathom <command> --help\` say more`);
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

/** Prints an error as its reader needs it, and gives the exit code. */
function report(error: unknown): number {
  const ours = !(error instanceof UserError || error instanceof TryAgainError);
  const text = ours && process.env["FATHOM_DEBUG"] && error instanceof Error ? error.stack! : messageOf(error);
  console.error(`${pc.red("fathom:")} ${text}`);
  if (ours && !process.env["FATHOM_DEBUG"]) console.error("set FATHOM_DEBUG=1 to see where this comes from");
  return error instanceof UserError ? exitCodes.userError : ours ? exitCodes.failure : exitCodes.tryAgain;
}
