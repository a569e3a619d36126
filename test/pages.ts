// What the tests of the documentation share: blocks of a page, and a copy of the working tree to run them in.
import { execFile } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify, stripVTControlCharacters } from "node:util";

/** A fenced block of a page. */
export interface Block {
  readonly language: string;
  readonly text: string;
}

/** The fenced blocks of a Markdown file that name a language, in their order. */
export const blocksOf = (file: string): Block[] =>
  [...readFileSync(file, "utf8").matchAll(/^ *```(\w+)\n([\s\S]*?)^ *```$/gm)].map(([, language, text]) => ({
    language: language!,
    text: text!,
  }));

/** The commands of a shell block, without their comments; a backslash at a line's end goes on. */
export const commandsOf = ({ text }: Block): string[] =>
  text
    .replaceAll(/\\\n\s*/g, "")
    .trim()
    .split("\n")
    .map((line) => line.replace(/\s+#.*$/, ""));

/** A copy of the working tree as it is built, with the same packages, in a temporary folder that `remove` takes away. */
export function workingCopy(): { folder: string; remove: () => void } {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "fathom-docs-")));
  const left = new Set([".git", "node_modules", "results", "scratch", "peers", "bench"]);
  for (const name of readdirSync(".")) if (!left.has(name)) cpSync(name, join(folder, name), { recursive: true });
  symlinkSync(resolve("node_modules"), join(folder, "node_modules"), "junction");
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Runs a command of a page in `folder`: what `npx` and `npm run` would start, without their start-up. Rejects where it fails,
 *  with what it printed. */
export async function runCommand(line: string, folder: string): Promise<string> {
  const [first, second, ...args] = words(line);
  if (first === "node") return run(process.execPath, [second!, ...args], { cwd: folder });
  const programs: Record<string, string> = {
    fathom: join(folder, "bin/fathom.js"),
    vitest: resolve("node_modules/vitest/vitest.mjs"),
    tsc: resolve("node_modules/typescript/bin/tsc"),
  };
  // Windows starts npm by a script.
  const isWindows = process.platform === "win32";
  if (first === "npm") return run(isWindows ? "npm.cmd" : "npm", [second!, ...args], { cwd: folder, shell: isWindows });
  const program = first === "npx" ? programs[second!] : undefined;
  if (!program) throw new Error(`a page has a command that its test cannot run: ${line}`);
  return run(process.execPath, [program, ...args], { cwd: folder });
}

async function run(program: string, args: string[], options: { cwd: string; shell?: boolean }): Promise<string> {
  // A run that vitest started would be told so by its environment.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_ENV)/.test(name)));
  const { stdout } = await promisify(execFile)(program, args, { ...options, env, maxBuffer: 2 ** 26 });
  return stripVTControlCharacters(stdout);
}

/** The words of a command line; double quotes hold one together. */
const words = (line: string): string[] =>
  [...line.matchAll(/(?:"[^"]*"|[^\s"])+/g)].map(([word]) => word.replaceAll('"', ""));

/** Writes a block whose first line names a file into `folder`, as that line says: a whole file, `PATH, one line more`, `PATH, at the end`, `PATH,
 *  from "TEXT" on` or `PATH, instead of \`LINE\``. Blocks that name none are none of its business: gives whether it was one. */
export function writeBlock({ text }: Block, folder: string): boolean {
  const [head, path, rest] = /^(?:#|\/\/) ([\w./-]+\.[a-z]+)(, .*)?\n/.exec(text) ?? [];
  if (!head) return false;
  const file = join(folder, path!);
  const body = text.slice(head.length);
  const from = /^, from "(.*)" on$/.exec(rest ?? "")?.[1];
  const instead = /^, instead of `(.*)`$/.exec(rest ?? "")?.[1];
  if (rest === undefined) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, body);
  } else if (rest === ", one line more") appendFileSync(file, body);
  else if (rest === ", at the end") appendFileSync(file, `\n\n${body}`);
  else if (from !== undefined) {
    const before = readFileSync(file, "utf8");
    const at = before.indexOf(`\n${from}`) + 1;
    if (at === 0) throw new Error(`${path} has no line that begins with ${from}`);
    writeFileSync(file, before.slice(0, at) + body);
  } else if (instead !== undefined) {
    const before = readFileSync(file, "utf8");
    if (!before.includes(`${instead}\n`)) throw new Error(`${path} has no line ${instead}`);
    writeFileSync(
      file,
      before.replace(`${instead}\n`, () => body),
    );
  } else throw new Error(`a block's first line says what its test does not know: ${head}`);
  return true;
}
