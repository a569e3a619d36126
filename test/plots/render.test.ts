import { mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { beforeAll, expect, test, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import { UserError } from "../../src/errors.ts";
import * as registry from "../../src/plots/index.ts";
import { unmet, type Plot } from "../../src/plots/plot.ts";
import { pngOf, svgOf, textWidth } from "../../src/plots/picture.ts";
import { parseFormats, renderPlots } from "../../src/plots/render.ts";
import { members } from "../../src/registry.ts";
import { experimentFolder } from "./experiment-folder.ts";
import { syntheticExperiment } from "./synthetic.ts";

const data = syntheticExperiment({ depths: [2, 3], steps: 12 });
let folder = "";
beforeAll(() => {
  folder = experimentFolder(mkdtempSync(path.join(tmpdir(), "fathom-plots-")), data);
});

test("a folder's figures are written in all formats, and again with the same bytes", async () => {
  const written = await renderPlots(folder);
  expect(readdirSync(path.join(folder, "plots")).sort()).toEqual(written.map((file) => path.basename(file)).sort());
  const drawable = Object.values<Plot>(registry).filter((plot) => unmet(plot, data) === undefined);
  expect(written).toHaveLength(4 * drawable.length);
  const again = written.filter((file) => file.includes("update-ratio"));
  const before = again.map((file) => readFileSync(file));
  expect(await renderPlots(folder, { plots: ["update-ratio"] })).toEqual(again);
  expect(again.map((file) => readFileSync(file))).toEqual(before);
});

test("the rows of a folder give the same figures as the rows in memory", async () => {
  for (const plot of [registry.gradientByLayer, registry.lossCurves]) {
    await renderPlots(folder, { plots: [plot.name], formats: ["json"] });
    const written = readFileSync(path.join(folder, "plots", `${plot.name}.vl.json`), "utf8");
    const inMemory = JSON.stringify(plot.spec({ ...data, name: path.basename(folder) }));
    expect(sixDigits(written)).toEqual(sixDigits(inMemory));
  }
});

/** Runs record nine digits. */
const sixDigits = (json: string): unknown =>
  JSON.parse(json, (_key, value: unknown) => (typeof value === "number" ? Number(value.toPrecision(6)) : value));

test("unknown plots and formats are refused with the known names", async () => {
  await expect(renderPlots(folder, { plots: ["loss-curve"] })).rejects.toThrow(/did you mean "loss-curves"/);
  expect(() => parseFormats("svg,eps")).toThrow(UserError);
  expect(parseFormats("svg, png")).toEqual(["svg", "png"]);
  await expect(renderPlots(path.join(folder, "nowhere"))).rejects.toThrow(UserError);
});

test("a plot asked for by name which the rows do not allow is an error, otherwise it is left out and said", async () => {
  const shallow = syntheticExperiment({ depths: [2], steps: 4 });
  const other = experimentFolder(mkdtempSync(path.join(tmpdir(), "fathom-plots-")), shallow);
  await expect(renderPlots(other, { plots: ["gradient-by-depth"] })).rejects.toThrow(/varies model\.depth/);
  const skipped: string[] = [];
  await renderPlots(other, { formats: ["json"], onSkip: (name) => skipped.push(name) });
  const undrawn = [...members<Plot>(registry).values()].filter((plot) => unmet(plot, shallow));
  expect(skipped).toEqual(undrawn.map(({ name }) => name));
  expect(skipped).toEqual(expect.arrayContaining(["gradient-by-depth", "learning-rate-limit", "noise-scale"]));
});

test("the command line prints what it wrote, and refuses what it cannot draw with exit code 2", async () => {
  const printed: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: string) => void printed.push(line));
  const error = vi.spyOn(console, "error").mockImplementation((line: string) => void printed.push(line));
  expect(await main(["plot", folder, "--plot", "loss-curves", "--format", "json", "--json"])).toBe(0);
  expect(JSON.parse(printed.pop()!)).toEqual([path.join(folder, "plots", "loss-curves.vl.json")]);
  expect(await main(["plot", folder, "--plot", "loss"])).toBe(2);
  expect(printed.pop()).toContain("Known: activation-gradient-by-layer, ");
  expect(await main(["report", path.join(folder, "nowhere")])).toBe(2);
  log.mockRestore();
  error.mockRestore();
});

test("a picture does not depend on those drawn before it", async () => {
  const first = await svgOf("loss-curves", registry.lossCurves.spec(data));
  await svgOf("gradient-heatmap", registry.gradientHeatmap.spec(data));
  expect(await svgOf("loss-curves", registry.lossCurves.spec(data))).toBe(first);
});

test("text is in the picture: without fonts there is less ink", async () => {
  const svg = await svgOf("loss-curves", registry.lossCurves.spec(data));
  const [withFonts, without] = [pngOf(svg), pngOf(svg, 2, [])];
  const width = (png: Uint8Array): number => Buffer.from(png).readUInt32BE(16);
  expect(width(withFonts)).toBe(width(without));
  expect(width(withFonts)).toBe(2 * Math.ceil(Number(/width="([\d.]+)"/.exec(svg)![1])));
  expect(withFonts.length).toBeGreaterThan(without.length * 1.1);
});

test("what Vega would only warn of is an error that names the plot", async () => {
  const wrong = { mark: "bar", data: { values: [{ a: 1 }] }, encoding: { x: { field: "a", type: "wrong" } } };
  await expect(svgOf("some-plot", wrong as never)).rejects.toThrow(/plot some-plot could not be drawn/);
});

test("text is measured by the font", () => {
  // DejaVu Sans: "m" is 1995 units of 2048 wide, "i" 569; digits are 1303.
  expect(textWidth("m", 2048)).toBe(1995);
  expect(textWidth("i", 2048)).toBe(569);
  expect(textWidth("10⁻³", 10)).toBeGreaterThan(textWidth("10", 10));
  expect(textWidth("m", 10, true)).toBeGreaterThan(textWidth("m", 10));
});

test("a line that leaves the picture by far is drawn to where it leaves: the rasterizer would abort the process", () => {
  const line = (y: string) =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><path d="M0,10L10,10L20,${y}" stroke="black" fill="none"/></svg>`;
  const near = pngOf(line("-100000"));
  expect(Buffer.compare(pngOf(line("-1039999300")), near)).toBe(0);
  expect(Buffer.compare(pngOf(line("-8.5e14")), near)).toBe(0);
  expect(Buffer.compare(pngOf(line("10")), near)).not.toBe(0);
});

test("a group whose lines lie all outside of its frame is not drawn, and does not abort the process", () => {
  const group = (y: number) =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40" fill="white"/><g fill="none">` +
    `<g transform="translate(10,10)" class="mark-line"><clipPath id="a"><rect x="0" y="0" width="20" height="20"/></clipPath>` +
    `<g clip-path="url(#a)" role="graphics-symbol"><path d="M0,${y}L10,${y}" stroke="black"/></g></g></g></svg>`;
  const empty = pngOf(
    '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"><rect width="40" height="40" fill="white"/></svg>',
  );
  expect(Buffer.compare(pngOf(group(-1e6)), empty)).toBe(0);
  expect(Buffer.compare(pngOf(group(-100)), empty)).toBe(0);
  expect(Buffer.compare(pngOf(group(10)), empty)).not.toBe(0);
});

test("a half-transparent point outside of the picture is not drawn, and does not abort the process either", () => {
  const point = (y: number) =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="20" height="20" fill="white"/>` +
    `<path transform="translate(10,${y})" d="M3,0A3,3,0,1,1,-3,0A3,3,0,1,1,3,0" fill="black" opacity="0.7"/></svg>`;
  const empty = pngOf(
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="20" height="20" fill="white"/></svg>',
  );
  expect(Buffer.compare(pngOf(point(-874.9)), empty)).toBe(0);
  expect(Buffer.compare(pngOf(point(10)), empty)).not.toBe(0);
});
