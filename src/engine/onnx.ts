// The default engine: stages compiled to ONNX, run by ONNX Runtime's native CPU kernels.
import { assert, messageOf } from "../errors.ts";
import type { TapReading } from "../probes/probe.ts";
import { constantAt, type Parameters, type Player, type Stage } from "../stage.ts";
import type { Batch } from "../types.ts";
import { compilationKey, compileStage, type Measured, type Mode } from "./compile.ts";
import type { Engine, EngineKind, NoisePosition, StepResult } from "./engine.ts";
import { noiseKeeper } from "./noise.ts";
import { bufferPool, type Carry, isOutOfRange, layOut, type Loaded, type Plan } from "./plan.ts";
import { checkInPlaceOutputs, createSession, sessionOptions } from "./session.ts";

/** Stages compiled to ONNX, on ONNX Runtime. */
export const onnx: EngineKind = {
  name: "onnx",
  summary: "compiled stages on ONNX Runtime's native CPU kernels; the default without a GPU",
  unavailable: async () => undefined,
  async create({ threads }) {
    await checkInPlaceOutputs();
    return onnxEngine(threads);
  },
};

function onnxEngine(threads: number): Engine {
  const loaded = new Map<string, Promise<Loaded>>();
  let plans: Plans = new WeakMap();
  // Plans hold views of the buffers: where one moves, all of them are laid out anew when next asked for.
  const pool = bufferPool(() => void (plans = new WeakMap()));
  const keepNoise = noiseKeeper();
  /** Whether taps are measured so that numbers beyond the range of float32's squares are true, too. */
  let scaled = false;

  let compileMilliseconds = 0;
  const loadStage = (stage: Stage, carry: Carry, mode: Mode, measured: Measured): Promise<Loaded> =>
    remember(loaded, compilationKey(stage, carry, mode, measured), async () => {
      const start = performance.now();
      const compiled = compileStage(stage, carry, mode, measured);
      const forward = await createSession(compiled.forward, threads);
      const backward = compiled.backward && (await createSession(compiled.backward, threads));
      compileMilliseconds += performance.now() - start;
      return backward ? { compiled, forward, backward } : { compiled, forward };
    });
  const planOf = async (
    player: Player,
    parameters: Parameters,
    batch: Batch,
    options: { readonly training: boolean } & Measured,
  ): Promise<Plan> => {
    const shapes = Object.entries(batch.tensors).map(([name, { shape }]) => [name, shape]);
    const key = JSON.stringify([options, shapes]);
    // Growing a shared buffer drops the plans, this one included: it is then laid out again, on buffers large enough.
    for (;;) {
      const own = plansOf(plans, player, parameters);
      const plan = await remember(own, key, () => layOut(player, parameters, batch, options, pool, loadStage));
      if (plansOf(plans, player, parameters) === own) return plan;
    }
  };
  const runPlan = async (plan: Plan, batch: Batch, { step, seed }: NoisePosition): Promise<void> => {
    for (const [name, { data }] of Object.entries(batch.tensors))
      (plan.batch[name]!.data as Float32Array).set(data as Float32Array);
    for (const { purpose, noise, data } of plan.noises) keepNoise(data, { seed, purpose, noise, step });
    for (const { constant, data } of plan.constants) data[0] = constantAt(constant, step);
    let nextSum = 0;
    for (const [i, call] of plan.calls.entries()) {
      try {
        await call.session.run(call.feeds, call.fetches);
      } catch (error) {
        throw new Error(`${call.what}: ${messageOf(error)}`, { cause: error });
      }
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
    at: NoisePosition = { step: 0, seed: 0 },
  ): Promise<Plan> => {
    const batch = madeOnce(given);
    const plan = await planOf(player, parameters, batch, { training: false, taps: "none", readings: [] });
    await runPlan(plan, batch, at);
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
        const plan = await planOf(player, parameters, batch, { training: true, taps, readings });
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
    async output(player, parameters, batch, at) {
      const { output } = await evaluated(player, parameters, batch, at);
      assert(output, `player ${player.name} does not say what its output is`);
      return output.data as Float32Array;
    },
    facts: () => ({
      engine: "onnx",
      threads,
      ...sessionOptions,
      compiledStages: loaded.size,
      compileMilliseconds: Math.round(compileMilliseconds),
    }),
    async dispose() {
      for (const { forward, backward } of await Promise.all(loaded.values())) {
        await forward.release();
        await backward?.release();
      }
      loaded.clear();
      plans = new WeakMap();
    },
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
