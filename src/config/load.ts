// Reads experiment files: YAML with positions, `key=value` overrides on top, and every error as
// `file:line:column: key: expected ..., got ...`, several at once.

import { isUtf8 } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import { Document, isMap, isPair, isScalar, LineCounter, type Node } from "yaml";
import { nearest } from "../registry.ts";
import { messageOf, UserError } from "../errors.ts";
import { problemsOf, valueAt, type Problem } from "./problems.ts";
import { resolver, withKey, type Resolved, type Resolver } from "./resolve.ts";
import { type Registries, type RunConfig, type SweepConfig, sweepSchema } from "./schema.ts";
import { expandSweep, type Expansion } from "./sweep.ts";
import { parseYaml, shortened } from "./yaml.ts";

const maxBytes = 1_000_000;
const maxProblems = 10;
/** Characters of a problem: the longest list of names is shorter. */
const longestProblem = 2000;

/** A file as an author wrote it, overrides applied. */
interface Source {
  readonly file: string;
  readonly text: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly data: Record<string, unknown>;
  /** By key, the override as it was typed. */
  readonly overrides: ReadonlyMap<string, string>;
}

/** An experiment that is no file: what its keys hold, and what errors call it. */
export interface GivenConfig {
  readonly label: string;
  /** As a YAML file would have it: mappings, lists, texts, numbers, truth values, null. */
  readonly input: unknown;
}

/** The one run of an experiment file, and its text; `hasSweep`: there is a `sweep` section, which was left aside. */
export function loadRun(
  file: string | GivenConfig,
  overrides: readonly string[],
  names: Registries,
): { config: RunConfig; hasSweep: boolean; text: string } {
  const resolve = resolver(names);
  const source = read(file, overrides, resolve);
  const { sweep, ...input } = source.data;
  return { config: orThrow(source, resolve.resolve(input)), hasSweep: sweep !== undefined, text: source.text };
}

/** All runs of an experiment file (one, where it has no `sweep`), the experiment's name, and the file's text. */
export function loadSweep(
  file: string | GivenConfig,
  overrides: readonly string[],
  names: Registries,
): Expansion & { readonly name: string; readonly text: string } {
  const resolve = resolver(names);
  const source = read(file, overrides, resolve);
  const { sweep, ...input } = source.data;
  const section = parseSweep(source, resolve, sweep);
  refuseSwept(source, section);
  const expansion = orThrow(source, expandSweep(input, section, resolve));
  return { ...expansion, name: expansion.runs[0]!.config.name, text: source.text };
}

/** An override of a key that the sweep sets for every run would change nothing. */
function refuseSwept({ overrides }: Source, sweep: SweepConfig | undefined): void {
  const swept = [...Object.keys(sweep?.parameters ?? {}), ...(sweep?.seeds ? ["seed"] : [])];
  for (const [key, text] of overrides)
    if (swept.includes(key))
      throw new UserError(
        `override ${text}: expected a key that the sweep does not vary, got ${key}; change it in the sweep section`,
      );
}

/** The `sweep` section, checked for its own shape. */
function parseSweep(source: Source, { keys }: Resolver, sweep: unknown): SweepConfig | undefined {
  const result = sweepSchema.optional().safeParse(sweep);
  if (result.success) return result.data;
  const nested = result.error.issues.map((issue) => ({ ...issue, path: ["sweep", ...issue.path] }));
  throw asUserError(source, problemsOf(nested as typeof result.error.issues, source.data, keys));
}

function orThrow<T>(source: Source, result: Resolved<T>): T {
  if (result.ok) return result.value;
  throw asUserError(source, result.problems);
}

function read(file: string | GivenConfig, overrides: readonly string[], { keys }: Resolver): Source {
  const source = typeof file === "string" ? readSource(file) : givenSource(file);
  const { data } = source;
  if (typeof data !== "object" || data === null || Array.isArray(data))
    throw new UserError(
      `${source.file}: expected a mapping of configuration keys, got ${data === null ? "an empty file" : "something else"}`,
    );
  const whole = { ...source, data: data as Record<string, unknown>, overrides: new Map<string, string>() };
  return overrides.reduce((s, override) => applyOverride(s, override, keys), whole);
}

/** A source before it is known to be a mapping. */
type Unchecked = Omit<Source, "data" | "overrides"> & { readonly data: unknown };

function readSource(file: string): Unchecked {
  const text = readText(file);
  const parsed = parseYaml(text);
  if (parsed.ok) return { file, text, document: parsed.document, lines: parsed.lines, data: parsed.data };
  throw new UserError(
    parsed.problems
      .slice(0, maxProblems)
      .map(({ line, column, message }) => `${file}${line === undefined ? "" : `:${line}:${column}`}: ${message}`)
      .join("\n"),
  );
}

/** Its document has no places, so errors name the key alone. */
function givenSource({ label, input }: GivenConfig): Unchecked {
  try {
    const data: unknown = JSON.parse(JSON.stringify(input) ?? "null");
    const document = new Document(data);
    return { file: label, text: String(document), document, lines: new LineCounter(), data };
  } catch (error) {
    throw new UserError(`${label}: expected what JSON can hold, got something else: ${messageOf(error)}`);
  }
}

/** The text of a file of at most `maxBytes`, which may be a pipe. */
function readText(file: string): string {
  const bytes = Buffer.alloc(maxBytes + 1);
  let size = 0;
  try {
    const fd = openSync(file, "r");
    try {
      for (let read = -1; read !== 0 && size < bytes.length; size += Math.max(0, read))
        read = readSync(fd, bytes, size, bytes.length - size, null);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === "ENOENT" ? "there is no such file" : code === "EISDIR" ? "it is a folder" : messageOf(error);
    throw new UserError(`${file}: expected a configuration file that can be read: ${reason}`);
  }
  if (size > maxBytes)
    throw new UserError(
      `${file}: expected a configuration of at most ${maxBytes} bytes, got more; is it another file?`,
    );
  const text = bytes.subarray(0, size);
  if (!isUtf8(text))
    throw new UserError(`${file}: expected a configuration in UTF-8, got other bytes; save it as UTF-8`);
  return text.toString("utf8");
}

function applyOverride<S extends Source>(source: S, override: string, keys: readonly string[]): S {
  const where = `override ${override}`;
  const [key, text] = [override.slice(0, override.indexOf("=")), override.slice(override.indexOf("=") + 1)];
  if (!override.includes("=") || key === "")
    throw new UserError(`${where}: expected key=value, such as train.steps=50`);
  if (!keys.includes(key)) {
    const guess = nearest(key, keys) ?? keys.find((k) => k.endsWith(`.${key}`));
    throw new UserError(
      `${where}: unknown key${guess ? `; did you mean "${guess}"?` : "; schema/experiment.schema.json lists the keys"}`,
    );
  }
  const parsed = parseYaml(text);
  if (!parsed.ok) throw new UserError(`${where}: expected a YAML value, got ${text}: ${parsed.problems[0]!.message}`);
  const next = withKey(source.data, key, parsed.data);
  if (!next.ok) throw new UserError(`${where}: ${key}: ${next.problems[0]!.message}`);
  return { ...source, data: next.value, overrides: new Map([...source.overrides, [key, override]]) };
}

/** All problems as one error, at most ten, each where the author can find it. */
function asUserError(source: Source, problems: readonly Problem[]): UserError {
  // Told apart before they are located, which takes the time of reading through their mapping.
  const different = [...new Map(problems.map((problem) => [labelled(problem), problem])).values()];
  const lines = different
    .slice(0, maxProblems)
    .map((problem) => `${locate(source, problem)}: ${shortened(labelled(problem), longestProblem)}`);
  const more = different.length - lines.length;
  return new UserError([...lines, ...(more > 0 ? [`and ${more} more`] : [])].join("\n"));
}

const labelled = ({ path, message }: Problem): string => {
  const key = path.join(".");
  return key === "" || message.startsWith(`${key} `) ? message : `${key}: ${message}`;
};

/** `file:line:column` of a problem, or the override that brought it, or the sweep's entry that sets its key. */
function locate(source: Source, { path, unknownKey }: Problem): string {
  const key = path.join(".");
  for (const [overridden, text] of source.overrides)
    if (key === overridden || key.startsWith(`${overridden}.`)) return `override ${text}`;
  const parameters = valueAt(source.data, ["sweep", "parameters"]);
  const swept = Object.keys((parameters ?? {}) as object).find((k) => key === k || key.startsWith(`${k}.`));
  const position = swept
    ? positionOf(source.document, ["sweep", "parameters", swept], true)
    : positionOf(source.document, path, unknownKey);
  if (position === undefined) return source.file;
  const { line, col } = source.lines.linePos(position);
  return `${source.file}:${line}:${col}`;
}

/** Offset of the value at `path`, or of its key; for what is not there, of the nearest parent's key. */
function positionOf(document: Document, path: readonly (string | number)[], ofKey = false): number | undefined {
  for (let n = path.length; n > 0; n--) {
    const parent = document.getIn(path.slice(0, n - 1), true);
    const pair = isMap(parent)
      ? parent.items.find((p) => isPair(p) && isScalar(p.key) && String(p.key.value) === String(path[n - 1]))
      : undefined;
    const value = document.getIn(path.slice(0, n), true) as Node | undefined;
    if (pair && (ofKey || n < path.length || !isScalar(value))) return (pair.key as Node).range?.[0];
    if (value?.range) return value.range[0];
  }
  return document.contents?.range?.[0];
}
