// ONNX Runtime sessions, and how to run one without copies.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as ort from "onnxruntime-node";
import { assert, messageOf } from "../errors.ts";
import type { Program } from "./compile.ts";
import type { Node } from "./graph.ts";
import { encodeModel, haltOutput } from "./onnx-model.ts";
import { cpuProvider, type Provider } from "./providers.ts";

/** A program loaded into the runtime. */
export interface Session {
  /** Computes `fetches` from `feeds`. Every tensor of `fetches` is written in place. */
  run(feeds: Record<string, ort.Tensor>, fetches: Record<string, ort.Tensor>): Promise<void>;
  release(): Promise<void>;
}

// The Node binding of ONNX Runtime (1.30) writes pre-allocated outputs in place, and then copies each of them once more
// into a tensor it returns, which costs more than many a graph: 2.4 ms against 0.25 ms for 4 MiB. Every model for the
// CPU therefore has a first output of a type the binding cannot return, an empty sequence: it refuses that output after
// the graph has run and before it copies anything. A runtime that learns to return sequences makes this a no-op:
// outputs are still written in place, only slower. `checkInPlaceOutputs` makes sure of that before an engine relies on
// it. Other providers cannot hold a sequence, and copy from their own memory anyway.
const refusal = "Non tensor type is temporarily not supported.";

/** Loads `program`, compiled for `provider`, with `threads` intra-operator threads. Throws what the runtime says where
 *  it has no such provider or the provider cannot run every node: none is left to the CPU in silence. */
export async function createSession(
  program: Pick<Program, "model">,
  threads: number,
  provider: Provider = cpuProvider,
): Promise<Session> {
  const isCpu = provider.name === cpuProvider.name;
  const session = await ort.InferenceSession.create(program.model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: sessionOptions.graphOptimizationLevel,
    // 2, the default, prints a warning for every unused constant; 3 prints every error that is thrown anyway.
    logSeverityLevel: 4,
    ...(!isCpu && { executionProviders: [provider.name] }),
    extra: {
      session: {
        // Between two operators threads spin, without which two of them gain nothing at width 64; after a call they sleep, or those of
        // several sessions and runs would spin on each other's cores.
        intra_op: { allow_spinning: threads > 1 ? "1" : "0" },
        force_spinning_stop: "1",
        ...(!isCpu && { disable_cpu_ep_fallback: "1" }),
      },
    },
  });
  const halt: Record<string, null> = provider.halts ? { [haltOutput]: null } : {};
  return {
    async run(feeds, fetches) {
      try {
        await session.run(feeds, { ...halt, ...fetches });
      } catch (error) {
        if (messageOf(error) !== refusal) throw error;
      }
    },
    release: () => session.release(),
  };
}

/** Runs y = x + x once and throws if y did not arrive in the buffer given for it: this runtime then cannot be used. */
export async function checkInPlaceOutputs(provider: Provider = cpuProvider): Promise<void> {
  const info = { shape: [2], dtype: "float32" } as const;
  const add: Node = { op: "Add", domain: "", inputs: ["x", "x"], outputs: ["y"], attributes: {} };
  const values = new Map([["x", info] as const, ["y", info] as const]);
  const model = encodeModel({ nodes: [add], values, constants: new Map() }, ["x"], ["y"], { halts: provider.halts });
  const session = await createSession({ model }, 1, provider);
  const y = new Float32Array(2);
  const tensor = (data: Float32Array): ort.Tensor => new ort.Tensor("float32", data, [2]);
  try {
    await session.run({ x: tensor(Float32Array.of(1, 2)) }, { y: tensor(y) });
  } finally {
    await session.release();
  }
  if (y[0] !== 2 || y[1] !== 4)
    throw new Error(
      `onnxruntime-node ${sessionOptions.runtimeVersion} does not write outputs of provider ${provider.name} in place; ` +
        `install 1.30.0`,
    );
}

/** What of `provider` was looked for here and not found, and how to get it; undefined where it runs a graph. */
export async function missingProvider(provider: Provider): Promise<string | undefined> {
  const platform = `${process.platform}-${process.arch}`;
  const offered = ort.listSupportedBackends();
  const backend = offered.find(({ name }) => name === provider.name);
  const missing = (what: string): string => `${what}; it ${provider.advice}`;
  if (!backend)
    return missing(
      `expected onnxruntime-node ${sessionOptions.runtimeVersion} to offer it on ${platform}, got ` +
        offered.map(({ name }) => name).join(", "),
    );
  if (!backend.bundled) {
    const library = providerLibrary(provider);
    if (!existsSync(library)) return missing(`expected ${library}, got no such file`);
  }
  const lacking = provider.library && process.platform === "linux" ? missingLibrary(provider.library) : undefined;
  if (lacking) return missing(lacking);
  try {
    await checkInPlaceOutputs(provider);
    return undefined;
  } catch (error) {
    return missing(`expected a graph of one addition to run on it, got ${plainReason(messageOf(error))}`);
  }
}

/** Says that a shared library is in none of the folders where Linux looks; undefined where it is in one. Asked before the runtime
 *  is, which complains past us where it is missing. */
function missingLibrary(name: string): string | undefined {
  const triple = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" }[process.arch as string] ?? "";
  const told = (process.env["LD_LIBRARY_PATH"] ?? "").split(":").filter(Boolean);
  const standard = [
    `/usr/lib/${triple}`,
    `/lib/${triple}`,
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/lib",
    "/usr/local/lib",
  ];
  const cache = "/etc/ld.so.cache"; // of the folders of ld.so.conf
  const isThere =
    [...told, ...standard, "/run/opengl-driver/lib"].some((folder) => existsSync(join(folder, name))) ||
    (existsSync(cache) && readFileSync(cache).includes(name));
  return isThere ? undefined : `expected ${name} in a system folder or one of LD_LIBRARY_PATH, got no such file`;
}

/** Where the runtime looks for the library of a provider that is not part of it. */
function providerLibrary({ name }: Provider): string {
  const main = createRequire(import.meta.url).resolve("onnxruntime-node");
  const folder = join(dirname(main), "..", "bin", "napi-v6", process.platform, process.arch);
  return join(
    folder,
    process.platform === "win32" ? `onnxruntime_providers_${name}.dll` : `libonnxruntime_providers_${name}.so`,
  );
}

/** The reason in a message of the runtime, without the places in its source and the stack that surround it. */
export function plainReason(message: string): string {
  const text = message
    .split(/\n\s*(?:Stacktrace|ONNXRuntime stack|#\d)/i)[0]!
    .replace(/^\S*\.(?:cc|h):\d+ .*?(?: was false\. |\) (?=[A-Z]))/s, "")
    .replace(/\s+/g, " ")
    .trim();
  return text.length > 400 ? `${text.slice(0, 397)}...` : text;
}

/** What run.json records of the sessions. */
export const sessionOptions = { graphOptimizationLevel: "all", runtimeVersion: ort.env.versions.node ?? "" } as const;

/** Asserts that no output buffer is an input buffer: the runtime may write the one before it has read the other. */
export function assertNoAliasing(
  feeds: Record<string, ort.Tensor>,
  fetches: Record<string, ort.Tensor>,
  what: string,
): void {
  const spans = Object.entries(feeds).map(([name, { data }]) => ({ name, ...span(data) }));
  for (const [output, { data }] of Object.entries(fetches)) {
    const { buffer, start, end } = span(data);
    const input = spans.find((feed) => feed.buffer === buffer && feed.start < end && start < feed.end);
    assert(!input, `${what}: output ${output} shares its memory with input ${input?.name}`);
  }
}

function span(data: ort.Tensor["data"]): { buffer: ArrayBufferLike; start: number; end: number } {
  const { buffer, byteOffset, byteLength } = data as Float32Array;
  return { buffer, start: byteOffset, end: byteOffset + byteLength };
}
