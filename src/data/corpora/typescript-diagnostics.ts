// The messages of the TypeScript compiler, in English and 13 languages, aligned by key. The English ones are read out of
// the compiler's text, which takes a tenth of the time of importing the compiler; a test compares the two.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../../errors.ts";
import type { CorpusSource, Segment } from "../corpus.ts";
import { packageDirectories, type PinnedPackage } from "../packages.ts";

const COMPILER: PinnedPackage = {
  name: "typescript",
  alias: "typescript-5",
  version: "5.9.3",
  integrity: "sha512-jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw==",
  keep: "lib/",
};

/** Folder of the translations under `lib/`, by language. */
const FOLDERS: Readonly<Record<string, string>> = {
  cs: "cs",
  de: "de",
  es: "es",
  fr: "fr",
  it: "it",
  ja: "ja",
  ko: "ko",
  pl: "pl",
  "pt-br": "pt-br",
  ru: "ru",
  tr: "tr",
  "zh-hans": "zh-cn",
  "zh-hant": "zh-tw",
};

/** The compiler's messages (typescript 5.9.3, Apache-2.0): 2,118 of 2,121 translated. */
export const typescriptDiagnostics: CorpusSource = {
  name: "typescript-diagnostics",
  summary: "2,118 messages of the TypeScript compiler in English and 13 languages; always installed",
  version: COMPILER.version,
  async load() {
    const [directory] = await packageDirectories([COMPILER]);
    const compiler = path.join(directory!, "lib", "typescript.js");
    const english = diagnosticMessages(await readFile(compiler, "utf8"), compiler);
    const translations = await Promise.all(
      Object.entries(FOLDERS).map(async ([language, folder]) => {
        const file = path.join(directory!, "lib", folder, "diagnosticMessages.generated.json");
        return [language, JSON.parse(await readFile(file, "utf8")) as Record<string, string>] as const;
      }),
    );
    return [...english].map(([key, message]): Segment => {
      const text: Record<string, string> = { en: message };
      for (const [language, messages] of translations)
        if (Object.hasOwn(messages, key)) text[language] = messages[key]!;
      return { id: `typescript/${key}`, text };
    });
  },
};

// Long entries are spread over several lines.
const ENTRY =
  /: diag\(\s*[\de]+,\s*\d \/\* \w+ \*\/,\s*"(\w+)",\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)/g;

/** Key and English message of every `diag(...)` entry in the compiler's text. */
export function diagnosticMessages(source: string, file: string): Map<string, string> {
  const start = source.indexOf("var Diagnostics = {");
  const end = source.indexOf("\n};", start);
  if (start < 0 || end < 0)
    throw new UserError(
      `${file}: expected the compiler's table of diagnostics, got a file without it; reinstall the package`,
    );
  const messages = new Map<string, string>();
  for (const [, key, literal] of source.slice(start, end).matchAll(ENTRY)) messages.set(key!, unescape(literal!));
  return messages;
}

/** The value of a JavaScript string literal. */
const unescape = (literal: string): string =>
  literal.slice(1, -1).replace(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/gs, (_, u, x, c) => {
    if (u ?? x) return String.fromCharCode(parseInt(u ?? x, 16));
    return { n: "\n", t: "\t", r: "\r" }[c as string] ?? c;
  });
