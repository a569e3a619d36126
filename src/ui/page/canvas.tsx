// A canvas as sharp as the screen and as wide as its place, which is drawn again when its content, its size or the theme changes.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { JSX, RefObject } from "preact";
import { fontFamily } from "../../plots/style.ts";
import { inkOf, type Ink } from "./colours.ts";
import { theme } from "./theme.ts";

/** What a drawing gets: a context in CSS pixels, its size, and the theme's colours. */
export interface Surface {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  readonly ink: Ink;
}

/** Texts in charts. */
export const chartFont = `11px ${fontFamily}`;

/** The width of an element, followed as it changes; 0 before it is known. */
export function useWidth(place: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = place.current!;
    setWidth(element.clientWidth);
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** A canvas of `width` x `height` CSS pixels. `content` is whatever the drawing depends on: when it is another, `draw` is called. */
export function Canvas(props: {
  width: number;
  height: number;
  content: readonly unknown[];
  draw: (surface: Surface) => void;
  class?: string;
}): JSX.Element {
  const { width, height, content, draw } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const mode = theme.value;
  useLayoutEffect(() => {
    const element = canvas.current!;
    const ratio = devicePixelRatio || 1;
    // Setting a size clears; do it only where it differs, and clear otherwise: no flicker in between.
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (element.width !== across) element.width = across;
    if (element.height !== down) element.height = down;
    const context = element.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.font = chartFont;
    if (width > 0) draw({ context, width, height, ink: inkOf(element) });
  }, [width, height, mode, ...content]);
  return (
    <canvas
      ref={canvas}
      class={props.class}
      style={{ width: `${width}px`, height: `${height}px` }}
      aria-hidden="true"
    />
  );
}
