// Figures of `fathom plot` and of checks, drawn by Vega-Embed. This module and Vega are loaded when the first figure is wanted. Expressions are
// interpreted, and styles stand in our own sheet, so that the page's policy can forbid eval and inline styles.

import embed from "vega-embed";
import type { TopLevelSpec } from "vega-lite";

/** A drawn figure. */
export interface Drawn {
  /** A picture on white, as a file, as `fathom plot` writes it. */
  readonly picture: (format: "svg" | "png") => Promise<Blob>;
  readonly finish: () => void;
}

/** Draws `spec` into `place`: without its title, which stands beside it as text, and on whatever paper the page has. `onPoint` gets what the
 *  pointer is on. */
export async function draw(
  place: HTMLElement,
  spec: TopLevelSpec,
  onPoint: (at: { x: number; y: number }, values: Readonly<Record<string, unknown>> | undefined) => void,
): Promise<Drawn> {
  const shown = { ...spec, title: undefined, background: "transparent" } as TopLevelSpec;
  const options = {
    mode: "vega-lite",
    ast: true,
    renderer: "svg",
    actions: false,
    defaultStyle: false,
    // Vega also says that the pointer is on nothing, without an event.
    tooltip: (_: unknown, event: MouseEvent | null, __: unknown, value: unknown) =>
      onPoint({ x: event?.clientX ?? 0, y: event?.clientY ?? 0 }, event ? valuesOf(value) : undefined),
  } as const;
  const { finalize } = await embed(place, shown, options);
  return {
    finish: finalize,
    picture: async (format) => {
      // Another drawing, out of sight: with its title, on white, black where the page may be light.
      const apart = document.createElement("div");
      const { view, finalize: finish } = await embed(apart, spec, { ...options, tooltip: false });
      try {
        if (format === "svg") return new Blob([await view.toSVG()], { type: "image/svg+xml" });
        const canvas = (await view.toCanvas(2)) as unknown as HTMLCanvasElement;
        return await new Promise<Blob>((resolve, reject) =>
          canvas.toBlob(
            (blob) => (blob ? resolve(blob) : reject(new Error("the browser made no picture"))),
            "image/png",
          ),
        );
      } finally {
        finish();
      }
    },
  };
}

function valuesOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  return typeof value === "object" ? (value as Record<string, unknown>) : { "": value };
}
