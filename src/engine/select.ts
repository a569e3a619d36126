import { UserError } from "../errors.ts";
import { lookup } from "../registry.ts";
import type { Engine, EngineKind, EngineOptions } from "./engine.ts";
import * as engines from "./index.ts";
import { mayHaveGpu } from "./tensorflow.ts";

/** What a config says of its engine: a name, or a name and what is to run the engine's graphs. */
export type EngineChoice = string | { readonly kind: string; readonly provider: string };

/** A choice for people: `onnx`, or `onnx on webgpu`. */
export const engineText = (choice: EngineChoice): string =>
  typeof choice === "string" ? choice : `${choice.kind} on ${choice.provider}`;

/** Makes the engine a config names. `auto` is `tensorflow-gpu` where TensorFlow sees a GPU, else `onnx`. Throws a
 *  `UserError` that says what is missing where the engine cannot work on this machine, or keeps no graphs. */
export async function createEngine(choice: EngineChoice, options: Omit<EngineOptions, "provider">): Promise<Engine> {
  const { kind, provider } = await requireEngine(choice, {
    threads: options.threads,
    keepGraphs: options.onProgram !== undefined,
  });
  return kind.create({ ...options, provider });
}

/** The engine a config names, and its provider if it names one; throws as `createEngine` does. */
export async function requireEngine(
  choice: EngineChoice,
  { threads, keepGraphs }: { readonly threads: number; readonly keepGraphs: boolean },
): Promise<{ kind: EngineKind; provider: string | undefined }> {
  const [name, provider] = typeof choice === "string" ? [choice] : [choice.kind, choice.provider];
  const options = { threads, provider };
  const kind = name === "auto" ? await automatic(options) : lookup<EngineKind>("engine", engines, name);
  if (keepGraphs && !kind.providers)
    throw new UserError(
      `--keep-graphs: expected an engine that compiles graphs, got ${kind.name}; use engine: onnx or leave --keep-graphs out`,
    );
  const missing = await kind.unavailable(options);
  if (missing && provider !== undefined)
    throw new UserError(
      `engine.provider: ${provider} cannot work here with engine.kind: ${kind.name}: ${missing}; or use engine: ${kind.name}`,
    );
  if (missing) throw new UserError(`engine: ${kind.name} cannot work here: ${missing}; or use engine: auto`);
  return { kind, provider };
}

/** The engine `auto` stands for on this machine. */
export async function automatic(options?: EngineOptions): Promise<EngineKind> {
  // Loading TensorFlow takes seconds: only where there may be a device at all.
  return mayHaveGpu() && !(await engines.tensorflowGpu.unavailable(options)) ? engines.tensorflowGpu : engines.onnx;
}
