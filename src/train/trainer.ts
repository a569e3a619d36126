// The training loop: for each player, forward, backward, probe, update. It never asks which model it trains.
import type { Engine, StepResult } from "../engine/engine.ts";
import { momentsOf } from "../engine/moments.ts";
import { assert } from "../errors.ts";
import type { Need, Probe, StepView, TapReading } from "../probes/probe.ts";
import { type Parameter, placeOf, type Player } from "../stage.ts";
import type { Batch, Dataset, LayerRow, MetricRow, Moments, ReadingRow } from "../types.ts";
import type { TrainingState } from "./checkpoint.ts";
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
  readonly learningRate: (step: number) => number;
  /** Gradients are scaled down to this global norm; null for no clipping. */
  readonly clipNorm: number | null;
  readonly probes: readonly Probe[];
  readonly isProbed: (step: number) => boolean;
  /** What probes compare with; without it such changes are not measured. */
  readonly start?: Start;
  /** K, the number of batches whose gradients are compared where a probe needs several; 2 if not given, the fewest. */
  readonly batches?: number;
  readonly evaluateEverySteps: number;
  readonly checkpointEverySteps: number;
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
  /** Saves `state`; `best` when the dev loss has just reached a new low. */
  checkpoint(kind: "step" | "best", state: TrainingState): void;
  progress(state: { step: number; loss: number; gradientNorm: number }): void;
}

export interface Outcome {
  readonly status: "done" | "diverged" | "interrupted";
  /** For `diverged`: what is not finite, at which step, and where first. */
  readonly reason?: string;
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

/** Trains from `start` to the last step. A non-finite loss or gradient ends the run as `diverged`: that is a result. */
export async function train(training: Training, start: TrainingState, hooks: TrainingHooks): Promise<Outcome> {
  const { steps, dataset, players } = training;
  const began = performance.now();
  let state = start;
  const seconds = (): number => start.seconds + (performance.now() - began) / 1000;
  let saved = start.step;
  const save = (): void => {
    if (saved !== state.step) hooks.checkpoint("step", { ...state, seconds: seconds() });
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
  const evaluated = async (): Promise<number> => {
    const { loss, rows } = await evaluateSplit(training, "dev");
    hooks.metrics(rows.map(([name, value]) => row("dev")(name, value)));
    if (loss < (state.best?.loss ?? Infinity)) {
      state = { ...state, best: { step: state.step, loss } };
      hooks.checkpoint("best", { ...state, seconds: seconds() });
    }
    return loss;
  };

  while (state.step < steps) {
    if (hooks.signal.aborted) {
      save();
      return { status: "interrupted" };
    }
    const { step } = state;
    // Before the step, so that a run resumed at this step evaluates here as well.
    if (step % training.evaluateEverySteps === 0) await evaluated();
    const batch = dataset.batchAt(step);
    for (const player of players) {
      const { scalars, gradientNorm, layers, readings, broken } = await playerStep(training, player, batch, step);
      const named = (name: string): string => (players.length > 1 ? `${player.name}/${name}` : name);
      const values = { ...scalars, "gradient-norm": gradientNorm, "learning-rate": training.learningRate(step) };
      hooks.metrics(Object.entries(values).map(([name, value]) => row("train")(named(name), value)));
      hooks.layers(step, layers);
      hooks.readings(step, readings);
      hooks.progress({ step: step + 1, loss: scalars["loss"]!, gradientNorm });
      if (broken) return { status: "diverged", reason: broken.reason, divergence: broken };
    }
    state = { ...state, step: step + 1, tokens: state.tokens + batch.tokens };
    if (state.step % training.checkpointEverySteps === 0) save();
  }
  const loss = await evaluated();
  // No further step would show what the last update has done.
  if (!Number.isFinite(loss)) return { status: "diverged", reason: `dev loss not finite after step ${state.step - 1}` };
  save();
  return { status: "done" };
}

/** What a step of one player leaves. */
export interface StepOutcome {
  readonly scalars: StepResult["scalars"];
  /** Global, before clipping. */
  readonly gradientNorm: number;
  readonly layers: LayerRow[];
  readonly readings: ReadingRow[];
  readonly broken?: Divergence;
}

/** One player's forward, backward, probes and update. `broken` says what is not finite, where there is such a thing; the
 *  parameters are then left as they were. */
export async function playerStep(training: Training, player: Player, batch: Batch, step: number): Promise<StepOutcome> {
  const { engine, parameters, seed } = training;
  const probes = training.isProbed(step) ? training.probes : [];
  const isNeeded = (need: Need): boolean => probes.some((probe) => probe.needs.includes(need));
  const tapped = isNeeded("taps");
  const outputChange = isNeeded("output") ? await changeOfOutput(training, player) : undefined;
  const completeSample = isNeeded("batches") ? await sampleGradients(training, player, step) : undefined;
  const { scalars, gradients, taps, readings } = await engine.differentiate(player, parameters, batch, {
    step,
    seed,
    tapped,
    readings: probes.flatMap(({ reads }) => reads ?? []),
  });
  const sample = completeSample?.(gradients, batch);
  const distances = isNeeded("start") ? distancesFrom(training, gradients) : undefined;
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
    const { clipNorm } = training;
    const gradientScale = clipNorm !== null && gradientNorm > clipNorm ? clipNorm / gradientNorm : 1;
    const learningRate = training.learningRate(step);
    const settings = { gradientScale, learningRate, step };
    for (const path of gradientMoments.keys()) {
      const parameter = parameters.get(path)!;
      const update = (): UpdateMoments => optimizer.update(path, parameter.data, gradients.get(path)!, settings);
      updates.set(path, withUnitNorm(parameter, update));
    }
  }
  const view: StepView = {
    step,
    player: player.name,
    parameters,
    gradients: gradientMoments,
    taps,
    readings,
    updates,
    ...(outputChange && { outputChange }),
    ...(distances && { distances }),
    ...(sample && { sample }),
  };
  const measured = {
    layers: probes.flatMap((probe) => probe.rows?.(view) ?? []),
    readings: probes.flatMap((probe) => probe.numbers?.(view) ?? []),
  };
  if (finite) return { scalars, gradientNorm, ...measured };
  // Without taps the place is not known yet: the same step again, measured.
  const seen = tapped
    ? taps
    : (await engine.differentiate(player, parameters, batch, { step, seed, tapped: true })).taps;
  const what = Number.isFinite(scalars["loss"]) ? "gradient" : "loss";
  const place = firstBroken(seen, gradientMoments);
  const { stack, layer, component, quantity } = place;
  const where = `${stack}${layer === "" ? "" : ` layer ${layer}`}, ${component}`;
  const reason = `${what} not finite at step ${step}; first in the ${quantity.replace("-", " ")} of ${where}`;
  return { scalars, gradientNorm, ...measured, broken: { step, ...place, reason } };
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

/** Mean of every scalar over a split, weighted by targets, and of the loss by label: `loss`, `loss/en-de` ... */
export async function evaluateSplit(
  { players, parameters, engine, dataset }: Pick<Training, "players" | "parameters" | "engine" | "dataset">,
  split: "dev" | "test",
): Promise<{ loss: number; rows: [name: string, value: number][] }> {
  const sums = new Map<string, { total: number; tokens: number }>();
  const add = (name: string, value: number, tokens: number): void => {
    const sum = sums.get(name) ?? { total: 0, tokens: 0 };
    sums.set(name, { total: sum.total + value * tokens, tokens: sum.tokens + tokens });
  };
  for (const player of players)
    for (const batch of dataset.evaluation[split]) {
      const scalars = await engine.evaluate(player, parameters, batch);
      const name = players.length > 1 ? `${player.name}/loss` : "loss";
      add(name, scalars["loss"]!, batch.tokens);
      if (batch.label) add(`${name}/${batch.label}`, scalars["loss"]!, batch.tokens);
    }
  const rows = [...sums].map(([name, { total, tokens }]): [string, number] => [name, total / tokens]);
  return { loss: rows.find(([name]) => name === "loss")?.[1] ?? NaN, rows };
}
