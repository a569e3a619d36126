// sacreBLEU's tokenizers for BLEU, to the letter, odd as some letters are: scores are comparable only between equal tokens.
import { UserError } from "../../errors.ts";
import { trim, wordsOf } from "./sacrebleu.ts";

/** - `13a`: NIST's mteval-v13a for western languages, WMT's standard.
 *  - `zh`: Chinese characters one by one, the rest nearly as `13a`.
 *  - `intl`: mteval-v14's international rules, by Unicode's classes of punctuation and symbols.
 *  - `char`: every character a token.
 *  - `none`: words between white space, for text that is tokenized already. */
export type BleuTokenizer = keyof typeof tokenizers;

/** Tokenizers that sacreBLEU has and that are not here: they need MeCab and its dictionaries. */
export type MecabTokenizer = "ja-mecab" | "ko-mecab";

const tokenizers = {
  "13a": tokenizeMteval13a,
  zh: tokenizeChinese,
  intl: tokenizeInternational,
  char: (line: string) => wordsOf([...line].join(" ")),
  none: wordsOf,
};

/** The names of the tokenizers. */
export const bleuTokenizers = Object.keys(tokenizers) as readonly BleuTokenizer[];

/** A function from a line, without white space at its end, to its tokens. A `UserError` for a name that is not of
 *  `BleuTokenizer`. */
export function bleuTokenizer(name: string): (line: string) => string[] {
  if (Object.hasOwn(tokenizers, name)) return tokenizers[name as BleuTokenizer];
  if (name === "ja-mecab" || name === "ko-mecab")
    throw new UserError(
      `BLEU: tokenizer "${name}" needs MeCab and its dictionary, which are not part of this program; use "char", or chrF, ` +
        `which needs no tokenizer`,
    );
  throw new UserError(`BLEU: unknown tokenizer "${name}"; known: ${bleuTokenizers.join(", ")}`);
}

/** The tokenizer that sacreBLEU takes for a target language (`zh`, `zh-hans`, `pt_BR`) where none is asked for. */
export function recommendedTokenizer(language: string): "13a" | "zh" | MecabTokenizer {
  const primary = primaryOf(language);
  if (primary === "zh") return "zh";
  if (primary === "ja" || primary === "ko") return `${primary}-mecab`;
  return "13a";
}

/** The tokenizer to take here: the recommended one, but `char` for Japanese and Korean, whose morphemes it cannot find. */
export function availableTokenizer(language: string): BleuTokenizer {
  const recommended = recommendedTokenizer(language);
  return recommended === "ja-mecab" || recommended === "ko-mecab" ? "char" : recommended;
}

const primaryOf = (language: string): string => language.toLowerCase().split(/[-_]/, 1)[0]!;

function tokenizeMteval13a(line: string): string[] {
  let text = line.replaceAll("<skipped>", "").replaceAll("-\n", "").replaceAll("\n", " ");
  if (text.includes("&"))
    text = text.replaceAll("&quot;", '"').replaceAll("&amp;", "&").replaceAll("&lt;", "<").replaceAll("&gt;", ">");
  return westernTokens(` ${text} `);
}

/** Splits at ASCII's punctuation; periods and commas stay within numbers, hyphens and apostrophes within words. */
function westernTokens(text: string): string[] {
  return wordsOf(
    text
      .replace(/[!-&(-+/:-@[-`{-~]/g, " $& ")
      .replace(/([^0-9])([.,])/gu, "$1 $2 ")
      .replace(/([.,])([^0-9])/gu, " $1 $2")
      .replace(/([0-9])-/g, "$1 - "),
  );
}

// Two ranges beyond the Basic Multilingual Plane are written with too few digits in sacreBLEU ("\u20000" for
// "\U00020000"), and mean U+2001 to U+2A6D and U+2F81 to U+2FA1 (the latter among the radicals): general punctuation, arrows
// and mathematical signs count as Chinese, and characters of Extension B do not.
const CHINESE = new RegExp(
  "[\u3400-\u4db5\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\u2001-\u2a6d\uff00-\uffef\u2e80-\u2eff" +
    "\u3000-\u303f\u31c0-\u31ef\u2f00-\u2fdf\u2ff0-\u2fff\u3100-\u312f\u31a0-\u31bf\ufe10-\ufe1f\ufe30-\ufe4f\u3200-\u33ff]",
  "g",
);

function tokenizeChinese(line: string): string[] {
  return westernTokens(trim(line).replace(CHINESE, " $& "));
}

/** Splits at all punctuation but between digits, and at symbols. A period after a number that ends the line stays with it. */
function tokenizeInternational(line: string): string[] {
  return wordsOf(
    line
      .replace(/(\P{N})(\p{P})/gu, "$1 $2 ")
      .replace(/(\p{P})(\P{N})/gu, " $1 $2")
      .replace(/\p{S}/gu, " $& "),
  );
}
