import { compile, type TopLevelSpec } from "vega-lite";
import { expect, test } from "vitest";
import { checkFigure } from "../../src/plots/check-figure.ts";
import { svgOf, textWidth } from "../../src/plots/picture.ts";
import type { CheckFigure, CheckPoint } from "../../src/types.ts";

const frame = { title: "What was found", caption: "How to read it.", x: { title: "depth" }, y: { title: "norm" } };
const lines = (points: CheckPoint[], more: Partial<CheckFigure> = {}): CheckFigure => ({
  kind: "lines",
  ...frame,
  points,
  ...more,
});
const bars = (points: CheckPoint[]): CheckFigure => ({ kind: "bars", ...frame, points });

const log = { x: { title: "depth", scale: "log" }, y: { title: "norm", scale: "log" } } as const;
const decay = [6, 12, 24, 64].flatMap((x): CheckPoint[] => [
  ...[1, 2, 3].map((seed) => ({ series: "pre-ln", x, y: seed / x, seed })),
  { series: "pre-ln", x, y: 2 / x },
]);
const factors = ["encoder", "decoder"].flatMap((panel) =>
  Array.from({ length: 14 }, (_, i) => [
    { series: "norm", panel, x: i + 1, y: -0.5, seed: 1 },
    { series: "branch", panel, x: i + 1, y: 0.25, seed: 1 },
    { series: "second branch", panel, x: i + 1, y: 0.25, seed: 1 },
    { series: "recorded", panel, x: i + 1, y: -0.1 },
  ]).flat(),
);

/** Everything Vega-Lite has to complain of. */
function warningsOf(spec: TopLevelSpec): string[] {
  const warnings: string[] = [];
  const keep = (...parts: readonly unknown[]) => (warnings.push(parts.join(" ")), logger);
  const logger = { warn: keep, error: keep, info: () => logger, debug: () => logger, level: () => logger } as never;
  compile(spec, { logger });
  return warnings;
}

type Row = { series: string; kind: string; x: number; value: number; low: number; high: number; seeds: number };
const rowsOf = (figure: CheckFigure): Row[] => (checkFigure(figure) as { data: { values: Row[] } }).data.values;
/** The texts of a picture, in order. */
const textsOf = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]*)/g)].map(([, text]) => text!);

const edges: Record<string, CheckFigure> = {
  "lines over depth": lines(decay, log),
  "lines in panels, one without a prediction": lines([
    ...decay.map((point) => ({ ...point, panel: "a" })),
    { series: "other", panel: "b", x: 3, y: 1, seed: 1 },
  ]),
  "predictions alone": lines([
    { series: "a", x: 1, y: 2 },
    { series: "a", x: 2, y: 3 },
  ]),
  "a single point": lines([{ series: "a", x: 1, y: 2, seed: 1 }], log),
  "values that are not finite": lines(
    [
      { series: "a", x: 1, y: NaN, seed: 1 },
      { series: "a", x: 2, y: Infinity, seed: 1 },
    ],
    log,
  ),
  "zeros on a logarithmic axis": lines(
    [
      { series: "a", x: 1, y: 0, seed: 1 },
      { series: "a", x: 2, y: 1, seed: 1 },
    ],
    log,
  ),
  "no point": lines([]),
  "stacked bars in panels": bars(factors),
  "bars without seeds": bars(factors.map(({ series, panel, x, y }) => ({ series, panel, x, y }))),
  "no bar": bars([]),
};

test.each(Object.entries(edges))("%s: compiles without a warning and can be drawn", async (_name, figure) => {
  expect(warningsOf(checkFigure(figure))).toEqual([]);
  expect(await svgOf("figure", checkFigure(figure))).toContain("<svg");
});

test("a measured line runs through the median over seeds, its band from the smallest to the largest", () => {
  const row = rowsOf(lines(decay)).find(({ kind, x }) => kind === "measured" && x === 12)!;
  expect(row).toMatchObject({ low: 1 / 12, high: 0.25, seeds: 3 });
  // A median on a logarithmic axis goes through logarithms: the last digit may differ.
  expect(row).toHaveProperty("value", expect.closeTo(1 / 6, 12));
});

test("a prediction is no seed among the measured ones and is drawn dashed", async () => {
  expect(rowsOf(lines(decay)).filter(({ kind }) => kind === "predicted")).toHaveLength(4);
  const dashed = async (figure: CheckFigure): Promise<number> =>
    (await svgOf("figure", checkFigure(figure))).split("stroke-dasharray").length - 1;
  expect(await dashed(lines(decay))).toBe(1);
  expect(await dashed(lines(decay.filter(({ seed }) => seed !== undefined)))).toBe(0);
});

test("what a logarithmic axis cannot show is told in a note", () => {
  const { subtitle } = checkFigure(edges["zeros on a logarithmic axis"]!).title as { subtitle: string[] };
  expect(subtitle.join(" ")).toContain("Values not drawn: 1 zero.");
  const other = checkFigure(edges["values that are not finite"]!).title as { subtitle: string[] };
  expect(other.subtitle.join(" ")).toContain("2 non-finite");
});

test("depths stand on the axis as they were measured", async () => {
  const texts = textsOf(await svgOf("figure", checkFigure(lines(decay, log))));
  for (const depth of ["6", "12", "24", "64"]) expect(texts).toContain(depth);
});

test("bars stack on both sides of 0: positive values above, negative ones below", async () => {
  const one = factors.filter(({ panel, x }) => panel === "encoder" && x === 1);
  const svg = await svgOf("figure", checkFigure(bars(one)));
  const marks = /<g class="mark-rect role-mark[^>]*>(.*?)<\/g>/.exec(svg)![1]!;
  const rects = [...marks.matchAll(/d="M[\d.-]+,([\d.-]+)h[\d.]+v([\d.]+)/g)];
  const spans = rects.map(([, top, height]) => [Number(top), Number(top) + Number(height)] as const);
  expect(spans).toHaveLength(3);
  const [norm, branch, second] = spans as [
    readonly [number, number],
    readonly [number, number],
    readonly [number, number],
  ];
  expect(branch[1]).toBeCloseTo(norm[0], 3); // both begin at 0
  expect(second[1]).toBeCloseTo(branch[0], 3); // and the second branch where the first ends
  expect(norm[1] - norm[0]).toBeCloseTo(2 * (branch[1] - branch[0]), 3);
});

test("panels stand in the order in which the check gives them, each with its name", async () => {
  const texts = textsOf(await svgOf("figure", checkFigure(bars(factors))));
  expect(texts.filter((text) => text === "encoder" || text === "decoder")).toEqual(["encoder", "decoder"]);
});

test("names in the legend are written in full and lie within the picture", async () => {
  const name = (k: number): string =>
    `scheme ${k} with a name that takes much more room than any name of a scheme should`;
  const points = Array.from({ length: 7 }, (_, k) => [1, 2].map((x) => ({ series: name(k), x, y: k + x, seed: 1 })));
  const svg = await svgOf("figure", checkFigure(lines(points.flat())));
  for (let k = 0; k < 7; k++) expect(textsOf(svg)).toContain(name(k));
  expect(Number(/width="(\d+)"/.exec(svg)![1])).toBeGreaterThan(textWidth(name(0), 11));
});

test("a finding as long as a sentence is broken into lines that fit", () => {
  const title = "The error signal ".repeat(12).trim();
  const { text } = checkFigure(lines(decay, { title })).title as { text: string[] };
  expect(text.length).toBeGreaterThan(1);
  expect(Math.max(...text.map((line) => textWidth(line, 14, true)))).toBeLessThan(720);
});
