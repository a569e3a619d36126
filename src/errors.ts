/** An error of the user's: a config, an argument or a file that cannot be used. The message says what was expected,
 *  what came and how to repair it. The command line prints the message alone and exits with code 2. */
export class UserError extends Error {
  override name = "UserError";
}

/** Where something else holds what is needed, or it will be there later: the command line exits with code 75. */
export class TryAgainError extends Error {
  override name = "TryAgainError";
}

/** A programmer's error: states an invariant that must hold. Throws `Error` when it does not. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal error: ${message}`);
}

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
