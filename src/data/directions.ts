// Translation directions, and how often each is trained on.

import { UserError } from "../errors.ts";
import { nearest } from "../registry.ts";

/** From one language into another. */
export interface Direction {
  /** `en-fr`, `pt-br-en`. */
  readonly name: string;
  readonly source: string;
  readonly target: string;
  /** Evaluated, and never trained. */
  readonly isZeroShot?: true;
}

/** The directions of a configuration.
 *  @param asked names such as `en-de`, or `many-to-many` for all ordered pairs
 *  @param known languages of the corpus
 *  @param only languages that `many-to-many` is restricted to
 *  @param key what errors call it */
export function resolveDirections(
  asked: readonly string[] | "many-to-many",
  known: readonly string[],
  only?: readonly string[],
  key = "data.directions",
): Direction[] {
  for (const language of only ?? [])
    if (!known.includes(language)) throw new UserError(`data.languages: ${unknownLanguage(language, known)}`);
  if (asked !== "many-to-many") {
    const repeated = asked.find((name, i) => asked.indexOf(name) !== i);
    if (repeated !== undefined)
      throw new UserError(`${key}: expected each direction once, got ${repeated} twice; remove one`);
    return asked.map((name) => parseDirection(name, known, key));
  }
  const languages = [...new Set(only ?? known)].sort();
  if (languages.length < 2)
    throw new UserError(`data.languages: expected two or more for many-to-many, got ${languages.join(", ") || "none"}`);
  return languages.flatMap((source) =>
    languages.filter((target) => target !== source).map((target) => direction(source, target)),
  );
}

const direction = (source: string, target: string): Direction => ({ name: `${source}-${target}`, source, target });

/** Codes may hold hyphens themselves (`pt-br-zh-hans`), so every hyphen is tried as the border. */
function parseDirection(name: string, known: readonly string[], key: string): Direction {
  const parts = name.split("-");
  const borders = parts
    .slice(1)
    .map((_, i) => [parts.slice(0, i + 1).join("-"), parts.slice(i + 1).join("-")] as const);
  for (const [source, target] of borders)
    if (known.includes(source) && known.includes(target) && source !== target) return direction(source, target);
  const half = borders.find(([source, target]) => known.includes(source) || known.includes(target));
  if (half && half[0] !== half[1]) {
    const wrong = half.find((language) => !known.includes(language))!;
    throw new UserError(`${key}: ${unknownLanguage(wrong, known)} (in "${name}")`);
  }
  throw new UserError(
    `${key}: expected two different languages such as en-de, got "${name}". Known: ${known.join(", ")}`,
  );
}

function unknownLanguage(language: string, known: readonly string[]): string {
  const guess = nearest(language, known);
  // Codes are so short that any is near any other: a guess must begin alike.
  return `unknown language "${language}"${guess?.[0] === language[0] ? `; did you mean "${guess}"?` : "."} Known: ${known.join(", ")}`;
}

/** Refuses zero-shot directions that are trained, or into a language that nothing is trained into: nobody would have told the model
 *  how to. */
export function checkZeroShot(zeroShot: readonly Direction[], trained: readonly Direction[]): void {
  for (const { name, target } of zeroShot) {
    if (trained.some((other) => other.name === name))
      throw new UserError(
        `data.zeroShot: expected directions that are not in data.directions, got ${name}; remove one`,
      );
    if (!trained.some((other) => other.target === target))
      throw new UserError(
        `data.zeroShot: expected a target language of data.directions, got ${name}: nothing is trained into ${target}`,
      );
  }
}

/** The share of each direction in training: p proportional to n^(1/T) for n examples at temperature T. T = 1 keeps the
 *  proportions of the corpus, larger values come nearer to equal shares. Source: Arivazhagan et al. 2019. */
export function directionShares(sizes: readonly number[], temperature: number): number[] {
  const largest = Math.max(...sizes);
  // Relative to the largest, so that a small temperature cannot overflow.
  const weights = sizes.map((size) => (size === 0 ? 0 : (size / largest) ** (1 / temperature)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}
