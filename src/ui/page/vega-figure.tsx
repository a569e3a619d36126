// A place for a Vega-Lite figure: drawn when it comes into sight, kept while a newer one is made, saved as a picture.

import { useEffect, useRef, useState } from "preact/hooks";
import type { JSX } from "preact";
import type { TopLevelSpec } from "vega-lite";
import type { Drawn } from "./vega.ts";
import { Menu, Problem } from "./widgets.tsx";

interface Pointed {
  readonly at: { readonly x: number; readonly y: number };
  readonly values: Readonly<Record<string, unknown>>;
}

/** The figure. `name` is that of its files, `csv` the rows that it is drawn from, where there are some to save. */
export function VegaFigure(props: {
  spec: TopLevelSpec;
  name: string;
  label: string;
  csv?: string | null | undefined;
}): JSX.Element {
  const { spec, name, label, csv } = props;
  const place = useRef<HTMLDivElement>(null);
  const drawn = useRef<Drawn | undefined>(undefined);
  const [problem, setProblem] = useState<string | undefined>(undefined);
  const [isDrawn, setDrawn] = useState(false);
  const [pointed, setPointed] = useState<Pointed | undefined>(undefined);
  useEffect(() => {
    let isWanted = true;
    void (async () => {
      try {
        const { draw } = await import("./vega.ts");
        const next = document.createElement("div");
        const made = await draw(next, spec, (at, values) => setPointed(values && { at, values }));
        if (!isWanted) return void made.finish();
        // The one before goes only now: nothing flickers.
        drawn.current?.finish();
        drawn.current = made;
        place.current!.replaceChildren(next);
        setDrawn(true);
        setProblem(undefined);
      } catch (error) {
        if (isWanted)
          setProblem(`This figure cannot be drawn here: ${error instanceof Error ? error.message : String(error)}`);
      }
    })();
    return () => {
      isWanted = false;
    };
  }, [spec]);
  useEffect(() => () => drawn.current?.finish(), []);

  const savePicture = async (format: "svg" | "png"): Promise<void> => {
    try {
      saveFile(`${name}.${format}`, await drawn.current!.picture(format));
    } catch (error) {
      setProblem(`The picture cannot be saved: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  return (
    <>
      <div class="vega-tools">
        <Menu name="Save" label={`Save ${name}`}>
          <button type="button" disabled={!isDrawn} onClick={() => void savePicture("svg")}>
            as SVG
          </button>
          <button type="button" disabled={!isDrawn} onClick={() => void savePicture("png")}>
            as PNG
          </button>
          <button type="button" onClick={() => saveFile(`${name}.vl.json`, fileOf(spec))}>
            as Vega-Lite JSON
          </button>
          {typeof csv === "string" && (
            <button type="button" onClick={() => saveFile(`${name}.csv`, new Blob([csv], { type: "text/csv" }))}>
              as CSV
            </button>
          )}
        </Menu>
      </div>
      {problem !== undefined && <Problem text={problem} />}
      <div class={isDrawn ? "vega-place drawn" : "vega-place"} ref={place} role="img" aria-label={label} tabIndex={0} />
      {pointed && (
        <div
          class="tooltip pointer"
          aria-hidden="true"
          style={{
            left: `${Math.min(pointed.at.x + 14, innerWidth - 250)}px`,
            top: `${Math.min(pointed.at.y + 14, innerHeight - 180)}px`,
          }}
        >
          <table>
            <tbody>
              {Object.entries(pointed.values).map(([key, value]) => (
                <tr key={key}>
                  <td class="soft">{key}</td>
                  <td class="number">{String(value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

const fileOf = (spec: TopLevelSpec): Blob =>
  new Blob([`${JSON.stringify(spec, null, 2)}\n`], { type: "application/json" });

/** Gives the reader a file. */
function saveFile(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Whether an element has come near to sight, once; figures are fetched and drawn then. */
export function useSeen(): { place: (element: HTMLElement | null) => void; isSeen: boolean } {
  const [isSeen, setSeen] = useState(false);
  const observer = useRef<IntersectionObserver | undefined>(undefined);
  const place = (element: HTMLElement | null): void => {
    if (element === null || isSeen || observer.current) return;
    observer.current = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        setSeen(true);
        observer.current?.disconnect();
      },
      { rootMargin: "300px" },
    );
    observer.current.observe(element);
  };
  useEffect(() => () => observer.current?.disconnect(), []);
  return { place, isSeen };
}

/** The notes that a figure carries as its subtitle. */
export function notesOf(spec: TopLevelSpec): string {
  const { title } = spec as { title?: unknown };
  if (typeof title !== "object" || title === null) return "";
  const { subtitle } = title as { subtitle?: string | string[] };
  return [subtitle ?? []].flat().join(" ");
}
