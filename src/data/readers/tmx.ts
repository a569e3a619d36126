// TMX (Translation Memory eXchange 1.4b), streamed: a `tu` is a unit, its `tuv`s are the languages, `seg` the text. The
// parser expands XML's five entities and character references only; declarations of further ones are refused unread.

import { SaxesParser, type SaxesTagPlain } from "saxes";
import { UserError } from "../../errors.ts";
import { languageCode, languageMatcher } from "./languages.ts";
import { isBlank, LONGEST, textPieces } from "./lines.ts";
import type { ReadUnit, Tally, TogetherReader } from "./reader.ts";

/** Elements within each other; the format itself needs about ten. */
const DEEPEST = 64;

/** Inline elements whose content is a program's markup, not text. */
const CODE = new Set(["bpt", "ept", "ph", "it", "ut"]);

/** Translation memories, as OPUS and translators' tools write them. Inline markup is left out of the texts. */
export const tmx: TogetherReader = {
  name: "tmx",
  summary: "translation memories (TMX), streamed, without document types; plain or .gz",
  layout: "together",
  async *read(files, languages, tally) {
    const match = languageMatcher(languages, tally);
    for (const file of files) {
      let units: ReadUnit[] = [];
      const parser = tmxParser(file, match, tally, (unit) => units.push(unit));
      for await (const text of textPieces(file)) {
        parser.write(text);
        yield units;
        units = [];
      }
      parser.close();
    }
  },
};

/** A parser that calls `found` with each unit it comes by, and throws a `UserError` where the file is not TMX. */
function tmxParser(
  file: string,
  match: (code: string) => string | undefined,
  tally: Tally,
  found: (unit: ReadUnit) => void,
): { write(text: string): void; close(): void } {
  const parser = new SaxesParser<{ xmlns: false; position: true }>({ xmlns: false, position: true });
  const refuse = (expected: string, got: string, repair = "repair the file, or export it again"): never => {
    throw new UserError(`${file}:${parser.line}: expected ${expected}, got ${got}; ${repair}`);
  };
  /** Names of the elements around, from the root. */
  const path: string[] = [];
  /** Where the last tag, comment or the like ended: what is read beyond it is held in memory. */
  let event = 0;
  let line = 1;
  let unit: { text: Record<string, string>; exact: Set<string>; line: number } | undefined;
  /** The language asked for whose `tuv` this is, and whether its code is the very same. */
  let language: string | undefined;
  let exact = false;
  /** The text of the `seg` at hand. */
  let segment: string | undefined;
  /** Markup elements around, within a `seg`. */
  let code = 0;

  const open = ({ name, attributes }: SaxesTagPlain): void => {
    if (path.push(name) > DEEPEST) refuse(`elements at most ${DEEPEST} deep`, `a deeper one, <${name.slice(0, 40)}>`);
    if (path.length === 1 && name !== "tmx")
      refuse("TMX, whose root is <tmx>", `<${name.slice(0, 40)}>`, "is it another format?");
    if (segment !== undefined) {
      if (code > 0 || CODE.has(name)) code++;
    } else if (name === "tu") {
      if (unit) refuse("units side by side", "a <tu> within a <tu>");
      unit = { text: {}, exact: new Set(), line };
    } else if (name === "tuv" && unit) {
      // TMX 1.1 had `lang`.
      const raw = attributes["xml:lang"] ?? attributes["lang"];
      if (!raw) return refuse("xml:lang on each <tuv>", "a <tuv> without it");
      language = match(raw);
      exact = languageCode(raw) === language;
    } else if (name === "seg" && language !== undefined) {
      // Of several varieties of a language the one with the very code counts, else the first.
      if (!Object.hasOwn(unit!.text, language) || (exact && !unit!.exact.has(language))) segment = "";
    }
  };
  const close = (name: string): void => {
    path.pop();
    if (segment !== undefined) {
      if (code > 0) code--;
      else if (name === "seg") {
        if (!isBlank(segment)) {
          unit!.text[language!] = segment;
          if (exact) unit!.exact.add(language!);
        }
        segment = undefined;
      }
    } else if (name === "tuv") language = undefined;
    else if (name === "tu" && unit) {
      if (Object.keys(unit.text).length >= 2) found({ text: unit.text, where: `${file}:${unit.line}` });
      else tally.skipped.incomplete++;
      unit = undefined;
    }
  };
  const text = (piece: string): void => {
    if (segment === undefined || code > 0) return;
    segment += piece;
    if (segment.length > LONGEST) refuse(`texts of at most ${LONGEST} characters`, "a longer <seg>");
  };
  const held = (handle: () => void = () => {}): void => {
    event = parser.position;
    handle();
  };

  parser.on("error", (error) => refuse("well-formed XML", error.message.replace(/^\d+:\d+: /, "").replace(/\.$/, "")));
  parser.on("xmldecl", ({ encoding }) => {
    if (encoding !== undefined && !/^(utf-?8|us-ascii)$/i.test(encoding))
      refuse(
        "UTF-8",
        `encoding="${encoding.slice(0, 40)}"`,
        "convert the file and its first line: iconv -f ENCODING -t UTF-8",
      );
  });
  parser.on("doctype", (doctype) => {
    // `<!DOCTYPE tmx SYSTEM "tmx14.dtd">` is in every example of the standard's, and harmless while it is not opened.
    if (!/^\s+tmx(\s+(SYSTEM|PUBLIC\s+("[^"[\]]*"|'[^'[\]]*'))\s+("[^"[\]]*"|'[^'[\]]*'))?\s*$/.test(doctype))
      refuse("no declarations of entities or elements", "a document type with its own", "delete <!DOCTYPE ...>");
  });
  parser.on("opentagstart", () => (line = parser.line));
  parser.on("opentag", (tag) => held(() => open(tag)));
  parser.on("closetag", ({ name }) => held(() => close(name)));
  parser.on("text", (piece) => held(() => text(piece)));
  parser.on("cdata", (piece) => held(() => text(piece)));
  parser.on("comment", () => held());
  parser.on("processinginstruction", () => held());
  return {
    write(piece) {
      parser.write(piece);
      if (parser.position - event > LONGEST) refuse(`texts and tags of at most ${LONGEST} characters`, "a longer one");
    },
    close() {
      parser.close();
    },
  };
}
