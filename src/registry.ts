import { UserError } from "./errors.ts";

/** A registry is the namespace of a folder's `index.ts`: one export line a member, each member carrying its public `name`. */
export interface Member {
  /** The name users write, e.g. `pre-ln`. */
  readonly name: string;
  /** One line for `fathom list`. */
  readonly summary: string;
}

/** The members of a registry by public name, in the order of the names. A name that occurs twice is an error of ours. */
export function members<T extends Member>(registry: Record<string, T>): ReadonlyMap<string, T> {
  const before = sorted.get(registry);
  if (before) return before as ReadonlyMap<string, T>;
  const byName = new Map<string, T>();
  for (const member of Object.values(registry)) {
    if (byName.has(member.name)) throw new Error(`internal error: two registry members are named "${member.name}"`);
    byName.set(member.name, member);
  }
  const result = new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
  sorted.set(registry, result);
  return result;
}

/** Registries never change, and a deep model looks its scheme up thousands of times. */
const sorted = new WeakMap<object, ReadonlyMap<string, Member>>();

/** The member called `name`; a `UserError` that lists the known names and the nearest one where there is none. */
export function lookup<T extends Member>(kind: string, registry: Record<string, T>, name: string): T {
  const known = members(registry);
  const found = known.get(name);
  if (!found) throw new UserError(unknownName(kind, name, [...known.keys()]));
  return found;
}

/** `unknown residual "preln"; did you mean "pre-ln"? Known: post-ln, pre-ln`. */
export function unknownName(kind: string, name: string, known: readonly string[]): string {
  return `unknown ${kind} "${name}"${didYouMean(name, known) || "."} Known: ${known.join(", ")}`;
}

/** What other programs and papers call what has another name here, without capitals and separators; each name with what to know of it. */
const synonyms: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  cuda: { onnx: "{kind: onnx, provider: cuda}" },
  gpu: { "tensorflow-gpu": "" },
  lr: { learningRate: "" },
  postlayernorm: { "post-ln": "" },
  postnorm: { "post-ln": "" },
  prelayernorm: { "pre-ln": "" },
  prenorm: { "pre-ln": "" },
  tsv: { manythings: "text, text", tatoeba: "id, text, id, text" },
};

/** Names that contain another one which are suggested at most. */
const mostContaining = 5;

/** `; did you mean "pre-ln"?` of the names that `name` may stand for, or that contain it; empty where there are none. */
export function didYouMean(name: string, known: readonly string[]): string {
  const meant = synonymsOf(name, known);
  const near = nearest(name, known);
  const guesses =
    meant.length > 0 ? meant : (near === undefined ? containing(name, known) : [near]).map((one) => [one, ""] as const);
  if (guesses.length === 0) return "";
  const shown = guesses.map(([one, note]) => `"${one}"${note === "" ? "" : ` (${note})`}`);
  const last = shown.pop()!;
  return `; did you mean ${shown.length > 0 ? `${shown.join(", ")} or ${last}` : last}?`;
}

/** The names in which `name` occurs, those that begin with it first. */
function containing(name: string, known: readonly string[]): string[] {
  const word = name.toLowerCase();
  if (word.length < 3) return [];
  const place = (candidate: string): number => candidate.toLowerCase().indexOf(word);
  const found = known.filter((candidate) => place(candidate) >= 0);
  return found.sort((a, b) => Math.sign(place(a)) - Math.sign(place(b))).slice(0, mostContaining);
}

/** The known names that `name` is a synonym of, each with what to know of it; of a dotted key its last part is one. */
function synonymsOf(name: string, known: readonly string[]): (readonly [name: string, note: string])[] {
  const start = name.lastIndexOf(".") + 1;
  const plain = name.slice(start).toLowerCase().replaceAll(/[-_ ]/g, "");
  if (!Object.hasOwn(synonyms, plain)) return [];
  return Object.entries(synonyms[plain]!).flatMap(([target, note]) => {
    const key = name.slice(0, start) + target;
    const found = known.includes(key) ? key : known.find((candidate) => candidate.endsWith(`.${key}`));
    return found === undefined ? [] : [[found, note] as const];
  });
}

/** The known name that `name` is a synonym of; else the one with the smallest edit distance to it, if it is near enough to be a
 *  typing slip. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [meant] = synonymsOf(name, known);
  if (meant) return meant[0];
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.ceil(name.length / 3)) + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue; // the distance is at least that
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
