import { describe, expect, test } from "vitest";
import { isCode, normalise, placeholders, template, words } from "../../src/data/text.ts";

test("normalising composes letters and unifies line breaks, and leaves placeholders alone", () => {
  expect(normalise("  cafe\u0301 {0}\r\n'%s'\r ")).toBe("caf\u00e9 {0}\n'%s'");
});

describe("templates", () => {
  test("mask quoted text, placeholders and numbers, and nothing else", () => {
    expect(template("Type '{0}' is not  assignable to \"B\".")).toBe("type # is not assignable to #.");
    expect(template("Expected 1,000 arguments, got {name}.")).toBe("expected # arguments, got #.");
    expect(template("Le nom « x » et “y”")).toBe("le nom # et #");
  });
  test("do not take an apostrophe for a quotation mark", () => {
    expect(template("It doesn't and can't be")).toBe("it doesn't and can't be");
    expect(template("Impossible d'utiliser l'attribut 'a'.")).toBe("impossible d'utiliser l'attribut #.");
  });
});

test("words are runs of letters, and pairs of characters in scripts without spaces", () => {
  expect(words("Can't open {0}: Straße")).toEqual(["can", "t", "open", "0", "straße"]);
  expect(words("型を JSON")).toEqual(["型を", "json"]);
  expect(words("変数名")).toEqual(["変数", "数名"]);
});

test("placeholders of every kind are found, each once", () => {
  expect(placeholders("{1} of {0} {0}, %s and %1$d, ${name}")).toEqual(["${name}", "%1$d", "%s", "{0}", "{1}"]);
});

test("code names and placeholders ask for no translation, words do", () => {
  for (const code of ["{0}: {1}", "tsconfig.json", "--noEmit", "JSON", "'use strict'", "12 %"])
    expect(isCode(code), code).toBe(true);
  for (const text of ["Filter", "Error: {0}", "JSON file", "Go to"]) expect(isCode(text), text).toBe(false);
});
