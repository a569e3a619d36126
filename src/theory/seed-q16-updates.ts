import * as tf from "@tensorflow/tfjs-core";
import type { Engine } from "../engine/engine.ts";
import { constant } from "../nn/parameters.ts";
import { stream } from "../random.ts";
import type { Parameter, Player, Stage } from "../stage.ts";
import { createOptimizer } from "../train/optimizers.ts";
import { type Training, trainStep } from "../train/trainer.ts";
import type { Batch } from "../types.ts";
import { type Check, claim, type Finding } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import {
  apart,
  type ByPath,
  deriveByHand,
  differentiateGan,
  ganInWords,
  type SmallGan,
  smallGan,
} from "./small-gan.ts";

type Order = NonNullable<Training["order"]>;

/** Learning rates: of the GAN's one step, large so that float32 parameters show it, and around the equilibrium. */
const rate = { step: 0.5, rotation: 0.1 };
const steps = 200;

/** The trainer as configurations with plain descent make it, nothing measured beside it. */
function trainingOf(
  engine: Engine,
  players: readonly Player[],
  parameters: ReadonlyMap<string, Parameter>,
  { order, batch, learningRate, seed }: { order: Order; batch: Batch; learningRate: number; seed: number },
): Training {
  const sgd = { kind: "sgd", learningRate, momentum: 0, weightDecay: 0 } as const;
  return {
    players,
    parameters,
    optimizers: new Map(players.map(({ name }) => [name, createOptimizer(sgd)])),
    engine,
    dataset: {
      batchAt: () => batch,
      stepsPerEpoch: 1,
      evaluation: { dev: [], test: [] },
      unigramEntropy: NaN,
      dimensions: {},
      hashes: {},
    },
    seed,
    steps,
    learningRate: () => learningRate,
    order,
    clipNorm: null,
    probes: [],
    isProbed: () => false,
    evaluateEverySteps: steps,
    checkpointEverySteps: steps,
  };
}

/** How far each player moved in one step of the trainer, and what the seed says, by hand. */
export interface Updates {
  readonly seed: number;
  /** theta^{t+1} - theta^t of both players in both orders. */
  readonly moved: Readonly<Record<Order, ByPath>>;
  /** grad L at theta^t, and by theta_g once the discriminator has moved. */
  readonly discriminator: ByPath;
  readonly generator: ByPath;
  readonly generatorAfter: ByPath;
}

/** One step of a small GAN in each order. */
export async function updatesOf(engine: Engine, seed: number): Promise<Updates> {
  const moved: Partial<Record<Order, ByPath>> = {};
  let after: SmallGan | undefined;
  for (const order of ["simultaneous", "alternating"] as const) {
    const game = smallGan(seed);
    const start = smallGan(seed).parameters;
    const { players, parameters, batch } = game;
    await trainStep(trainingOf(engine, players, parameters, { order, batch, learningRate: rate.step, seed }), 0);
    moved[order] = new Map(
      [...parameters].map(([path, { data }]) => {
        const before = start.get(path)!.data;
        return [path, Float64Array.from(data, (value, i) => value - before[i]!)];
      }),
    );
    // The discriminator has moved; the generator's loss is then seen from where it had been.
    const isGenerators = (path: string): boolean => path.startsWith("generator/");
    const half = [...parameters].map(([path, p]) => [path, isGenerators(path) ? start.get(path)! : p] as const);
    after = { ...game, parameters: new Map(half) };
  }
  const game = smallGan(seed);
  const { latents } = await differentiateGan(engine, game, game.players[1]!);
  const { ofDiscriminator, ofGenerator } = deriveByHand(game, latents);
  return {
    seed,
    moved: moved as Updates["moved"],
    discriminator: ofDiscriminator,
    generator: ofGenerator,
    generatorAfter: deriveByHand(after!, latents).ofGenerator,
  };
}

/** The players of L(theta_d, theta_g) = theta_d theta_g, which has its equilibrium at 0: one goes up L, the other down. */
function bilinearPlayers(): Player[] {
  const names = ["discriminator", "generator"] as const;
  return names.map((name, i): Player => {
    const other = names[1 - i]!;
    const spec = (of: string) => ({ theta: { ...constant([1], 0), path: `${of}/theta` } });
    const given: Stage = {
      name: other,
      stack: other,
      layer: "",
      key: "theory bilinear other",
      parameters: spec(other),
      reads: [],
      frozen: true,
      apply: (p) => ({ other: p["theta"]! }),
    };
    const play: Stage = {
      name,
      stack: name,
      layer: "",
      key: `theory bilinear ${name}`,
      parameters: spec(name),
      reads: ["other"],
      apply(p, { other }) {
        const value = tf.sum(tf.mul(p["theta"]!, other!));
        return { loss: name === "discriminator" ? tf.neg(value) : value };
      },
    };
    return { name, stages: [given, play], scalars: ["loss"] };
  });
}

/** |theta| from step to step in parts of that at the start. */
export interface Orbit {
  readonly seed: number;
  readonly order: Order;
  readonly lengths: readonly number[];
  /** theta_d^2 + theta_g^2 + alpha theta_d theta_g at the end in parts of that at the start. */
  readonly invariant: number;
}

/** Plays the bilinear game with the trainer. */
export async function orbitOf(engine: Engine, seed: number, order: Order): Promise<Orbit> {
  const players = bilinearPlayers();
  const start = stream(seed, "theory/bilinear").normal(new Float32Array(2));
  const parameters = new Map(
    players.map(({ name }, i): [string, Parameter] => [
      `${name}/theta`,
      { ...constant([1], 0), path: `${name}/theta`, data: start.slice(i, i + 1) },
    ]),
  );
  const [d, g] = [...parameters.values()].map(({ data }) => data) as [Float32Array, Float32Array];
  const quadratic = (): number => d[0]! ** 2 + g[0]! ** 2 + rate.rotation * d[0]! * g[0]!;
  const training = trainingOf(engine, players, parameters, {
    order,
    batch: { tensors: {}, tokens: 1 },
    learningRate: rate.rotation,
    seed,
  });
  const [length, first] = [Math.hypot(d[0]!, g[0]!), quadratic()];
  const lengths = [1];
  for (let step = 0; step < steps; step++) {
    await trainStep(training, step);
    lengths.push(Math.hypot(d[0]!, g[0]!) / length);
  }
  return { seed, order, lengths, invariant: quadratic() / first };
}

/** |theta^t| / |theta^0| of simultaneous play: (theta_d, theta_g) is multiplied by [1, alpha; -alpha, 1], which is a rotation times
 *  sqrt(1 + alpha^2). */
export const simultaneousGrowth = (step: number): number => (1 + rate.rotation ** 2) ** (step / 2);

/** What steps and orbits say. */
export function updatesFinding(
  updates: readonly Updates[],
  orbits: readonly Orbit[],
  growth: (step: number) => number = simultaneousGrowth,
): Finding {
  const of = (order: Order): readonly Orbit[] => orbits.filter((orbit) => orbit.order === order);
  const off = updates.map(({ moved, generator }) => apart(moved.alternating, generator, -1 / rate.step));
  const distances = "of the two in parts of the gradient by hand, of all seeds the largest";
  const all = Array.from({ length: steps + 1 }, (_, step) => step);
  const shown = all.filter((step) => step % 4 === 0);
  return {
    claims: [
      claim({
        name: "seed-q16-updates/discriminator",
        statement:
          "Seed, Question 16: theta_d^{t+1} = theta_d^t + alpha grad L. Measured: what the trainer's simultaneous step adds to theta_d, over alpha, and grad L by hand; the distance " +
          `${distances}.`,
        predicted: 0,
        measured: updates.map(({ moved, discriminator }) => apart(moved.simultaneous, discriminator, 1 / rate.step)),
        worst: true,
        tolerance: 1e-5, // parameters of order 1 are rounded to 6e-8, the step is of order 0.1
      }),
      claim({
        name: "seed-q16-updates/generator",
        statement:
          "Seed, Question 17: theta_g^{t+1} = theta_g^t - alpha grad L, at theta_d^t. Measured: what the trainer's simultaneous step takes off theta_g, over alpha, and grad L by hand; the distance " +
          `${distances}.`,
        predicted: 0,
        measured: updates.map(({ moved, generator }) => apart(moved.simultaneous, generator, -1 / rate.step)),
        worst: true,
        tolerance: 1e-4, // the generator's step is a tenth of that
      }),
      claim({
        name: "seed-q16-updates/alternating",
        statement:
          "Beside the seed's Questions 16 and 17, whose gradients are taken at the same point: alternating, the generator goes down grad L at theta_d^{t+1}. Measured: the trainer's alternating step of theta_g " +
          `likewise; from the seed's it is off by ${(100 * Math.min(...off)).toPrecision(2)} % or more at alpha = ${rate.step}.`,
        predicted: 0,
        measured: updates.map(({ moved, generatorAfter }) => apart(moved.alternating, generatorAfter, -1 / rate.step)),
        worst: true,
        tolerance: 1e-4,
      }),
      claim({
        name: "seed-q16-updates/rotation",
        statement:
          `What the seed's Questions 16 and 17 do at an equilibrium: for L = theta_d theta_g simultaneous steps turn theta around it and outwards, |theta| growing by sqrt(1 + alpha^2) a step. Measured: |theta| after ${steps} steps ` +
          `of the trainer at alpha = ${rate.rotation} in parts of the start, of all seeds the one furthest off.`,
        predicted: growth(steps),
        measured: of("simultaneous").map(({ lengths }) => lengths.at(-1)!),
        worst: true,
        tolerance: 2.4e-5, // a rounding of 6e-8 by each of two numbers a step, at worst
      }),
      claim({
        name: "seed-q16-updates/closed-orbit",
        statement:
          "Alternating steps stay on an ellipse instead: theta_d^2 + theta_g^2 + alpha theta_d theta_g does not change. Measured: this after as many steps in parts of the start, of all seeds the one furthest off.",
        predicted: 1,
        measured: of("alternating").map(({ invariant }) => invariant),
        worst: true,
        tolerance: 4.8e-5, // twice that, of squares
      }),
    ],
    figure: {
      kind: "lines",
      title: `Simultaneous descent and ascent spiral away from the equilibrium, ${growth(steps).toFixed(1)} times as far after ${steps} steps; alternating they circle it`,
      caption: `|theta| in the game L = theta_d theta_g, over |theta| at the start, alpha = ${rate.rotation}; the trainer from random starts. Dashed: (1 + alpha^2)^(t/2).`,
      x: { title: "step t" },
      y: { title: "|theta| over that at the start" },
      points: [
        ...orbits.flatMap(({ seed, order, lengths }) =>
          measured(
            { series: order },
            seed,
            shown,
            shown.map((step) => lengths[step]!),
          ),
        ),
        ...predicted({ series: "simultaneous" }, shown, shown.map(growth)),
      ],
    },
  };
}

/** The seed's Questions 16 and 17: the updates of both players. */
export const seedQ16Updates: Check = {
  name: "seed-q16-updates",
  summary:
    "simultaneous steps are theta_d + alpha grad L and theta_g - alpha grad L; around an equilibrium they spiral outwards",
  source: "seed, Questions 16 and 17",
  conditions: `${ganInWords}; plain gradient steps of the trainer, 3 seeds. And the game L = theta_d theta_g from random starts, 3 seeds.`,
  async run({ engine }) {
    const updates: Updates[] = [];
    const orbits: Orbit[] = [];
    for (const seed of seedsUpTo(3)) {
      updates.push(await updatesOf(engine, seed));
      for (const order of ["simultaneous", "alternating"] as const) orbits.push(await orbitOf(engine, seed, order));
    }
    return updatesFinding(updates, orbits);
  },
};
