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
  const guess = nearest(name, known);
  return `unknown ${kind} "${name}"${guess ? `; did you mean "${guess}"?` : "."} Known: ${known.join(", ")}`;
}

/** The known name with the smallest edit distance to `name`, if it is near enough to be a typing slip. */
export function nearest(name: string, known: readonly string[]): string | undefined {
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
