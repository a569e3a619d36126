import type { TopLevelSpec } from "vega-lite";
import { distinct, groupBy, median, quantile, round, thinned } from "../statistics.ts";
import { byNumber, type ExperimentData } from "./experiment.ts";
import { imageView, shownOf } from "./image-views.ts";
import type { Plot } from "./plot.ts";
import { configurationsOf } from "./profile.ts";
import { frame, muted } from "./style.ts";

/** Points drawn. */
const pointsDrawn = 1500;

/** The run whose points are shown: of the first configuration that left such, the lowest seed. */
const runOf = (data: ExperimentData) =>
  configurationsOf(data)
    .flatMap((configuration) =>
      [...configuration.runs].sort((a, b) => a.row.seed - b.row.seed).map((run) => ({ configuration, run })),
    )
    .find(({ run }) => (run.latent ?? []).length > 0);

function title(data: ExperimentData): string {
  const points = runOf(data)?.run.latent ?? [];
  return `Where ${points.length.toLocaleString("en")} test images of ${distinct(points.map(({ label }) => label)).length} classes lie in a latent space of two dimensions`;
}

function spec(data: ExperimentData): TopLevelSpec {
  const { configuration, run } = runOf(data)!;
  const points = run.latent!;
  const labels = distinct(points.map(({ label }) => label)).sort(byNumber);
  const reach = round(
    Math.max(
      3.2,
      quantile(
        points.flatMap(({ x, y }) => [Math.abs(x), Math.abs(y)]),
        0.999,
      ),
    ),
    2,
  );
  const rows = thinned(points.length, pointsDrawn).map((i) => {
    const { x, y, label } = points[i]!;
    return { x, y, label };
  });
  const centres = [...groupBy(points, ({ label }) => label)].map(([label, same]) => ({
    x: median(same.map(({ x }) => x)),
    y: median(same.map(({ y }) => y)),
    label,
  }));
  const scale = { domain: [-reach, reach], nice: false };
  const x = { field: "x", type: "quantitative", title: "mean of z 1", scale, axis: { tickCount: 7 } };
  const y = { field: "y", type: "quantitative", title: "mean of z 2", scale, axis: { tickCount: 7 } };
  const text = (extra: object): object => ({
    data: { name: "medians of classes", values: centres },
    mark: { type: "text", fontSize: 15, fontWeight: "bold", ...extra },
    encoding: { x, y, text: { field: "label", title: "class" } },
  });
  const scatter = {
    title: { text: "test images", fontSize: 12, anchor: "middle", offset: 4 },
    width: 400,
    height: 400,
    layer: [
      {
        data: { values: rows },
        mark: { type: "point", filled: true, size: 16, opacity: 0.75, clip: true },
        encoding: {
          x,
          y,
          color: {
            field: "label",
            type: "nominal",
            scale: { domain: labels, range: labels.map((_, i) => muted[i % muted.length]!) },
            legend: null,
          },
          tooltip: [
            { field: "label", title: "class" },
            { field: "x", type: "quantitative" },
            { field: "y", type: "quantitative" },
          ],
        },
      },
      // A name stands on points of every colour: black on a white edge is read on all of them.
      text({ stroke: "white", strokeWidth: 4, strokeJoin: "round", color: "white" }),
      text({ color: "black" }),
    ],
  };
  const pictures = shownOf(data, "manifold").find((shown) => shown.run === run)?.pictures ?? [];
  const manifold = pictures.at(-1);
  const several =
    data.runs.length > 1
      ? [`Of ${data.runs.length} runs one is shown: ${configuration.name}, seed ${run.row.seed}.`]
      : [];
  return {
    ...frame(title(data), [
      ...(rows.length < points.length
        ? [`${rows.length} of ${points.length} images are drawn; names stand at the medians of classes.`]
        : ["Names stand at the medians of classes."]),
      ...(manifold ? ["Right: what the decoder makes of z from -3 to 3, z 1 to the right, z 2 up."] : []),
      ...several,
    ]),
    hconcat: [scatter, ...(manifold ? [imageView(manifold, "decoded")] : [])],
    spacing: 24,
  } as unknown as TopLevelSpec;
}

/** How a VAE of two latent dimensions lays classes out. */
export const latentScatter: Plot = {
  name: "latent-scatter",
  summary: "test images in the two dimensions of a VAE with latent: 2, by class",
  title,
  caption:
    "Each point is the mean of q(z|x) of a test image; the model has not seen classes. Classes that form regions of their own mean that the latent variable says what an image is; where regions meet, images between the classes are decoded. " +
    "All points together should look like the prior N(0, I): what lies far outside is rarely generated, and empty places within decode to images of no class.",
  requires: [],
  of: ["vae"],
  lacks: (data) => (runOf(data) ? undefined : "no run has left latent means (model.latent: 2, trained to its end)"),
  spec,
};
