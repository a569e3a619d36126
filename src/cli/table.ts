// Tables for people.

import { stripVTControlCharacters } from "node:util";
import pc from "picocolors";

/** Lines of a table without frames, numbers to the right, the head in bold. A cell may have several lines. Made for tens of thousands
 *  of rows: the tables of cli-table3, which count wide characters as two, take the square of their number. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [head, ...rows].map((row) => row.map((cell) => String(cell).split("\n")));
  const columns = head.map((_, column) => {
    let width = 0;
    for (const row of lines) for (const line of row[column]!) width = Math.max(width, widthOf(line));
    return { width, isRight: rows.length > 0 && rows.every((row) => isNumeric(row[column]!)) };
  });
  const text = (row: readonly (readonly string[])[], isHead: boolean): string[] =>
    Array.from({ length: Math.max(...row.map((cell) => cell.length)) }, (_, line) =>
      columns
        .map(({ width, isRight }, column) => {
          const cell = row[column]![line] ?? "";
          const blank = " ".repeat(width - widthOf(cell));
          const shown = isHead ? pc.bold(cell) : cell;
          return isRight ? blank + shown : shown + blank;
        })
        .join("  ")
        .trimEnd(),
    );
  return lines.flatMap((row, i) => text(row, i === 0)).join("\n");
}

/** Four significant digits; `-` for what is not there. */
export const figure = (value: number): string => (Number.isNaN(value) ? "-" : value.toPrecision(4));

const widthOf = (text: string): number => [...stripVTControlCharacters(text)].length;

const isNumeric = (cell: string | number): boolean =>
  typeof cell === "number" || /^(-|[-+]?[\d.]+(e[-+]\d+)?|[-+]?Infinity)( ±.*)?$/.test(cell);
