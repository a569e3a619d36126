// The look that figures share. Foreground colours are `currentColor`: black on the white of a picture file, and in the
// report whatever the page's text is, so that one drawing serves light and dark.

import type { TopLevelSpec } from "vega-lite";
import { extent, median } from "../statistics.ts";

/** Verdana has the widths of DejaVu Sans (which pictures are set in) where a reader's machine lacks the latter. */
export const fontFamily = "DejaVu Sans, Verdana, sans-serif";

/** Okabe and Ito's colours without black and yellow: told apart with any colour vision, visible on white and on black. */
const categorical = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
/** Paul Tol's muted scheme (2021), its darkest colour lightened so that it is seen on black as well: for more names than Okabe and
 *  Ito have colours, told apart with any colour vision too. */
export const muted = [
  "#5566CC",
  "#88CCEE",
  "#44AA99",
  "#117733",
  "#999933",
  "#DDCC77",
  "#CC6677",
  "#882255",
  "#AA4499",
  "#999999",
];
/** Viridis without its darkest and lightest ends, for many depths or other numbers, and for more names than there are colours. */
const sequential = ["#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b"];
const shapes = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"];

/** Colour and shape of lines: the same name has the same look in every figure of an experiment. */
export function lineScales(lines: readonly string[]): { color: object; shape: object } {
  const isOrdered = lines.every((line) => Number.isFinite(Number.parseFloat(line)));
  const few =
    lines.length <= categorical.length ? categorical : !isOrdered && lines.length <= muted.length ? muted : [];
  const colours = lines.map(
    (_, i) => few[i] ?? sequential[Math.round((i * (sequential.length - 1)) / (lines.length - 1))]!,
  );
  return {
    color: { domain: lines, range: colours },
    shape: { domain: lines, range: lines.map((_, i) => shapes[i % shapes.length]!) },
  };
}

/** A colour for each stack, where panels are told apart by nothing else. */
export const stackColours = (stacks: readonly string[]): string[] =>
  stacks.map((_, i) => categorical[i % categorical.length]!);

/** The legend of lines: above the panels, in rows; none for a single unnamed line. */
export function lineLegend(title: string, lines: readonly string[]): object | null {
  if (lines.length < 2) return null;
  const longest = Math.max(...lines.map((line) => line.length));
  const columns = Math.max(1, Math.min(lines.length, Math.floor(100 / (longest + 5))));
  return { title, titleOrient: "left", orient: "top", columns, symbolOpacity: 1, titleLimit: 400, labelLimit: 0 };
}

/** The name of a layer that only writes into a panel what the notes say too: left out where panels are small. */
export const inPanelLabel = "in-panel-label";

/** What all specifications share. */
export const config = {
  font: fontFamily,
  // A label on every mark makes pictures five times as long and readers of screens no wiser: the caption speaks for all.
  aria: false,
  view: { stroke: "#888", strokeOpacity: 0.4 },
  axis: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    titleFontWeight: "normal",
    gridColor: "#888",
    gridOpacity: 0.2,
    domainColor: "#888",
    tickColor: "#888",
    labelFontSize: 11,
    titleFontSize: 11,
  },
  legend: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    titleFontWeight: "normal",
    labelFontSize: 11,
    titleFontSize: 11,
  },
  header: {
    labelColor: "currentColor",
    titleColor: "currentColor",
    labelFontSize: 12,
    labelFontWeight: "bold",
    titleFontWeight: "normal",
  },
  title: {
    color: "currentColor",
    subtitleColor: "currentColor",
    anchor: "start",
    fontSize: 14,
    subtitleFontSize: 11,
    subtitlePadding: 6,
    offset: 12,
    lineHeight: 18,
    subtitleLineHeight: 15,
  },
} satisfies TopLevelSpec["config"];

/** Where a specification keeps the notes that print has room for, of a figure that has more. */
export const printedNotes = "printedNotes";

/** The frame of every specification: schema, white paper, finding as title and notes as subtitle, both wrapped. `counts` are notes
 *  too, a number a panel, which would fill the caption of a figure in print and are left out of it. */
export function frame(
  title: string,
  notes: readonly string[],
  width = 100,
  counts: readonly string[] = [],
): Pick<TopLevelSpec, "$schema" | "background" | "title" | "config" | "usermeta"> {
  const subtitle = [...notes, ...counts].flatMap((note) => wrapped(note, Math.round(width * 1.35)));
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    background: "white",
    title: { text: wrapped(title, width), subtitle },
    ...(counts.length > 0 && { usermeta: { [printedNotes]: [...notes] } }),
    config,
  };
}

/** `text` in lines of at most `width` characters, broken at spaces. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** A logarithmic axis for `values`: its limits, ticks and labels, and how many values it cannot show. */
export interface LogAxis {
  readonly domain: readonly [number, number];
  readonly axis: { readonly values: readonly number[]; readonly labelExpr: string };
  /** Values that are zero (or negative), not finite, or beyond the limits. */
  readonly hidden: { readonly zero: number; readonly nonFinite: number; readonly beyond: number };
}

/** The widest axis: twelve decades to either side of the median. What a diverging run leaves beyond is cut off. */
const reach = 1e12;

/** Limits that hold every positive value within twelve decades of the median, and at least a decade; ticks at powers of
 *  ten, with 2 and 5 or 3 between them where there are few. */
export function logAxis(values: readonly number[], include: readonly number[] = []): LogAxis {
  const positive = values.filter((value) => Number.isFinite(value) && value > 0);
  const zero = values.filter((value) => value <= 0).length;
  const nonFinite = values.filter((value) => !Number.isFinite(value)).length;
  if (positive.length === 0) return { domain: [0.1, 10], axis: ticks(0.1, 10), hidden: { zero, nonFinite, beyond: 0 } };
  const middle = median(positive);
  const [low, high] = extent([
    ...positive.filter((value) => value > middle / reach && value < middle * reach),
    ...include,
  ]);
  // Less than a decade would show noise as large as a finding.
  const widen = Math.max(1, Math.sqrt((10 * low) / high));
  const margin = widen * Math.max(1.1, (high / low) ** 0.04);
  const domain: [number, number] = [Number((low / margin).toPrecision(3)), Number((high * margin).toPrecision(3))];
  const beyond = positive.filter((value) => value < domain[0] || value > domain[1]).length;
  return { domain, axis: ticks(...domain), hidden: { zero, nonFinite, beyond } };
}

/** A linear axis for `values` in the form of a {@link LogAxis}: from 0, or from below it where values are, to the largest. */
export function linearAxis(values: readonly number[]): Pick<LogAxis, "domain" | "hidden"> {
  const finite = values.filter(Number.isFinite);
  const [low, high] = extent([0, ...finite]);
  const hidden = { zero: 0, nonFinite: values.length - finite.length, beyond: 0 };
  const room = high > low ? 0.05 * (high - low) : 1;
  return { domain: [low < 0 ? low - room : 0, high + room], hidden };
}

function ticks(low: number, high: number): LogAxis["axis"] {
  const decades = Math.log10(high / low);
  const stride = Math.max(1, Math.ceil(decades / 7));
  const mantissas = decades < 0.8 ? [1, 1.5, 2, 3, 5, 7] : decades < 2 ? [1, 2, 5] : decades < 3.5 ? [1, 3] : [1];
  const values: number[] = [];
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent++) {
    if (exponent % stride !== 0) continue;
    for (const mantissa of mantissas) {
      const value = Number(`${mantissa}e${exponent}`);
      if (value >= low && value <= high) values.push(value);
    }
  }
  // Vega's expressions have no formatting of exponents in superscript; so every tick carries its own label.
  const cases = values.map((value) => `datum.value < ${value * 1.0001} ? '${power(value)}' : `);
  return { values, labelExpr: `${cases.join("")}''` };
}

/** Ticks for layers counted from 1: the first, and multiples of a round number up to the last. */
export function layerTicks(layers: number): number[] {
  const stride = [1, 2, 3, 5, 10, 20, 25, 50, 100, 200].find((step) => layers / step <= 6) ?? 250;
  const multiples = Array.from({ length: Math.floor(layers / stride) }, (_, i) => (i + 1) * stride);
  return [1, ...multiples.filter((value) => value > 1)];
}

/** The horizontal place of a field `depth`: logarithmic, with a tick for each of the depths that there are, in ascending order. */
export const depthAxis = (depths: readonly number[]): object => ({
  field: "depth",
  type: "quantitative",
  title: "depth (layers a stack)",
  scale: { type: "log", domain: [depths[0]! / 1.15, depths.at(-1)! * 1.15], nice: false },
  axis: { values: depths, format: "d", grid: false, labelOverlap: "greedy" },
});

/** `0.01`, `20`, `10⁻⁵`, `2·10⁶`: a power of ten in superscript beyond a thousand or a thousandth. */
export function power(value: number): string {
  const [mantissa, exponent] = value.toExponential().split("e") as [string, string];
  if (Math.abs(Number(exponent)) < 3) return String(value);
  const superscript = [...String(Number(exponent))]
    .map((digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]))
    .join("");
  return `${mantissa === "1" ? "" : `${mantissa}·`}10${superscript}`;
}

/** A sentence on what a logarithmic axis leaves out; empty where it shows all. */
export function hiddenNote({ zero, nonFinite, beyond }: LogAxis["hidden"]): string[] {
  const parts = [
    zero > 0 ? `${zero} zero` : "",
    nonFinite > 0 ? `${nonFinite} non-finite` : "",
    beyond > 0 ? `${beyond} beyond the axis limits` : "",
  ].filter((part) => part !== "");
  return parts.length > 0 ? [`Values not drawn: ${parts.join(", ")}.`] : [];
}

/** `0.031×`, `4.1×`, `120×`: a ratio for a sentence. */
export function times(ratio: number): string {
  if (!Number.isFinite(ratio)) return "not finite";
  if (ratio === 0) return "0×";
  return ratio >= 1e4 || ratio < 1e-3 ? `${power(Number(ratio.toPrecision(2)))}×` : `${Number(ratio.toPrecision(2))}×`;
}
