// Scores of a trained transformer: a split is translated, direction by direction, and compared with its references.
import { join } from "node:path";
import { stringify } from "csv-stringify/sync";
import { translationOf } from "./build.ts";
import { loadTranslationData } from "./data/batches.ts";
import { corpusBleu, bleuSignature } from "./metrics/translation/bleu.ts";
import { chrfSignature, corpusChrf } from "./metrics/translation/chrf.ts";
import { availableTokenizer } from "./metrics/translation/tokenize.ts";
import { refuseOtherData } from "./prepare.ts";
import { ensureFolder, evaluationFile, translationsFile, writeWhole } from "./runs/files.ts";
import { readConfig } from "./runs/run-folder.ts";
import { openTranslator, translateTexts } from "./translate.ts";

/** A score of a direction, or of all: the mean over directions, in which each counts the same. */
export interface TranslationScore {
  /** `en-fr`; `all` for the mean of those that are trained, `zero-shot` for that of those that are not. */
  readonly direction: string;
  /** BLEU, chrF2, chrF2++; `copy/chrF2` is that of the source itself, taken for a translation. */
  readonly name: string;
  /** 0 to 100. */
  readonly value: number;
  /** sacreBLEU's; empty for a mean. */
  readonly signature: string;
  /** Pairs it was made of. */
  readonly pairs: number;
}

/** What `evaluateTranslation` found and where it was written. */
export interface TranslationEvaluation {
  readonly runDir: string;
  readonly step: number;
  /** The name of the checkpoint: `average-step-00001200` where the mean of several was translated with. */
  readonly checkpoint: string;
  readonly split: "dev" | "test";
  readonly beam: number;
  readonly lengthPenalty: number;
  readonly scores: readonly TranslationScore[];
  /** The scores as a table. */
  readonly file: string;
  /** Sources, references and translations, a line each. */
  readonly translations: string;
}

/** Pairs that are translated before progress is told. */
const CHUNK = 64;

/** Translates a split in every direction of the run and scores it: `<runDir>/evaluation-<split>.csv`, and the translations in
 *  `<runDir>/samples/translations-<split>.jsonl`. */
export async function evaluateTranslation(
  runDir: string,
  options: {
    readonly split: "dev" | "test";
    readonly beam: number;
    readonly lengthPenalty: number;
    /** Pairs of each direction; all if not given. */
    readonly pairs?: number | undefined;
    readonly step?: number | undefined;
    readonly signal: AbortSignal;
    readonly onProgress?: (doing: string, share: number) => void;
  },
): Promise<TranslationEvaluation> {
  const { split, beam, lengthPenalty, signal, onProgress } = options;
  const config = translationOf(readConfig(runDir), runDir);
  const data = await loadTranslationData({ ...config.data, batch: config.train.batch, seed: config.seed });
  refuseOtherData(runDir, data.dataset.hashes);
  const opened = await openTranslator(runDir, { step: options.step, signal });
  const [trained, apart]: [TranslationScore[], TranslationScore[]] = [[], []];
  const lines: string[] = [];
  try {
    for (const [d, { name, target, isZeroShot }] of data.directions.entries()) {
      const examples = data.examples(split, name).slice(0, options.pairs);
      if (examples.length === 0) continue;
      const hypotheses: string[] = [];
      while (hypotheses.length < examples.length) {
        onProgress?.(name, (d + hypotheses.length / examples.length) / data.directions.length);
        const chunk = examples.slice(hypotheses.length, hypotheses.length + CHUNK).map(({ source }) => source);
        const found = await translateTexts(opened, chunk, target, { beam, lengthPenalty });
        hypotheses.push(...found.map(([best]) => best!.text));
      }
      const references = examples.map((example) => example.target);
      const sources = examples.map(({ source }) => source);
      (isZeroShot ? apart : trained).push(...scoresOf(name, target, { hypotheses, references, sources }));
      for (const [i, { id, source, target: reference }] of examples.entries())
        lines.push(JSON.stringify({ direction: name, id, source, reference, translation: hypotheses[i] }));
    }
  } finally {
    await opened.dispose();
  }
  const scores = [...trained, ...meansOf(trained, "all"), ...apart, ...meansOf(apart, "zero-shot")];
  const { step, checkpoint } = opened;
  const file = evaluationFile(runDir, split);
  const columns = ["step", "split", "beam", "lengthPenalty", "direction", "name", "value", "pairs", "signature"];
  const rows = scores.map(({ direction, name, value, pairs, signature }) =>
    [step, split, beam, lengthPenalty, direction, name, value, pairs, signature].map(String),
  );
  writeWhole(file, stringify([columns, ...rows]));
  ensureFolder(join(runDir, "samples"));
  const translations = translationsFile(runDir, split);
  writeWhole(translations, `${lines.join("\n")}\n`);
  return { runDir, step, checkpoint, split, beam, lengthPenalty, scores, file, translations };
}

function scoresOf(
  direction: string,
  language: string,
  texts: { readonly hypotheses: string[]; readonly references: string[]; readonly sources: string[] },
): TranslationScore[] {
  const { hypotheses, references, sources } = texts;
  const pairs = references.length;
  const tokenize = availableTokenizer(language);
  const score = (name: string, value: number, signature: string): TranslationScore => {
    return { direction, name, value, signature, pairs };
  };
  return [
    score("BLEU", corpusBleu(hypotheses, references, { tokenize }).score, bleuSignature(references, { tokenize })),
    ...([0, 2] as const).map((wordOrder) => {
      const { name, score: value } = corpusChrf(hypotheses, references, { wordOrder });
      return score(name, value, chrfSignature(references, { wordOrder }));
    }),
    score("copy/chrF2", corpusChrf(sources, references).score, chrfSignature(references)),
  ];
}

function meansOf(scores: readonly TranslationScore[], direction: string): TranslationScore[] {
  return [...new Set(scores.map(({ name }) => name))].map((name) => {
    const of = scores.filter((score) => score.name === name);
    const value = of.reduce((sum, score) => sum + score.value, 0) / of.length;
    const pairs = of.reduce((sum, score) => sum + score.pairs, 0);
    return { direction, name, value, signature: "", pairs };
  });
}
