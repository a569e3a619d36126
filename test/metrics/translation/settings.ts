import {
  bleuLine,
  bleuOf,
  type BleuOptions,
  bleuSignature,
  bleuStatistics,
  corpusBleu,
} from "../../../src/metrics/translation/bleu.ts";
import type { ScoreOf } from "../../../src/metrics/translation/bootstrap.ts";
import {
  chrfLine,
  chrfOf,
  type ChrfOptions,
  chrfSignature,
  chrfStatistics,
  corpusChrf,
} from "../../../src/metrics/translation/chrf.ts";
import { type Reference, type Statistics, trimEnd } from "../../../src/metrics/translation/sacrebleu.ts";
import { bleuTokenizer } from "../../../src/metrics/translation/tokenize.ts";

/** A metric and its options, as sacrebleu_check.py reads them, too. */
export type Setting = ({ readonly metric: "bleu" } & BleuOptions) | ({ readonly metric: "chrf" } & ChrfOptions);

/** A corpus. */
export interface Case {
  readonly hypotheses: readonly string[];
  readonly references: readonly Reference[];
}

/** Everything about a score that is compared with sacreBLEU. */
export interface Answer {
  readonly score: number;
  readonly signature: string;
  readonly line: string;
  readonly statistics: readonly Statistics[];
  /** BLEU's, of the hypotheses. */
  readonly tokens?: readonly (readonly string[])[];
}

/** What fathom says of a corpus. */
export function answer({ hypotheses, references }: Case, setting: Setting): Answer {
  if (setting.metric === "chrf") {
    const score = corpusChrf(hypotheses, references, setting);
    const signature = chrfSignature(references, setting);
    const statistics = chrfStatistics(hypotheses, references, setting);
    return { score: score.score, signature, line: chrfLine(score, { signature }), statistics };
  }
  const score = corpusBleu(hypotheses, references, setting);
  const signature = bleuSignature(references, setting);
  const statistics = bleuStatistics(hypotheses, references, setting);
  const tokenizer = bleuTokenizer(setting.tokenize ?? "13a");
  const tokens = hypotheses.map((text) => tokenizer(trimEnd(setting.lowercase ? text.toLowerCase() : text)));
  return { score: score.score, signature, line: bleuLine(score, { signature }), statistics, tokens };
}

/** The score of summed statistics in a setting. */
export const scoreOf =
  (setting: Setting): ScoreOf =>
  (sum) =>
    setting.metric === "bleu" ? bleuOf(sum, setting).score : chrfOf(sum, setting).score;

/** Thirteen settings: every tokenizer, every option. */
export const settings: readonly Setting[] = [
  ...(["13a", "none", "char", "intl", "zh"] as const).map((tokenize) => ({ metric: "bleu", tokenize }) as const),
  ...(["13a", "intl"] as const).map((tokenize) => ({ metric: "bleu", tokenize, lowercase: true }) as const),
  { metric: "bleu", effectiveOrder: true },
  { metric: "bleu", tokenize: "zh", lowercase: true, effectiveOrder: true },
  ...([0, 2] as const).flatMap((wordOrder) =>
    [false, true].map((lowercase) => ({ metric: "chrf", wordOrder, lowercase }) as const),
  ),
];
