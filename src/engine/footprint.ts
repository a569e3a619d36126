// What the compiled engine will hold in memory, found by laying its plans out on buffers that are counted and not allocated.
// Nothing is loaded into the runtime.
import type * as ort from "onnxruntime-node";
import type { Player, Stage } from "../stage.ts";
import type { Batch } from "../types.ts";
import { bytesOf, compilationKey, type CompiledStage, compileStage, type Measured, type Mode } from "./compile.ts";
import { type BufferPool, type Carry, layOut, type LayoutOptions, type Loaded } from "./plan.ts";
import type { Session } from "./session.ts";

/** A stage compiled for the runtime's CPU kernels, and what that took. */
export interface Precompiled {
  readonly stage: CompiledStage;
  readonly milliseconds: number;
}

/** What plans need, added up as they are laid out. */
export interface Footprint {
  /** Bytes of the buffers between stages and of gradients by purpose. Plans share them, so each is as large as the largest plan
   *  wants it. */
  readonly buffers: ReadonlyMap<string, number>;
  /** Every stage it has compiled, by compilation key, for an engine that is going to load them. */
  readonly compiled: ReadonlyMap<string, Precompiled>;
  /** Adds what a player's step on a batch of this shape needs beyond what has been laid out before. */
  add(player: Player, batch: Batch, options: LayoutOptions): Promise<void>;
}

/** A footprint of nothing. `compiled`: stages of the same network that were compiled before, to which it adds. */
export function footprint(compiled = new Map<string, Precompiled>()): Footprint {
  const buffers = new Map<string, number>();
  for (const [key, { stage }] of compiled) compiled.set(key, { stage, milliseconds: 0 }); // another run has spent them
  const pool: BufferPool = {
    tensor(purpose, shape, dtype) {
      buffers.set(purpose, Math.max(buffers.get(purpose) ?? 0, bytesOf({ shape, dtype })));
      return emptyTensor();
    },
    parameter: emptyTensor,
  };
  const load = (stage: Stage, carry: Carry, mode: Mode, measured: Measured): Promise<Loaded> => {
    const key = compilationKey(stage, carry, mode, measured);
    let known = compiled.get(key);
    if (!known) {
      const began = performance.now();
      const programs = compileStage(stage, carry, mode, measured);
      compiled.set(key, (known = { stage: programs, milliseconds: performance.now() - began }));
    }
    const isTwofold = known.stage.backward !== undefined;
    return Promise.resolve({ compiled: known.stage, forward: noSession, ...(isTwofold && { backward: noSession }) });
  };
  return {
    buffers,
    compiled,
    async add(player, batch, options) {
      await layOut(player, new Map(), batch, options, pool, load);
    },
  };
}

/** Stands for a tensor in a plan that is never run. */
const emptyTensor = (): ort.Tensor => ({ data: new Float32Array(0) }) as unknown as ort.Tensor;

const noSession: Session = {
  run: () => Promise.reject(new Error("internal error: a plan that was laid out to be counted is run")),
  release: () => Promise.resolve(),
};
