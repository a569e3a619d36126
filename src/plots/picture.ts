// Vega-Lite specifications to SVG and PNG without a browser, with the fonts of the npm package dejavu-fonts-ttf: the
// same bytes on every machine. Two traps are closed here: without a canvas Vega guesses text widths (half too wide), so
// they are taken from the font; and resvg draws no text at all, silently, unless it is handed TrueType files.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { Resvg } from "@resvg/resvg-js";
import opentype from "opentype.js";
import * as vega from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import { messageOf } from "../errors.ts";

const fontFolder = path.join(
  path.dirname(createRequire(import.meta.url).resolve("dejavu-fonts-ttf/package.json")),
  "ttf",
);
const fontFile = (bold: boolean): string => path.join(fontFolder, bold ? "DejaVuSans-Bold.ttf" : "DejaVuSans.ttf");

/** Advance width of `text` in DejaVu Sans, pixels. */
export function textWidth(text: string, fontSize: number, bold = false): number {
  const { glyph, unitsPerEm } = fontFace(bold);
  let units = 0;
  for (const character of text) units += glyph(character).advance;
  return (units / unitsPerEm) * fontSize;
}

/** A face of DejaVu Sans; measures in its units, of which `unitsPerEm` are the font's size. */
export interface FontFace {
  /** The TrueType file. */
  readonly bytes: Buffer;
  readonly unitsPerEm: number;
  readonly ascender: number;
  readonly descender: number;
  /** The glyph of a character, that of missing ones where the font has none. */
  glyph(character: string): { readonly index: number; readonly advance: number };
}

const faces = new Map<boolean, FontFace>();

/** DejaVu Sans, or its bold face. */
export function fontFace(bold: boolean): FontFace {
  const known = faces.get(bold);
  if (known) return known;
  const bytes = readFileSync(fontFile(bold));
  const parsed = opentype.parse(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const { unitsPerEm, ascender, descender } = parsed;
  const glyphs = new Map<string, { index: number; advance: number }>();
  // Glyph by glyph: the library's own getAdvanceWidth throws on this font's substitution tables.
  const glyph = (character: string): { index: number; advance: number } => {
    let found = glyphs.get(character);
    if (!found) {
      const { index, advanceWidth } = parsed.charToGlyph(character);
      glyphs.set(character, (found = { index, advance: advanceWidth ?? unitsPerEm / 2 }));
    }
    return found;
  };
  const face = { bytes, unitsPerEm, ascender, descender, glyph };
  faces.set(bold, face);
  return face;
}

interface TextItem {
  readonly fontSize?: number;
  readonly fontWeight?: string | number;
}

/** Gives Vega true text widths. The override is Vega's own hook, and global to it. */
function measureText(): void {
  const metrics = vega as unknown as { textMetrics: { width: (item: TextItem, text: unknown) => number } };
  metrics.textMetrics.width = (item, text) => {
    const bold = item.fontWeight === "bold" || Number(item.fontWeight) >= 600;
    return textWidth(String(text ?? ""), item.fontSize ?? 11, bold);
  };
}

/** A logger that keeps warnings and errors: Vega prints them and goes on, with marks missing. */
function listener(): { logger: vega.LoggerInterface; warnings: string[]; errors: string[] } {
  const warnings: string[] = [];
  const errors: string[] = [];
  const logger = vega.logger(vega.Warn);
  logger.warn = (...messages) => (warnings.push(messages.map(messageOf).join(" ")), logger);
  logger.error = (...messages) => (errors.push(messages.map(messageOf).join(" ")), logger);
  return { logger, warnings, errors };
}

/** The picture of a specification as SVG text: same specification, same bytes. Whatever Vega-Lite or Vega would only
 *  warn of is an error here, and names the plot. */
export async function svgOf(name: string, spec: TopLevelSpec): Promise<string> {
  measureText();
  // Vega numbers clip paths and gradients through the life of the process; a file must not depend on what came before.
  (vega as unknown as { resetSVGDefIds: () => void }).resetSVGDefIds();
  const { logger, warnings, errors } = listener();
  try {
    const view = new vega.View(vega.parse(compile(spec, { logger }).spec), { renderer: "none", logger });
    const svg = await view.toSVG();
    view.finalize();
    if (errors.length + warnings.length > 0) throw new Error([...errors, ...warnings].join("; "));
    return svg;
  } catch (error) {
    throw new Error(`internal error: the plot ${name} could not be drawn: ${messageOf(error)}`, { cause: error });
  }
}

/** Far outside of any picture. */
const farthest = 1e5;

/** The picture with places beyond reach drawn in to it. They are clipped anyway (a loss that has exploded), but the
 *  rasterizer adds them up in fixed point and aborts the process. */
function withinReach(svg: string): string {
  const drawnIn = (text: string): string =>
    text.replace(/-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi, (number) =>
      Math.abs(Number(number)) <= farthest ? number : String(Math.sign(Number(number)) * farthest),
    );
  return svg.replace(/\b(?:d|transform)="[^"]*"/g, drawnIn);
}

/** The picture with the opacity of each path on its colours. As a property of the whole path it makes the rasterizer draw a layer
 *  of its own, and abort the process where that layer lies outside of the picture: a point beyond the end of its axis. */
const withoutLayers = (svg: string): string =>
  svg.replace(/<path [^>]*>/g, (path) =>
    /-opacity=/.test(path) ? path : path.replace(/ opacity="([^"]*)"/, ' fill-opacity="$1" stroke-opacity="$1"'),
  );

/** The picture with an unseen mark at the origin of each clipped group. Of a group whose marks lie all outside of the picture (the curve
 *  of a run that has exploded) the rasterizer makes an empty layer, and aborts the process. */
const withoutEmptyGroups = (svg: string): string =>
  svg.replace(
    /<g [^>]*clip-path="[^>]*[^/]>/g,
    (group) => `${group}<path d="M0,0h1v1h-1Z" fill="black" fill-opacity="0"/>`,
  );

/** An SVG picture as PNG bytes, at twice its size in pixels for sharp screens, or `zoom` times. */
export function pngOf(
  svg: string,
  zoom = 2,
  fontFiles: readonly string[] = [fontFile(false), fontFile(true)],
): Uint8Array {
  const image = new Resvg(withoutEmptyGroups(withoutLayers(withinReach(svg))), {
    fitTo: { mode: "zoom", value: zoom },
    font: {
      loadSystemFonts: false,
      fontFiles: [...fontFiles],
      defaultFontFamily: "DejaVu Sans",
      sansSerifFamily: "DejaVu Sans",
    },
  });
  return image.render().asPng();
}
