// YAML as data and nothing else: no tags, no second document, bounded nesting, aliases that cannot multiply, and time that
// grows with the length of the text alone. What the yaml package would do beyond that is refused here, with its place.

import { CST, isNode, isScalar, Lexer, LineCounter, parseDocument, Parser, visit, type Document } from "yaml";
import { messageOf } from "../errors.ts";

/** What is wrong with a YAML text; the place is that of the text's line and column, where it has one. */
export interface YamlProblem {
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
}

/** A YAML text with its places, or everything that is wrong with it. */
export type ParsedYaml =
  | { readonly ok: true; readonly data: unknown; readonly document: Document; readonly lines: LineCounter }
  | { readonly ok: false; readonly problems: readonly YamlProblem[] };

/** Mappings and lists within each other at most: our keys need five. More than a thousand fill a call stack. */
const mostLevels = 100;
/** Aliases in a text at most: the package looks each up among all. */
const mostAliases = 100;
/** Values at most once aliases stand for what they name: twice what a configuration of the longest text can have. */
const mostValues = 1_000_000;
/** Characters of a message that quotes the text. */
const longestMessage = 200;

/** The data of a YAML 1.2 text: mappings, lists, text, numbers, true, false and null. */
export function parseYaml(text: string): ParsedYaml {
  const lines = new LineCounter();
  lines.addNewLine(0);
  for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", end + 1)) lines.addNewLine(end + 1);
  const refuse = (found: readonly Found[]): ParsedYaml => ({
    ok: false,
    problems: found.map(({ offset, message }) => {
      const { line, col: column } = offset === undefined ? {} : lines.linePos(offset);
      return { ...(line !== undefined && { line, column: column! }), message: shortened(message, longestMessage) };
    }),
  });
  const token = tokenProblem(text);
  if (token) return refuse([token]);
  // The package's own search for keys that are there twice takes the square of their number.
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false });
  const problems = [
    ...[...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
      offset: pos[0],
      message: repairs[code] ?? message,
    })),
    ...nodeProblems(document),
  ];
  if (problems.length > 0) return refuse(problems);
  let data: unknown;
  try {
    data = document.toJS({ maxAliasCount: mostAliases });
  } catch (error) {
    return refuse([{ message: `${messageOf(error)}; write the values out instead` }]);
  }
  const excess = excessOf(data);
  return excess === undefined ? { ok: true, data, document, lines } : refuse([{ message: excess }]);
}

/** The data of a YAML text. Throws an `Error` with the first thing that is wrong with it. */
export function yamlData(text: string): unknown {
  const parsed = parseYaml(text);
  if (parsed.ok) return parsed.data;
  const { line, message } = parsed.problems[0]!;
  throw new Error(line === undefined ? message : `${message} (line ${line})`);
}

/** Of the package's complaints those whose text would not help an author. */
const repairs: Readonly<Partial<Record<string, string>>> = {
  MULTIPLE_DOCS: "expected one document, got another behind it; make a file of its own of what follows ---",
};

interface Found {
  readonly offset?: number;
  readonly message: string;
}

const deep = `expected at most ${mostLevels} levels of nesting, got more; write them flat`;

/** What must be known before a text is parsed, since the package's functions call themselves level by level. */
function tokenProblem(text: string): Found | undefined {
  // YAML's printable characters; others can be written as escapes.
  const unprintable = /[^\t\n\r\x20-\x7e\x85\xa0-\uffff]/.exec(text);
  if (unprintable) {
    const code = unprintable[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    return { offset: unprintable.index, message: `expected text, got the control character U+${code}; remove it` };
  }
  const parser = new Parser();
  let aliases = 0;
  let type: string | null = null;
  for (const lexeme of new Lexer().lex(text)) {
    const { offset } = parser;
    type = type === "scalar" ? "text" : CST.tokenType(lexeme); // a token announces the text of a scalar
    if (type === "tag")
      return {
        offset,
        message: `expected a plain value, got the tag ${lexeme}; remove it (quotes make text of a value)`,
      };
    if (type === "alias" && ++aliases > mostAliases)
      return {
        offset,
        message: `expected at most ${mostAliases} aliases (*name), got more; write the values out instead`,
      };
    Array.from(parser.next(lexeme)); // what it yields, whole documents, is of no use here
    // The document is on its stack as well, and a value; `excessOf` counts exactly.
    if (parser.stack.length > mostLevels + 2) return { offset, message: deep };
  }
  return undefined;
}

/** What the package lets pass, or would look for in the square of the time. */
function nodeProblems(document: Document): Found[] {
  const problems: Found[] = [];
  if (document.directives?.yaml.version !== "1.2")
    problems.push({
      offset: 0,
      message: "expected YAML 1.2, got a directive %YAML of another version; remove that line",
    });
  visit(document, {
    Map(_key, { items }) {
      const keys = new Set<string>();
      for (const { key } of items) {
        const offset = isNode(key) ? key.range?.[0] : undefined;
        const where = offset === undefined ? {} : { offset };
        if (!isScalar(key))
          problems.push({ ...where, message: "expected a key of text, got a list, a mapping or an alias" });
        else if (keys.has(String(key.value))) problems.push({ ...where, message: "a key is there twice; remove one" });
        else keys.add(String(key.value));
      }
    },
    Alias(_key, { source, range }, path) {
      if (path.some((node) => isNode(node) && "anchor" in node && node.anchor === source))
        problems.push({
          ...(range && { offset: range[0] }),
          message: `expected an alias of something else, got *${source} within &${source} itself; write the values out`,
        });
    },
  });
  return problems;
}

/** What data has too much of once aliases stand for what they name, if anything. */
function excessOf(data: unknown): string | undefined {
  let values = 0;
  const isDeep = (value: unknown, level: number): boolean => {
    if (++values > mostValues || typeof value !== "object" || value === null) return false;
    return level > mostLevels || Object.values(value).some((inner) => isDeep(inner, level + 1));
  };
  if (isDeep(data, 1)) return deep;
  return values > mostValues
    ? `expected at most ${mostValues} values once aliases are written out, got more; use fewer`
    : undefined;
}

/** A text as one line of at most `most` characters. */
export function shortened(text: string, most: number): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > most ? `${line.slice(0, most - 3)}...` : line;
}
