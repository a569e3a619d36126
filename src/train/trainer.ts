// The training loop: for each player, forward, backward, probe, update. It never asks which model it trains.
import type { Engine, StepResult } from "../engine/engine.ts";
import { momentsOf } from "../engine/moments.ts";
import { assert } from "../errors.ts";
import type { Need, Probe, StepView, TapReading } from "../probes/probe.ts";
import { learntBy, type Parameter, type Parameters, placeOf, type Player } from "../stage.ts";
import type { Batch, Dataset, LayerRow, MetricRow, Moments, ReadingRow } from "../types.ts";
import { type Accumulated, batchesOf, differentiateBatches, targetsOf } from "./accumulate.ts";
import type { TrainingState } from "./checkpoint.ts";
import { reasonToStop } from "./early-stopping.ts";
import { sampleGradients } from "./gradient-sample.ts";
import type { Optimizer, UpdateMoments } from "./optimizers.ts";
import { withUnitNorm } from "./unit-norm.ts";

/** Everything a training run is made of. */
export interface Training {
  readonly players: readonly Player[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** By player. */
  readonly optimizers: ReadonlyMap<string, Optimizer>;
  readonly engine: Engine;
  readonly dataset: Dataset;
  readonly seed: number;
  readonly steps: number;
  readonly learningRate: (step: number, player: string) => number;
  /** `simultaneous`: the gradients of all players at the same parameters, then their updates. `alternating`, which is meant
   *  where nothing is given: one player after the other, each against what the one before it has become. */
  readonly order?: "simultaneous" | "alternating";
  /** N, batches of an update, which count as one, see {@link differentiateBatches}; 1 if not given. */
  readonly accumulate?: number;
  /** Gradients are scaled down to this global norm; null for no clipping. */
  readonly clipNorm: number | null;
  readonly probes: readonly Probe[];
  readonly isProbed: (step: number) => boolean;
  /** What probes compare with; without it such changes are not measured. */
  readonly start?: Start;
  /** K, the number of batches whose gradients are compared where a probe needs several; 2 if not given, the fewest. */
  readonly batches?: number;
  readonly evaluateEverySteps: number;
  /** Training of one player ends after this many evaluations in a row without a new lowest dev loss. */
  readonly earlyStopping?: { readonly patience: number };
  /** Training goes no further than the evaluation at this step, a multiple of `evaluateEverySteps`: it then waits. */
  readonly until?: number | undefined;
  readonly checkpointEverySteps: number;
  /** What is measured at every evaluation beside the players' own scalars, by name; undefined where the hooks' signal came first:
   *  the run then ends as interrupted, and evaluates this step again when it goes on. */
  readonly metrics?: () => Promise<readonly (readonly [name: string, value: number])[] | undefined>;
}

/** The network as it was before training, as far as a recording probe compares with it. */
export interface Start {
  /** By player F(x; theta_0), x the first dev batch; empty unless a probe needs `output`. */
  readonly outputs: ReadonlyMap<string, Float32Array>;
  /** Copies of all parameters by path; empty unless a probe needs `start`. */
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** What happens around the loop. */
export interface TrainingHooks {
  readonly signal: AbortSignal;
  metrics(rows: readonly MetricRow[]): void;
  layers(step: number, rows: readonly LayerRow[]): void;
  readings(step: number, rows: readonly ReadingRow[]): void;
  /** Sees the parameters as they are before each step, and after the last. */
  reached?(step: number, isLast: boolean): Promise<void>;
  /** Saves `state`; `best` when the dev loss has just reached a new low. */
  checkpoint(kind: "step" | "best", state: TrainingState): void;
  progress(state: { step: number; loss: number; gradientNorm: number }): void;
  /** Gives the mean of the last step checkpoints' parameters where such is wanted: it is evaluated on dev, as `average/loss`. */
  average?(state: TrainingState): Parameters;
  /** Does what is left to do with the trained network, all of which is saved; `row` makes rows of the test split. Gives up once the
   *  signal is aborted. */
  finish?(row: (name: string, value: number) => MetricRow): Promise<void>;
}

export interface Outcome {
  /** `waiting`: at `until`, with all saved. */
  readonly status: "done" | "diverged" | "interrupted" | "waiting";
  /** For `diverged`: what is not finite, at which step, and where first. For `done`: why before the last step. */
  readonly reason?: string;
  /** Of training that stopped early: updates done. */
  readonly stoppedAt?: number;
  readonly divergence?: Divergence;
}

/** Where a run stopped being finite, for `run.json`. */
export interface Divergence {
  readonly step: number;
  readonly stack: string;
  /** From 0; empty for what belongs to no layer. */
  readonly layer: number | "";
  readonly component: string;
  readonly quantity: "activation" | "activation-gradient" | "parameter-gradient";
  /** All of it in a sentence. */
  readonly reason: string;
}

/** Trains from `start` to the last step, or until {@link reasonToStop} finds a reason. A non-finite loss or gradient ends the run as
 *  `diverged`: that is a result. */
export async function train(training: Training, start: TrainingState, hooks: TrainingHooks): Promise<Outcome> {
  const { steps, players } = training;
  const began = performance.now();
  let state = start;
  const seconds = (): number => start.seconds + (performance.now() - began) / 1000;
  let saved = start.step;
  const checkpoint = (kind: "step" | "best"): void => {
    training.engine.residence?.fetch();
    hooks.checkpoint(kind, { ...state, seconds: seconds() });
  };
  const save = (): void => {
    if (saved !== state.step) checkpoint("step");
    saved = state.step;
  };
  const row =
    (split: MetricRow["split"]) =>
    (name: string, value: number): MetricRow => ({
      step: state.step,
      tokens: state.tokens,
      seconds: seconds(),
      split,
      name,
      value,
    });
  const interrupted = (): Outcome => {
    save();
    return { status: "interrupted" };
  };
  const evaluated = async (): Promise<number | undefined> => {
    const { loss, rows } = await evaluateSplit(training, "dev");
    const measured = training.metrics ? await training.metrics() : [];
    if (!measured) return undefined;
    const all = [...rows, ...measured];
    hooks.metrics(all.map(([name, value]) => row("dev")(name, value)));
    // Of several players none is better for having the smaller loss.
    if (players.length === 1 && loss < (state.best?.loss ?? Infinity)) {
      state = { ...state, best: { step: state.step, loss } };
      checkpoint("best");
    }
    return loss;
  };

  let loss: number | undefined;
  let early: string | undefined;
  while (state.step < steps) {
    if (hooks.signal.aborted) return interrupted();
    const { step } = state;
    // Before the step, so that a run resumed at this step evaluates here as well.
    if (step % training.evaluateEverySteps === 0) {
      loss = await evaluated();
      if (loss === undefined) return interrupted();
      early = reasonToStop(training, state);
      if (early !== undefined) break;
    }
    if (step >= (training.until ?? Infinity)) {
      save();
      return { status: "waiting" };
    }
    await hooks.reached?.(step, false);
    const { outcomes, tokens } = await trainStep(training, step);
    for (const { player, scalars, gradientNorm, layers, readings, broken } of outcomes) {
      const named = nameBy(players, player);
      const learningRate = training.learningRate(step, player);
      const values = { ...scalars, "gradient-norm": gradientNorm, "learning-rate": learningRate };
      hooks.metrics(Object.entries(values).map(([name, value]) => row("train")(named(name), value)));
      hooks.layers(step, layers);
      hooks.readings(step, readings);
      hooks.progress({ step: step + 1, loss: scalars["loss"]!, gradientNorm });
      if (broken) return { status: "diverged", reason: broken.reason, divergence: broken };
    }
    state = { ...state, step: step + 1, tokens: state.tokens + tokens };
    if (state.step % training.checkpointEverySteps === 0) save();
  }
  await hooks.reached?.(state.step, true);
  if (early === undefined) loss = await evaluated();
  if (loss === undefined) return interrupted();
  // No further step would show what the last update has done.
  if (!Number.isFinite(loss)) return { status: "diverged", reason: `dev loss not finite after step ${state.step - 1}` };
  save();
  training.engine.residence?.fetch();
  const average = hooks.average?.(state);
  if (average) {
    const { rows } = await evaluateSplit({ ...training, parameters: average }, "dev");
    hooks.metrics(rows.map(([name, value]) => row("dev")(`average/${name}`, value)));
  }
  await hooks.finish?.((name, value) => row("test")(name, value));
  if (hooks.signal.aborted) return { status: "interrupted" };
  return { status: "done", ...(early !== undefined && { reason: early, stoppedAt: state.step }) };
}

/** A player's scalars carry its name where there are several players. */
const nameBy =
  (players: readonly Player[], player: string) =>
  (name: string): string =>
    players.length > 1 ? `${player}/${name}` : name;

/** A step of all players: what each leaves, of several updates the last, and the targets seen. Ends at the first that breaks. Where
 *  the engine has a `residence` the host's parameters may be behind afterwards, until it fetches or leaves. */
export async function trainStep(
  training: Training,
  step: number,
): Promise<{ readonly outcomes: readonly StepOutcome[]; readonly tokens: number }> {
  const outcomes = new Map<string, StepOutcome>();
  const tokens = new Map<string, number>();
  for (const { players, update, isLast } of turnsOf(training)) {
    const moves: (() => Promise<StepOutcome>)[] = [];
    for (const player of players) {
      const number = step * (player.updates ?? 1) + update;
      const batches = batchesOf(training.dataset, number, training.accumulate ?? 1);
      tokens.set(player.name, (tokens.get(player.name) ?? 0) + targetsOf(batches));
      const work = workOf(training, player, batches, { step, number, isProbed: isLast });
      if (players.length === 1 && staysOnDevice(training, work)) moves.push(() => trainOnDevice(training, work));
      else {
        training.engine.residence?.leave();
        const differentiated = await differentiatePlayer(training, work);
        // The arrays are the engine's until it differentiates the next player.
        const own = players.length > 1 ? withOwnGradients(differentiated) : differentiated;
        moves.push(() => updatePlayer(training, own));
      }
    }
    for (const move of moves) {
      const outcome = await move();
      outcomes.set(outcome.player, outcome);
    }
    if ([...outcomes.values()].some(({ broken }) => broken)) break;
  }
  return { outcomes: [...outcomes.values()], tokens: Math.max(...tokens.values()) };
}

/** Players that move at once, for the how-manieth time (from 0) in this step. */
interface Turn {
  readonly players: readonly Player[];
  readonly update: number;
  /** Whether they move no more in this step: of several updates the last stands in the tables. */
  readonly isLast: boolean;
}

/** The turns of a step, in their order. */
function turnsOf({ players, order }: Training): Turn[] {
  if (order === "simultaneous") return [{ players, update: 0, isLast: true }];
  return players.flatMap((player) => {
    const { updates = 1 } = player;
    return Array.from({ length: updates }, (_, update) => ({
      players: [player],
      update,
      isLast: update === updates - 1,
    }));
  });
}

/** What a step of one player leaves. */
export interface StepOutcome {
  readonly player: string;
  readonly scalars: StepResult["scalars"];
  /** Global, before clipping. */
  readonly gradientNorm: number;
  readonly layers: LayerRow[];
  readonly readings: ReadingRow[];
  readonly broken?: Divergence;
}

/** One player's forward, backward, probes and update. `broken` says what is not finite, where there is such a thing; the
 *  parameters are then left as they were. The host's may be behind afterwards, as with {@link trainStep}. */
export async function playerStep(training: Training, player: Player, batch: Batch, step: number): Promise<StepOutcome> {
  const work = workOf(training, player, [batch], { step, number: step, isProbed: true });
  if (staysOnDevice(training, work)) return trainOnDevice(training, work);
  training.engine.residence?.leave();
  return updatePlayer(training, await differentiatePlayer(training, work));
}

/** What is to be done of a player at a step. `number` counts the player's updates from 0. */
interface Work {
  readonly player: Player;
  /** Those of one update. */
  readonly batches: readonly Batch[];
  readonly step: number;
  readonly number: number;
  readonly probes: readonly Probe[];
  readonly tapped: boolean;
}

function workOf(
  training: Training,
  player: Player,
  batches: readonly Batch[],
  { step, number, isProbed }: { readonly step: number; readonly number: number; readonly isProbed: boolean },
): Work {
  const probes = isProbed && training.isProbed(step) ? training.probes : [];
  return { player, batches, step, number, probes, tapped: isNeeded(probes, "taps") };
}

const isNeeded = (probes: readonly Probe[], need: Need): boolean => probes.some(({ needs }) => needs.includes(need));

const stepOptions = ({ seed }: Training, { number, tapped, probes }: Work) => ({
  step: number,
  seed,
  tapped,
  readings: probes.flatMap(({ reads }) => reads ?? []),
});

/** Whether a step can be done without the host's arrays: nobody asks for the gradients themselves or for distances, several batches'
 *  gradients are not to be summed up, and no parameter is put back on its sphere after the update. */
function staysOnDevice({ engine, parameters }: Training, { player, batches, probes }: Work): boolean {
  if (!engine.residence || batches.length > 1) return false;
  if (isNeeded(probes, "batches") || isNeeded(probes, "start")) return false;
  return player.stages.every((stage) =>
    learntBy(stage).every((name) => parameters.get(stage.parameters[name]!.path)!.unitNorm === undefined),
  );
}

/** A step where the parameters live on the engine's device. */
async function trainOnDevice(training: Training, work: Work): Promise<StepOutcome> {
  const { player, batches, step, probes } = work;
  const outputChange = isNeeded(probes, "output") ? await changeOfOutput(training, player) : undefined;
  const { isFinite, scalars, taps, readings, ...moved } = await training.engine.residence!.train(
    player,
    training.parameters,
    batches[0]!, // see staysOnDevice
    {
      ...stepOptions(training, work),
      optimizer: training.optimizers.get(player.name)!,
      learningRate: training.learningRate(step, player.name),
      clipNorm: training.clipNorm,
      measured: probes.length > 0,
    },
  );
  const found = { ...work, scalars, taps, readings, compared: outputChange ? { outputChange } : {} };
  return outcomeOf(training, found, { ...moved, finite: isFinite });
}

/** A player's gradients at a step, and what probes were shown on the way. */
interface Differentiated extends Work, Accumulated {
  readonly compared: Pick<StepView, "outputChange" | "distances" | "sample">;
}

async function differentiatePlayer(training: Training, work: Work): Promise<Differentiated> {
  const { engine, parameters } = training;
  const { player, batches, number, probes } = work;
  const outputChange = isNeeded(probes, "output") ? await changeOfOutput(training, player) : undefined;
  const completeSample = isNeeded(probes, "batches") ? await sampleGradients(training, player, number) : undefined;
  const { scalars, gradients, taps, readings } = await differentiateBatches(
    engine,
    player,
    parameters,
    batches,
    stepOptions(training, work),
  );
  const sample = completeSample?.(gradients, targetsOf(batches));
  const distances = isNeeded(probes, "start") ? distancesFrom(training, gradients) : undefined;
  const compared = {
    ...(outputChange && { outputChange }),
    ...(distances && { distances }),
    ...(sample && { sample }),
  };
  return { ...work, scalars, gradients, taps, readings, compared };
}

const withOwnGradients = (found: Differentiated): Differentiated => ({
  ...found,
  gradients: new Map([...found.gradients].map(([path, data]) => [path, Float32Array.from(data)])),
});

async function updatePlayer(training: Training, found: Differentiated): Promise<StepOutcome> {
  const { parameters, clipNorm } = training;
  const { player, step, number, probes, scalars, gradients } = found;
  const gradientMoments = new Map<string, Moments>();
  let squares = 0;
  for (const path of parameters.keys()) {
    const gradient = gradients.get(path);
    if (!gradient) continue; // another player's
    const moments = momentsOf(gradient);
    gradientMoments.set(path, moments);
    squares += moments.sumSquares;
  }
  const gradientNorm = Math.sqrt(squares);
  const finite = Number.isFinite(scalars["loss"]) && Number.isFinite(gradientNorm);

  const updates = new Map<string, UpdateMoments>();
  if (finite) {
    const optimizer = training.optimizers.get(player.name)!;
    const gradientScale = clipNorm !== null && gradientNorm > clipNorm ? clipNorm / gradientNorm : 1;
    const learningRate = training.learningRate(step, player.name);
    const settings = { gradientScale, learningRate, step: number, measured: probes.length > 0 };
    for (const path of gradientMoments.keys()) {
      const parameter = parameters.get(path)!;
      const update = (): UpdateMoments => optimizer.update(path, parameter.data, gradients.get(path)!, settings);
      updates.set(path, withUnitNorm(parameter, update));
    }
  }
  return outcomeOf(training, found, { gradients: gradientMoments, gradientNorm, finite, updates });
}

/** What a player's step leaves, wherever it was done. */
async function outcomeOf(
  { engine, parameters, seed }: Training,
  found: Omit<Differentiated, "gradients">,
  moved: Pick<StepView, "gradients" | "updates"> & { readonly gradientNorm: number; readonly finite: boolean },
): Promise<StepOutcome> {
  const { player, batches, step, number, probes, scalars, taps, readings, compared } = found;
  const { gradients, updates, gradientNorm, finite } = moved;
  const view: StepView = { step, player: player.name, gradients, taps, readings, updates, ...compared };
  const measured = {
    layers: probes.flatMap((probe) => probe.rows?.(view) ?? []),
    readings: probes.flatMap((probe) => probe.numbers?.(view) ?? []),
  };
  const outcome = { player: player.name, scalars, gradientNorm, ...measured };
  if (finite) return outcome;
  // Without taps the place is not known yet: the same step again, measured.
  const seen = found.tapped
    ? taps
    : (await differentiateBatches(engine, player, parameters, batches, { step: number, seed, tapped: true })).taps;
  const what = Number.isFinite(scalars["loss"]) ? "gradient" : "loss";
  const place = firstBroken(seen, gradients);
  const { stack, layer, component, quantity } = place;
  const where = `${stack}${layer === "" ? "" : ` layer ${layer}`}, ${component}`;
  const reason = `${what} not finite at step ${step}; first in the ${quantity.replace("-", " ")} of ${where}`;
  return { ...outcome, broken: { step, ...place, reason } };
}

/** What the recording probes compare with, taken before training. */
export async function startOf(
  training: Pick<Training, "players" | "parameters" | "engine" | "dataset" | "probes">,
): Promise<Start> {
  const { players, parameters, engine, dataset, probes } = training;
  const isNeeded = (need: Need): boolean => probes.some(({ needs }) => needs.includes(need));
  const outputs = new Map<string, Float32Array>();
  if (isNeeded("output"))
    for (const player of players)
      if (player.output !== undefined)
        outputs.set(player.name, Float32Array.from(await engine.output(player, parameters, fixedBatch(dataset))));
  const compared = isNeeded("start") ? [...parameters] : [];
  return { outputs, parameters: new Map(compared.map(([path, { data }]) => [path, Float32Array.from(data)])) };
}

/** Moments of theta - theta_0 by path, of the parameters that have `gradients`: the others are another player's. */
function distancesFrom({ start, parameters }: Training, gradients: StepResult["gradients"]): Map<string, Moments> {
  const own = [...(start?.parameters ?? [])].filter(([path]) => gradients.has(path));
  return new Map(
    own.map(([path, before]) => {
      const { data } = parameters.get(path)!;
      let [sumSquares, max] = [0, 0];
      for (let i = 0; i < data.length; i++) {
        const change = data[i]! - before[i]!;
        sumSquares += change * change;
        if (!(Math.abs(change) <= max)) max = Math.abs(change);
      }
      return [path, { sumSquares, max, count: data.length }];
    }),
  );
}

/** Moments of F(x; theta) - F(x; theta_0); undefined for a player without an output. */
async function changeOfOutput(training: Training, player: Player): Promise<Moments | undefined> {
  const start = training.start?.outputs.get(player.name);
  if (!start) return undefined;
  const now = await training.engine.output(player, training.parameters, fixedBatch(training.dataset));
  return momentsOf(now.map((value, i) => value - start[i]!));
}

/** The batch on which outputs are compared. */
function fixedBatch({ evaluation }: Dataset): Batch {
  const [batch] = evaluation.dev;
  assert(batch, "the dev split has no batch");
  return batch;
}

/** Where the first non-finite value stands: upwards through the activations, then downwards through their gradients. */
function firstBroken(
  taps: readonly TapReading[],
  gradients: ReadonlyMap<string, Moments>,
): Pick<Divergence, "stack" | "layer" | "component" | "quantity"> {
  const isBroken = ({ sumSquares, max }: Moments): boolean => Number.isNaN(sumSquares) || !Number.isFinite(max);
  const activation = taps.find((tap) => isBroken(tap.activation));
  const tap = activation ?? taps.findLast((tap) => isBroken(tap.gradient));
  if (tap) {
    const { stack, layer, component, point } = tap;
    const quantity = activation ? "activation" : "activation-gradient";
    return { stack, layer, component: point === "branch" ? `${component} branch` : component, quantity };
  }
  const path = [...gradients].find(([, moments]) => isBroken(moments))?.[0];
  // What lies beyond the last tap is the output.
  if (path === undefined) return { stack: "output", layer: "", component: "loss", quantity: "activation" };
  const { stack, layer, component } = placeOf(path);
  return { stack, layer, component, quantity: "parameter-gradient" };
}

/** Means over a split, weighted by targets: of each player's loss, also by label (`loss`, `loss/en-de` ...; of batches apart
 *  `zero-shot/loss`, `zero-shot/loss/de-fr` ...), and of the scalars it wants evaluated. Noise is the same at every
 *  evaluation. `loss` is the sum of the players' losses. */
export async function evaluateSplit(
  {
    players,
    parameters,
    engine,
    dataset,
    seed,
  }: Pick<Training, "players" | "parameters" | "engine" | "dataset" | "seed">,
  split: "dev" | "test",
): Promise<{ loss: number; rows: [name: string, value: number][] }> {
  const sums = new Map<string, { total: number; tokens: number }>();
  const add = (name: string, value: number, tokens: number): void => {
    const sum = sums.get(name) ?? { total: 0, tokens: 0 };
    sums.set(name, { total: sum.total + value * tokens, tokens: sum.tokens + tokens });
  };
  for (const player of players)
    for (const [index, batch] of dataset.evaluation[split].entries()) {
      const scalars = await engine.evaluate(player, parameters, batch, { step: index, seed });
      const named = (name: string): string =>
        nameBy(players, player.name)(batch.apart ? `${batch.apart}/${name}` : name);
      for (const name of ["loss", ...(player.evaluated ?? [])]) add(named(name), scalars[name]!, batch.tokens);
      if (batch.label) add(`${named("loss")}/${batch.label}`, scalars["loss"]!, batch.tokens);
    }
  const rows = [...sums].map(([name, { total, tokens }]): [string, number] => [name, total / tokens]);
  const losses = players.map(({ name }) => rows.find(([row]) => row === nameBy(players, name)("loss"))?.[1] ?? NaN);
  return { loss: losses.reduce((sum, loss) => sum + loss, 0), rows };
}
