// What to say of a program that the runtime does not take, or fails at: stage, operator, reason, and what to do.
import { messageOf, UserError } from "../errors.ts";
import type { Program } from "./compile.ts";
import { type NodeModel, nodeModels } from "./onnx-model.ts";
import { cpuProvider, type Provider } from "./providers.ts";
import { createSession, plainReason } from "./session.ts";

/** The error for a program `what` that no session could be built of. Each of its operators is tried alone, so that
 *  those at fault are named. A `UserError` where another provider is the cure. */
export async function sessionFailure(
  program: Pick<Program, "model">,
  provider: Provider,
  what: string,
  error: unknown,
): Promise<Error> {
  const faults = new Map<string, string>(); // by operator, since one that fails fails in many places
  for (const { op, name, model } of nodeModels(program.model, { halts: provider.halts })) {
    if (faults.has(op)) continue;
    const reason = await reasonAgainst({ op, name, model }, provider);
    if (reason !== undefined) faults.set(op, `operator ${op} (node ${name}): ${reason}`);
  }
  const reasons =
    faults.size > 0 ? [...faults.values()] : [`no operator is at fault alone: ${plainReason(messageOf(error))}`];
  return failure(`${what}, provider ${provider.name}: no session can be built: ${reasons.join("; ")}`, provider, error);
}

/** Why the runtime does not take a node on its own; undefined where it does. */
async function reasonAgainst({ model }: NodeModel, provider: Provider): Promise<string | undefined> {
  try {
    await (await createSession({ model }, 1, provider)).release();
    return undefined;
  } catch (error) {
    const reason = messageOf(error);
    return reason.includes("fallback to CPU EP has been explicitly disabled")
      ? `${provider.name} has no kernel for it with these types, and it is not left to the CPU in silence`
      : plainReason(reason);
  }
}

/** The error for a program `what` that failed as it ran. */
export function runFailure(provider: Provider, what: string, error: unknown): Error {
  const message = messageOf(error);
  const [, op, node, reason] = /while running (\S+) node\. Name:'([^']*)' Status Message: (.*)/s.exec(message) ?? [];
  const where = op === undefined ? plainReason(message) : `operator ${op} (node ${node}): ${plainReason(reason!)}`;
  return failure(`${what}, provider ${provider.name}: ${where}`, provider, error);
}

function failure(text: string, provider: Provider, cause: unknown): Error {
  if (provider !== cpuProvider)
    return new UserError(`${text}; use engine: onnx, whose provider cpu has every operator`, { cause });
  return new Error(`${text}; engine: cpu runs the same model without graphs, and --keep-graphs keeps this one`, {
    cause,
  });
}
