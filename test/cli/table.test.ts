import { stripVTControlCharacters } from "node:util";
import pc from "picocolors";
import { expect, test } from "vitest";
import { table } from "../../src/cli/table.ts";

const plain = (head: string[], rows: (string | number)[][]): string[] =>
  stripVTControlCharacters(table(head, rows)).split("\n");

test("columns are as wide as their widest cell, numbers stand to the right, nothing behind the last", () => {
  expect(
    plain(
      ["run", "loss", "reason"],
      [
        ["a", "5.022 ± 0.042", ""],
        ["long-name", "-", "why"],
        ["b", 12, ""],
      ],
    ),
  ).toEqual([
    "run                 loss  reason", //
    "a          5.022 ± 0.042",
    "long-name              -  why",
    "b                     12",
  ]);
  expect(plain(["a", "b"], [])).toEqual(["a  b"]);
});

test("a cell of several lines keeps its column; colours have no width", () => {
  expect(
    plain(
      ["name", "text"],
      [
        [pc.createColors(true).red("x"), "one\ntwo"],
        ["yy", "three"],
      ],
    ),
  ).toEqual(["name  text", "x     one", "      two", "yy    three"]);
});
