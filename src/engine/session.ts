// ONNX Runtime sessions, and how to run one without copies.
import * as ort from "onnxruntime-node";
import { assert, messageOf } from "../errors.ts";
import type { Program } from "./compile.ts";
import type { Node } from "./graph.ts";
import { encodeModel, haltOutput } from "./onnx-model.ts";

/** A program loaded into the runtime. */
export interface Session {
  /** Computes `fetches` from `feeds`. Every tensor of `fetches` is written in place. */
  run(feeds: Record<string, ort.Tensor>, fetches: Record<string, ort.Tensor>): Promise<void>;
  release(): Promise<void>;
}

// The Node binding of ONNX Runtime (1.30) writes pre-allocated outputs in place, and then copies each of them once more
// into a tensor it returns, which costs more than many a graph: 2.4 ms against 0.25 ms for 4 MiB. Every model therefore
// has a first output of a type the binding cannot return, an empty sequence: it refuses that output after the graph has
// run and before it copies anything. A runtime that learns to return sequences makes this a no-op: outputs are still
// written in place, only slower. `checkInPlaceOutputs` makes sure of that before an engine
// relies on it.
const refusal = "Non tensor type is temporarily not supported.";

/** Loads `program` with `threads` intra-operator threads. */
export async function createSession(program: Pick<Program, "model">, threads: number): Promise<Session> {
  const session = await ort.InferenceSession.create(program.model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: sessionOptions.graphOptimizationLevel,
    logSeverityLevel: 3, // 2, the default, prints a warning for every unused constant
    // Waiting threads of several sessions and runs would otherwise spin on each other's cores.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
  });
  return {
    async run(feeds, fetches) {
      try {
        await session.run(feeds, { [haltOutput]: null, ...fetches });
      } catch (error) {
        if (messageOf(error) !== refusal) throw error;
      }
    },
    release: () => session.release(),
  };
}

/** Runs y = x + x once and throws if y did not arrive in the buffer given for it: this runtime then cannot be used. */
export async function checkInPlaceOutputs(): Promise<void> {
  const info = { shape: [2], dtype: "float32" } as const;
  const add: Node = { op: "Add", domain: "", inputs: ["x", "x"], outputs: ["y"], attributes: {} };
  const values = new Map([["x", info] as const, ["y", info] as const]);
  const model = encodeModel({ nodes: [add], values, constants: new Map() }, ["x"], ["y"]);
  const session = await createSession({ model }, 1);
  const y = new Float32Array(2);
  const tensor = (data: Float32Array): ort.Tensor => new ort.Tensor("float32", data, [2]);
  await session.run({ x: tensor(Float32Array.of(1, 2)) }, { y: tensor(y) });
  await session.release();
  if (y[0] !== 2 || y[1] !== 4)
    throw new Error(
      `onnxruntime-node ${sessionOptions.runtimeVersion} does not write outputs in place; install 1.30.0`,
    );
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
