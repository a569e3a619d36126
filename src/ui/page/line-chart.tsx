// Lines, with bands where they stand for several seeds: curves over steps and profiles over layers. Drawn on canvas, so that two
// hundred runs of six hundred points follow the pointer; what is under the pointer lies on a second canvas.

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import { scaleOf, ticksOf, valueAt, type Axis, type Tick } from "./axes.ts";
import { Canvas, chartFont, useWidth, type Surface } from "./canvas.tsx";
import type { Ink } from "./colours.ts";
import { numberText } from "./format.ts";
import type { Line, Rule } from "./lines.ts";
import { elsewhere, neighbour, placeText, readingsAt, type Cursor, type Found } from "./readings.ts";

interface Props {
  /** What the chart shows, for those who do not see it. */
  label: string;
  lines: readonly Line[];
  x: Axis;
  y: Axis;
  xTitle: string;
  yTitle: string;
  height: number;
  rules?: readonly Rule[];
  xTicks?: readonly Tick[];
  /** The name of what lies on the horizontal axis, before a value: `step 12`. */
  place?: string;
  /** The key of the line that stands out; the others are pale. */
  emphasis?: string | undefined;
  /** Called with the window that was drawn with the pointer. */
  onWindow?: (from: number, to: number) => void;
  /** Called on a double click. */
  onReset?: () => void;
}

const margin = { left: 58, right: 14, top: 10, bottom: 36 };
/** More lines than these are hairlines without points, those that would be thick darker: without a graphics card strokes of 1 pixel are
 *  drawn six times as fast as wider ones. */
export const crowd = 40;
/** Bands of more lines than these would be one grey: only what stands out has its own then. */
export const mostBands = 12;
/** The chart. Arrow keys walk along it, dragging asks for a window. */
export function LineChart(props: Props): JSX.Element {
  const { lines, x, y, height, rules = [], emphasis, onWindow } = props;
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place);
  const [cursor, setCursor] = useState<Cursor | undefined>(undefined);
  const [drag, setDrag] = useState<{ from: number; to: number } | undefined>(undefined);
  const [left, right, top, bottom] = [margin.left, width - margin.right, margin.top, height - margin.bottom];
  const toX = scaleOf(x, left, right);
  const toY = scaleOf(y, bottom, top);
  const drawn = useMemo(() => lines.filter(({ isGhost }) => isGhost !== true), [lines]);
  const found = cursor === undefined ? undefined : readingsAt(drawn, cursor, toX, toY, emphasis);

  const placeOf = (event: PointerEvent): { x: number; y: number } => {
    const box = place.current!.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const onPointerMove = (event: PointerEvent): void => {
    const at = placeOf(event);
    const inside = Math.min(right, Math.max(left, at.x));
    if (drag) setDrag({ ...drag, to: inside });
    setCursor({ x: valueAt(x, left, right, inside), pixelY: at.y });
  };
  const onPointerDown = (event: PointerEvent): void => {
    if (!onWindow || event.button !== 0 || event.pointerType === "touch") return;
    const at = Math.min(right, Math.max(left, placeOf(event).x));
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    setDrag({ from: at, to: at });
  };
  const onPointerUp = (): void => {
    if (!drag) return;
    setDrag(undefined);
    const [from, to] = [drag.from, drag.to].map((pixel) => valueAt(x, left, right, pixel)) as [number, number];
    if (Math.abs(drag.to - drag.from) > 6) onWindow?.(Math.min(from, to), Math.max(from, to));
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") setCursor(undefined);
    if (direction === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = neighbour(drawn, cursor?.x, direction, x);
    if (next !== undefined) setCursor({ x: next, pixelY: undefined });
  };

  return (
    <div
      ref={place}
      class={onWindow ? "chart can-zoom" : "chart"}
      role="group"
      aria-label={`${props.label}. Arrow keys read values.`}
      tabIndex={0}
      style={{ height: `${height}px` }}
      onPointerMove={onPointerMove}
      onPointerDown={onPointerDown}
      onPointerUp={onPointerUp}
      onPointerLeave={() => drag === undefined && setCursor(undefined)}
      onBlur={() => setCursor(undefined)}
      onDblClick={props.onReset}
      onKeyDown={onKeyDown}
    >
      <Canvas
        width={width}
        height={height}
        content={[
          lines,
          x.domain[0],
          x.domain[1],
          y.domain[0],
          y.domain[1],
          y.isLog,
          rules,
          emphasis,
          props.xTitle,
          props.yTitle,
        ]}
        draw={(surface) => drawChart(surface, props, toX, toY)}
      />
      <Canvas
        class="over"
        width={width}
        height={height}
        content={[found?.x, found?.readings, drag?.from, drag?.to]}
        draw={(surface) => drawCursor(surface, found, drag, { top, bottom, toX, toY })}
      />
      {found && found.readings.length > 0 && (
        <Tooltip found={found} place={props.place ?? "step"} pixel={toX(found.x)} width={width} />
      )}
      <p class="unseen" aria-live="polite">
        {cursor !== undefined && cursor.pixelY === undefined && found
          ? `${props.place ?? "step"} ${placeText(found.x)}: ${found.readings
              .slice(0, 4)
              .map(({ line, x: at, value }) => {
                const other = elsewhere(at, found.x);
                return `${line.name} ${numberText(value)}${other === "" ? "" : ` at ${props.place ?? "step"} ${other}`}`;
              })
              .join(", ")}`
          : ""}
      </p>
    </div>
  );
}

function Tooltip(props: { found: Found; place: string; pixel: number; width: number }): JSX.Element {
  const { found, place, pixel, width } = props;
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => keepInSight(element.current!));
  const isRight = pixel > width / 2;
  const style = isRight ? { right: `${width - pixel + 14}px` } : { left: `${pixel + 14}px` };
  return (
    <div class="tooltip" style={style} aria-hidden="true" ref={element}>
      <strong>
        {place} {placeText(found.x)}
      </strong>
      <table>
        <tbody>
          {found.readings.map(({ line, x, value, low, high }) => (
            <tr key={line.name}>
              <td>
                <i class="swatch" style={{ background: line.colour }} />
                {line.name}
                {elsewhere(x, found.x) !== "" && (
                  <span class="soft">
                    {" "}
                    {place} {elsewhere(x, found.x)}
                  </span>
                )}
              </td>
              <td class="number">{numberText(value)}</td>
              {low !== undefined && high !== undefined && (
                <td class="soft number">{low === high ? "" : `${numberText(low, 3)} to ${numberText(high, 3)}`}</td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {found.of > found.readings.length && <span class="soft">{found.of - found.readings.length} more not listed</span>}
    </div>
  );
}

/** Shifts a tooltip that would stand beyond the window's edge, on small charts and screens. */
function keepInSight(element: HTMLElement): void {
  element.style.transform = "";
  const { left, right } = element.getBoundingClientRect();
  const shift = left < 4 ? 4 - left : Math.min(0, innerWidth - 4 - right);
  if (shift !== 0) element.style.transform = `translateX(${shift}px)`;
}

function drawChart(
  { context, width, height, ink }: Surface,
  props: Props,
  toX: (value: number) => number,
  toY: (value: number) => number,
): void {
  const { lines, x, y, rules = [], emphasis } = props;
  const [left, right, top, bottom] = [margin.left, width - margin.right, margin.top, height - margin.bottom];
  const isCrowd = lines.length > crowd;
  context.lineJoin = isCrowd ? "bevel" : "round";
  drawAxes(context, { left, right, top, bottom }, ink, {
    xTicks: props.xTicks ?? ticksOf(x, Math.max(2, (right - left) / 90)),
    yTicks: ticksOf(y, Math.max(2, (bottom - top) / 42)),
    toX,
    toY,
    xTitle: props.xTitle,
    yTitle: props.yTitle,
  });
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.clip();
  const bands = lines.filter(({ low }) => low !== undefined).length;
  const ordered =
    emphasis === undefined ? lines : [...lines].sort((a, b) => Number(a.key === emphasis) - Number(b.key === emphasis));
  for (const line of ordered) {
    const pale = line.isGhost === true || (emphasis !== undefined && line.key !== emphasis);
    // Many bands over each other would be one grey.
    context.globalAlpha = (pale ? 0.5 : line.key === emphasis ? 2 : 1) * (bands > 4 ? 0.09 : 0.17);
    if (line.low && line.high && (bands <= mostBands || line.key === emphasis)) drawBand(context, line, toX, toY);
    const { thickness = 1.5 } = line;
    context.globalAlpha = line.isGhost === true ? 0.35 : pale ? 0.15 : isCrowd ? (thickness > 1 ? 0.85 : 0.45) : 0.95;
    drawLine(context, isCrowd ? { ...line, thickness: 1, hasPoints: false } : line, toX, toY);
    context.globalAlpha = 1;
  }
  for (const rule of rules) drawRule(context, rule, { left, right, top }, ink, toY);
  context.restore();
}

/** Grid, ticks and titles. */
export function drawAxes(
  context: CanvasRenderingContext2D,
  { left, right, top, bottom }: { left: number; right: number; top: number; bottom: number },
  ink: { ink: string; soft: string; line: string },
  axes: {
    xTicks: readonly Tick[];
    yTicks: readonly Tick[];
    toX: (value: number) => number;
    toY: (value: number) => number;
    xTitle: string;
    yTitle: string;
    hasGrid?: boolean;
  },
): void {
  context.font = chartFont;
  context.lineWidth = 1;
  context.strokeStyle = ink.line;
  context.fillStyle = ink.soft;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const { value, label } of axes.yTicks) {
    const pixel = Math.round(axes.toY(value)) + 0.5;
    if (!(pixel >= top - 1 && pixel <= bottom + 1)) continue;
    if (axes.hasGrid !== false) {
      context.globalAlpha = 0.7;
      line(context, left, pixel, right, pixel);
      context.globalAlpha = 1;
    }
    context.fillText(label, left - 7, pixel);
  }
  line(context, left, bottom + 0.5, right, bottom + 0.5);
  context.textAlign = "center";
  context.textBaseline = "top";
  let until = -Infinity;
  for (const { value, label } of axes.xTicks) {
    const pixel = Math.round(axes.toX(value)) + 0.5;
    const half = context.measureText(label).width / 2;
    if (!(pixel >= left - 1 && pixel <= right + 1) || pixel - half < until + 6) continue;
    line(context, pixel, bottom, pixel, bottom + 4);
    const at = Math.min(pixel, right + margin.right - half - 1);
    context.fillText(label, at, bottom + 7);
    until = at + half;
  }
  context.fillStyle = ink.ink;
  context.textBaseline = "alphabetic";
  if (axes.xTitle !== "") context.fillText(axes.xTitle, (left + right) / 2, bottom + 33);
  if (axes.yTitle === "") return;
  context.save();
  context.translate(11, (top + bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.textBaseline = "middle";
  context.fillText(fitted(context, axes.yTitle, bottom - top + 16), 0, 0);
  context.restore();
}

/** A text cut so that it takes at most `width` pixels. */
function fitted(context: CanvasRenderingContext2D, text: string, width: number): string {
  if (context.measureText(text).width <= width) return text;
  let cut = text;
  while (cut.length > 3 && context.measureText(`${cut}…`).width > width) cut = cut.slice(0, -1);
  return `${cut}…`;
}

function line(context: CanvasRenderingContext2D, fromX: number, fromY: number, toX: number, toY: number): void {
  context.beginPath();
  context.moveTo(fromX, fromY);
  context.lineTo(toX, toY);
  context.stroke();
}

function drawRule(
  context: CanvasRenderingContext2D,
  { value, label }: Rule,
  { left, right, top }: { left: number; right: number; top: number },
  { ink, paper }: Ink,
  toY: (value: number) => number,
): void {
  const pixel = Math.round(toY(value)) + 0.5;
  context.globalAlpha = 0.75;
  context.lineWidth = 1;
  context.strokeStyle = context.fillStyle = ink;
  context.setLineDash([6, 4]);
  line(context, left, pixel, right, pixel);
  context.setLineDash([]);
  context.textAlign = "right";
  const isHigh = pixel - top < 18;
  context.textBaseline = isHigh ? "top" : "bottom";
  context.globalAlpha = 1;
  // Paper around the letters, where lines run beneath them.
  context.lineWidth = 4;
  context.strokeStyle = paper;
  context.strokeText(label, right - 4, pixel + (isHigh ? 4 : -3));
  context.fillText(label, right - 4, pixel + (isHigh ? 4 : -3));
  context.globalAlpha = 1;
}

function drawLine(
  context: CanvasRenderingContext2D,
  { x, y, colour, thickness = 1.5, isDashed, hasPoints }: Line,
  toX: (value: number) => number,
  toY: (value: number) => number,
): void {
  context.strokeStyle = context.fillStyle = colour;
  context.lineWidth = thickness;
  context.setLineDash(isDashed === true ? [4, 3] : []);
  context.beginPath();
  let isDown = false;
  for (let i = 0; i < x.length; i++) {
    const pixel = toY(y[i]!);
    if (!Number.isFinite(pixel)) {
      isDown = false;
      continue;
    }
    if (isDown) context.lineTo(toX(x[i]!), pixel);
    else context.moveTo(toX(x[i]!), pixel);
    isDown = true;
  }
  context.stroke();
  context.setLineDash([]);
  const isAlone = x.length === 1;
  if (hasPoints !== true && !isAlone) return;
  const radius = x.length > 60 ? 1.4 : x.length > 24 ? 2 : 2.8;
  for (let i = 0; i < x.length; i++) {
    const pixel = toY(y[i]!);
    if (!Number.isFinite(pixel)) continue;
    context.beginPath();
    context.arc(toX(x[i]!), pixel, radius, 0, 2 * Math.PI);
    context.fill();
  }
}

function drawBand(
  context: CanvasRenderingContext2D,
  { x, low, high, colour }: Line,
  toX: (value: number) => number,
  toY: (value: number) => number,
): void {
  context.fillStyle = colour;
  let start = 0;
  while (start < x.length) {
    while (start < x.length && !isBand(start)) start++;
    let stop = start;
    while (stop < x.length && isBand(stop)) stop++;
    if (stop - start > 1) {
      context.beginPath();
      for (let i = start; i < stop; i++) context.lineTo(toX(x[i]!), toY(high![i]!));
      for (let i = stop - 1; i >= start; i--) context.lineTo(toX(x[i]!), toY(low![i]!));
      context.closePath();
      context.fill();
    }
    start = stop;
  }
  function isBand(i: number): boolean {
    return Number.isFinite(toY(low![i]!)) && Number.isFinite(toY(high![i]!));
  }
}

function drawCursor(
  { context, ink }: Surface,
  found: Found | undefined,
  drag: { from: number; to: number } | undefined,
  at: { top: number; bottom: number; toX: (value: number) => number; toY: (value: number) => number },
): void {
  if (drag) {
    context.fillStyle = ink.link;
    context.globalAlpha = 0.18;
    context.fillRect(Math.min(drag.from, drag.to), at.top, Math.abs(drag.to - drag.from), at.bottom - at.top);
    context.globalAlpha = 1;
  }
  if (!found) return;
  context.strokeStyle = ink.soft;
  context.globalAlpha = 0.6;
  const pixel = Math.round(at.toX(found.x)) + 0.5;
  line(context, pixel, at.top, pixel, at.bottom);
  context.globalAlpha = 1;
  for (const { line: one, x, value } of found.readings) {
    const y = at.toY(value);
    if (!Number.isFinite(y) || y < at.top - 2 || y > at.bottom + 2) continue;
    context.beginPath();
    context.arc(at.toX(x), y, 3.6, 0, 2 * Math.PI);
    context.fillStyle = one.colour;
    context.strokeStyle = ink.paper;
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }
}
