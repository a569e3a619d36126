import type { Reading, TapReading } from "../probes/probe.ts";
import type { Member } from "../registry.ts";
import type { Parameters, Player } from "../stage.ts";
import type { Batch, CompiledProgram, Moments } from "../types.ts";
import type { Footprint } from "./footprint.ts";
import type { Reused } from "./reuse.ts";
import type { UpdateRule } from "./update-rule.ts";

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

/** How a player's output is asked for. */
export interface OutputOptions extends Partial<NoisePosition> {
  /** A promise that these parameters keep their values for as long as the engine lives, as those of a model that is no longer
   *  trained: an engine may then compile them into its programs. Not so if not given. */
  readonly fixedParameters?: boolean;
  /** Tensors of the batch that may be read where they lie instead of being copied first, by name: their arrays are none that an
   *  engine gave. None if not given. */
  readonly inPlace?: ReadonlySet<string>;
}

export interface StepOptions extends NoisePosition {
  /** Whether to measure at the stages' taps. */
  readonly tapped: boolean;
  /** Names of the readings to take; none if not given. */
  readonly readings?: readonly string[];
}

/** An optimizer as an engine sees it that updates where it computes. */
export interface ResidentOptimizer {
  readonly rule: UpdateRule;
  /** Names of the state arrays a parameter has. */
  readonly slots: readonly string[];
  /** The host's state arrays by `<slot>/<parameter path>`. */
  readonly state: Map<string, Float32Array>;
}

export interface TrainOptions extends StepOptions {
  readonly optimizer: ResidentOptimizer;
  readonly learningRate: number;
  /** Gradients are scaled down to this global norm; null for no clipping. */
  readonly clipNorm: number | null;
  /** Whether the moments of updates and parameters are wanted. */
  readonly measured: boolean;
}

/** What a step of training leaves that has not brought its gradients to the host. */
export interface TrainedStep extends Pick<StepResult, "scalars" | "taps" | "readings"> {
  /** Moments of dL/d(parameter) by path, before clipping. */
  readonly gradients: ReadonlyMap<string, Moments>;
  /** Global, before clipping. */
  readonly gradientNorm: number;
  /** Moments of theta_{t+1} - theta_t, and of theta_t, by path; empty unless `measured`. */
  readonly updates: ReadonlyMap<string, { readonly update: Moments; readonly parameter: Moments }>;
  /** Whether loss and gradients are finite: where they are not nothing has been updated. */
  readonly isFinite: boolean;
}

/** Parameters and optimizer state that live where an engine computes, for as long as steps go through `train`. */
export interface Residence {
  /** Differentiates and updates `player`, whose parameters and optimizer state are taken in from the host at the first step. Between
   *  steps the host's arrays are behind; what else the engine is asked about these parameters it answers from its own. */
  train(player: Player, parameters: Parameters, batch: Batch, options: TrainOptions): Promise<TrainedStep>;
  /** Brings the host's arrays up to date. */
  fetch(): void;
  /** The same, and the host's arrays count from then on. */
  leave(): void;
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
  /** F(x): the carry entry `player.output` after the forward, without dropout; noise as in `evaluate`. The array belongs to the
   *  engine and is overwritten by its next step. */
  output(player: Player, parameters: Parameters, batch: Batch, options?: OutputOptions): Promise<Float32Array>;
  /** There where tensors do not lie in JavaScript's memory. */
  readonly residence?: Residence;
  /** Facts for run.json: versions, settings, and what compiling has cost so far. */
  facts(): Record<string, string | number>;
  dispose(): Promise<void>;
}

/** What an engine is made with. */
export interface EngineOptions {
  readonly threads: number;
  /** Whether what a stage's backward needs of its forward is computed again instead of kept, which trades time for memory; not so if
   *  not given. What `differentiate` then gives as `noises` is only what was drawn last for each shape. */
  readonly recompute?: boolean | undefined;
  /** One of the kind's `providers`; the first if not given. */
  readonly provider?: string | undefined;
  /** Hears of every program before it is loaded; for engines that have `providers`. */
  readonly onProgram?: ((program: CompiledProgram) => void) | undefined;
  /** Hears of every call of a program after it has returned: what it was, as errors call it (`backward of encoder/00 (train)`), and
   *  the milliseconds from handing it to the runtime until then. Noise and what else is done between calls is not in them. For engines
   *  that have `providers`. */
  readonly onCall?: ((what: string, milliseconds: number) => void) | undefined;
  /** What the engine is going to need, where it was laid out before, for the runtime's CPU kernels: buffers are made in that size at
   *  once, so that none is left behind for a larger one, and what was compiled is not compiled again. */
  readonly laidOut?: Pick<Footprint, "buffers" | "compiled"> | undefined;
  /** Gives the sessions of programs that were laid out, for runs of one network that follow each other. */
  readonly reused?: Pick<Reused, "session"> | undefined;
}

/** A way to make an engine, and whether it can work on this machine. */
export interface EngineKind extends Member {
  /** What can run the graphs that the engine compiles stages to, the default first; absent where it compiles none. */
  readonly providers?: readonly Member[];
  /** Why it cannot work here and how to get it, or undefined where it can. `options` are those it is going to be made with: some
   *  libraries listen to them only while they are being loaded. */
  unavailable(options?: EngineOptions): Promise<string | undefined>;
  create(options: EngineOptions): Promise<Engine>;
}
