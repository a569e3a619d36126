// chrF (Popović 2015) and chrF++ (Popović 2017) as sacreBLEU computes them: the F-score of character n-grams without white
// space, of one to six characters, and for chrF++ of words and pairs of words. Counts are summed over the corpus; precisions
// and recalls are then averaged over the orders that both sides have, and F is of these averages.
import {
  checkSegments,
  type Reference,
  referencesOf,
  scoreLine,
  type ScoreLine,
  signatureOf,
  type Statistics,
  sumOf,
  wordsOf,
} from "./sacrebleu.ts";

/** The longest n-gram of characters. */
export const CHRF_CHARACTER_ORDER = 6;
/** How many times as important as precision recall is. */
export const CHRF_BETA = 2;

/** What may differ from sacreBLEU's defaults; a score's signature names it. */
export interface ChrfOptions {
  /** The longest n-gram of words: 0 for chrF, 2 for chrF++. Default 0. */
  readonly wordOrder?: 0 | 2;
  /** Compares in lower case. Default false. */
  readonly lowercase?: boolean;
}

/** A corpus's chrF or chrF++. */
export interface ChrfScore {
  readonly name: "chrF2" | "chrF2++";
  /** 0 to 100. */
  readonly score: number;
}

/** chrF of a corpus. A `UserError` for other numbers of references than hypotheses, or no segments. */
export const corpusChrf = (
  hypotheses: readonly string[],
  references: readonly Reference[],
  options: ChrfOptions = {},
): ChrfScore => chrfOf(sumOf(chrfStatistics(hypotheses, references, options)), options);

/** Sufficient statistics of every segment, three numbers for each order, characters before words: n-grams of the hypothesis
 *  (0 where the reference has none of that order), of the reference, and common to both. Of several references the one with
 *  the highest score counts. Errors as in `corpusChrf`. */
export function chrfStatistics(
  hypotheses: readonly string[],
  references: readonly Reference[],
  { wordOrder = 0, lowercase = false }: ChrfOptions = {},
): Statistics[] {
  checkSegments(hypotheses, references);
  const read = (text: string): Units => {
    const cased = lowercase ? text.toLowerCase() : text;
    return { characters: charactersOf(cased), words: wordOrder > 0 ? chrfWords(cased) : [] };
  };
  return hypotheses.map((hypothesis, i) => {
    const ours = read(hypothesis);
    const candidates = referencesOf(references[i]!).map((reference) => matches(ours, read(reference), wordOrder));
    return candidates.reduce((best, other) => (fScore(other) > fScore(best) ? other : best));
  });
}

/** What n-grams of a segment are made of. */
interface Units {
  readonly characters: readonly string[];
  readonly words: readonly string[];
}

/** Code points, without white space. */
const charactersOf = (text: string): string[] => [...wordsOf(text).join("")];

const PUNCTUATION = new Set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~");

/** Words, from which one sign of ASCII punctuation is split off: the last character, or else the first. (Of "(hi)" the first
 *  stays.) */
function chrfWords(text: string): string[] {
  return wordsOf(text).flatMap((word) => {
    if (word.length === 1) return [word];
    if (PUNCTUATION.has(word.at(-1)!)) return [word.slice(0, -1), word.slice(-1)];
    if (PUNCTUATION.has(word[0]!)) return [word.slice(0, 1), word.slice(1)];
    return [word];
  });
}

const matches = (hypothesis: Units, reference: Units, wordOrder: number): number[] => [
  ...commonNgrams(hypothesis.characters, reference.characters, CHRF_CHARACTER_ORDER, ""),
  ...commonNgrams(hypothesis.words, reference.words, wordOrder, " "),
];

/** Three numbers for each order, as in `chrfStatistics`. */
function commonNgrams(
  hypothesis: readonly string[],
  reference: readonly string[],
  orders: number,
  joint: "" | " ",
): number[] {
  // Neither a character nor a word holds the joint's like, so that n-grams of two orders never look alike.
  const left = new Map<string, number>();
  eachNgram(reference, orders, joint, (ngram) => left.set(ngram, (left.get(ngram) ?? 0) + 1));
  const common = new Array<number>(orders).fill(0);
  eachNgram(hypothesis, orders, joint, (ngram, order) => {
    const times = left.get(ngram);
    if (!times) return;
    left.set(ngram, times - 1);
    common[order - 1]!++;
  });
  return common.flatMap((count, i) => {
    const theirs = Math.max(0, reference.length - i);
    return [theirs > 0 ? Math.max(0, hypothesis.length - i) : 0, theirs, count];
  });
}

function eachNgram(
  units: readonly string[],
  orders: number,
  joint: "" | " ",
  visit: (ngram: string, order: number) => void,
): void {
  for (let start = 0; start < units.length; start++) {
    const most = Math.min(orders, units.length - start);
    let ngram = "";
    for (let order = 1; order <= most; order++) {
      ngram = order === 1 ? units[start]! : ngram + joint + units[start + order - 1]!;
      visit(ngram, order);
    }
  }
}

/** chrF of summed statistics; 0 where no n-gram is common to both sides. */
export const chrfOf = (sum: Statistics, { wordOrder = 0 }: ChrfOptions = {}): ChrfScore => ({
  name: wordOrder === 0 ? "chrF2" : "chrF2++",
  score: fScore(sum),
});

function fScore(sum: Statistics): number {
  let precision = 0;
  let recall = 0;
  let orders = 0;
  for (let i = 0; i < sum.length; i += 3) {
    const [ours, theirs, common] = [sum[i]!, sum[i + 1]!, sum[i + 2]!];
    if (ours === 0 || theirs === 0) continue;
    precision += common / ours;
    recall += common / theirs;
    orders++;
  }
  if (precision + recall === 0) return 0;
  precision /= orders;
  recall /= orders;
  const weight = CHRF_BETA ** 2;
  return 100 * (((1 + weight) * precision * recall) / (weight * precision + recall));
}

/** sacreBLEU's signature: `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0`. */
export const chrfSignature = (
  references: readonly Reference[],
  { wordOrder = 0, lowercase = false }: ChrfOptions = {},
): string =>
  signatureOf(references, {
    case: lowercase ? "lc" : "mixed",
    eff: "yes",
    nc: CHRF_CHARACTER_ORDER,
    nw: wordOrder,
    space: "no",
  });

/** sacreBLEU's line: `chrF2++ = 54.32`. */
export const chrfLine = (
  { name, score }: ChrfScore,
  options: Pick<ScoreLine, "signature" | "interval" | "digits"> = {},
): string => scoreLine({ ...options, name, score });
