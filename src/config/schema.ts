// The shape of an experiment's YAML as zod schemas; types, defaults, the JSON Schema and most error messages derive from
// it. Names of schemes, norms, probes and corpora come in as data (`Registries`), so that nothing here loads a model.
// Files, positions and overrides are load.ts's business.

import { z } from "zod";
import { ganSchema, imagesSchema, metricsOf, metricsSchema, samplesSchema, vaeSchema } from "./image-schema.ts";
import { engines, providers, type Registries } from "./names.ts";
import { exactlyOne, oneOf, positive, unique } from "./pieces.ts";
import { ganTrainSchema, transformerTrainSchema, vaeTrainSchema } from "./training-schema.ts";
import { corpusSchema, transformerSchema } from "./transformer-schema.ts";

export * from "./names.ts";

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

/** The engine's name, or `{kind, provider}`, which resolves to the name alone where the provider is the default. */
const engineSchema = z
  .union([
    z.enum(engines.map((e) => e.name)),
    z
      .strictObject({
        kind: oneOf(engines, "engine").prefault("onnx"), // the only one with providers
        provider: oneOf(providers, "what runs the graphs of engine onnx; cpu if not given").nullish(),
      })
      .superRefine(({ kind, provider }, context) => {
        if (typeof provider === "string" && kind !== "onnx")
          context.addIssue({
            code: "custom",
            path: ["provider"],
            message:
              `expected no engine.provider with engine.kind: ${kind}, got ${provider}: engine.kind: onnx alone has providers; ` +
              `say engine.kind: onnx or remove engine.provider`,
          });
      })
      .transform(({ kind, provider }) =>
        typeof provider === "string" && provider !== "cpu" ? { kind, provider } : kind,
      ),
  ])
  .prefault("auto")
  .describe(
    `what computes: ${engines.map((e) => `${e.name} (${e.summary})`).join("; ")}; or {kind: onnx, provider: ${providers
      .slice(1)
      .map((p) => p.name)
      .join(" or ")}}`,
  );

const commonShape = {
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "expected letters, digits, dots, hyphens and underscores (at most 64)")
    .refine(
      (name) => !/^((con|prn|aux|nul|com\d|lpt\d)(\.|$)|[a-z\d].*\.$)/i.test(name),
      "expected a name that every system gives to folders (none of con, prn, aux, nul, com1, lpt1 ..., no dot at the end)",
    )
    .describe("name of the experiment and of its folder"),
  seed: z.int().min(0).default(1).describe("seed of every random stream"),
  engine: engineSchema,
  threads: positive(
    "threads of the engine; one a run and several runs at once is fastest for small models",
    256,
  ).default(1),
};

/** The sections that depend on `model.kind`. */
const sectionsOf = (names: Registries) => ({
  transformer: { data: corpusSchema(names), model: transformerSchema(names), train: transformerTrainSchema },
  vae: {
    data: imagesSchema(names, "dynamic"),
    model: vaeSchema(names),
    train: vaeTrainSchema,
    samples: samplesSchema,
    metrics: metricsSchema(names, "vae", ["latent-units"]),
  },
  gan: {
    data: imagesSchema(names, "none"),
    model: ganSchema(names),
    train: ganTrainSchema,
    samples: samplesSchema,
    metrics: metricsSchema(names, "gan", []),
  },
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

export const sweepSchema = z
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
    halving: z
      .strictObject({
        from: positive("the first step at which configurations are compared", 10_000_000),
        factor: z
          .int()
          .min(2)
          .max(100)
          .default(2)
          .describe("one in so many goes on; the next comparison is at so many times the step"),
      })
      .optional()
      .describe(
        "successive halving: at steps from, from x factor ... only the best 1/factor of the configurations, by dev loss, go on",
      ),
  })
  .describe("the runs of `fathom sweep`");

/** Schemas of one run's configuration by `model.kind`, as an author writes it. */
const writtenSchemas = (names: Registries) => {
  const probes = probesSchema(names);
  const { transformer, vae, gan } = sectionsOf(names);
  return {
    transformer: z.strictObject({ ...commonShape, ...transformer, probes }),
    vae: z.strictObject({ ...commonShape, ...vae, probes }),
    gan: z.strictObject({ ...commonShape, ...gan, probes }),
  };
};

/** Schemas of one run's configuration by `model.kind`: each accepts the short forms and gives the resolved form with every
 *  default filled in. Resolving a resolved configuration changes nothing. */
export function runSchemas(names: Registries) {
  const { transformer, vae, gan } = writtenSchemas(names);
  return {
    transformer,
    vae: vae
      .superRefine((config, context) => refuseGreyLikelihood(config, names, context))
      .transform((config) =>
        withFinalMetrics(config, [
          "latent-units",
          ...(config.data.binarization === "none" ? [] : ["importance-weighted-nll"]),
        ]),
      ),
    gan: gan.transform((config) => withFinalMetrics(config, ["parzen", "frechet-distance", "class-histogram"])),
  };
}

/** Schemas of an experiment file by `model.kind`, with its optional `sweep`. */
export function experimentSchemas(names: Registries) {
  const { transformer, vae, gan } = writtenSchemas(names);
  const sweep = { sweep: sweepSchema.optional() };
  return { transformer: transformer.extend(sweep), vae: vae.extend(sweep), gan: gan.extend(sweep) };
}

interface VaeSections {
  readonly data: { readonly binarization: string };
  readonly metrics: { readonly evaluation: string[]; readonly final?: string[] | undefined };
}

/** What a Bernoulli decoder gives for grey values is no likelihood, whatever the number. */
function refuseGreyLikelihood({ data, metrics }: VaeSections, names: Registries, context: z.RefinementCtx): void {
  if (data.binarization !== "none") return;
  const known = metricsOf(names, "vae");
  const isLikelihood = (name: string): boolean => known.some((m) => m.name === name && m.isLikelihood);
  const others = known.flatMap((m) => (m.isLikelihood ? [] : [m.name])).join(", ");
  for (const key of ["evaluation", "final"] as const)
    for (const [i, name] of (metrics[key] ?? []).entries())
      if (isLikelihood(name))
        context.addIssue({
          code: "custom",
          path: ["metrics", key, i],
          message:
            `expected one of ${others} with data.binarization: none, got ${name}: grey values have no Bernoulli likelihood; ` +
            `remove it or choose another data.binarization`,
        });
}

const withFinalMetrics = <M extends { final?: string[] | undefined }, C extends { metrics: M }>(
  config: C,
  final: string[],
) => ({ ...config, metrics: { ...config.metrics, final: config.metrics.final ?? final } });

/** One run, resolved: no short forms, no missing values. `train.steps` and `train.epochs`: exactly one is not null;
 *  likewise `probes.everySteps` and `probes.schedule`. */
export type RunConfig = TransformerConfig | VaeConfig | GanConfig;
type Schemas = ReturnType<typeof runSchemas>;
export type TransformerConfig = z.output<Schemas["transformer"]>;
export type VaeConfig = z.output<Schemas["vae"]>;
export type GanConfig = z.output<Schemas["gan"]>;

/** Whether a configuration is of a kind, with all its sections. */
export const isKind = <K extends keyof Schemas>(
  config: RunConfig,
  kind: K,
): config is z.output<Schemas[K]> & RunConfig => config.model.kind === kind;

/** The `sweep` section. */
export type SweepConfig = z.output<typeof sweepSchema>;
/** One entry of `sweep.parameters`. */
export type SweepParameter = z.output<typeof parameterSchema>;
export type OptimizerConfig = RunConfig["train"]["optimizer"];
export type ScheduleConfig = RunConfig["train"]["schedule"];
