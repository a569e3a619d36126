// What is wrong with a configuration, as data: the key and a sentence. zod's issues become such sentences here; files,
// lines and columns are added by load.ts.

import type * as z from "zod";
import { didYouMean as guessed, nearest } from "../registry.ts";

/** One thing wrong: `path` is where, `message` a sentence without the key. */
export interface Problem {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** Whether the key itself is wrong rather than its value. */
  readonly unknownKey?: boolean;
}

type Issue = z.core.$ZodIssue;

/** Unknown keys of a mapping that are compared with the known ones: more than anybody reads, where a file may have thousands. */
const mostGuesses = 100;

/** The problems behind zod's issues about `input`; `keys` are all dotted keys there are, for suggestions. */
export function problemsOf(issues: readonly Issue[], input: unknown, keys: readonly string[]): Problem[] {
  const problems = issues.flatMap((issue) => problemsOfIssue(issue, [], input, keys));
  // A key that was misspelt is one mistake, not an unknown key and a missing one.
  const unknown = problems.filter((p) => p.unknownKey).slice(0, mostGuesses);
  const misspelt = new Set(unknown.map((p) => suggestion(p.path, keys)));
  return problems.filter(
    (p) => p.unknownKey || valueAt(input, p.path) !== undefined || !misspelt.has(p.path.join(".")),
  );
}

function problemsOfIssue(
  issue: Issue,
  parent: readonly (string | number)[],
  input: unknown,
  keys: readonly string[],
): Problem[] {
  const path = [...parent, ...(issue.path as (string | number)[])];
  const value = valueAt(input, path);
  const got = `, got ${describeValue(value)}`;
  const missing = value === undefined ? "; add the key" : "";
  const one = (message: string): Problem[] => [{ path, message }];
  switch (issue.code) {
    case "invalid_type":
      return one(`expected ${typeNames[issue.expected] ?? issue.expected}${got}${missing}`);
    case "invalid_value":
      return one(`expected ${oneOf(issue.values)}${got}${missing}${didYouMean(value, issue.values)}`);
    case "too_small":
    case "too_big":
      return one(`expected ${bound(issue)}${got}`);
    case "invalid_format":
      return one(`${issue.message}${got}`);
    case "unrecognized_keys":
      return issue.keys.map((key, i) => ({
        path: [...path, key],
        message: i < mostGuesses ? unknownKey([...path, key], keys) : "unknown key",
        unknownKey: true,
      }));
    case "invalid_union":
      if (issue.errors.length === 0) {
        const options = (issue as { options?: unknown[] }).options?.filter((o) => o !== undefined) ?? [];
        return one(`expected ${oneOf(options)}${got}${missing}${didYouMean(value, options)}`);
      }
      return unionProblems(issue.errors, path, input, keys);
    case "not_multiple_of":
    case "invalid_key":
    case "invalid_element":
    case "custom":
      return one(issue.message);
  }
}

/** Of a union's alternatives the one the author seems to have meant; if none fits at all, what each expects. */
function unionProblems(
  alternatives: readonly (readonly Issue[])[],
  path: readonly (string | number)[],
  input: unknown,
  keys: readonly string[],
): Problem[] {
  const value = valueAt(input, path);
  const isOtherKind = (issue: Issue): boolean =>
    issue.path.length === 0 &&
    (issue.code === "invalid_value" ||
      (issue.code === "invalid_type" && !(issue.expected === "int" && typeof value === "number")));
  const meant = alternatives.find((issues) => !issues.some(isOtherKind));
  if (meant) return meant.flatMap((issue) => problemsOfIssue(issue, path, input, keys));
  const expected = alternatives.map((issues) => {
    const issue = issues.find(isOtherKind)!;
    return issue.code === "invalid_type"
      ? (typeNames[issue.expected] ?? issue.expected)
      : oneOf((issue as { values: unknown[] }).values);
  });
  const missing = value === undefined ? "; add the key" : "";
  const names = alternatives.flat().flatMap((issue) => (issue.code === "invalid_value" ? issue.values : []));
  const guess = didYouMean(value, names);
  return [
    { path, message: `expected ${[...new Set(expected)].join(" or ")}, got ${describeValue(value)}${missing}${guess}` },
  ];
}

/** `unknown key; did you mean "width"? Known here: depth, heads, width`. */
function unknownKey(path: readonly (string | number)[], keys: readonly string[]): string {
  const guess = suggestion(path, keys);
  const prefix = path
    .slice(0, -1)
    .map((p) => `${p}.`)
    .join("");
  const rest = guess?.startsWith(prefix) ? guess.slice(prefix.length) : undefined;
  const short = rest?.includes(".") ? guess : (rest ?? guess);
  return `unknown key${short ? `; did you mean "${short}"?` : "."} Known here: ${siblings(prefix, keys).join(", ")}`;
}

/** The dotted key an author who wrote `path` may have meant: a similar one beside it, else the same one elsewhere. */
function suggestion(path: readonly (string | number)[], keys: readonly string[]): string | undefined {
  const key = String(path.at(-1));
  const prefix = path
    .slice(0, -1)
    .map((p) => `${p}.`)
    .join("");
  const beside = nearest(key, siblings(prefix, keys));
  return beside === undefined ? keys.find((k) => k.split(".").at(-1) === key) : prefix + beside;
}

const siblings = (prefix: string, keys: readonly string[]): string[] =>
  keys.filter((k) => k.startsWith(prefix) && !k.slice(prefix.length).includes(".")).map((k) => k.slice(prefix.length));

/** The value at a path, or undefined. */
export function valueAt(data: unknown, path: readonly (string | number)[]): unknown {
  let value = data;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string | number, unknown>)[key];
  }
  return value;
}

/** `expected one of a, b, got "c"; did you mean "b"?`. */
export const unknownName = (value: unknown, known: readonly string[]): string =>
  `expected ${oneOf(known)}, got ${describeValue(value)}${didYouMean(value, known)}`;

const typeNames: Record<string, string> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  boolean: "true or false",
  object: "a mapping",
  record: "a mapping",
  array: "a list",
};

function describeValue(value: unknown): string {
  if (value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a mapping";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const oneOf = (values: readonly unknown[]): string =>
  values.length === 1 ? String(values[0]) : `one of ${values.map(String).join(", ")}`;

function didYouMean(value: unknown, values: readonly unknown[]): string {
  return typeof value === "string" ? guessed(value, values.map(String)) : "";
}

function bound(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const [limit, word, strict] =
    issue.code === "too_small" ? [issue.minimum, "at least", "more than"] : [issue.maximum, "at most", "less than"];
  const unit =
    issue.origin === "array" ? (limit === 1 ? " entry" : " entries") : issue.origin === "string" ? " characters" : "";
  return `${issue.inclusive ? word : strict} ${limit}${unit}`;
}
