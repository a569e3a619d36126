// BLEU (Papineni et al. 2002) as sacreBLEU computes it: n-grams of one to four tokens, precisions clipped per segment and
// summed over the corpus, exponential smoothing of precisions without a match, brevity penalty.
import {
  checkSegments,
  fixed,
  type Reference,
  referencesOf,
  scoreLine,
  type ScoreLine,
  signatureOf,
  type Statistics,
  sumOf,
  trimEnd,
} from "./sacrebleu.ts";
import { type BleuTokenizer, bleuTokenizer } from "./tokenize.ts";

/** The longest n-gram. */
export const BLEU_ORDER = 4;

/** What may differ from sacreBLEU's defaults; a score's signature names it. */
export interface BleuOptions {
  /** Default `13a`; `availableTokenizer` names the one for a language. */
  readonly tokenize?: BleuTokenizer;
  /** Compares in lower case. Default false. */
  readonly lowercase?: boolean;
  /** Leaves out orders longer than every hypothesis, instead of giving 0: for single sentences. Default false. */
  readonly effectiveOrder?: boolean;
}

/** A corpus's BLEU, and what it is made of. */
export interface BleuScore {
  readonly name: "BLEU";
  /** 0 to 100. */
  readonly score: number;
  /** Per order, 0 to 100, smoothed; 0 from the first order on that no hypothesis has. */
  readonly precisions: readonly number[];
  /** Matching n-grams per order. */
  readonly counts: readonly number[];
  /** The hypotheses' n-grams per order. */
  readonly totals: readonly number[];
  /** 1 where the hypotheses are as long as the references or longer. */
  readonly brevityPenalty: number;
  /** Tokens. */
  readonly hypothesisLength: number;
  /** Tokens; of several references the one closest in length counts. */
  readonly referenceLength: number;
}

/** BLEU of a corpus. A `UserError` for other numbers of references than hypotheses, or no segments. */
export const corpusBleu = (
  hypotheses: readonly string[],
  references: readonly Reference[],
  options: BleuOptions = {},
): BleuScore => bleuOf(sumOf(bleuStatistics(hypotheses, references, options)), options);

/** Sufficient statistics of every segment: tokens of the hypothesis, tokens of the reference, matching n-grams of order 1
 *  to 4, n-grams of the hypothesis of order 1 to 4. Errors as in `corpusBleu`. */
export function bleuStatistics(
  hypotheses: readonly string[],
  references: readonly Reference[],
  { tokenize = "13a", lowercase = false }: BleuOptions = {},
): Statistics[] {
  checkSegments(hypotheses, references);
  const tokenizer = bleuTokenizer(tokenize);
  const tokensOf = (text: string): string[] => tokenizer(trimEnd(lowercase ? text.toLowerCase() : text));
  return hypotheses.map((hypothesis, i) =>
    segmentStatistics(tokensOf(hypothesis), referencesOf(references[i]!).map(tokensOf)),
  );
}

function segmentStatistics(hypothesis: readonly string[], references: readonly (readonly string[])[]): number[] {
  // An n-gram may match as often as the reference has it that has it most often.
  const left = ngramsOf(references[0]!);
  for (const reference of references.slice(1))
    for (const [ngram, count] of ngramsOf(reference)) left.set(ngram, Math.max(count, left.get(ngram) ?? 0));
  const counts = new Array<number>(BLEU_ORDER).fill(0);
  eachNgram(hypothesis, (ngram, order) => {
    const times = left.get(ngram);
    if (!times) return;
    left.set(ngram, times - 1);
    counts[order - 1]!++;
  });
  const totals = counts.map((_, i) => Math.max(0, hypothesis.length - i));
  const lengths = references.map(({ length }) => length);
  return [hypothesis.length, closest(hypothesis.length, lengths), ...counts, ...totals];
}

/** The length next to `length`; the shorter of two. */
function closest(length: number, lengths: readonly number[]): number {
  const distance = (other: number): number => Math.abs(other - length);
  return lengths.reduce((best, other) => {
    const nearer = distance(other) - distance(best);
    return nearer < 0 || (nearer === 0 && other < best) ? other : best;
  });
}

function ngramsOf(tokens: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  eachNgram(tokens, (ngram) => counts.set(ngram, (counts.get(ngram) ?? 0) + 1));
  return counts;
}

/** Visits all n-grams up to `BLEU_ORDER`, tokens joined by spaces, which no token holds. */
function eachNgram(tokens: readonly string[], visit: (ngram: string, order: number) => void): void {
  for (let start = 0; start < tokens.length; start++) {
    const most = Math.min(BLEU_ORDER, tokens.length - start);
    let ngram = tokens[start]!;
    visit(ngram, 1);
    for (let order = 2; order <= most; order++) visit((ngram += ` ${tokens[start + order - 1]!}`), order);
  }
}

/** BLEU of summed statistics. Without a match it is 0, and so it is without `effectiveOrder` where no hypothesis has four
 *  tokens. */
export function bleuOf(sum: Statistics, { effectiveOrder = false }: BleuOptions = {}): BleuScore {
  const [hypothesisLength, referenceLength] = sum as readonly [number, number];
  const counts = sum.slice(2, 2 + BLEU_ORDER);
  const totals = sum.slice(2 + BLEU_ORDER);
  const precisions = smoothed(counts, totals);
  const brevityPenalty =
    hypothesisLength >= referenceLength
      ? 1
      : hypothesisLength === 0
        ? 0
        : Math.exp(1 - referenceLength / hypothesisLength);
  const orders = effectiveOrder ? totals.filter((total) => total > 0).length : BLEU_ORDER;
  const used = precisions.slice(0, orders);
  const logs = used.reduce((total, precision) => total + Math.log(precision), 0); // -Infinity where one is 0
  const score = orders === 0 ? 0 : brevityPenalty * Math.exp(logs / orders);
  return { name: "BLEU", score, precisions, counts, totals, brevityPenalty, hypothesisLength, referenceLength };
}

/** Precisions of 0 to 100: the k-th order without a match has 1 / 2^k matches, but for a corpus without any. */
function smoothed(counts: readonly number[], totals: readonly number[]): number[] {
  if (counts.every((count) => count === 0)) return counts.map(() => 0);
  let share = 1;
  return counts.map((count, i) => {
    if (totals[i] === 0) return 0;
    return count > 0 ? (100 * count) / totals[i]! : 100 / ((share *= 2) * totals[i]!);
  });
}

/** sacreBLEU's signature: `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0`. */
export const bleuSignature = (
  references: readonly Reference[],
  { tokenize = "13a", lowercase = false, effectiveOrder = false }: BleuOptions = {},
): string =>
  signatureOf(references, {
    case: lowercase ? "lc" : "mixed",
    eff: effectiveOrder ? "yes" : "no",
    tok: tokenize,
    smooth: "exp",
  });

/** sacreBLEU's line: `BLEU = 31.24 62.1/38.0/25.3/17.1 (BP = 0.981 ratio = 0.981 hyp_len = 612 ref_len = 624)`. */
export function bleuLine(score: BleuScore, options: Pick<ScoreLine, "signature" | "interval" | "digits"> = {}): string {
  const { precisions, brevityPenalty, hypothesisLength, referenceLength } = score;
  const ratio = referenceLength === 0 ? 0 : hypothesisLength / referenceLength;
  const detail =
    `${precisions.map((precision) => fixed(precision, 1)).join("/")} (BP = ${fixed(brevityPenalty, 3)} ` +
    `ratio = ${fixed(ratio, 3)} hyp_len = ${hypothesisLength} ref_len = ${referenceLength})`;
  return scoreLine({ ...options, name: score.name, score: score.score, detail });
}
