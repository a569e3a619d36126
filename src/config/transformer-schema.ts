// What only a transformer's configuration has: a corpus of sentences, and the network of Vaswani et al. 2017.

import { z } from "zod";
import { models, type Registries } from "./names.ts";
import { depthOf, fraction, kind, oneOf, positive, unique } from "./pieces.ts";
import { checkScheme, schemeDefaults, schemeKeys } from "./scheme-keys.ts";

/** The `data` section: sentences to be translated. */
export const corpusSchema = (names: Registries) =>
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
