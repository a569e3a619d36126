// What only a transformer's configuration has: a corpus of sentences, and the network of Vaswani et al. 2017.

import { z } from "zod";
import { models, type Registries } from "./names.ts";
import { depthOf, fraction, kind, oneOf, positive, unique } from "./pieces.ts";
import { checkScheme, schemeDefaults, schemeKeys } from "./scheme-keys.ts";

const directionSchema = z.string().regex(/^[A-Za-z]+(-[A-Za-z0-9]+)+$/, "expected a direction such as en-de");
const languageSchema = z.string().regex(/^[A-Za-z]+(-[A-Za-z0-9]+)*$/, "expected a language code such as de");
const fileSchema = z.string().min(1).max(4096);
const filesSchema = z
  .union([z.array(fileSchema).min(1).max(10_000), z.record(languageSchema, fileSchema)])
  .describe("paths from where fathom runs: a list where files hold all languages, else {en: FILE, de: FILE}");

/** Segments set aside, or files. */
const evaluatedSchema = (split: string) =>
  z
    .union([
      positive(`about how many segments are set aside for ${split}, a tenth of all at most`, 50_000),
      filesSchema,
    ])
    .prefault(1000)
    .describe(`files of the ${split} split, used as they are, or about how many segments are set aside for it`);

/** A corpus out of the user's own files. */
const filesCorpusSchema = (names: Registries) =>
  z
    .strictObject({
      reader: oneOf(names.readers, "the format"),
      files: filesSchema,
      languages: z
        .array(languageSchema)
        .min(2)
        .max(20)
        .refine(unique, "expected each language once")
        .describe("languages to read, in the order of the columns where those have no names"),
      dev: evaluatedSchema("dev"),
      test: evaluatedSchema("test"),
      maxRatio: z
        .number()
        .min(1)
        .max(1e6)
        .default(4)
        .describe("longest of two texts of a unit, in characters (10 added to both), as a multiple of the shorter"),
    })
    .describe("files of parallel text");

/** The `data` section: sentences to be translated. */
export const corpusSchema = (names: Registries) =>
  z
    .strictObject({
      corpus: z
        .union([oneOf(names.corpora, "the corpus"), filesCorpusSchema(names)])
        .describe("a corpus by name, or files: {reader, files, languages}"),
      directions: z
        .union([
          z.array(directionSchema).min(1).refine(unique, "expected each direction once"),
          z.literal("many-to-many"),
        ])
        .describe("translation directions such as en-de, or many-to-many for all pairs of the corpus"),
      languages: z
        .array(languageSchema)
        .min(2)
        .refine(unique, "expected each language once")
        .optional()
        .describe("the languages of many-to-many; all of the corpus if not given"),
      zeroShot: z
        .array(directionSchema)
        .min(1)
        .refine(unique, "expected each direction once")
        .optional()
        .describe("directions that are evaluated, apart from the others, and never trained"),
      languageTag: z
        .enum(["source", "target", "none"])
        .optional()
        .describe(
          "where the model is told the target language: at the start of the source (source, which is meant if not given), " +
            "in place of the target's <s> (target), or nowhere (none, for one target language)",
        ),
      vocabulary: z
        .strictObject({
          kind: z
            .enum(["bpe", "unigram"])
            .default("bpe")
            .describe(
              "byte-pair encoding (bpe), or the most probable pieces of a unigram language model (unigram; Kudo 2018); both " +
                "over bytes, so that nothing is unknown, and joint over all languages",
            ),
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

/** The `model` section. */
export const transformerSchema = (names: Registries) =>
  z
    .strictObject({
      kind: kind(models, "transformer").default("transformer"),
      depth: depthOf("encoder", "decoder"),
      width: positive("width of the residual stream; divisible by heads", 65_536),
      heads: positive("attention heads", 1024),
      feedForward: positive("inner width of the feed-forward layers; 4 x width if not given", 1 << 20).optional(),
      ...schemeKeys(names),
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
      checkScheme(model, names, context);
    })
    .transform((model) => ({
      ...model,
      feedForward: model.feedForward ?? 4 * model.width,
      ...schemeDefaults(model, names),
    }));
