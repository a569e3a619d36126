// What `fathom measure` runs: a measurement too costly for every step, made of a trained network on demand.
import type { Engine } from "../engine/engine.ts";
import type { Member } from "../registry.ts";
import type { Parameters, Player } from "../stage.ts";
import type { Batch, Measurement } from "../types.ts";

/** What is measured: a network at its parameters, on fixed data. */
export interface Subject {
  readonly engine: Engine;
  readonly player: Player;
  /** Instruments that move them put them back. */
  readonly parameters: Parameters;
  /** At least one. */
  readonly batches: readonly Batch[];
  /** Of the random probes and directions. */
  readonly seed: number;
  /** By stack the batch tensor [B, T] that is 0 at padding; where a stack has none, all of its stream counts. */
  readonly masks?: Readonly<Record<string, string>>;
  /** Told how many parts of the work are done. */
  readonly onProgress?: (done: number, of: number) => void;
}

/** A member of the registry of instruments. */
export interface Instrument extends Member {
  /** Throws a `UserError` where it cannot measure such a network; whoever calls says which instrument it was. */
  refuse?(subject: Subject): void | Promise<void>;
  /** Of a network that it does not refuse. */
  measure(subject: Subject): Promise<Measurement>;
}
