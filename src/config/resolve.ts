// From what an author wrote to a complete configuration: pure, no files.

import { keysOf, jsonSchema, knownKeys } from "./json-schema.ts";
import { problemsOf, unknownName, valueAt, type Problem } from "./problems.ts";
import { runSchemas, type Registries, type RunConfig } from "./schema.ts";

/** What resolving gives: the configuration, or everything that is wrong with it. */
export type Resolved<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problems: readonly Problem[] };

/** Resolves inputs against one set of names; keep it for many inputs, since making the schema is the larger part. */
export interface Resolver {
  /** The complete configuration of `input` (a run's keys, no `sweep`), or its problems. */
  resolve(input: unknown): Resolved<RunConfig>;
  /** Every dotted key an experiment file may have. */
  readonly keys: readonly string[];
}

/** A resolver for the registries' `names`. */
export function resolver(names: Registries): Resolver {
  const schemas = runSchemas(names);
  const keys = keysOf(names);
  return {
    keys: knownKeys(jsonSchema(names)),
    resolve: (input) => parse(schemas, input, (kind) => keys[kind]),
  };
}

type Schemas = ReturnType<typeof runSchemas>;
type Kind = keyof Schemas;

/** Parses by the schema of the input's own `model.kind`, a transformer's if it names none. */
function parse(schemas: Schemas, input: unknown, keysOf: (kind: Kind) => readonly string[]): Resolved<RunConfig> {
  const path = ["model", "kind"];
  const kind = valueAt(input, path) ?? "transformer";
  const known = Object.keys(schemas);
  if (typeof kind !== "string" || !known.includes(kind))
    return { ok: false, problems: [{ path, message: unknownName(kind, known) }] };
  const result = schemas[kind as Kind].safeParse(input);
  if (result.success) return { ok: true, value: result.data };
  return { ok: false, problems: problemsOf(result.error.issues, input, keysOf(kind as Kind)) };
}

/** A configuration that was resolved before, such as a run's own: checked for its shape alone. What it names may belong
 *  to another version's registries; whoever uses such a name looks it up. */
export function checkResolved(input: unknown): Resolved<RunConfig> {
  const named = (...path: string[]) => {
    const names = [valueAt(input, path)].flat().filter((name) => typeof name === "string");
    return (names.length > 0 ? names : ["a name"]).map((name) => ({ name, summary: "" }));
  };
  const finalNorm = valueAt(input, ["model", "finalNorm"]) === true;
  const normless = valueAt(input, ["model", "norm"]) === "none";
  const names: Registries = {
    residual: named("model", "residual").map((member) => ({ ...member, finalNorm, ...(normless && { normless }) })),
    norms: named("model", "norm"),
    probes: named("probes", "record"),
    presets: [],
    corpora: named("data", "corpus"),
    readers: named("data", "corpus", "reader"),
    imageSets: [],
    metrics: [...named("metrics", "evaluation"), ...named("metrics", "final")],
  };
  const key = JSON.stringify(names);
  if (latest?.key !== key) latest = { key, schemas: runSchemas(names) };
  return parse(latest.schemas, input, () => []);
}

/** The schemas of the configuration that was checked last: making them takes most of the time, and runs of an experiment come in groups
 *  that name the same. */
let latest: { readonly key: string; readonly schemas: Schemas } | undefined;

/** Keys whose text is short for a mapping with that `kind`. */
const kindsInShort = ["engine"];

/** A copy of `data` with `value` at the dotted `key`, mappings made on the way; or the sentence that says why not. What does not lie on
 *  the way is not copied: a sweep of 10,000 runs asks for as many. */
export function withKey(data: unknown, key: string, value: unknown): Resolved<Record<string, unknown>> {
  const copy = { ...(data as Record<string, unknown> | null | undefined) };
  const path = key.split(".");
  let node = copy;
  for (const [i, part] of path.slice(0, -1).entries()) {
    if (!Object.hasOwn(node, part) || node[part] === null) node[part] = {};
    if (typeof node[part] === "string" && kindsInShort.includes(path.slice(0, i + 1).join(".")))
      node[part] = { kind: node[part] };
    const next = node[part];
    if (typeof next !== "object" || Array.isArray(next)) {
      const parent = path.slice(0, i + 1).join(".");
      const message = `cannot be set, since ${parent} is ${JSON.stringify(next)} and no mapping; set ${parent} as a whole`;
      return { ok: false, problems: [{ path, message }] };
    }
    node = node[part] = { ...(next as Record<string, unknown>) };
  }
  node[path.at(-1)!] = value;
  return { ok: true, value: copy };
}
