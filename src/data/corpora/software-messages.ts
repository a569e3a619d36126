// The messages of three programs: VS Code (13 languages, aligned by array index), the TypeScript compiler and Lighthouse
// (aligned by key). VS Code's English ones come from its pseudo-locale, in which letters are replaced one by one.

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { messageOf, UserError } from "../../errors.ts";
import type { CorpusSource, Segment } from "../corpus.ts";
import { packageDirectories, type PinnedPackage } from "../packages.ts";
import { typescriptDiagnostics } from "./typescript-diagnostics.ts";

const PACK_VERSION = "25.1.2";

/** Integrity of each language pack; `qps-ploc` is the pseudo-locale. */
const PACKS: Readonly<Record<string, string>> = {
  cs: "sha512-v0cB2uAOCwj135aGIf0arGV+DNW32lbWh04bv8ctTxcWRt1Pr2kTQ1pjfE8ynKgxabPfAk8E25/CerKSYOmZ+A==",
  de: "sha512-xA3WOt1w5jlAOnyx4PBwx+qV3vx8C8/zie29qjYbgJMxGKDkb0HfpuKUwywDA2uUMI2wJZS+PnNG00zPDoLIrw==",
  es: "sha512-1/upuO9lRJilZ3sRr0QLTpz55KYRaBWDe8wtPvghOFYOHyWgW8A4VhUQxa6L9SJgY1JkypUAm0U8WcMX2G4LnQ==",
  fr: "sha512-iq+xx+tv1QIMmFD0eBhFRMF4xMAsVf/HyA1WogqBofteCWeAvRE9HUjZ5JzHz7jXBPe3dLP1LOM0r0GrJZs4fQ==",
  it: "sha512-FajWCML9OR8ppLnJ0mcg+sFHEhYJl8zhb3/DHnd+pNysw8dLfetXoSWjaPnwPPpwiQgkNN1UsToZHOU9czVifQ==",
  ja: "sha512-NwKh0BnPgUrJkxsm0X6vY4ftnd9DjxkcnQqK+bohta6UOzm09J1EjZ6QD42fjWngxrp/xiegtrYQ9NA2q6VpoA==",
  ko: "sha512-fvaisgfcg8YaAwnyPcGmQDLwkwqzamLQUyx9HmnwDpXw0YANzd058Kwn6bz+Vfn9MjwuMNT0nllD0qQMnpdyew==",
  pl: "sha512-9hDRyzFJkDia5rO9QE262JgxwP/cnalFisLFo7FQcw57ZhqzqXIdQIuwcKaHuAgzeQ6W2+A3KOLfTr3m7VZrXw==",
  "pt-br": "sha512-7fFnqOTAJGb5RuJ4uwh9sh0JmXALuHPGOl7iL9rZkcgIuVP5y6wVDUDXq5qjiRTNSFDs7Bzh463Ir5m5D6mJbA==",
  "qps-ploc": "sha512-IFjoqrSuPtIFWb+KlPT6PFWKszzNX+TCD9drgCV6AigvBO/xfGL3QwHB68l/DLbmDbohOz4Xdkutv20wuENAeA==",
  ru: "sha512-0uDAeXO+GllKUPhJzP893rlDhlFV1IwCu/515rBdcyegt48iGm/xAgj26V90hNz8hmB6EuM/7d8MFeklbiIpYA==",
  tr: "sha512-MJhHxDyJEiuVLQ9+jb8MnnN9lsbJOjJjMswVCeJ7v/Q/msAhq25QYUfn0DbOIzESJE1f7crffRb5e38XP8sYWA==",
  "zh-hans": "sha512-c7MMrhnSLb59NxpAa8nVy9aIbxy4gVYrCpDMq8W380LOaXTYb7nueTrw8QJ5QbJBNi2P2KZoGkn2BlONuBtJJg==",
  "zh-hant": "sha512-ARedFTM6JCluoPLJqkBcTJaQFdJNcN86OX6B8/NMApIPrnSIAfanMndpyilt8XjzUG6IH22cypR+DAlEjf48cA==",
};

const LIGHTHOUSE: PinnedPackage = {
  name: "lighthouse",
  version: "12.8.2",
  integrity: "sha512-+5SKYzVaTFj22MgoYDPNrP9tlD2/Ay7j3SxPSFD9FpPyVxGr4UtOQGKyrdZ7wCmcnBaFk0mCkPfARU3CsE0nvA==",
  keep: "shared/localization/locales/",
};

/** VS Code 1.108 (MIT), TypeScript 5.9.3 and Lighthouse 12.8.2 (both Apache-2.0). */
export const softwareMessages: CorpusSource = {
  name: "software-messages",
  summary: "messages of VS Code, TypeScript and Lighthouse: about 11,000 English sentences, up to 43 languages",
  version: `language-pack ${PACK_VERSION}, lighthouse ${LIGHTHOUSE.version}, typescript ${typescriptDiagnostics.version}`,
  async load() {
    return [...(await loadLanguagePacks()), ...(await typescriptDiagnostics.load()), ...(await loadLighthouse())];
  },
};

/** The packages this corpus reads beside TypeScript's, for fetching them ahead of time. */
export const softwareMessagesPackages: readonly PinnedPackage[] = [
  ...Object.entries(PACKS).map(([locale, integrity]) => ({
    name: `@codingame/monaco-vscode-language-pack-${locale}`,
    version: PACK_VERSION,
    integrity,
    keep: "translations/",
  })),
  LIGHTHOUSE,
];

async function loadLanguagePacks(): Promise<Segment[]> {
  const packs = softwareMessagesPackages.slice(0, -1);
  const directories = await packageDirectories(packs);
  const arrays = new Map<string, (string | null)[]>();
  for (const [i, locale] of Object.keys(PACKS).entries()) {
    const file = path.join(directories[i]!, "translations", "main.i18n.json.js");
    arrays.set(locale, readMessageArray(await readFile(file, "utf8"), file));
  }
  const pseudo = arrays.get("qps-ploc")!;
  arrays.delete("qps-ploc");
  for (const [locale, messages] of arrays)
    if (messages.length !== pseudo.length)
      throw new UserError(
        `language pack ${locale}: expected ${pseudo.length} messages as in the pseudo-locale, got ${messages.length}; ` +
          `reinstall the packs at version ${PACK_VERSION}`,
      );
  const segments: Segment[] = [];
  for (const [i, message] of pseudo.entries()) {
    if (message === null) continue;
    const text: Record<string, string> = { en: withoutMnemonic(fromPseudoLocale(message)) };
    for (const [locale, messages] of arrays) text[locale] = withoutMnemonic(messages[i] ?? "");
    segments.push({ id: `vscode/${i}`, text });
  }
  return segments;
}

/** The array in `var content = [ undefined, "..." ];` with null for `undefined`. The file is read as data, never run. */
function readMessageArray(source: string, file: string): (string | null)[] {
  const array = source.slice(source.indexOf("["), source.lastIndexOf("]") + 1);
  try {
    return JSON.parse(array.replace(/^\tundefined/gm, "null")) as (string | null)[];
  } catch (error) {
    throw new UserError(`${file}: expected an array of messages, got ${messageOf(error)}; reinstall the package`);
  }
}

// Found from 1,842 messages whose English is known from elsewhere, without a contradiction. A true "ß" or "£" in an
// English message would be mapped too; the one foreign letter seen in 13,774 messages, a "ü", is not in the map.
const PSEUDO = "ÆøïñëæðÿµßÜ£þç§ÑÇËÐÏÝØ";
const PLAIN = "AoineadyuBULbcSNCEDIYO";
const LETTERS = new Map([...PSEUDO].map((letter, i) => [letter, PLAIN[i]!]));

/** English from VS Code's pseudo-locale: `Mørë Æçtïøñs...` becomes `More Actions...`. */
export const fromPseudoLocale = (text: string): string =>
  text.replace(/[ÆøïñëæðÿµßÜ£þç§ÑÇËÐÏÝØ]/g, (letter) => LETTERS.get(letter)!);

/** Without the marks of keyboard mnemonics: `&&File` and `文件(&&F)`. */
const withoutMnemonic = (text: string): string =>
  text.replace(/\s*\(&&[^)]\)/g, "").replace(/&&(?=[\p{L}\p{N}])/gu, "");

/** Lighthouse's names for what other sources call otherwise. Its `pt` and `zh` are Brazil's and mainland China's. */
const LIGHTHOUSE_CODES: Readonly<Record<string, string>> = { pt: "pt-br", zh: "zh-hans", "zh-tw": "zh-hant" };
/** Variants of English and pseudo-locales. */
const NOT_LANGUAGES = /^(en-.*|ar-xb)$/;

async function loadLighthouse(): Promise<Segment[]> {
  const [directory] = await packageDirectories([LIGHTHOUSE]);
  const folder = path.join(directory!, "shared", "localization", "locales");
  const read = async (file: string): Promise<Record<string, { message: string }>> =>
    JSON.parse(await readFile(path.join(folder, file), "utf8")) as Record<string, { message: string }>;
  const english = await read("en-US.json");
  const texts = new Map(Object.entries(english).map(([key, { message }]) => [key, { en: withoutLinks(message) }]));
  for (const file of (await readdir(folder)).sort()) {
    const code = path.basename(file, ".json").toLowerCase();
    if (!file.endsWith(".json") || NOT_LANGUAGES.test(code)) continue;
    for (const [key, { message }] of Object.entries(await read(file))) {
      const text: Record<string, string> | undefined = texts.get(key);
      if (text) text[LIGHTHOUSE_CODES[code] ?? code] = withoutLinks(message);
    }
  }
  return [...texts].map(([key, text]) => ({ id: `lighthouse/${key}`, text }));
}

/** `[text](address)` becomes `text`. */
const withoutLinks = (text: string): string => text.replace(/\[([^\]]*)\]\([^)\s]*\)/g, "$1");
