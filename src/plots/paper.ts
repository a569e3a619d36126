// Figures for one column of a paper: a specification drawn for the screen is laid out anew, 3.35 inches wide, in points, with
// text of 7 points. The finding and the caption are left to the paper (see latex.ts). What a figure shows stays as it is.

import type { TopLevelSpec } from "vega-lite";
import { distinct } from "../statistics.ts";
import { svgOf, textWidth } from "./picture.ts";
import { config, inPanelLabel, wrapped } from "./style.ts";

/** Width of a column, points: that of IEEE, ACM and most two-column styles. */
export const columnPoints = 241;
/** Height that leaves room for a caption on the page, points. */
const mostHigh = 560;
/** Text, points; headers of crowded grids are a little smaller. */
const fontSize = 7;
const smallSize = 6;
/** Rows of panels that fit a page: two beside each other, and more, which are less high. */
const mostRows = 6;
const mostSmallRows = 9;
/** Width of a panel at the least, points: eight columns and the names of their rows still fit. */
const leastPanel = 14;
/** A character's mean width in DejaVu Sans, in parts of the size. */
const characterWidth = 0.56;

type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree => typeof value === "object" && value !== null && !Array.isArray(value);
const without = (tree: Tree, ...keys: readonly string[]): Tree =>
  Object.fromEntries(Object.entries(tree).filter(([key]) => !keys.includes(key)));
const listOf = (value: unknown): Tree[] => (Array.isArray(value) ? (value as Tree[]) : []);
const numberOr = (value: unknown, otherwise: number): number => (typeof value === "number" ? value : otherwise);

/** The specification of a figure one column wide. Panels stand in rows below each other; their width is what axes and
 *  headers leave, which only drawing tells. */
export async function onePaperColumn(spec: TopLevelSpec): Promise<TopLevelSpec> {
  const widthAt = async (panel: number): Promise<number> => {
    const svg = await svgOf("for a paper", laidOut(spec, panel));
    return Number(/width="([\d.]+)"/.exec(svg)![1]);
  };
  // The whole grows with its panels in a straight line, but for labels that come and go: two steps towards it.
  let panel = 90;
  for (let step = 0; step < 2; step++) {
    const [here, there] = [await widthAt(panel), await widthAt(panel + 10)];
    const slope = Math.max(0.5, (there - here) / 10);
    panel = Math.max(leastPanel, Math.floor(10 * (panel + (columnPoints - here) / slope)) / 10);
  }
  // The last steps one by one, as long as they help: beside what does not shrink, panels need not either.
  for (let width = await widthAt(panel); width > columnPoints && panel > leastPanel;) {
    const narrower = await widthAt(panel - 1);
    if (narrower >= width) break;
    panel -= 1;
    width = narrower;
  }
  return laidOut(spec, panel);
}

/** The figure with panels `panel` points wide. */
function laidOut(spec: TopLevelSpec, panel: number): TopLevelSpec {
  return black({
    ...arranged(without(spec as unknown as Tree, "title"), panel),
    background: "white",
    padding: 1,
    config: paperConfig,
  }) as unknown as TopLevelSpec;
}

const black = (tree: Tree): Tree =>
  JSON.parse(JSON.stringify(tree), (_key, value: unknown) => (value === "currentColor" ? "black" : value)) as Tree;

const text = { labelFontSize: fontSize, titleFontSize: fontSize };
const paperConfig = {
  ...config,
  view: { ...config.view, strokeWidth: 0.5 },
  axis: {
    ...config.axis,
    ...text,
    gridWidth: 0.4,
    domainWidth: 0.5,
    tickWidth: 0.5,
    tickSize: 2.5,
    labelPadding: 1.5,
    titlePadding: 2.5,
    titleLineHeight: 8,
    labelLimit: 110,
  },
  legend: {
    ...config.legend,
    ...text,
    symbolSize: 22,
    symbolStrokeWidth: 1,
    rowPadding: 0.5,
    columnPadding: 6,
    labelOffset: 2,
    titlePadding: 2,
    offset: 4,
    padding: 0,
    gradientThickness: 6,
    gradientLength: 110,
  },
  header: {
    ...config.header,
    ...text,
    labelFontWeight: "normal",
    labelPadding: 2,
    titlePadding: 1,
    labelLineHeight: 8,
  },
};

/** A view with all that it holds in place. */
function arranged(view: Tree, panel: number): Tree {
  if (isTree(view["facet"])) return faceted(view, view["facet"], panel);
  const parts = leaves(view);
  if (parts.length > 0 && !("layer" in view)) {
    const isOfImages = parts.some(hasImage);
    const columns = parts.length > 4 && isOfImages ? 3 : parts.length > 3 || (isOfImages && parts.length > 1) ? 2 : 1;
    const rows = Math.ceil(parts.length / columns);
    const around = without(view, "hconcat", "vconcat", "bounds");
    return { ...around, columns, spacing: 6, concat: parts.map((part) => leaf(part, panel, rows)) };
  }
  return leaf(view, panel, 1);
}

/** Views that stand beside or below each other, at whatever level. */
const leaves = (view: Tree): Tree[] =>
  ["hconcat", "vconcat", "concat"].flatMap((key) =>
    listOf(view[key]).flatMap((part) => (leaves(part).length > 0 ? leaves(part) : [part])),
  );

const hasImage = (view: Tree): boolean =>
  (isTree(view["mark"]) && view["mark"]["type"] === "image") || listOf(view["layer"]).some(hasImage);

interface FacetField extends Tree {
  readonly field: string;
  readonly sort?: readonly string[];
}

/** Panels of one field, or rows and columns of two. A grid of more than two columns becomes panels two by two where these fit a
 *  page; where they do not it stays a grid, small. */
function faceted(view: Tree, facet: Tree, panel: number): Tree {
  const data = view["data"] as { readonly values: readonly Tree[] };
  const there = ({ field, sort }: FacetField, values = data.values): string[] => {
    const found = distinct(values.map((row) => String(row[field] ?? "")));
    return sort ? sort.filter((value) => found.includes(value)) : found;
  };
  const inner = view["spec"] as Tree;
  const { row, column } = facet as { readonly row?: FacetField; readonly column?: FacetField };
  const wrap = (field: FacetField, names: readonly string[], columns: number): Tree => {
    const rows = Math.ceil(names.length / columns);
    return {
      ...view,
      ...(rows > 1 && saidOnce(inner, columns > 2)),
      facet: { ...field, header: headerOf(names, panel, columns > 2 ? smallSize : fontSize) },
      columns,
      spacing: { row: 4, column: 6 },
      spec: leaf(rows > 1 ? untitled(inner, columns > 2) : inner, panel, rows),
    };
  };
  if (!row || !column) {
    const names = there(facet as FacetField);
    return wrap(facet as FacetField, names, names.length > 3 ? 2 : 1);
  }
  const [rows, columns] = [there(row), there(column)];
  const across = [2, 3, 4].find(
    (n) => columns.length % n === 0 && (rows.length * columns.length) / n <= (n === 2 ? mostRows : mostSmallRows),
  );
  if (columns.length > 2 && across !== undefined) {
    const nameOf = (one: Tree): string => [one[row.field], one[column.field]].filter((part) => part).join(" · ");
    const names = rows.flatMap((r) => columns.map((c) => nameOf({ [row.field]: r, [column.field]: c })));
    return {
      ...wrap({ field: "_panel", type: "nominal", title: null, sort: names }, names, across),
      data: { values: data.values.map((one) => ({ ...one, _panel: nameOf(one) })) },
    };
  }
  const isNarrow = columns.length > 2;
  const small = leaf(untitled(inner, isNarrow), panel, rows.length);
  const side = Number(small["height"]);
  // A row's name stands along its side where it is short enough, else across.
  const isShort = rows.every((name) => textWidth(name, smallSize) <= side + 4);
  const rowHeader = isShort
    ? { ...headerOf(rows, side + 4, smallSize), labelAngle: -90 }
    : { ...headerOf(rows, 56, smallSize), labelAngle: 0, labelAlign: "left", labelLimit: 70 };
  // So does a column's, or upright above it.
  const isWide = columns.every((name) => name.split(" ").every((word) => textWidth(word, smallSize) <= panel + 4));
  const columnHeader = isWide
    ? headerOf(columns, panel, smallSize)
    : { ...headerOf(columns, 66, smallSize), labelAngle: -90, labelAlign: "left" };
  return {
    ...view,
    ...saidOnce(inner, isNarrow),
    facet: { row: { ...row, header: rowHeader }, column: { ...column, header: columnHeader } },
    spacing: 4,
    spec: small,
  };
}

/** Every layer's axes of a view. */
const encodingsOf = (view: Tree): Tree[] =>
  [view, ...listOf(view["layer"])].flatMap(({ encoding }) => (isTree(encoding) ? [encoding] : []));

const axisTitle = (view: Tree, channel: "x" | "y"): string | undefined =>
  encodingsOf(view)
    .map((encoding) => (isTree(encoding[channel]) ? encoding[channel]["title"] : undefined))
    .find((title) => typeof title === "string");

/** What the axes of many small panels are of, once above them all: what goes up and, where panels are narrow, what goes right. */
function saidOnce(view: Tree, isNarrow: boolean): Tree {
  const [up, right] = [axisTitle(view, "y"), axisTitle(view, "x")];
  if (up === undefined) return {};
  const text = isNarrow && right !== undefined ? `${up}, against ${right}` : up;
  return {
    title: { ...paperTitle(text, columnPoints - 20), anchor: "start", color: "black", offset: 4, frame: "bounds" },
  };
}

/** The view without the titles that stand above all panels. */
function untitled(view: Tree, isNarrow: boolean): Tree {
  const channels = ["y", ...(isNarrow ? ["x"] : [])];
  const bare = (one: Tree): Tree => {
    const { encoding, layer } = one;
    return {
      ...one,
      ...(isTree(encoding) && {
        encoding: Object.fromEntries(
          Object.entries(encoding).map(([channel, of]) => [
            channel,
            isTree(of) && channels.includes(channel) && "field" in of ? { ...of, title: null } : of,
          ]),
        ),
      }),
      ...(Array.isArray(layer) && { layer: listOf(layer).map(bare) }),
    };
  };
  return bare(view);
}

/** A facet's header: its names in lines that are no wider than a panel; all of them in several where one is. */
function headerOf(names: readonly string[], width: number, size: number = fontSize): object {
  const most = charactersIn(width, size);
  const isLong = names.some((name) => textWidth(name, size) > width + 4);
  // A moment, "step 0" or "at the end", stays in one line.
  const whole = (part: string): string =>
    part.replace(/(?:step \d+|at the end)$/, (moment) => moment.replace(/ /g, "\u00a0"));
  const linesOf = (name: string): string[] => name.split(" · ").flatMap((part) => wrapped(whole(part), most));
  const lines = Object.fromEntries(names.map((name) => [name, linesOf(name)]));
  return {
    labelFontSize: size,
    labelLineHeight: size + 1,
    labelLimit: 0,
    ...(isLong && { labelExpr: `(${JSON.stringify(lines)})[datum.label]` }),
  };
}

const charactersIn = (width: number, size: number = fontSize): number =>
  Math.max(6, Math.floor(width / (size * characterWidth)));

/** A view without further views within it, in `rows` of which the figure consists. */
function leaf(view: Tree, panel: number, rows: number): Tree {
  const [width, height] = [numberOr(view["width"], panel), numberOr(view["height"], panel)];
  const keepsShape = hasImage(view) || width === height;
  const shape = keepsShape ? height / width : Math.min(height / width, panel > 150 ? 0.55 : 0.7);
  const high = keepsShape ? shape * panel : Math.max(26, Math.min(shape * panel, mostHigh / rows - 16));
  // A list of names takes its lines whatever the width.
  const bands = discreteRows(view);
  const domain = encodingsOf(view)
    .map(({ y }) => (isTree(y) && isTree(y["scale"]) ? y["scale"]["domain"] : undefined))
    .find(Array.isArray) as [number, number] | undefined;
  const box = {
    width: panel,
    domain,
    height: Math.round(bands > 0 ? Math.max(9 * bands, 30) : high),
    zoom: panel / width,
  };
  const { title } = view;
  const named = isTree(title) ? { title: { ...title, ...paperTitle(title["text"], panel) } } : {};
  return { ...marked(view, box), ...named, width: box.width, height: box.height };
}

/** Names along the vertical axis of a view; 0 where it is a quantity. */
function discreteRows(view: Tree): number {
  const sorts = [view, ...listOf(view["layer"])].flatMap((one) => {
    const y = isTree(one["encoding"]) ? one["encoding"]["y"] : undefined;
    return isTree(y) && y["type"] === "nominal" && Array.isArray(y["sort"]) ? [y["sort"].length] : [];
  });
  return Math.max(0, ...sorts);
}

const paperTitle = (text: unknown, width: number): object => ({
  text: wrapped([text].flat().join(" "), charactersIn(width)),
  fontSize,
  fontWeight: "normal",
  lineHeight: 8,
  offset: 2,
});

interface Box {
  readonly width: number;
  readonly height: number;
  /** Of the width that was. */
  readonly zoom: number;
  /** Limits of the vertical axis, where a specification states them. */
  readonly domain: [number, number] | undefined;
}

/** Marks and axes of a view and its layers in the sizes of print. */
function marked(view: Tree, box: Box): Tree {
  const { mark, encoding, layer } = view;
  const isImage = isTree(mark) && mark["type"] === "image";
  return {
    ...view,
    ...("width" in view && isImage && { width: box.width, height: box.height }),
    ...(isTree(mark) && { mark: printedMark(mark, box) }),
    ...(isTree(encoding) && {
      encoding: Object.fromEntries(
        Object.entries(encoding).map(([channel, of]) => [channel, printedChannel(channel, of, box, isImage)]),
      ),
    }),
    ...(Array.isArray(layer) && {
      // What is written into a panel would lie on its lines where that is narrow.
      layer: listOf(layer).flatMap((one) =>
        one["name"] === inPanelLabel && box.width < 150 ? [] : [marked(one, box)],
      ),
    }),
  };
}

function printedMark(mark: Tree, { zoom }: Box): Tree {
  const scaled = (key: string, factor: number, least: number): Tree =>
    typeof mark[key] === "number" ? { [key]: Math.max(least, Number((mark[key] * factor).toFixed(2))) } : {};
  const isImage = mark["type"] === "image";
  return {
    ...mark,
    ...(mark["type"] === "point" && mark["size"] === undefined ? { size: 10 } : scaled("size", 0.3, 2.5)),
    ...(mark["type"] === "line" && mark["strokeWidth"] === undefined ? { strokeWidth: 1 } : {}),
    ...(mark["type"] === "rule" && mark["strokeWidth"] === undefined ? { strokeWidth: 0.6 } : {}),
    ...scaled("strokeWidth", 0.5, 0.4),
    ...scaled("thickness", 0.6, 0.8),
    ...scaled("fontSize", 0.6, 6.5),
    ...(typeof mark["dy"] === "number" && { dy: 0.6 * mark["dy"] }),
    ...(typeof mark["dx"] === "number" && { dx: 0.6 * mark["dx"] }),
    ...(Array.isArray(mark["strokeDash"]) && { strokeDash: (mark["strokeDash"] as number[]).map((one) => one / 2) }),
    ...(isImage && { ...scaled("width", zoom, 1), ...scaled("height", zoom, 1) }),
  };
}

function printedChannel(channel: string, of: unknown, box: Box, isImage: boolean): unknown {
  if (Array.isArray(of)) return of; // what the pointer is told: nothing in print, and harmless
  if (!isTree(of)) return of;
  const isAxis = channel === "x" || channel === "y";
  if (isAxis && isImage && typeof of["value"] === "number") return { value: of["value"] * box.zoom };
  const along = channel === "x" ? box.width : box.height;
  const title = of["title"];
  const axis = of["axis"];
  return {
    ...of,
    ...(isAxis && typeof title === "string" && { title: wrapped(title, charactersIn(along + 14)) }),
    ...(isAxis && axis !== null && { axis: printedAxis(isTree(axis) ? axis : {}, box.domain, channel, along) }),
    ...(isTree(of["legend"]) && { legend: printedLegend(of["legend"], of) }),
  };
}

function printedAxis(axis: Tree, domain: Box["domain"], channel: string, along: number): Tree {
  // So many labels have room, of some 22 points across and 14 up.
  const room = Math.max(2, Math.floor(along / (channel === "x" ? 26 : 15)));
  return {
    ...axis,
    ...(typeof axis["tickCount"] === "number" && { tickCount: Math.min(axis["tickCount"], room) }),
    ...(axis["labelOverlap"] === false && { values: apart(axis["values"], domain, along) }),
    labelOverlap: axis["labelOverlap"] ?? "greedy",
    labelSeparation: 2,
    ...(typeof axis["dy"] === "number" && { dy: 0.6 * axis["dy"] }),
  };
}

/** Ticks of a linear axis with room for their labels between them; the ends come first. */
function apart(values: unknown, domain: Box["domain"], along: number): unknown {
  if (!Array.isArray(values) || !domain) return values;
  const ticks = values as number[];
  const [low, high] = domain;
  const least = ((fontSize + 1) * (high - low)) / along;
  const kept = [ticks[0]!, ticks.at(-1)!, ...ticks].reduce<number[]>(
    (some, tick) => (some.every((other) => Math.abs(other - tick) >= least) ? [...some, tick] : some),
    [],
  );
  return kept.sort((a, b) => a - b);
}

/** Points of a legend's entry besides its text: the symbol and the space around. */
const legendGap = 20;
/** Points that a legend may be wide: it begins where the panels do, right of the axis. */
const legendRoom = columnPoints - 34;

/** As many entries beside each other as fit the column. */
function printedLegend(legend: Tree, { scale, type }: Tree): Tree {
  const rest = without(legend, "titleOrient", "gradientLength");
  if (type === "quantitative") return { ...rest, titleLimit: columnPoints };
  const domain = isTree(scale) && Array.isArray(scale["domain"]) ? scale["domain"].map(String) : [];
  const longest = Math.max(1, ...domain.map((name) => textWidth(name, fontSize)));
  const heading = typeof legend["title"] === "string" ? legend["title"] : "";
  const columns = Math.max(1, Math.min(domain.length, Math.floor(legendRoom / (longest + legendGap))));
  const isOneLine =
    heading !== "" &&
    columns === domain.length &&
    textWidth(heading, fontSize) + domain.length * (longest + legendGap) < legendRoom;
  return {
    ...rest,
    titleOrient: isOneLine ? "left" : "top",
    columns,
    labelLimit: columnPoints - 20,
    titleLimit: columnPoints - 8,
  };
}
