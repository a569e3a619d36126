import type { Reading, TapReading } from "../probes/probe.ts";
import type { Member } from "../registry.ts";
import type { Parameters, Player } from "../stage.ts";
import type { Batch } from "../types.ts";

/** What a step of differentiation gives. The arrays belong to the engine and are overwritten by its next step. */
export interface StepResult {
  /** The player's scalars by name, `loss` among them. */
  readonly scalars: Readonly<Record<string, number>>;
  /** dL/d(parameter) by path. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** One reading for every tap, from the bottom of the network up; empty unless asked for. */
  readonly taps: readonly TapReading[];
  /** What the stages offered under the names asked for, from the bottom of the network up. */
  readonly readings: readonly Reading[];
  /** The random numbers the stages used, by purpose: `dropout/encoder/00/self-attention`. */
  readonly noises: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
}

/** Where in the noise streams a forward stands. */
export interface NoisePosition {
  /** Counter of the streams: equal steps see equal dropout. */
  readonly step: number;
  readonly seed: number;
}

export interface StepOptions extends NoisePosition {
  /** Whether to measure at the stages' taps. */
  readonly tapped: boolean;
  /** Names of the readings to take; none if not given. */
  readonly readings?: readonly string[];
}

/** Runs the stages of a player and their gradients. */
export interface Engine {
  readonly name: string;
  /** Forward up, backward down. */
  differentiate(player: Player, parameters: Parameters, batch: Batch, options: StepOptions): Promise<StepResult>;
  /** The scalars of the forward alone, without dropout or label smoothing. Noise that a stage asks for all the same is drawn
   *  at `at`, its beginning if not given. */
  evaluate(
    player: Player,
    parameters: Parameters,
    batch: Batch,
    at?: NoisePosition,
  ): Promise<Readonly<Record<string, number>>>;
  /** F(x): the carry entry `player.output` after the forward, without dropout. The array belongs to the engine and is
   *  overwritten by its next step. */
  output(player: Player, parameters: Parameters, batch: Batch, at?: NoisePosition): Promise<Float32Array>;
  /** Facts for run.json: versions, settings, and what compiling has cost so far. */
  facts(): Record<string, string | number>;
  dispose(): Promise<void>;
}

/** A way to make an engine, and whether it can work on this machine. */
export interface EngineKind extends Member {
  /** Why it cannot work here and how to get it, or undefined where it can. */
  unavailable(): Promise<string | undefined>;
  create(options: { readonly threads: number }): Promise<Engine>;
}
