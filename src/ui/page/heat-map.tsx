// One quantity by layer and step, as colours: a row a layer, the input's side at the bottom of each stack, stacks one above the other.

import { useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import { layerTicks } from "../../plots/style.ts";
import type { LayerWindow } from "../api.ts";
import { scaleOf, ticksOf, type Axis, type Tick } from "./axes.ts";
import { Canvas, chartFont, useWidth, type Surface } from "./canvas.tsx";
import { viridisAt } from "./colours.ts";
import { nothing, numberText } from "./format.ts";
import { columnsOf, columnTicks, type Columns } from "./heat-columns.ts";
import { drawAxes } from "./line-chart.tsx";

interface Props {
  label: string;
  window: LayerWindow;
  /** What colours stand for. */
  scale: Axis;
  height: number;
  /** The column that is marked. */
  column: number;
  onColumn: (column: number) => void;
}

const margin = { left: 58, right: 14, top: 8, bottom: 36 };
/** Pixels between stacks. */
const gap = 16;

/** A row: where it stands and what it shows. */
interface Row {
  readonly stack: string;
  readonly layer: number;
  readonly index: number;
  readonly top: number;
  readonly bottom: number;
}

/** The heat map. The pointer and the arrow keys choose a column. */
export function HeatMap(props: Props): JSX.Element {
  const { window, scale, height, column } = props;
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  const [pointer, setPointer] = useState<{ x: number; y: number } | undefined>(undefined);
  const [left, right] = [margin.left, Math.max(margin.left + 10, width - margin.right)];
  const columns = columnsOf(window.steps);
  const { edges } = columns;
  const axis: Axis = { domain: [edges[0]!, edges.at(-1)!], isLog: false };
  const toX = scaleOf(axis, left, right);
  const rows = rowsOf(window, margin.top, height - margin.bottom);
  const columnAt = (pixel: number): number => {
    const found = edges.findIndex((edge) => toX(edge) > pixel);
    return Math.min(window.steps.length - 1, Math.max(0, found < 0 ? window.steps.length - 1 : found - 1));
  };
  const row = pointer && rows.find(({ top, bottom }) => pointer.y >= top && pointer.y < bottom);
  const under = pointer && row ? columnAt(pointer.x) : undefined;
  const at = (event: PointerEvent): { x: number; y: number } => {
    const box = place.current!.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  return (
    <div
      ref={place}
      class="chart"
      role="group"
      aria-label={`${props.label}. Step ${window.steps[column]} of ${window.steps[0]} to ${window.steps.at(-1)} is marked; arrow keys move the mark.`}
      tabIndex={0}
      style={{ height: `${height}px` }}
      onPointerDown={(event) => {
        (event.currentTarget as Element).setPointerCapture(event.pointerId);
        props.onColumn(columnAt(at(event).x));
      }}
      onPointerMove={(event) => {
        setPointer(at(event));
        if (event.buttons === 1) props.onColumn(columnAt(at(event).x));
      }}
      onPointerLeave={() => setPointer(undefined)}
    >
      <Canvas
        width={width}
        height={height}
        content={[window, scale.domain[0], scale.domain[1], scale.isLog]}
        draw={(surface) => drawMap(surface, { window, scale, rows, columns, toX })}
      />
      <Canvas
        class="over"
        width={width}
        height={height}
        content={[window, column, under, row?.index]}
        draw={(surface) => drawMark(surface, { rows, edges, toX, column })}
      />
      {pointer && row && under !== undefined && (
        <div
          class="tooltip"
          style={
            pointer.x > width / 2
              ? { right: `${width - pointer.x + 14}px`, top: `${Math.min(row.top, height - 70)}px` }
              : { left: `${pointer.x + 14}px`, top: `${Math.min(row.top, height - 70)}px` }
          }
          aria-hidden="true"
        >
          <strong>{numberText(window.values[row.index]?.[under])}</strong>
          <br />
          {row.stack} layer {row.layer}, step {window.steps[under]}
        </div>
      )}
    </div>
  );
}

function rowsOf({ stacks }: LayerWindow, top: number, bottom: number): Row[] {
  const layers = stacks.reduce((sum, { layers: of }) => sum + of.length, 0);
  const each = (bottom - top - gap * stacks.length) / Math.max(1, layers);
  const rows: Row[] = [];
  // From the bottom up: what is first in the network lies lowest.
  let at = bottom;
  for (const { stack, layers: of } of stacks) {
    for (const layer of of) {
      rows.push({ stack, layer, index: rows.length, top: at - each, bottom: at });
      at -= each;
    }
    at -= gap;
  }
  return rows;
}

function drawMap(
  { context, width, height, ink }: Surface,
  parts: {
    window: LayerWindow;
    scale: Axis;
    rows: readonly Row[];
    columns: Columns;
    toX: (value: number) => number;
  },
): void {
  const { window, scale, rows, columns, toX } = parts;
  const share = scaleOf(scale, 0, 1);
  // On whole pixels of the screen: seams between cells would look like structure.
  const ratio = devicePixelRatio || 1;
  const snapped = (pixel: number): number => Math.round(pixel * ratio) / ratio;
  const pixels = columns.edges.map((edge) => snapped(toX(edge)));
  const colours = Array.from({ length: 256 }, (_, i) => viridisAt(i / 255));
  for (const row of rows) {
    const values = window.values[row.index]!;
    const top = snapped(row.top);
    const rowHeight = snapped(row.bottom) - top;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      const at = value === null ? NaN : share(value);
      // What is not finite is not a colour: paper shows, as in the figures.
      if (!Number.isFinite(at)) continue;
      context.fillStyle = colours[Math.min(255, Math.max(0, Math.round(at * 255)))]!;
      context.fillRect(pixels[i]!, top, pixels[i + 1]! - pixels[i]!, rowHeight);
    }
  }
  const [left, right, bottom] = [margin.left, width - margin.right, height - margin.bottom];
  drawAxes(context, { left, right, top: margin.top, bottom }, ink, {
    xTicks: columnTicks(columns, window.steps, Math.max(2, (right - left) / (columns.isInSteps ? 90 : 50))),
    yTicks: rowTicks(rows),
    toX,
    toY: (value) => (rows[value]!.top + rows[value]!.bottom) / 2,
    xTitle: columns.isInSteps ? "step" : "step, each as wide as the others",
    yTitle: "layer",
    hasGrid: false,
  });
  context.font = `600 ${chartFont}`;
  context.fillStyle = ink.ink;
  context.textAlign = "left";
  context.textBaseline = "bottom";
  for (const { stack } of window.stacks) {
    const last = rows.findLast((row) => row.stack === stack);
    if (last) context.fillText(stack, left, last.top - 2);
  }
}

/** The rows that are named: the layers of each stack as its profile's axis has them, as far as there is room. */
function rowTicks(rows: readonly Row[]): Tick[] {
  const named: Tick[] = [];
  const last = new Map<string, number>();
  for (const row of rows) {
    const inStack = rows.filter(({ stack }) => stack === row.stack);
    const wanted = layerTicks(inStack.at(-1)!.layer);
    const before = last.get(row.stack);
    if (!wanted.includes(row.layer) || (before !== undefined && before - row.top < 13)) continue;
    named.push({ value: row.index, label: String(row.layer) });
    last.set(row.stack, row.top);
  }
  return named;
}

function drawMark(
  { context, ink }: Surface,
  parts: { rows: readonly Row[]; edges: readonly number[]; toX: (value: number) => number; column: number },
): void {
  const { rows, edges, toX, column } = parts;
  if (rows.length === 0) return;
  const [from, to] = [toX(edges[column]!), toX(edges[column + 1]!)];
  const [top, bottom] = [rows.at(-1)!.top, rows[0]!.bottom];
  const wide = Math.max(3, to - from);
  const start = (from + to - wide) / 2;
  // Light within dark: to be seen on every colour of the scale and on both papers.
  context.strokeStyle = ink.paper;
  context.lineWidth = 3.5;
  context.strokeRect(start, top - 1, wide, bottom - top + 2);
  context.strokeStyle = ink.ink;
  context.lineWidth = 1.4;
  context.strokeRect(start, top - 1, wide, bottom - top + 2);
}

/** The scale of colours with its numbers. */
export function ColourBar({ scale, title }: { scale: Axis; title: string }): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  return (
    <div
      ref={place}
      class="colour-bar"
      role="img"
      aria-label={`${title}: dark is ${numberText(scale.domain[0]) ?? nothing}, bright is ${numberText(scale.domain[1])}`}
    >
      <Canvas
        width={width}
        height={44}
        content={[scale.domain[0], scale.domain[1], scale.isLog, title]}
        draw={({ context, ink }) => {
          const [left, right] = [margin.left, Math.min(width - margin.right, margin.left + 360)];
          for (let pixel = left; pixel < right; pixel++) {
            context.fillStyle = viridisAt((pixel - left) / (right - left));
            context.fillRect(pixel, 16, 1.5, 10);
          }
          context.fillStyle = ink.soft;
          context.textBaseline = "top";
          context.textAlign = "left";
          context.fillText(title, left, 0);
          context.textAlign = "center";
          const toX = scaleOf(scale, left, right);
          let until = -Infinity;
          for (const { value, label } of ticksOf(scale, 5)) {
            const half = context.measureText(label).width / 2;
            if (toX(value) - half < until + 8) continue;
            context.fillText(label, toX(value), 30);
            until = toX(value) + half;
          }
        }}
      />
    </div>
  );
}
