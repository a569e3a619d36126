// Tables for people.

import Table from "cli-table3";
import pc from "picocolors";

/** Lines of a table without frames, numbers to the right, the head in bold. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const blank = ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"];
  const frame = [...blank, "left", "left-mid", "mid", "mid-mid", "right", "right-mid"];
  const table = new Table({
    head: head.map((title) => pc.bold(title)),
    chars: { ...Object.fromEntries(frame.map((name) => [name, ""])), middle: "  " },
    colAligns: head.map((_, i) => (rows.length > 0 && rows.every((row) => isNumeric(row[i]!)) ? "right" : "left")),
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  table.push(...rows.map((row) => row.map(String)));
  return table.toString().replace(/[ \t]+$/gm, "");
}

/** Four significant digits; `-` for what is not there. */
export const figure = (value: number): string => (Number.isNaN(value) ? "-" : value.toPrecision(4));

const isNumeric = (cell: string | number): boolean =>
  typeof cell === "number" || /^(-|[-+]?[\d.]+(e[-+]\d+)?|[-+]?Infinity)( ±.*)?$/.test(cell);
