// The `train` section: optimizer, schedule, length and batch, with what each kind of model has of its own.

import { z } from "zod";
import { optimizers, orders, schedules } from "./names.ts";
import { exactlyOne, fraction, kind, oneOf, positive, rate } from "./pieces.ts";

// Its default depends on the schedule: see trainSchema.
const learningRate = rate(
  "peak learning rate; 0.001 if not given, or 1, the paper's factor, with schedule noam",
).optional();
const weightDecay = z.number().min(0).max(1e3).default(0);

/** Adam's settings where none are given: as the field has them for a kind of model. */
interface AdamDefaults {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

const optimizerSchema = (defaults: AdamDefaults) => {
  const moments = {
    learningRate,
    beta1: fraction("decay of the first moment").default(defaults.beta1),
    beta2: fraction("decay of the second moment").default(defaults.beta2),
    epsilon: rate("added to the root of the second moment").default(defaults.epsilon),
  };
  return z
    .discriminatedUnion("kind", [
      z.strictObject({
        kind: kind(optimizers, "adam").default("adam"),
        ...moments,
        weightDecay: weightDecay.describe("L2 penalty, added to the gradient"),
      }),
      z.strictObject({
        kind: kind(optimizers, "adamw"),
        ...moments,
        weightDecay: weightDecay.describe("decoupled weight decay, scaled by the learning rate"),
      }),
      z.strictObject({
        kind: kind(optimizers, "sgd"),
        learningRate,
        momentum: fraction("momentum; 0 for none").default(0),
        weightDecay: weightDecay.describe("L2 penalty, added to the gradient"),
      }),
    ])
    .describe("how gradients become updates");
};

const warmupSteps = z.int().min(0).max(1e9).default(0).describe("steps of linear warm-up before the schedule proper");

const scheduleSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: kind(schedules, "constant").default("constant"),
      warmupSteps,
    }),
    z.strictObject({
      kind: kind(schedules, "inverse-sqrt"),
      warmupSteps,
    }),
    z.strictObject({
      kind: kind(schedules, "noam"),
      warmupSteps: positive("steps of warm-up"),
    }),
    z.strictObject({
      kind: kind(schedules, "cosine"),
      warmupSteps,
      final: z.number().min(0).max(1).default(0).describe("learning rate at the end as a ratio of the peak"),
    }),
    z.strictObject({
      kind: kind(schedules, "linear-ramp"),
      warmupSteps,
      to: z.number().min(0).max(1e6).describe("learning rate at the last step"),
    }),
  ])
  .prefault({})
  .describe("the learning rate over the steps");

const sentenceBatch = z
  .strictObject({
    sentences: positive("sentence pairs a batch", 65_536).optional(),
    tokens: positive("tokens a batch, padding included", 1 << 24).optional(),
  })
  .superRefine((b, context) => exactlyOne(context, "train.batch", ["sentences", "tokens"], [b.sentences, b.tokens]))
  .transform((b): { sentences: number } | { tokens: number } =>
    b.sentences !== undefined ? { sentences: b.sentences } : { tokens: b.tokens! },
  )
  .prefault({ sentences: 32 })
  .describe("size of a batch: {sentences: N} or {tokens: N}");

const imageBatch = z
  .strictObject({ images: positive("images a batch", 65_536) })
  .prefault({ images: 100 })
  .describe("size of a batch: {images: N}");

/** What the `train` sections have in common; `every` is the default of the steps between evaluations and checkpoints. */
const trainKeys = (adam: AdamDefaults, every: number) => ({
  steps: positive("optimizer updates").nullish(),
  epochs: positive("passes over the training data; instead of steps").nullish(),
  optimizer: optimizerSchema(adam).prefault({}),
  schedule: scheduleSchema,
  clipNorm: rate("gradients are scaled down to this global norm; null for no clipping").nullable().default(null),
  evaluateEverySteps: positive("steps between evaluations on dev").default(every),
  checkpointEverySteps: positive("steps between checkpoints").default(every),
});

const earlyStopping = z
  .strictObject({ patience: positive("evaluations in a row without a new lowest dev loss after which training ends") })
  .nullish()
  .describe("end before the last step once the dev loss has ceased to fall; without it training goes on to the end");

interface Train {
  readonly steps?: number | null | undefined;
  readonly epochs?: number | null | undefined;
  readonly schedule: z.output<typeof scheduleSchema>;
  readonly optimizer: z.output<ReturnType<typeof optimizerSchema>>;
}

function checkTrain({ steps, epochs, schedule }: Train, context: z.RefinementCtx): void {
  exactlyOne(context, "train", ["steps", "epochs"], [steps, epochs]);
  // A cosine has no steps left to fall in; the other schedules only stop early, which is what a short trial run does.
  if (schedule.kind === "cosine" && typeof steps === "number" && schedule.warmupSteps >= steps)
    context.addIssue({
      code: "custom",
      path: ["schedule", "warmupSteps"],
      message: `expected fewer than train.steps (${steps}), got train.schedule.warmupSteps: ${schedule.warmupSteps}; shorten the warm-up or train longer`,
    });
}

/** An average takes as many checkpoints as training leaves: one every `checkpointEverySteps`, and one at the end. */
function checkAverage(
  train: Train & { readonly checkpointEverySteps: number; readonly averageCheckpoints?: number | null | undefined },
  context: z.RefinementCtx,
): void {
  const { steps, checkpointEverySteps, averageCheckpoints } = train;
  const problem = averageProblem(averageCheckpoints ?? 0, steps ?? Infinity, checkpointEverySteps);
  if (problem !== undefined) context.addIssue({ code: "custom", path: ["averageCheckpoints"], message: problem });
}

/** What is wrong with an average of `count` checkpoints of `steps` steps, for {@link checkAverage} and for runs whose steps follow from
 *  epochs; undefined where nothing is. */
export function averageProblem(count: number, steps: number, checkpointEverySteps: number): string | undefined {
  const checkpoints = Math.ceil(steps / checkpointEverySteps);
  if (count <= checkpoints) return undefined;
  return (
    `expected at most ${checkpoints}, the checkpoints of ${steps} steps with train.checkpointEverySteps: ` +
    `${checkpointEverySteps}, got ${count}; average fewer, save more often or train longer`
  );
}

/** Optional keys, left out where they say nothing, so that they are no part of a run's identity there. */
const stated = <T extends Readonly<Record<string, unknown>>>(keys: T) =>
  Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== undefined && value !== null)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };

/** The keys whose defaults depend on others. */
const resolvedTrain = <T extends Train>({ steps, epochs, optimizer, ...train }: T) => ({
  ...train,
  steps: steps ?? null,
  epochs: epochs ?? null,
  optimizer: withLearningRate(optimizer, train.schedule),
});

/** Noam's learning rate is a factor on its own formula: 0.001 would train a thousand times too slowly. */
const withLearningRate = (optimizer: Train["optimizer"], schedule: Train["schedule"]) => ({
  ...optimizer,
  learningRate: optimizer.learningRate ?? (schedule.kind === "noam" ? 1 : 0.001),
});

/** The `train` section of a transformer. */
export const transformerTrainSchema = z
  .strictObject({
    ...trainKeys({ beta1: 0.9, beta2: 0.98, epsilon: 1e-9 }, 100),
    batch: sentenceBatch,
    accumulate: positive(
      "batches an update, whose gradients are summed up as if they were one batch; readings.csv tells of the first of them; " +
        "1 if not given",
      65_536,
    ).nullish(),
    recompute: z
      .boolean()
      .nullish()
      .describe(
        "compute each layer's forward once more on the way down instead of keeping what its backward needs: less memory, a longer " +
          "step, the same numbers; false if not given",
      ),
    labelSmoothing: fraction("probability spread evenly over all pieces, the right one included").default(0),
    earlyStopping,
    averageCheckpoints: z
      .int()
      .min(2)
      .max(1000)
      .nullish()
      .describe(
        "at the end the mean of the weights of this many last checkpoints is saved and evaluated on dev; `fathom translate` and " +
          "`fathom evaluate` use it. None if not given",
      ),
  })
  .superRefine(checkTrain)
  .superRefine(checkAverage)
  .transform(({ accumulate, recompute, earlyStopping, averageCheckpoints, ...train }) => ({
    ...resolvedTrain(train),
    ...stated({
      accumulate: accumulate === 1 ? null : accumulate,
      recompute: recompute || null,
      earlyStopping,
      averageCheckpoints,
    }),
  }))
  .describe("how it is trained");

/** The `train` section of a VAE. */
export const vaeTrainSchema = z
  .strictObject({ ...trainKeys({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, 500), batch: imageBatch, earlyStopping })
  .superRefine(checkTrain)
  .superRefine(refuseNoam)
  .transform(({ earlyStopping, ...train }) => ({ ...resolvedTrain(train), ...stated({ earlyStopping }) }))
  .describe("how it is trained");

const noEarlyStopping =
  "expected none with model.kind: gan: of two players none is better for having the smaller loss, so that no loss says when to stop; " +
  "remove train.earlyStopping";

const ganAdam: AdamDefaults = { beta1: 0.5, beta2: 0.999, epsilon: 1e-8 };

/** The `train` section of a GAN. */
export const ganTrainSchema = z
  .strictObject({
    ...trainKeys(ganAdam, 500),
    batch: imageBatch,
    order: oneOf(orders, "which player is updated when").default("alternating"),
    discriminator: z
      .strictObject({
        updates: positive("k, updates of the discriminator for each of the generator", 1000).default(1),
        optimizer: optimizerSchema(ganAdam).optional().describe("its own optimizer; train.optimizer if not given"),
      })
      .prefault({})
      .describe("what the discriminator has of its own"),
    earlyStopping: z
      .unknown()
      .refine((value) => value === undefined || value === null, noEarlyStopping)
      .transform(() => undefined)
      .optional()
      .describe(noEarlyStopping),
  })
  .superRefine(checkTrain)
  .superRefine(refuseNoam)
  .superRefine(({ order, discriminator }, context) => {
    if (order === "simultaneous" && discriminator.updates > 1)
      context.addIssue({
        code: "custom",
        path: ["discriminator", "updates"],
        message:
          `expected 1 with train.order: simultaneous, where both players move at once, got ${discriminator.updates}; ` +
          `remove it or choose train.order: alternating`,
      });
  })
  .transform(({ discriminator, ...train }) => {
    const resolved = resolvedTrain(train);
    const own = discriminator.optimizer && withLearningRate(discriminator.optimizer, train.schedule);
    return { ...resolved, discriminator: { ...discriminator, optimizer: own ?? resolved.optimizer } };
  })
  .describe("how it is trained");

/** Noam's schedule is stated for a transformer's width. */
function refuseNoam({ schedule }: Train, context: z.RefinementCtx): void {
  if (schedule.kind === "noam")
    context.addIssue({
      code: "custom",
      path: ["schedule", "kind"],
      message:
        "expected another schedule than noam, which depends on a transformer's width; inverse-sqrt has its shape",
    });
}
