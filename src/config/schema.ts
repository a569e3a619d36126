// The shape of an experiment's YAML as zod schemas; types, defaults, the JSON Schema and most error messages derive from
// it. Names of schemes, norms, probes and corpora come in as data (`Registries`), so that nothing here loads a model.
// Files, positions and overrides are load.ts's business.

import { z } from "zod";
import type { Member } from "../registry.ts";

/** The names a configuration may use, as the registries of other folders list them. */
export interface Registries {
  /** `finalNorm`: whether the scheme ends each stack with a norm of its own; `normless`: that it has no norm at all. */
  readonly residual: readonly (Member & { readonly finalNorm: boolean; readonly normless?: true })[];
  readonly norms: readonly Member[];
  /** `comparesBatches`: whether it differentiates `probes.batches` batches; not given where it is not known. */
  readonly probes: readonly (Member & { readonly comparesBatches?: boolean })[];
  /** Probes under one word, and the steps between measurements that go with it. */
  readonly presets: readonly (Member & { readonly record: readonly string[]; readonly everySteps: number })[];
  readonly corpora: readonly Member[];
}

/** What the schema itself names, for `fathom list`; tests hold the registries of src/train and src/engine equal to them. */
export const models = [
  { name: "transformer", summary: "encoder-decoder transformer (Vaswani et al. 2017)" },
] as const satisfies Member[];
export const optimizers = [
  { name: "adam", summary: "Adam (Kingma and Ba 2015); weightDecay is an L2 penalty" },
  { name: "adamw", summary: "Adam with decoupled weight decay (Loshchilov and Hutter 2019)" },
  { name: "sgd", summary: "stochastic gradient descent, with momentum if it is not 0" },
] as const satisfies Member[];
export const schedules = [
  { name: "constant", summary: "the learning rate as it is" },
  { name: "inverse-sqrt", summary: "falls with 1 / sqrt(step) after the warm-up" },
  {
    name: "noam",
    summary: "learningRate * width^-0.5 * min(step^-0.5, step * warmupSteps^-1.5) (Vaswani et al. 2017)",
  },
  { name: "cosine", summary: "half a cosine from the peak to `final` times the peak at the last step" },
  { name: "linear-ramp", summary: "from learningRate in equal steps to `to` at the last step" },
] as const satisfies Member[];
export const engines = [
  { name: "auto", summary: "tensorflow-gpu where there is a GPU, else onnx" },
  { name: "onnx", summary: "compiled stages on ONNX Runtime's CPU kernels; everywhere, fast" },
  { name: "tensorflow-gpu", summary: "eager, on @tensorflow/tfjs-node-gpu where that installs" },
  { name: "tensorflow", summary: "eager, on @tensorflow/tfjs-node where that installs" },
  { name: "wasm", summary: "eager, on TensorFlow.js's WebAssembly backend; everywhere" },
  { name: "cpu", summary: "eager, in plain JavaScript; the slow reference of the tests" },
] as const satisfies Member[];

/** `{kind: name}` of a discriminated union, described by the table it comes from. */
const kind = <N extends string>(table: readonly { name: string; summary: string }[], name: N) =>
  z.literal(name).describe(table.find((m) => m.name === name)!.summary);

const positive = (describe: string, max = 1e9) => z.int().min(1).max(max).describe(describe);
const fraction = (describe: string) => z.number().min(0).lt(1).describe(describe);
const oneOf = (members: readonly Member[], describe: string) =>
  z
    .enum(members.map((m) => m.name))
    .describe(`${describe}: ${members.map((m) => `${m.name} (${m.summary})`).join("; ")}`);
const unique = (values: readonly unknown[]): boolean => new Set(values).size === values.length;

const dataSchema = (names: Registries) =>
  z
    .strictObject({
      corpus: oneOf(names.corpora, "the corpus"),
      directions: z
        .union([
          z
            .array(z.string().regex(/^[A-Za-z]+(-[A-Za-z0-9]+)+$/, "expected a direction such as en-de"))
            .min(1)
            .refine(unique, "expected each direction once"),
          z.literal("many-to-many"),
        ])
        .describe("translation directions such as en-de, or many-to-many for all pairs of the corpus"),
      languages: z
        .array(z.string().regex(/^[A-Za-z]+(-[A-Za-z0-9]+)*$/, "expected a language code such as de"))
        .min(2)
        .refine(unique, "expected each language once")
        .optional()
        .describe("the languages of many-to-many; all of the corpus if not given"),
      vocabulary: z
        .strictObject({
          kind: z
            .literal("bpe")
            .default("bpe")
            .describe("byte-pair encoding with byte fallback, joint over all languages"),
          // 256 bytes, the special symbols and language tags must fit, with room for characters.
          size: z.int().min(300).max(100_000).describe("pieces, special symbols included"),
        })
        .prefault({ size: 4000 })
        .describe("the joint vocabulary, trained on the training split"),
      maxLength: z.int().min(8).max(4096).default(32).describe("longest segment in tokens; longer ones are left out"),
      temperature: z
        .number()
        .positive()
        .max(100)
        .default(1)
        .describe("sampling of directions: 1 in proportion to their size, larger values nearer to uniform"),
    })
    .superRefine((data, context) => {
      if (data.languages && data.directions !== "many-to-many")
        context.addIssue({
          code: "custom",
          path: ["languages"],
          message: "expected data.languages only with data.directions: many-to-many; remove one of the two",
        });
    })
    .describe("what is translated");

const layers = (stack: string) => positive(`layers of the ${stack}`, 1000);

const transformerSchema = (names: Registries) =>
  z
    .strictObject({
      kind: kind(models, "transformer").default("transformer"),
      depth: z
        .union([
          positive("layers of each stack", 1000).transform((n) => ({ encoder: n, decoder: n })),
          z.strictObject({ encoder: layers("encoder"), decoder: layers("decoder") }),
          z
            .string()
            .regex(
              /^([1-9]\d{0,2}|1000)\+([1-9]\d{0,2}|1000)$/,
              "expected layers a stack such as 6, or encoder+decoder such as 18+6",
            )
            .transform((text) => {
              const [encoder, decoder] = text.split("+").map(Number) as [number, number];
              return { encoder, decoder };
            }),
        ])
        .describe("layers of each stack, or {encoder: 18, decoder: 6}, or 18+6 for the same; 1 to 1000"),
      width: positive("width of the residual stream; divisible by heads", 65_536),
      heads: positive("attention heads", 1024),
      feedForward: positive("inner width of the feed-forward layers; 4 x width if not given", 1 << 20).optional(),
      residual: oneOf(names.residual, "residual scheme"),
      norm: oneOf(
        names.norms,
        "normalisation; layer-norm if not given, or none with a residual scheme that has no norms",
      ).optional(),
      finalNorm: z.boolean().optional().describe("a norm at the end of each stack; follows from the residual scheme"),
      activation: z.enum(["relu", "gelu"]).default("relu").describe("activation of the feed-forward layers"),
      dropout: fraction("probability of dropping a unit").default(0),
      tiedEmbeddings: z
        .enum(["none", "decoder", "all"])
        .default("none")
        .describe("one matrix for none, for target embedding and output (decoder), or for the source as well (all)"),
    })
    .superRefine((model, context) => {
      if (model.width % model.heads !== 0)
        context.addIssue({
          code: "custom",
          path: ["width"],
          message: `expected a multiple of model.heads (${model.heads}), got ${model.width}; change model.width or model.heads`,
        });
      const scheme = names.residual.find((s) => s.name === model.residual);
      if (scheme && model.norm !== undefined && (model.norm === "none") !== (scheme.normless ?? false))
        context.addIssue({
          code: "custom",
          path: ["norm"],
          message: scheme.normless
            ? `expected none, got ${model.norm}: model.residual: ${model.residual} has no place for a norm; ` +
              `leave model.norm out or choose another model.residual`
            : `expected a norm, got none: model.residual: ${model.residual} is built on norms; ` +
              `leave model.norm out or choose a model.residual without norms, such as no-norm`,
        });
      if (scheme && model.finalNorm !== undefined && model.finalNorm !== scheme.finalNorm)
        context.addIssue({
          code: "custom",
          path: ["finalNorm"],
          message:
            `expected ${scheme.finalNorm}, got ${model.finalNorm}: model.residual: ${model.residual} ` +
            `${scheme.finalNorm ? "needs a final norm on each stack" : "has no final norm"}; ` +
            `leave model.finalNorm out or choose another model.residual`,
        });
    })
    .transform((model) => {
      const scheme = names.residual.find((s) => s.name === model.residual)!;
      return {
        ...model,
        feedForward: model.feedForward ?? 4 * model.width,
        norm: model.norm ?? (scheme.normless ? "none" : "layer-norm"),
        finalNorm: scheme.finalNorm,
      };
    });

const rate = (describe: string) => z.number().positive().max(1e6).describe(describe);
// Its default depends on the schedule: see trainSchema.
const learningRate = rate(
  "peak learning rate; 0.001 if not given, or 1, the paper's factor, with schedule noam",
).optional();
const weightDecay = z.number().min(0).max(1e3).default(0);
const moments = {
  learningRate,
  beta1: fraction("decay of the first moment").default(0.9),
  beta2: fraction("decay of the second moment").default(0.98),
  epsilon: rate("added to the root of the second moment").default(1e-9),
};

const optimizerSchema = z
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
  .prefault({})
  .describe("how gradients become updates");

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

/** Exactly one of two optional keys: the issue for none or both, naming both by their full path. */
function exactlyOne(
  context: z.RefinementCtx,
  at: string,
  keys: readonly [string, string],
  values: readonly unknown[],
): void {
  const given = values.filter((v) => v !== undefined && v !== null).length;
  if (given === 1) return;
  const [a, b] = keys.map((k) => `${at}.${k}`);
  context.addIssue({
    code: "custom",
    // Both are there: point at the second. None is there: point at their parent.
    path: given === 2 ? [keys[1]] : [],
    message: `expected either ${a} or ${b}, got ${given === 2 ? `both; remove one` : `neither; add one`}`,
  });
}

const batchSchema = z
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

const trainSchema = z
  .strictObject({
    steps: positive("optimizer updates").nullish(),
    epochs: positive("passes over the training data; instead of steps").nullish(),
    batch: batchSchema,
    optimizer: optimizerSchema,
    schedule: scheduleSchema,
    clipNorm: rate("gradients are scaled down to this global norm; null for no clipping").nullable().default(null),
    labelSmoothing: fraction("probability spread evenly over all pieces, the right one included").default(0),
    evaluateEverySteps: positive("steps between evaluations on dev").default(100),
    checkpointEverySteps: positive("steps between checkpoints").default(100),
  })
  .superRefine((train, context) => {
    exactlyOne(context, "train", ["steps", "epochs"], [train.steps, train.epochs]);
    const { schedule, steps } = train;
    // A cosine has no steps left to fall in; the other schedules only stop early, which is what a short trial run does.
    if (schedule.kind === "cosine" && typeof steps === "number" && schedule.warmupSteps >= steps)
      context.addIssue({
        code: "custom",
        path: ["schedule", "warmupSteps"],
        message: `expected fewer than train.steps (${steps}), got train.schedule.warmupSteps: ${schedule.warmupSteps}; shorten the warm-up or train longer`,
      });
  })
  .transform(({ optimizer, ...train }) => ({
    ...train,
    steps: train.steps ?? null,
    epochs: train.epochs ?? null,
    optimizer: {
      ...optimizer,
      // Noam's learning rate is a factor on its own formula: 0.001 would train a thousand times too slowly.
      learningRate: optimizer.learningRate ?? (train.schedule.kind === "noam" ? 1 : 0.001),
    },
  }))
  .describe("how it is trained");

const probesSchema = (names: Registries) =>
  z
    .strictObject({
      preset: oneOf(names.presets, "probes that go together, instead of a record; light if neither is given").nullish(),
      everySteps: positive(
        "steps between measurements; if not given 1, 2 with preset standard, 10 with preset full",
      ).nullish(),
      schedule: z
        .literal("logarithmic")
        .nullish()
        .describe("measure at steps 0, 1, 2, 4, 8 ... instead of every N steps"),
      record: z
        .array(oneOf(names.probes, "probe"))
        .refine(unique, "expected each probe once")
        .nullish()
        .describe("the quantities measured at every layer, instead of a preset"),
      batches: z
        .int()
        .min(2)
        .max(1024)
        .optional()
        .describe("batches a measurement of the probes that compare gradients of several; 4 if not given"),
    })
    .transform(({ preset, everySteps, schedule, record, batches }, context) => {
      if (everySteps && schedule) exactlyOne(context, "probes", ["everySteps", "schedule"], [everySteps, schedule]);
      if (preset && record)
        context.addIssue({
          code: "custom",
          path: ["record"],
          message:
            "expected either probes.preset or probes.record, got both; remove one " +
            "(on the command line probes.record=null or probes.preset=null does)",
        });
      const chosen = record ? undefined : names.presets.find(({ name }) => name === (preset ?? "light"));
      const recorded = record ?? chosen?.record.slice();
      if (!recorded) {
        // A configuration that was resolved before names its probes.
        context.addIssue({ code: "custom", path: [], message: "expected probes.record, the list of probes; add it" });
        return z.NEVER;
      }
      const compares = names.probes.flatMap(({ name, comparesBatches }) =>
        recorded.includes(name) ? [comparesBatches] : [],
      );
      if (batches !== undefined && compares.every((known) => known === false))
        context.addIssue({
          code: "custom",
          path: ["batches"],
          message:
            `expected probes.batches only where probes.record has a probe that compares batches ` +
            `(${names.probes.flatMap(({ name, comparesBatches }) => (comparesBatches ? [name] : [])).join(", ")}); ` +
            `record one of them or remove probes.batches`,
        });
      const count = batches ?? (compares.some(Boolean) ? 4 : undefined);
      return {
        everySteps: schedule ? null : (everySteps ?? chosen?.everySteps ?? 1),
        schedule: schedule ?? null,
        record: recorded,
        // Left out where it says nothing, so that it is no part of a run's identity there.
        ...(count !== undefined && { batches: count }),
      };
    })
    .prefault({})
    .describe("what is measured, and when");

const runShape = (names: Registries) => ({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "expected letters, digits, dots, hyphens and underscores (at most 64)")
    .describe("name of the experiment and of its folder"),
  seed: z.int().min(0).default(1).describe("seed of every random stream"),
  engine: z
    .enum(engines.map((e) => e.name))
    .default("auto")
    .describe(`what computes: ${engines.map((e) => `${e.name} (${e.summary})`).join("; ")}`),
  threads: positive(
    "threads of the engine; one a run and several runs at once is fastest for small models",
    256,
  ).default(1),
  data: dataSchema(names),
  model: z.discriminatedUnion("kind", [transformerSchema(names)]).describe("what is trained"),
  train: trainSchema,
  probes: probesSchema(names),
});

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);
const parameterSchema = z
  .strictObject({
    values: z.array(z.json()).min(1).optional().describe("the values to try"),
    min: z.number().optional().describe("smallest value (method: random)"),
    max: z.number().optional().describe("largest value (method: random)"),
    distribution: z
      .enum(["uniform", "log-uniform", "int-uniform"])
      .optional()
      .describe("how values lie between min and max"),
  })
  .describe("{values: [...]}, or {min, max, distribution} for method: random");

const sweepSchema = z
  .strictObject({
    method: z
      .enum(["grid", "random", "list"])
      .default("grid")
      .describe("all combinations, random draws, or the runs as listed"),
    parameters: z
      .record(z.string(), parameterSchema)
      .optional()
      .describe("dotted config keys, each with its values or range"),
    runs: positive("number of draws (method: random)", 100_000).optional(),
    list: z
      .array(z.record(z.string(), z.union([scalar, z.json()])))
      .min(1)
      .optional()
      .describe("runs, each a mapping of dotted config keys to values (method: list)"),
    seeds: z
      .array(z.int().min(0))
      .min(1)
      .refine(unique, "expected each seed once")
      .optional()
      .describe("every run once with each of these seeds; seed if not given"),
  })
  .describe("the runs of `fathom sweep`");

/** Schema of one run's configuration: accepts the short forms, gives the resolved form with every default filled in.
 *  Resolving a resolved configuration changes nothing. */
export const runSchema = (names: Registries) => z.strictObject(runShape(names));

/** Schema of an experiment file: a run's configuration and an optional `sweep`. */
export const experimentSchema = (names: Registries) =>
  z.strictObject({ ...runShape(names), sweep: sweepSchema.optional() });

/** One run, resolved: no short forms, no missing values. `train.steps` and `train.epochs`: exactly one is not null;
 *  likewise `probes.everySteps` and `probes.schedule`. */
export type RunConfig = z.output<ReturnType<typeof runSchema>>;
/** The `sweep` section. */
export type SweepConfig = z.output<typeof sweepSchema>;
/** One entry of `sweep.parameters`. */
export type SweepParameter = z.output<typeof parameterSchema>;
export type OptimizerConfig = RunConfig["train"]["optimizer"];
export type ScheduleConfig = RunConfig["train"]["schedule"];
