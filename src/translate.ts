// What `fathom translate` does: texts through a trained transformer, from a run's folder alone. Neither the corpus nor the
// trainer is needed: the vocabulary lies beside the configuration.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { transformerOptions, translationOf } from "./build.ts";
import { beginOf, type LanguageTag, sourceOf } from "./data/batches.ts";
import { sha256 } from "./data/cache.ts";
import { normalise } from "./data/text.ts";
import { BOS, PAD, readVocabulary, type Vocabulary } from "./data/vocabulary.ts";
import { type Hypothesis, type SearchOptions, translate, type Translator } from "./decode.ts";
import { interruptible } from "./engine/interruptible.ts";
import { createEngine } from "./engine/select.ts";
import { messageOf, UserError } from "./errors.ts";
import { decoder } from "./models/decoding.ts";
import { transformer } from "./models/transformer.ts";
import { checkpointAt } from "./prepare.ts";
import { readConfig, readRun } from "./runs/run-folder.ts";
import { loadCheckpoint } from "./train/checkpoint.ts";
import { initialize } from "./train/initialize.ts";

/** A trained transformer, opened to translate with it. */
export interface OpenedTranslator extends Translator {
  readonly vocabulary: Vocabulary;
  readonly tag: LanguageTag;
  /** Tokens of the longest source it was trained on, tag and end among them, and of the longest translation. */
  readonly maxLength: number;
  /** The step of its parameters. */
  readonly step: number;
  /** The name of their checkpoint: `best-step-00001200`. */
  readonly checkpoint: string;
  dispose(): Promise<void>;
}

/** A translation of one text. */
export interface Translation extends Hypothesis {
  readonly text: string;
  /** Its pieces, readable. */
  readonly pieces: readonly string[];
}

/** How many hypotheses are run at once. */
const ROWS = 32;

/** Opens the run in `runDir` at its average of checkpoints, else its best one, or at that of `step`. `UserError`s: no translation, no such checkpoint, no
 *  vocabulary. */
export async function openTranslator(
  runDir: string,
  { step: wanted, signal }: { readonly step?: number | undefined; readonly signal: AbortSignal },
): Promise<OpenedTranslator> {
  const config = translationOf(readConfig(runDir), runDir);
  const checkpoint = checkpointAt(runDir, wanted, "best");
  const vocabulary = vocabularyOf(runDir);
  const options = transformerOptions(config, { dimensions: { vocabulary: vocabulary.size } });
  const parameters = initialize(transformer(options), config.seed);
  const { step } = loadCheckpoint(checkpoint, parameters);
  const engine = await createEngine(config.engine, { threads: config.threads });
  return {
    engine: interruptible(engine, signal),
    parameters,
    decoder: decoder(options),
    vocabulary,
    tag: config.data.languageTag ?? "source",
    maxLength: config.data.maxLength,
    step,
    checkpoint: basename(checkpoint),
    dispose: () => engine.dispose(),
  };
}

function vocabularyOf(runDir: string): Vocabulary {
  const file = join(runDir, "tokenizer.json");
  let json: string;
  try {
    json = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`${file}: expected the run's vocabulary, got ${messageOf(error)}; run it again`);
  }
  const expected = readRun(runDir)?.hashes["vocabulary"];
  const found = sha256(json);
  if (expected !== undefined && found !== expected)
    throw new UserError(
      `${file}: expected the vocabulary that the run was trained with (SHA-256 ${expected.slice(0, 12)}), got another ` +
        `(${found.slice(0, 12)}); restore the file`,
    );
  return readVocabulary(json, file);
}

/** The language to translate into: the one asked for, or the only one there is. */
export function targetOf({ vocabulary: { targets } }: OpenedTranslator, asked: string | undefined): string {
  if (asked === undefined && targets.length === 1) return targets[0]!;
  if (asked === undefined || !targets.includes(asked))
    throw new UserError(
      `--to: expected a language that the run was trained to translate into (${targets.join(", ")}), got ${asked ?? "none"}`,
    );
  return asked;
}

/** The ids of a text to translate into `to`, as training has them. `UserError`s, in which `where` names it: an empty text, one longer
 *  than those of training. */
export function sourceIds(opened: OpenedTranslator, text: string, to: string, where: string): number[] {
  const { vocabulary, maxLength } = opened;
  const normal = normalise(text);
  if (normal === "") throw new UserError(`${where}: expected a text to translate, got an empty one`);
  const source = sourceOf(vocabulary.encode(normal), to, opened);
  if (source.length > maxLength)
    throw new UserError(
      `${where}: expected at most ${maxLength} tokens, as in training (data.maxLength), got ${source.length} ` +
        `(tag and end among them): "${normal.length > 60 ? `${normal.slice(0, 57)}...` : normal}"; split the text`,
    );
  return source;
}

/** A translation that is given, as one that was found. `UserError`s: an empty one, one longer than those of training. */
export function referenceOf(opened: OpenedTranslator, text: string): Pick<Hypothesis, "ids" | "isFinished"> {
  const { vocabulary, maxLength } = opened;
  const ids = Array.from(vocabulary.encode(normalise(text)));
  if (ids.length === 0 || ids.length >= maxLength)
    throw new UserError(`--reference: expected 1 to ${maxLength - 1} tokens, as in training, got ${ids.length}`);
  return { ids, isFinished: true };
}

/** Translates texts into `to`: the `nbest` best of each, best first. `where` names a text in errors. `UserError`s: an empty text, one
 *  longer than those of training, an unknown language. */
export async function translateTexts(
  opened: OpenedTranslator,
  texts: readonly string[],
  to: string,
  options: Pick<SearchOptions, "beam" | "lengthPenalty" | "nbest">,
  where: (i: number) => string = (i) => `text ${i + 1}`,
): Promise<Translation[][]> {
  const { vocabulary, maxLength } = opened;
  const sources = texts.map((text, i) => sourceIds(opened, text, to, where(i)));
  const forbidden = [PAD, BOS, ...vocabulary.targets.map((language) => vocabulary.tag(language))]; // no part of a text
  const begin = beginOf(to, opened);
  const found = await translate(opened, sources, { ...options, maxLength, rows: ROWS, forbidden, begin });
  return found.map((hypotheses) =>
    hypotheses.map((hypothesis) => ({
      text: vocabulary.decode(hypothesis.ids),
      pieces: hypothesis.ids.map((id) => vocabulary.readable(id)),
      ...hypothesis,
    })),
  );
}
