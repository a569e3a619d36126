// Figures for one column of a paper: a specification drawn for the screen is laid out anew, 3.35 inches wide, in points, with
// text of 7 points. The finding and the caption are left to the paper (see latex.ts). What a figure shows stays as it is.

import type { TopLevelSpec } from "vega-lite";
import { distinct, groupBy } from "../statistics.ts";
import { placeholderKind } from "./csv.ts";
import { svgOf, textWidth } from "./picture.ts";
import { config, inPanelLabel, wrapped } from "./style.ts";

/** Width of a column, points: that of IEEE, ACM and most two-column styles. */
export const columnPoints = 241;
/** Height of all panels with what stands between them, points: it leaves room for a legend and a caption on the page. */
const mostHigh = 540;
/** Text, points; headers of crowded grids are a little smaller. */
const fontSize = 7;
const smallSize = 6;
/** Rows of panels that fit a page: two beside each other, and more, which are less high. */
const mostRows = 6;
const mostSmallRows = 9;
/** Width of a panel at the least, points: eight columns and the names of their rows still fit. And its height. */
const leastPanel = 12;
const leastHeight = 16;
/** Points between rows of panels, and the numbers below an axis with their title. */
const rowSpacing = 4;
const axisHeight = 20;
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
    const { ordered, columns } = beside(parts);
    const rows = Math.ceil(parts.length / columns);
    const drawn = columns > 1 ? withOuterAxes(ordered, columns) : ordered;
    const around = 2 + 8 * Math.max(0, ...drawn.map((part) => linesOf(titleOf(part), panel))) + rowSpacing;
    const own = drawn.length > 3 && isShared(ordered, "x") ? 0 : axisHeight;
    return {
      ...without(view, "hconcat", "vconcat", "bounds"),
      columns,
      spacing: { row: rowSpacing, column: 6 },
      concat: drawn.map((part) => leaf(part, panel, { rows, around: around + own })),
    };
  }
  return leaf(view, panel, { rows: 1, around: 0 });
}

/** Panels of which each brings its own axes, in the order and the columns in which print has them. Those that share what goes up stand
 *  beside each other where that fills the rows: then only the first of a row needs its numbers. */
function beside(parts: readonly Tree[]): { readonly ordered: readonly Tree[]; readonly columns: number } {
  if (parts.some(hasImage))
    return { ordered: parts, columns: parts.length > 18 ? 4 : parts.length > 4 ? 3 : Math.min(2, parts.length) };
  if (parts.length <= 3) return { ordered: parts, columns: 1 };
  const alike = [...groupBy(parts, (part) => axisOf(part, "y")).values()];
  const size = alike[0]!.length;
  const columns = [2, 3, 4].find((n) => size % n === 0 && fitsRows(parts.length, n));
  return columns !== undefined && alike.every(({ length }) => length === size)
    ? { ordered: alike.flat(), columns }
    : { ordered: parts, columns: columnsFor(parts.length) };
}

const fitsRows = (panels: number, columns: number): boolean =>
  Math.ceil(panels / columns) <= (columns === 2 ? mostRows : mostSmallRows);
const columnsFor = (panels: number): number => [2, 3].find((columns) => fitsRows(panels, columns)) ?? 4;

/** What an axis of a view looks like, for comparing; its title aside, which may stand at the first panel alone. */
const axisOf = (view: Tree, channel: "x" | "y"): string =>
  JSON.stringify(
    encodingsOf(view).flatMap((encoding) => {
      const of = encoding[channel];
      return isTree(of) && "field" in of ? [[of["field"], of["scale"], of["axis"]]] : [];
    })[0],
  );
const isShared = (parts: readonly Tree[], channel: "x" | "y"): boolean =>
  distinct(parts.map((part) => axisOf(part, channel))).length === 1;

/** Panels in rows, with numbers and titles of an axis at the outer ones alone: at those with no panel of the same axis below or to the left. */
function withOuterAxes(parts: readonly Tree[], columns: number): Tree[] {
  const up = parts.map((part) => axisTitle(part, "y")).find((title) => title !== undefined);
  return parts.map((part, i) => {
    const below = parts[i + columns];
    const left = i % columns > 0 ? parts[i - 1] : undefined;
    const hasX = !below || axisOf(below, "x") !== axisOf(part, "x");
    const hasY = !left || axisOf(left, "y") !== axisOf(part, "y");
    const title = i % columns === 0 ? up : axisTitle(part, "y") === up ? null : undefined;
    return onAxes(part, (of, channel) => {
      const isBare = channel === "x" ? !hasX : !hasY;
      const named = channel === "y" && "field" in of && title !== undefined ? { ...of, title } : of;
      if (!isBare || of["axis"] === null) return named;
      const axis = isTree(of["axis"]) ? of["axis"] : {};
      return { ...named, title: null, axis: { ...axis, labels: false, ticks: false } };
    });
  });
}

/** A view with another encoding of its two directions, in all its layers: they must agree on an axis. */
function onAxes(view: Tree, change: (of: Tree, channel: "x" | "y") => Tree): Tree {
  const { encoding, layer } = view;
  return {
    ...view,
    ...(isTree(encoding) && {
      encoding: Object.fromEntries(
        Object.entries(encoding).map(([channel, of]) => [
          channel,
          (channel === "x" || channel === "y") && isTree(of) && ("field" in of || "datum" in of)
            ? change(of, channel)
            : of,
        ]),
      ),
    }),
    ...(Array.isArray(layer) && { layer: listOf(layer).map((one) => onAxes(one, change)) }),
  };
}

const titleOf = ({ title }: Tree): string => [(isTree(title) ? title["text"] : title) ?? []].flat().join(" ");
const linesOf = (text: string, width: number): number => (text === "" ? 0 : wrapped(text, charactersIn(width)).length);

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
  const there = ({ field, sort }: FacetField): string[] => {
    const found = distinct(values.map((row) => String(row[field] ?? "")));
    return sort ? sort.filter((value) => found.includes(value)) : found;
  };
  const { row, column } = facet as { readonly row?: FacetField; readonly column?: FacetField };
  const data = view["data"] as { readonly values: readonly Tree[] };
  const { values, inner } = withoutCrowds(data.values, view["spec"] as Tree, panel);
  const isOwn = hasOwnX(view);
  const wrap = (field: FacetField, names: readonly string[], columns: number, rest: readonly Tree[] = values): Tree => {
    const rows = Math.ceil(names.length / columns);
    const size = columns > 2 ? smallSize : fontSize;
    const lines = Math.max(...names.map((name) => headerLines(name, panel, size).length));
    const around = lines * (size + 1) + 4 + rowSpacing + (isOwn ? axisHeight / (columns > 2 ? 2 : 1) : 0);
    return {
      ...view,
      ...(rows > 1 && saidOnce(inner, columns > 2)),
      data: { ...data, values: rest },
      facet: { ...field, header: headerOf(names, panel, size) },
      columns,
      spacing: { row: rowSpacing, column: 6 },
      spec: leaf(rows > 1 ? untitled(inner, columns > 2) : inner, panel, { rows, around }),
    };
  };
  if (!row || !column) {
    const names = there(facet as FacetField);
    // Axes of their own take as much room as small panels do.
    const columns = names.length > 3 ? Math.max(isOwn && names.length > 6 ? 3 : 2, columnsFor(names.length)) : 1;
    return wrap(facet as FacetField, names, columns);
  }
  const [rows, columns] = [there(row), there(column)];
  const across = [2, 3, 4].find((n) => columns.length % n === 0 && fitsRows(rows.length * columns.length, n));
  // Rows that stay whole stay a grid, which says their names once.
  if (columns.length > 2 && across !== undefined && across < columns.length) {
    const nameOf = (one: Tree): string => [one[row.field], one[column.field]].filter((part) => part).join(" · ");
    const names = rows.flatMap((r) => columns.map((c) => nameOf({ [row.field]: r, [column.field]: c })));
    const named = values.map((one) => ({ ...one, _panel: nameOf(one) }));
    return wrap({ field: "_panel", type: "nominal", title: null, sort: names }, names, across, named);
  }
  const isNarrow = columns.length > 2;
  const small = leaf(untitled(inner, isNarrow), panel, { rows: rows.length, around: rowSpacing, isUpright: isNarrow });
  const side = Number(small["height"]);
  // A row's name stands along its side where its words are short enough, else across.
  const isShort = rows.every((name) => name.split(" ").every((word) => textWidth(word, smallSize) <= side + 4));
  const rowHeader = isShort
    ? { ...headerOf(rows, side + 4, smallSize), labelAngle: -90 }
    : { ...headerOf(rows, 56, smallSize), labelAngle: 0, labelAlign: "left", labelLimit: 70 };
  // So does a column's, or upright above it.
  const isWide = columns.every((name) => name.split(" ").every((word) => textWidth(word, smallSize) <= panel + 4));
  const columnHeader = isWide
    ? headerOf(columns, panel, smallSize)
    : // "right" is what puts the foot of upright names at the panels: "left" leaves their length between.
      { ...headerOf(columns, 90, smallSize), labelAngle: -90, labelAlign: "right" };
  return {
    ...view,
    ...saidOnce(inner, isNarrow),
    data: { ...data, values },
    facet: { row: { ...row, header: rowHeader }, column: { ...column, header: columnHeader } },
    spacing: rowSpacing,
    spec: small,
  };
}

/** Whether panels have horizontal axes of their own. */
function hasOwnX({ resolve }: Tree): boolean {
  const scale = isTree(resolve) ? resolve["scale"] : undefined;
  return isTree(scale) && scale["x"] === "independent";
}

/** Points along a line that has a mark a layer: nearer to each other marks are a thick line. */
const pointsApart = 5;

/** Rows, lists of layers, and the view that draws them: where there are more layers than a panel has room for, lines lose the marks upon
 *  them. */
function withoutCrowds(
  values: readonly Tree[],
  inner: Tree,
  panel: number,
): { readonly values: readonly Tree[]; readonly inner: Tree } {
  const layersOf = ({ layer, kind }: Tree): number =>
    Array.isArray(layer) && kind !== placeholderKind ? layer.length : 0;
  if (Math.max(0, ...values.map(layersOf)) <= panel / pointsApart) return { values, inner };
  // A line of a single layer is nothing but its mark.
  const hasSingle = values.some((row) => layersOf(row) === 1);
  const bare = (view: Tree): Tree[] => {
    const { mark, encoding, layer, transform } = view;
    const x = isTree(encoding) ? encoding["x"] : undefined;
    if (isTree(mark) && mark["type"] === "point" && isTree(x) && x["field"] === "layer")
      return hasSingle ? [{ ...view, transform: [...listOf(transform), { filter: "datum._layers === 1" }] }] : [];
    return [{ ...view, ...(Array.isArray(layer) && { layer: listOf(layer).flatMap(bare) }) }];
  };
  return { values: values.map((row) => ({ ...row, _layers: layersOf(row) })), inner: bare(inner)[0] ?? inner };
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
  return onAxes(view, (of, channel) => ("field" in of && (channel === "y" || isNarrow) ? { ...of, title: null } : of));
}

/** A facet's header: its names in lines that are no wider than a panel; all of them in several where one is. */
function headerOf(names: readonly string[], width: number, size: number = fontSize): object {
  const isLong = names.some((name) => textWidth(name, size) > width + 4);
  const lines = Object.fromEntries(names.map((name) => [name, headerLines(name, width, size)]));
  return {
    labelFontSize: size,
    labelLineHeight: size + 1,
    labelLimit: 0,
    ...(isLong && { labelExpr: `(${JSON.stringify(lines)})[datum.label]` }),
  };
}

/** A name in lines that are no wider than a panel. */
function headerLines(name: string, width: number, size: number): string[] {
  // A moment, "step 0" or "at the end", stays in one line.
  const whole = (part: string): string =>
    part.replace(/(?:step \d+|at the end)$/, (moment) => moment.replace(/ /g, "\u00a0"));
  return name.split(" · ").flatMap((part) => wrapped(whole(part), charactersIn(width, size)));
}

const charactersIn = (width: number, size: number = fontSize): number =>
  Math.max(6, Math.floor(width / (size * characterWidth)));

/** Where a panel stands: in how many rows, with how many points above and below it; whether it may be as high as it is wide. */
interface Place {
  readonly rows: number;
  readonly around: number;
  readonly isUpright?: boolean;
}

/** A view without further views within it. */
function leaf(view: Tree, panel: number, { rows, around, isUpright = false }: Place): Tree {
  const [width, height] = [numberOr(view["width"], panel), numberOr(view["height"], panel)];
  const keepsShape = hasImage(view) || width === height;
  const shape = keepsShape ? height / width : isUpright ? 1 : Math.min(height / width, panel > 150 ? 0.55 : 0.7);
  const high = keepsShape
    ? shape * panel
    : Math.max(leastHeight, Math.min(Math.max(26, shape * panel), mostHigh / rows - around));
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
  const scale = printedScale(of["scale"], along);
  return {
    ...of,
    ...(isAxis && typeof title === "string" && { title: wrapped(title, charactersIn(along + 14)) }),
    ...(isAxis && scale && { scale }),
    ...(isAxis && axis !== null && { axis: printedAxis(isTree(axis) ? axis : {}, box.domain, channel, along, scale) }),
    ...(isTree(of["legend"]) && { legend: printedLegend(of["legend"], of) }),
  };
}

/** Room at the ends of a scale shrinks with the panel, of which it must leave most. */
function printedScale(scale: unknown, along: number): Tree | undefined {
  if (!isTree(scale)) return undefined;
  const { padding } = scale;
  return typeof padding === "number" ? { ...scale, padding: Math.min(0.4 * padding, along / 10) } : scale;
}

function printedAxis(axis: Tree, domain: Box["domain"], channel: string, along: number, scale: Tree | undefined): Tree {
  // So many labels have room, of some 22 points across and 14 up.
  const room = Math.max(2, Math.floor(along / (channel === "x" ? 26 : 15)));
  const limits = scale?.["domain"];
  if (channel === "x" && Array.isArray(axis["values"]) && !axis["labelExpr"] && isLimits(limits))
    return { ...axis, values: besides(axis["values"] as number[], scale!, limits, along), labelOverlap: false };
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

const isLimits = (domain: unknown): domain is [number, number] =>
  Array.isArray(domain) && domain.length === 2 && domain.every((limit) => typeof limit === "number");

/** Ticks of an axis across with room for their numbers beside each other, and beside those of the next panel. The last comes first,
 *  then the first. */
function besides(ticks: readonly number[], scale: Tree, [low, high]: [number, number], along: number): number[] {
  const on = scale["type"] === "log" ? Math.log : (value: number): number => value;
  const padding = numberOr(scale["padding"], 0);
  const at = (tick: number): number =>
    padding + ((along - 2 * padding) * (on(tick) - on(low))) / (on(high) - on(low) || 1);
  const half = (tick: number): number => textWidth(String(tick), fontSize) / 2 + 1;
  const next = along + rowSpacing;
  const isClear = (tick: number, other: number): boolean =>
    [0, next, -next].every((shift) => Math.abs(at(tick) + shift - at(other)) >= half(tick) + half(other));
  const kept = [ticks.at(-1)!, ticks[0]!, ...ticks].reduce<number[]>(
    (some, tick) => (some.every((other) => isClear(tick, other)) ? [...some, tick] : some),
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
