// The default engine: stages compiled to ONNX, run by ONNX Runtime, on its native CPU kernels or another provider.
import { assert } from "../errors.ts";
import type { TapReading } from "../probes/probe.ts";
import { constantAt, type Parameters, type Player, type Stage } from "../stage.ts";
import type { Batch, CompiledProgram, ProgramEnd } from "../types.ts";
import {
  type Arguments,
  bytesOf,
  compilationKey,
  compileStage,
  type Direction,
  lastingArguments,
  type Measured,
  type Mode,
  type Port,
  type Program,
  programName,
} from "./compile.ts";
import { runFailure, sessionFailure } from "./diagnose.ts";
import type { Engine, EngineKind, EngineOptions, NoisePosition, OutputOptions, StepResult } from "./engine.ts";
import { noiseKeeper } from "./noise.ts";
import {
  bind,
  bufferPool,
  type Carry,
  isOutOfRange,
  layOut,
  type LayoutOptions,
  type Loaded,
  type Plan,
} from "./plan.ts";
import { cpuProvider, type Provider, providers } from "./providers.ts";
import { checkInPlaceOutputs, createSession, missingProvider, type Session, sessionOptions } from "./session.ts";

/** Stages compiled to ONNX, on ONNX Runtime. */
export const onnx: EngineKind = {
  name: "onnx",
  summary: "compiled stages on ONNX Runtime's native CPU kernels; the default without a GPU",
  providers,
  // The CPU's kernels are the runtime itself.
  unavailable: async (options) => {
    const { provider = cpuProvider.name } = options ?? {};
    return provider === cpuProvider.name ? undefined : missingProvider(providerNamed(provider));
  },
  async create({ provider: name = cpuProvider.name, ...options }) {
    const provider = providerNamed(name);
    await checkInPlaceOutputs(provider);
    return onnxEngine(provider, options);
  },
};

function providerNamed(name: string): Provider {
  const provider = providers.find((known) => known.name === name);
  assert(provider, `there is no execution provider ${name}`);
  return provider;
}

function onnxEngine(
  provider: Provider,
  { threads, recompute, laidOut, reused, onProgram, onCall }: Omit<EngineOptions, "provider">,
): Engine {
  assert(!laidOut || provider === cpuProvider, `what was laid out for the cpu is given to provider ${provider.name}`);
  const loaded = new Map<string, Promise<Loaded>>();
  let plans: Plans = new WeakMap();
  // Plans hold views of the buffers: where one moves, all of them are laid out anew when next asked for.
  const pool = bufferPool(() => void (plans = new WeakMap()), laidOut?.buffers);
  const keepNoise = noiseKeeper();
  /** Whether taps are measured so that numbers beyond the range of float32's squares are true, too. */
  let scaled = false;

  let compileMilliseconds = 0;
  const loadStage = (
    stage: Stage,
    carry: Carry,
    mode: Mode,
    measured: Measured,
    known?: { readonly as: string; readonly values: Arguments },
  ): Promise<Loaded> => {
    const key = compilationKey(stage, carry, mode, measured);
    return remember(loaded, known ? `${key} with ${known.as}` : key, async () => {
      const start = performance.now();
      const before = known ? undefined : laidOut?.compiled.get(key);
      if (before) compileMilliseconds += before.milliseconds;
      const compiled = before?.stage ?? compileStage(stage, carry, mode, measured, provider, known?.values);
      const session = async (direction: Direction, program: Program): Promise<Session> => {
        onProgram?.(describeProgram(program, { stage, direction, mode, measured, provider }));
        const create = (): Promise<Session> => createSession(program, threads, provider);
        try {
          return await (before && reused ? reused.session(program, create) : create());
        } catch (error) {
          throw await sessionFailure(program, provider, programName(direction, stage, mode), error);
        }
      };
      const forward = await session("forward", compiled.forward);
      const backward = compiled.backward && (await session("backward", compiled.backward));
      compileMilliseconds += performance.now() - start;
      return backward ? { compiled, forward, backward } : { compiled, forward };
    });
  };
  const numberOf = numbering<Parameters>();
  /** Loads stages that have these parameters for good, the large ones as ever. */
  const loadLasting = (parameters: Parameters) => {
    return (stage: Stage, ...how: [Carry, Mode, Measured]): Promise<Loaded> => {
      const values = lastingArguments(stage, parameters);
      if ([...values.values()].reduce((sum, value) => sum + bytesOf(value), 0) > LARGEST_KNOWN)
        return loadStage(stage, ...how);
      const paths = Object.values(stage.parameters).map(({ path }) => path);
      return loadStage(stage, ...how, {
        as: JSON.stringify([numberOf(parameters), paths, stage.constants]),
        values,
      });
    };
  };
  const planOf = async (
    player: Player,
    parameters: Parameters,
    batch: Batch,
    options: LayoutOptions,
    fixedParameters = false,
  ): Promise<Plan> => {
    const shapes = Object.entries(batch.tensors).map(([name, { shape }]) => `${name} ${shape.join()}`);
    const key = JSON.stringify([options, fixedParameters, shapes.join(";")]);
    const load = fixedParameters ? loadLasting(parameters) : loadStage;
    // Growing a shared buffer drops the plans, this one included: it is then laid out again, on buffers large enough.
    for (;;) {
      const own = plansOf(plans, player, parameters);
      const plan = await remember(own, key, () => layOut(player, parameters, batch, options, pool, load));
      if (plansOf(plans, player, parameters) === own) return plan;
    }
  };
  const runPlan = async (
    plan: Plan,
    batch: Batch,
    { step, seed }: NoisePosition,
    inPlace?: ReadonlySet<string>,
  ): Promise<void> => {
    for (const [name, given] of Object.entries(batch.tensors)) {
      const { buffer, readers } = plan.batch[name]!;
      if (!inPlace?.has(name)) (buffer.data as Float32Array).set(given.data as Float32Array);
      bind(readers, given, inPlace?.has(name) ? given.data : buffer.data);
    }
    for (const { constant, data } of plan.constants) data[0] = constantAt(constant, step);
    let nextSum = 0;
    for (const [i, call] of plan.calls.entries()) {
      for (const { purpose, noise, data } of call.noises) keepNoise(data, { seed, purpose, noise, step });
      const began = onCall && performance.now();
      try {
        await call.session.run(call.feeds, call.fetches);
      } catch (error) {
        throw runFailure(provider, call.what, error);
      }
      if (began !== undefined) onCall?.(call.what, performance.now() - began);
      for (; plan.sums[nextSum]?.after === i; nextSum++) {
        const { into, from } = plan.sums[nextSum]!;
        for (let j = 0; j < into.length; j++) into[j]! += from[j]!;
      }
    }
  };
  const evaluated = async (
    player: Player,
    parameters: Parameters,
    given: Batch,
    asked: OutputOptions = {},
  ): Promise<Plan> => {
    const batch = madeOnce(given);
    const options = { training: false, taps: "none", readings: [] } as const;
    const plan = await planOf(player, parameters, batch, options, asked.fixedParameters);
    await runPlan(plan, batch, { step: 0, seed: 0, ...asked }, asked.inPlace);
    return plan;
  };
  const scalarsOf = (plan: Plan): Record<string, number> =>
    Object.fromEntries(Object.entries(plan.scalars).map(([name, { data }]) => [name, Number(data[0])]));

  return {
    name: "onnx",
    async differentiate(player, parameters, given, options): Promise<StepResult> {
      const batch = madeOnce(given);
      const run = async (taps: Measured["taps"]): Promise<{ plan: Plan; taps: readonly TapReading[] }> => {
        const { readings = [] } = options;
        const plan = await planOf(player, parameters, batch, { training: true, recompute, taps, readings });
        await runPlan(plan, batch, options);
        return { plan, taps: plan.readTaps() };
      };
      let { plan, taps } = await run(!options.tapped ? "none" : scaled ? "scaled" : "plain");
      if (!scaled && taps.some(({ activation, gradient }) => isOutOfRange(activation) || isOutOfRange(gradient))) {
        // From here on at once: where a gradient has vanished it will be small at the next step, too.
        scaled = true;
        ({ plan, taps } = await run("scaled"));
      }
      return {
        scalars: scalarsOf(plan),
        gradients: plan.gradients,
        taps,
        readings: plan.readReadings(),
        noises: new Map(plan.noises.map((noise) => [noise.purpose, noise])),
      };
    },
    evaluate: async (...given) => scalarsOf(await evaluated(...given)),
    async output(...given) {
      const [player] = given;
      const { output } = await evaluated(...given);
      assert(output, `player ${player.name} does not say what its output is`);
      return output.data as Float32Array;
    },
    facts: () => ({
      engine: "onnx",
      provider: provider.name,
      threads,
      ...sessionOptions,
      compiledStages: loaded.size,
      compileMilliseconds: Math.round(compileMilliseconds),
    }),
    async dispose() {
      // Those that could not be built have said so where they were asked for.
      for (const result of await Promise.allSettled(loaded.values()))
        if (result.status === "fulfilled") {
          await result.value.forward.release();
          await result.value.backward?.release();
        }
      loaded.clear();
      plans = new WeakMap();
    },
  };
}

/** What is kept of a program. */
function describeProgram(
  { model, inputs, outputs, nodes }: Program,
  of: {
    readonly stage: Stage;
    readonly direction: Direction;
    readonly mode: Mode;
    readonly measured: Measured;
    readonly provider: Provider;
  },
): CompiledProgram {
  const end = ({ name, shape, dtype }: Port): ProgramEnd => ({ name, shape, dtype });
  const counts: Record<string, number> = {};
  for (const { op, domain } of nodes) {
    const name = domain ? `${domain}.${op}` : op;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return {
    stage: of.stage.name,
    key: of.stage.key,
    mode: of.mode,
    direction: of.direction,
    taps: of.measured.taps,
    provider: of.provider.name,
    model,
    inputs: inputs.map(end),
    outputs: outputs.map(end),
    nodes: Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Bytes of a stage's arguments up to which they may be part of its programs. With 10 MiB a step of decoding takes 22 % less time so,
 *  with 29 MiB 12 %, while every shape's program holds copies of them. */
const LARGEST_KNOWN = 16 * 2 ** 20;

/** Numbers things, the same thing always alike. */
function numbering<T extends object>(): (of: T) => number {
  const numbers = new WeakMap<T, number>();
  let next = 0;
  return (of) => {
    if (!numbers.has(of)) numbers.set(of, next++);
    return numbers.get(of)!;
  };
}

/** A batch whose tensors are there: those of a dataset may be made anew whenever they are read. */
const madeOnce = ({ tensors, tokens }: Batch): Batch => ({ tensors, tokens });

/** Plans belong to one player and its parameters, whatever their names, and go with either: a linearization makes players that
 *  nobody else will ever ask for. */
type Plans = WeakMap<Player, WeakMap<Parameters, PlansByShape>>;
type PlansByShape = Map<string, Promise<Plan>>;

function plansOf(plans: Plans, player: Player, parameters: Parameters): PlansByShape {
  let byParameters = plans.get(player);
  if (!byParameters) plans.set(player, (byParameters = new WeakMap()));
  let byShape = byParameters.get(parameters);
  if (!byShape) byParameters.set(parameters, (byShape = new Map()));
  return byShape;
}

/** The value under `key`, made once, even if asked for again while it is being made. */
function remember<T>(map: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let value = map.get(key);
  if (!value) map.set(key, (value = make()));
  return value;
}
