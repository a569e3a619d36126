// Whether one run translates better than another, or better by chance: the translations that `fathom evaluate` has left of a split,
// compared pair by pair (Koehn 2004, "Statistical significance tests for machine translation evaluation").
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "csv-parse/sync";
import { z } from "zod";
import { messageOf, UserError } from "./errors.ts";
import { bleuOf, bleuSignature, bleuStatistics } from "./metrics/translation/bleu.ts";
import {
  bootstrapDefaults,
  confidenceInterval,
  pairedBootstrap,
  type ScoreInterval,
  type ScoreOf,
} from "./metrics/translation/bootstrap.ts";
import { chrfOf, chrfSignature, chrfStatistics } from "./metrics/translation/chrf.ts";
import type { Statistics } from "./metrics/translation/sacrebleu.ts";
import { type BleuTokenizer, bleuTokenizers } from "./metrics/translation/tokenize.ts";
import { evaluationFile, isFile, translationsFile, wholeLines } from "./runs/files.ts";
import { groupBy } from "./statistics.ts";

/** A score of one run in one direction. */
export interface ComparedScore extends ScoreInterval {
  /** `en-fr` */
  readonly direction: string;
  /** BLEU, chrF2 or chrF2++. */
  readonly name: string;
  /** sacreBLEU's. */
  readonly signature: string;
  /** Pairs of texts. */
  readonly pairs: number;
  readonly run: string;
  /** Score less that of the first run; absent of that one. */
  readonly difference?: number;
  /** See `PairedComparison`; absent of the first run. */
  readonly pValue?: number;
}

/** What `compareTranslations` found. */
export interface TranslationComparison {
  readonly split: "dev" | "test";
  /** By name: the first is what the others are compared with. */
  readonly runs: readonly string[];
  readonly resamples: number;
  readonly seed: number;
  /** By direction, then metric, then run. */
  readonly scores: readonly ComparedScore[];
}

const translatedSchema = z.object({
  direction: z.string(),
  id: z.string(),
  source: z.string(),
  reference: z.string(),
  translation: z.string(),
});
type Translated = z.infer<typeof translatedSchema>;

/** The folders of runs that `dir` stands for: those of an experiment, or itself. */
export function runFolders(dir: string): string[] {
  const runs = join(dir, "runs");
  if (!existsSync(runs)) return [dir];
  return readdirSync(runs)
    .sort()
    .map((name) => join(runs, name));
}

/** Scores of two runs or more on the same texts, and how sure their differences to the first are. `UserError`s: fewer than two
 *  runs, one without translations of the split, runs that have translated other texts. */
export function compareTranslations(runDirs: readonly string[], split: "dev" | "test"): TranslationComparison {
  if (runDirs.length < 2)
    throw new UserError(`--translations: expected two runs or more, got ${runDirs.length}; name another`);
  const names = runDirs.map((dir) => basename(dir));
  const runs = new Set(names).size < names.length ? runDirs : names;
  const [baseline, ...others] = runDirs.map((dir) => readTranslations(dir, split));
  others.forEach((other, i) => checkSameTexts(baseline!, other, [runDirs[0]!, runDirs[i + 1]!]));
  const tokenizerOf = readTokenizers(runDirs[0]!, split);
  const byDirection = [baseline!, ...others].map((lines) => groupBy(lines, ({ direction }) => direction));
  const scores = [...byDirection[0]!].flatMap(([direction, { length: pairs }]) =>
    metricsOf(tokenizerOf(direction)).flatMap(({ name, statisticsOf, scoreOf, signatureOf }) => {
      const texts = byDirection.map((groups) => groups.get(direction)!);
      const references = texts[0]!.map(({ reference }) => reference);
      const statistics = texts.map((lines) =>
        statisticsOf(
          lines.map(({ translation }) => translation),
          references,
        ),
      );
      const common = { direction, name, signature: signatureOf(references), pairs };
      return statistics.map((own, i): ComparedScore => {
        const run = runs[i]!;
        if (i === 0) return { ...common, run, ...confidenceInterval(own, scoreOf) };
        const { system, difference, pValue } = pairedBootstrap(statistics[0]!, own, scoreOf);
        return { ...common, run, ...system, difference, pValue };
      });
    }),
  );
  return { split, runs, ...bootstrapDefaults, scores };
}

/** The metrics of a direction, as `fathom evaluate` has them. */
function metricsOf(tokenize: BleuTokenizer): {
  readonly name: string;
  readonly statisticsOf: (hypotheses: readonly string[], references: readonly string[]) => readonly Statistics[];
  readonly scoreOf: ScoreOf;
  readonly signatureOf: (references: readonly string[]) => string;
}[] {
  return [
    {
      name: "BLEU",
      statisticsOf: (hypotheses, references) => bleuStatistics(hypotheses, references, { tokenize }),
      scoreOf: (sum) => bleuOf(sum).score,
      signatureOf: (references) => bleuSignature(references, { tokenize }),
    },
    ...([0, 2] as const).map((wordOrder) => ({
      name: wordOrder === 0 ? "chrF2" : "chrF2++",
      statisticsOf: (hypotheses: readonly string[], references: readonly string[]) =>
        chrfStatistics(hypotheses, references, { wordOrder }),
      scoreOf: (sum: Statistics) => chrfOf(sum, { wordOrder }).score,
      signatureOf: (references: readonly string[]) => chrfSignature(references, { wordOrder }),
    })),
  ];
}

function readTranslations(runDir: string, split: "dev" | "test"): Translated[] {
  const file = translationsFile(runDir, split);
  const lines = Array.from(wholeLines(file), (line, i): Translated => {
    try {
      return translatedSchema.parse(JSON.parse(line));
    } catch (error) {
      const reason = error instanceof z.ZodError ? z.prettifyError(error).replaceAll("\n", " ") : messageOf(error);
      throw new UserError(
        `${file}: expected a translation on line ${i + 1}, got ${reason}; run \`fathom evaluate ${runDir}\` again`,
      );
    }
  });
  if (lines.length > 0) return lines;
  const option = split === "test" ? "" : ` --split ${split}`;
  throw new UserError(
    `${file}: expected translations of the ${split} split, got none; run \`fathom evaluate ${runDir}${option}\` first`,
  );
}

/** The tokenizer that `fathom evaluate` has taken for BLEU in each direction, which depends on the target language: its signature
 *  names it. */
function readTokenizers(runDir: string, split: "dev" | "test"): (direction: string) => BleuTokenizer {
  const file = evaluationFile(runDir, split);
  const refuse = (got: string): UserError =>
    new UserError(
      `${file}: expected scores of the ${split} split, got ${got}; run \`fathom evaluate ${runDir}\` again`,
    );
  if (!isFile(file)) throw refuse("no such file");
  let rows: Record<string, string>[];
  try {
    rows = parse(readFileSync(file, "utf8"), { columns: true });
  } catch (error) {
    throw refuse(messageOf(error));
  }
  const found = rows.flatMap(({ name, direction = "", signature = "" }): [string, BleuTokenizer][] => {
    if (name !== "BLEU" || signature === "") return []; // a mean of directions has none
    const tokenizer = bleuTokenizers.find((known) => signature.split("|").includes(`tok:${known}`));
    if (!tokenizer) throw refuse(`"${signature}" as the signature of ${direction}`);
    return [[direction, tokenizer]];
  });
  const tokenizers = new Map(found);
  return (direction) => {
    const tokenizer = tokenizers.get(direction);
    if (!tokenizer) throw refuse(`none of ${direction}`);
    return tokenizer;
  };
}

/** Refuses to pair what are no translations of the same texts, in the same order, with the same references. */
function checkSameTexts(
  baseline: readonly Translated[],
  other: readonly Translated[],
  [first, second]: readonly [string, string],
): void {
  if (baseline.length !== other.length)
    throw new UserError(
      `expected translations of the same texts, got ${baseline.length} of ${first} and ${other.length} of ${second}; ` +
        `give \`fathom evaluate\` the same directions and --pairs`,
    );
  for (const [i, line] of baseline.entries()) {
    const key = (["direction", "id", "source", "reference"] as const).find((key) => line[key] !== other[i]![key]);
    if (key)
      throw new UserError(
        `expected translations of the same texts, got another ${key} on line ${i + 1} of ${second} (${quoted(other[i]![key])}) than of ` +
          `${first} (${quoted(line[key])}); evaluate both on the same data`,
      );
  }
}

const quoted = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
