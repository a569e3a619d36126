import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import * as registry from "../../src/plots/index.ts";
import { escapeLatex, latexFigure } from "../../src/plots/latex.ts";
import { columnPoints, onePaperColumn } from "../../src/plots/paper.ts";
import { pdfOf } from "../../src/plots/pdf.ts";
import { fontFace, svgOf, textWidth } from "../../src/plots/picture.ts";
import { unmet, type Plot } from "../../src/plots/plot.ts";
import { renderData } from "../../src/plots/render.ts";
import { parseStyle } from "../../src/plots/styles.ts";
import { subsetFont } from "../../src/plots/true-type.ts";
import { rampExperiment, syntheticExperiment } from "./synthetic.ts";

const data = syntheticExperiment({ depths: [2, 6], steps: 12 });
const plots = Object.values<Plot>(registry).flatMap((plot) => {
  const fit = [data, rampExperiment({ steps: 100 })].find((one) => unmet(plot, one) === undefined);
  return fit ? [[plot.name, plot, fit] as const] : [];
});

const sizeOf = (svg: string): number[] =>
  ["width", "height"].map((side) => Number(new RegExp(`${side}="([\\d.]+)"`).exec(svg)![1]));

test.each(plots)("%s fits one column and a page, in letters of 6 to 8 points", async (_name, plot, fit) => {
  const svg = await svgOf(plot.name, await onePaperColumn(plot.spec(fit)));
  const [width, height] = sizeOf(svg) as [number, number];
  expect(width).toBeLessThanOrEqual(columnPoints);
  expect(width).toBeGreaterThan(0.9 * columnPoints);
  expect(height).toBeLessThan(680);
  const sizes = [...svg.matchAll(/font-size="([\d.]+)px"/g)].map(([, size]) => Number(size));
  expect(Math.min(...sizes)).toBeGreaterThanOrEqual(6);
  // The × of a run that diverged is a mark, not a text.
  expect(sizes.filter((size) => size > 8).length).toBeLessThan(sizes.length / 4);
  expect(svg).not.toContain("currentColor");
  expect(pdfOf(svg).length).toBeGreaterThan(5000);
});

test("ten schemes of many panels fit too", async () => {
  const schemes = Array.from({ length: 10 }, (_, i) => `hyper-connections-${i}`);
  const many = syntheticExperiment({ schemes, depths: [2], seeds: [1], steps: 4 });
  for (const plot of [registry.gradientByLayer, registry.gradientHeatmap, registry.lossCurves]) {
    const [width, height] = sizeOf(await svgOf(plot.name, await onePaperColumn(plot.spec(many)))) as [number, number];
    expect(width).toBeLessThanOrEqual(columnPoints);
    expect(height).toBeLessThan(680);
  }
});

test("four schemes at five depths fit a page; panels that share an axis have its numbers once", async () => {
  const schemes = ["post-ln", "pre-ln", "deepnorm", "peri-ln"];
  const grid = syntheticExperiment({ schemes, depths: [2, 6, 12, 18, 24], seeds: [1], steps: 4 });
  for (const plot of [registry.gradientHeatmap, registry.gradientByLayer, registry.gradientByDepth]) {
    const svg = await svgOf(plot.name, await onePaperColumn(plot.spec(grid)));
    expect(sizeOf(svg)[0]).toBeLessThanOrEqual(columnPoints);
    expect(sizeOf(svg)[1], plot.name).toBeLessThan(600);
    const times = (text: string): number => svg.split(`>${text}</text>`).length - 1;
    if (plot === registry.gradientHeatmap) {
      expect(times("enc 1")).toBe(5); // a row of panels a depth
      expect(times("step")).toBe(4);
    }
    if (plot === registry.gradientByLayer) for (const scheme of schemes) expect(times(scheme), scheme).toBe(1);
    if (plot === registry.gradientByDepth) expect(times("24")).toBe(2); // the deepest is never left out
  }
});

test("lines of more layers than a panel has room for have no marks upon them, but where a single layer is all", async () => {
  const marksOf = async (depths: number[]): Promise<number> => {
    const of = syntheticExperiment({ depths, seeds: [1], steps: 4 });
    const spec = await onePaperColumn(registry.gradientByLayer.spec(of));
    return (await svgOf("gradient-by-layer", spec)).match(/class="mark-symbol role-mark/g)?.length ?? 0;
  };
  expect(await marksOf([6])).toBeGreaterThan(0);
  expect(await marksOf([40])).toBe(0);
  expect(await marksOf([1, 40])).toBeGreaterThan(0);
});

test("numbers of an axis stand apart, within a panel and from those of the next", async () => {
  const schemes = Array.from({ length: 10 }, (_, i) => `hyper-connections-${i}`);
  const many = syntheticExperiment({ schemes, depths: [12], seeds: [1], steps: 4 });
  const twice = many.runs.map((run) => ({
    ...run,
    layers: run.layers.flatMap((row) =>
      row.quantity === "activation-gradient" && row.parameter === "stream"
        ? (["expected-gradient", "mean-gradient-norm"] as const).map((quantity) => ({
            ...row,
            quantity,
            parameter: "all",
          }))
        : [],
    ),
  }));
  const spec = registry.expectedGradient.spec({ ...many, runs: twice });
  const svg = await svgOf("expected-gradient", await onePaperColumn(spec));
  // The numbers 1 to 12 below the panels, by their place on the page.
  const { centres, found } = numbersAcross(svg);
  expect(found).toContain("12");
  for (const [i, { x, text }] of centres.entries()) {
    const next = centres[i + 1];
    if (next) expect(next.x - x).toBeGreaterThan((textWidth(text, 7) + textWidth(next.text, 7)) / 2);
  }
  expect(sizeOf(svg)[0]).toBeLessThanOrEqual(columnPoints);
});

/** Whole numbers that an SVG has at its lowest axis, from left to right. */
function numbersAcross(svg: string): { centres: { x: number; text: string }[]; found: string[] } {
  const at: { x: number; y: number; text: string }[] = [];
  const places: [number, number][] = [[0, 0]];
  for (const [, tag, attributes, text] of svg.matchAll(/<(\/?g|text)\b([^>]*)>(?:([^<]*)<\/text>)?/g)) {
    if (tag === "/g") {
      places.pop();
      continue;
    }
    const [, dx = "0", dy = "0"] = /translate\(([-\d.]+),([-\d.]+)\)/.exec(attributes!) ?? [];
    const [x, y] = places.at(-1)!;
    const place: [number, number] = [x + Number(dx), y + Number(dy)];
    if (tag === "g") places.push(place);
    else if (/^\d+$/.test(text ?? "")) at.push({ x: place[0], y: place[1], text: text! });
  }
  const lowest = Math.max(...at.map(({ y }) => y));
  const centres = at.filter(({ y }) => Math.abs(y - lowest) < 1).sort((a, b) => a.x - b.x);
  return { centres, found: centres.map(({ text }) => text) };
}

/** The streams of a PDF, unpacked, where the cross-reference table says that objects are. */
function objectsOf(pdf: Buffer): string[] {
  const text = pdf.toString("latin1");
  const at = Number(/startxref\n(\d+)/.exec(text)![1]);
  const places = [...text.slice(at).matchAll(/^(\d{10}) 00000 n /gm)].map(([, place]) => Number(place));
  return places.map((place, i) => {
    expect(text.slice(place)).toMatch(new RegExp(`^${i + 1} 0 obj\n`));
    const head = /stream\n/.exec(text.slice(place, text.indexOf("endobj", place)));
    if (!head) return text.slice(place, text.indexOf("endobj", place));
    const length = Number(/\/Length (\d+)/.exec(text.slice(place))![1]);
    const start = place + head.index + head[0].length;
    return inflateSync(pdf.subarray(start, start + length)).toString("latin1");
  });
}

test("a PDF has the page's size, lines as lines, text with its letters, and is the same each time", () => {
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><g fill="none" transform="translate(1,2)">` +
    `<path d="M0,0h10v5Z" fill="#ff0000" opacity="0.5"/><line x2="3" y2="4" stroke="black" stroke-dasharray="2,1"/>` +
    `<text transform="translate(5,6) rotate(-90)" text-anchor="end" font-size="7px" fill="black">a&amp;⁻</text></g></svg>`;
  const pdf = Buffer.from(pdfOf(svg));
  expect(Buffer.from(pdfOf(svg)).equals(pdf)).toBe(true);
  const objects = objectsOf(pdf);
  expect(objects.join("\n")).toContain("/MediaBox [0 0 40 20]");
  const page = objects.find((object) => object.startsWith("1 0 0 -1 0 20 cm"))!;
  expect(page).toContain("1 0 0 1 1 2 cm");
  expect(page).toContain("1 0 0 rg 0 0 m 10 0 l 10 5 l h f");
  expect(page).toContain("[2 1] 0 d 0 0 m 3 4 l S");
  expect(page).toContain("0 -1 1 0 5 6 cm");
  const codes = [..."a&⁻"].map((one) => fontFace(false).glyph(one).index.toString(16).padStart(4, "0"));
  expect(page).toContain(`<${codes.join("")}> Tj`);
  expect(objects.join("\n")).toContain(`<${codes[2]!}> <207b>`);
  expect(objects.join("\n")).toContain("/ca 0.5 /CA 0.5");
});

test("an arc becomes curves that end where it ends", () => {
  const svg = `<svg width="9" height="9"><path d="M2,0A2,2,0,1,1,-2,0A2,2,0,1,1,2,0" fill="black"/></svg>`;
  const page = objectsOf(Buffer.from(pdfOf(svg))).find((object) => object.includes(" c "))!;
  const ends = [...page.matchAll(/(-?[\d.]+) (-?[\d.]+) c /g)].map(([, x, y]) => [Number(x), Number(y)]);
  expect(ends).toEqual([
    [0, 2],
    [-2, 0],
    [0, -2],
    [2, 0],
  ]);
});

test("what a picture may hold beyond that is refused, not left out", () => {
  expect(() => pdfOf(`<svg width="9" height="9"><ellipse rx="2"/></svg>`)).toThrow(/element "ellipse"/);
  expect(() => pdfOf(`<svg width="9" height="9"><rect fill="mauve"/></svg>`)).toThrow(/colour "mauve"/);
});

test("a subset of the font has the outlines that were asked for, with the parts of accents, and no others", () => {
  const { bytes, glyph } = fontFace(false);
  const wanted = glyph("é").index;
  const subset = subsetFont(bytes, [wanted]);
  expect(subset.length).toBeLessThan(bytes.length / 4);
  const places = (font: Buffer): { glyf: Buffer; at: (i: number) => number } => {
    const tables = new Map(
      Array.from({ length: font.readUInt16BE(4) }, (_, i) => [
        font.toString("latin1", 12 + 16 * i, 16 + 16 * i),
        font.subarray(font.readUInt32BE(20 + 16 * i), font.readUInt32BE(20 + 16 * i) + font.readUInt32BE(24 + 16 * i)),
      ]),
    );
    const loca = tables.get("loca")!;
    const isLong = tables.get("head")!.readInt16BE(50) === 1;
    return { glyf: tables.get("glyf")!, at: (i) => (isLong ? loca.readUInt32BE(4 * i) : 2 * loca.readUInt16BE(2 * i)) };
  };
  const [whole, part] = [places(bytes), places(subset)];
  const outline = ({ glyf, at }: typeof whole, i: number): Buffer => glyf.subarray(at(i), at(i + 1));
  for (const i of [wanted, glyph("e").index]) {
    expect(outline(whole, i).length).toBeGreaterThan(0);
    expect(outline(part, i).subarray(0, outline(whole, i).length).equals(outline(whole, i))).toBe(true);
  }
  expect(outline(part, glyph("x").index)).toHaveLength(0);
});

test("LaTeX's own characters are escaped, signs its fonts lack become mathematics", () => {
  expect(escapeLatex(String.raw`50 % of a_b & {c} \d #1 $2 ~^`)).toBe(
    String.raw`50 \% of a\_b \& \{c\} \textbackslash{}d \#1 \$2 \textasciitilde{}\textasciicircum{}`,
  );
  expect(escapeLatex("3·10⁻¹² × θₜ → é")).toBe(String.raw`3$\cdot$10$^{-12}$ $\times$ $\theta$$_t$ $\to$ é`);
  const float = latexFigure("a-b", { title: { text: ["One", "two"], subtitle: "Notes." } } as never, "How to read.");
  expect(float).toContain("\\includegraphics[width=\\columnwidth]{a-b.pdf}");
  expect(float).toContain("\\caption{One two.\n    Notes.\n    How to read.}");
  expect(float).toContain("\\label{fig:a-b}");
});

test("a style writes into its folder what it is for; an unknown one is refused with the known names", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "fathom-style-"));
  await renderData(data, folder, [registry.lossCurves], { style: parseStyle("paper") });
  expect(readdirSync(folder).sort()).toEqual(["csv", "pdf", "svg", "tex"].map((ending) => `loss-curves.${ending}`));
  expect(readFileSync(path.join(folder, "loss-curves.svg"), "utf8")).toMatch(/width="2[34]\d[\d.]*pt"/);
  const dark = mkdtempSync(path.join(tmpdir(), "fathom-style-"));
  await renderData(data, dark, [registry.lossCurves], { style: parseStyle("dark"), formats: ["svg"] });
  const svg = readFileSync(path.join(dark, "loss-curves.svg"), "utf8");
  expect(svg).toContain('fill="#14171a"');
  expect(svg).not.toContain("currentColor");
  expect(() => parseStyle("papper")).toThrow(UserError);
  expect(() => parseStyle("papper")).toThrow(/did you mean "paper"/);
});
