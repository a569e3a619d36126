// What the corpora do to text: normalisation, placeholders, templates (a text with its variable parts masked) and words.
// Everything here depends on Unicode properties alone, never on a locale or an ICU dictionary, so that a split is the
// same on every machine.

/** NFC, `\n` for every line break, no white space around. Placeholders and markup stay as they are. */
export const normalise = (text: string): string => text.normalize("NFC").replace(/\r\n?/g, "\n").trim();

/** `{0}`, `{name}`, `{0:d}`, `${name}`, `%s`, `%1$d`: what a program fills in. */
const PLACEHOLDER = /\$?\{[\p{L}\p{N}_.:-]*\}|%(?:\d+\$)?[sdif]/gu;
/** Quoted text: straight quotes only where no word touches them from outside, so that "don't" opens nothing. */
const QUOTED =
  /(?<![\p{L}\p{N}])'[^'\n]*'(?![\p{L}\p{N}])|"[^"\n]*"|`[^`\n]*`|«[^»\n]*»|[“„”][^“”„\n]*[“”]|‘[^’\n]*’|‚[^‘\n]*‘|「[^」\n]*」|『[^』\n]*』/gu;
const NUMBER = /\p{N}+(?:[.,]\p{N}+)*/gu;

/** The placeholders of a text, sorted, each once: a translation must have the same ones. */
export const placeholders = (text: string): string[] => [...new Set(text.match(PLACEHOLDER) ?? [])].sort();

/** The template of a text: quoted text, placeholders and numbers become `#`, case is folded, white space collapsed.
 *  Two texts of one template differ only in what a program or a writer filled in. */
export const template = (text: string): string =>
  text.replace(QUOTED, "#").replace(PLACEHOLDER, "#").replace(NUMBER, "#").toLowerCase().replace(/\s+/g, " ").trim();

// Scripts written without spaces: their words are taken to be the overlapping pairs of characters.
const UNSPACED = "[\\p{scx=Han}\\p{scx=Hira}\\p{scx=Kana}\\p{scx=Thai}\\p{scx=Lao}\\p{scx=Khmr}\\p{scx=Mymr}]";
const WORD = new RegExp(`(?:(?!${UNSPACED})[\\p{L}\\p{M}\\p{N}])+|(?:(?=[\\p{L}\\p{M}])${UNSPACED})+`, "gu");
const STARTS_UNSPACED = new RegExp(`^${UNSPACED}`, "u");

/** The words of a text, lower-case, in order: runs of letters and digits; character pairs where a script has no spaces. */
export function words(text: string): string[] {
  const found: string[] = [];
  for (const run of text.toLowerCase().match(WORD) ?? []) {
    if (!STARTS_UNSPACED.test(run)) {
      found.push(run);
      continue;
    }
    const characters = [...run];
    if (characters.length === 1) found.push(run);
    for (let i = 1; i < characters.length; i++) found.push(characters[i - 1]! + characters[i]!);
  }
  return found;
}

/** Whether nothing in a text asks for translation: only placeholders, quoted text, numbers, punctuation and code names
 *  (`JSON`, `tsconfig.json`, `noEmit`, `--watch`). Such a text may equal its translation. */
export function isCode(text: string): boolean {
  const rest = text.replace(QUOTED, " ").replace(PLACEHOLDER, " ").split(/\s+/);
  return rest.every((token) => {
    const name = token.replace(/^[^\p{L}\p{N}@_$-]+|[^\p{L}\p{N}_$]+$/gu, "");
    if (!/\p{L}/u.test(name)) return true;
    return /^--?\p{L}|[_/@$\\=<>]|\p{L}[.:]\p{L}|\p{Ll}\p{Lu}|^\p{Lu}[\p{Lu}\p{N}-]+$/u.test(name);
  });
}
