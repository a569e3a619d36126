// Pictures that runs left, as views of a figure. What figures of images share.

import { cropped, GAP, type SamplePicture } from "../runs/samples.ts";
import type { ExperimentData, RunData } from "./experiment.ts";
import { configurationsOf, type Configuration } from "./profile.ts";
import { wrapped } from "./style.ts";

/** Bytes of a picture in a figure: figures and reports with many of them must still open. */
const mostBytes = 60_000;

/** The run of a configuration whose pictures are shown: that of the lowest seed which left such. */
export interface Shown {
  readonly configuration: Configuration;
  readonly run: RunData;
  readonly pictures: readonly SamplePicture[];
}

/** A run a configuration, with its pictures of a kind by step; configurations without any are left out. */
export const shownOf = (data: ExperimentData, kind: SamplePicture["kind"]): Shown[] =>
  configurationsOf(data).flatMap((configuration) => {
    const runs = [...configuration.runs].sort((a, b) => a.row.seed - b.row.seed);
    const found = runs
      .map((run) => ({
        configuration,
        run,
        pictures: (run.samples ?? []).filter((picture) => picture.kind === kind).sort((a, b) => a.step - b.step),
      }))
      .find(({ pictures }) => pictures.length > 0);
    return found ? [found] : [];
  });

/** Configurations left out that a note names. */
const leftOutNamed = 6;

/** A note on whose pictures these are, where there were others: the first `drawn` of those shown. */
export function seedNote(data: ExperimentData, shown: readonly Shown[], drawn: number): string[] {
  const seeds = new Set(data.runs.map(({ row }) => row.seed)).size;
  const names = shown.slice(drawn).map(({ configuration }) => configuration.name);
  const more = names.length > leftOutNamed ? ` and ${names.length - leftOutNamed} more` : "";
  const leftOut = `${names.slice(0, leftOutNamed).join("; ")}${more}`;
  return [
    seeds > 1 ? `Of ${seeds} seeds the lowest is shown (${shown[0]!.run.row.seed}).` : "",
    drawn < shown.length ? `Of ${shown.length} configurations ${drawn} are shown; left out: ${leftOut}.` : "",
  ].filter((note) => note !== "");
}

/** A picture cut down to at most `most` images a side, and to what a figure can hold. */
export function fitting(
  picture: SamplePicture,
  most: { readonly rows: number; readonly columns: number },
): SamplePicture {
  let fit = cropped(picture, most);
  for (let { rows } = fit; fit.png.length > mostBytes && rows > 1;) {
    rows = Math.max(1, Math.floor(rows / 2));
    fit = cropped(picture, { rows, columns: most.columns });
  }
  return fit;
}

/** Size of a picture in a figure, points: its own, but at least some 240 and at most `largest` at its longer side. */
export function sizeOf(
  { rows, columns, height, width }: SamplePicture,
  largest = 420,
): { width: number; height: number } {
  const whole = { width: columns * (width + GAP) + GAP, height: rows * (height + GAP) + GAP };
  const side = Math.max(whole.width, whole.height);
  const zoom = side > largest ? largest / side : Math.max(1, Math.min(4, 240 / side));
  return { width: Math.round(whole.width * zoom), height: Math.round(whole.height * zoom) };
}

const dataUrl = ({ png }: SamplePicture): string => `data:image/png;base64,${Buffer.from(png).toString("base64")}`;

/** A picture as a layer that fills a view of its size. */
export const imageLayer = (picture: SamplePicture): object => {
  const { width, height } = sizeOf(picture);
  return {
    data: { values: [{ url: dataUrl(picture) }] },
    mark: { type: "image", width, height, aspect: false },
    encoding: { x: { value: width / 2 }, y: { value: height / 2 }, url: { field: "url", type: "nominal" } },
  };
};

/** A picture as a view with a title, each of whose parts begins a line. */
export const imageView = (picture: SamplePicture, ...title: readonly string[]): object => ({
  title: {
    text: title.flatMap((part) => wrapped(part, Math.floor(sizeOf(picture).width / 7.5))),
    fontSize: 12,
    anchor: "middle",
    offset: 4,
  },
  ...sizeOf(picture),
  ...imageLayer(picture),
  view: { stroke: null },
});

/** `after 10 epochs`, `after 0.5 epochs`. */
export const afterEpochs = ({ epoch }: SamplePicture): string =>
  `after ${Number(epoch.toPrecision(3))} epoch${epoch === 1 ? "" : "s"}`;
