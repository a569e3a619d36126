// Figures of what `fathom measure` finds: rows in, specification out, one for each kind of rows.

import type { TopLevelSpec } from "vega-lite";
import { distinct, extent, quantile, round } from "../statistics.ts";
import type { CurvatureRow, JacobianRow, Measurement, RemovalRow, SurfaceRow } from "../types.ts";
import { frame, hiddenNote, layerTicks, lineLegend, lineScales, logAxis, power } from "./style.ts";

/** Where and on what was measured, for the line below the title. */
export interface MeasurementContext {
  /** The run, in words. */
  readonly run: string;
  readonly step: number;
  readonly batches: number;
  /** Targets in them. */
  readonly tokens: number;
}

/** The figure of a measurement; undefined where it holds no finite number, as that of a network that overflows. */
export function measurementSpec(measurement: Measurement, context: MeasurementContext): TopLevelSpec | undefined {
  const { run, step, batches, tokens } = context;
  const which = batches === 1 ? `1 dev batch of ${tokens}` : `${batches} dev batches of ${tokens}`;
  const on = `${run}, step ${step}, on ${which} target tokens${batches === 1 ? "" : " in all"}.`;
  if (!drawnNumbers(measurement).some(Number.isFinite)) return undefined;
  switch (measurement.kind) {
    case "jacobian":
      return jacobianSpec(measurement.rows, on);
    case "removal":
      return removalSpec(measurement.rows, on);
    case "surface":
      return surfaceSpec(measurement.rows, on);
    case "curvature":
      return curvatureSpec(measurement.rows, on);
  }
}

/** The numbers that a figure shows as heights or colours. */
function drawnNumbers(measurement: Measurement): number[] {
  switch (measurement.kind) {
    case "jacobian":
      return measurement.rows.flatMap((row) => [row.spectralNorm, rms(row)]);
    case "removal":
      return measurement.rows.map(({ change }) => change);
    case "surface":
      return measurement.rows.map(({ loss }) => loss);
    case "curvature":
      return measurement.rows.map(({ value }) => value);
  }
}

/** The finding of a measurement in a sentence. */
export function measurementTitle(measurement: Measurement): string {
  switch (measurement.kind) {
    case "jacobian":
      return jacobianTitle(measurement.rows);
    case "removal":
      return removalTitle(measurement.rows);
    case "surface":
      return surfaceTitle(measurement.rows);
    case "curvature":
      return curvatureTitle(measurement.rows);
  }
}

/** The residual of a power iteration above which its last iterate counts as no singular vector or eigenvector. */
const largestResidual = 0.1;

/** For a specification: JSON has no words for numbers that are not finite. */
const orNull = (value: number): number | null => (Number.isFinite(value) ? round(value) : null);

/** `7.67`, `−0.0012`, `3.1·10⁴`: a number for a sentence. */
function number(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return "not finite";
  const size = round(Math.abs(value), digits);
  return `${value < 0 ? "−" : ""}${size === 0 || (size >= 1e-4 && size < 1e4) ? String(size) : power(size)}`;
}

const signed = (value: number): string => `${value < 0 ? "" : "+"}${number(value)}`;
const layerName = ({ stack, layer }: { stack: string; layer: number | "" }): string =>
  layer === "" ? stack : `${stack} layer ${layer + 1}`;
const greatest = <T>(rows: readonly T[], of: (row: T) => number): T =>
  rows.reduce((best, row) => (of(row) > of(best) ? row : best));

const rms = ({ meanSquare }: JacobianRow): number => Math.sqrt(meanSquare);
/** The standard error of a root: d sqrt(m) = dm / (2 sqrt(m)). */
const rmsError = ({ meanSquare, meanSquareError }: JacobianRow): number =>
  meanSquare > 0 ? meanSquareError / (2 * Math.sqrt(meanSquare)) : 0;

/** The largest singular value in words: from below where the power iteration did not come to its end. */
const most = ({ spectralNorm, residual }: JacobianRow, by = ""): string =>
  residual > largestResidual ? `${by}${number(spectralNorm)} and maybe more` : `at most ${by}${number(spectralNorm)}`;

const singularValueSeries = ["largest", "root mean square"];

function jacobianTitle(all: readonly JacobianRow[]): string {
  const rows = all.filter((row) => Number.isFinite(row.spectralNorm) && Number.isFinite(rms(row)));
  const unknown = all.filter((row) => !rows.includes(row));
  if (all.every(({ layer }) => layer === "")) {
    if (rows.length === 0) return "From first to last layer the Jacobian is not finite in any stack";
    const parts = rows.map((row) => `${number(rms(row))} in the ${row.stack} (${most(row)})`);
    return (
      `From first to last layer a change of the stream is multiplied, in the root mean square, by ${parts.join(" and ")}` +
      (unknown.length > 0
        ? `; in the ${unknown.map(({ stack }) => stack).join(" and ")} the Jacobian is not finite`
        : "")
    );
  }
  if (rows.length === 0) return "The Jacobian of no layer is finite";
  const [low, high] = extent(rows.map(rms));
  const top = greatest(rows, (row) => row.spectralNorm);
  return (
    `A layer multiplies a change of its stream by ${number(low)} to ${number(high)} in the root mean square; ` +
    `${most(top, "by ")}, in ${layerName(top)}` +
    (unknown.length > 0 ? `; of ${unknown.length} of ${all.length} layers the Jacobian is not finite` : "")
  );
}

function jacobianSpec(rows: readonly JacobianRow[], on: string): TopLevelSpec {
  const whole = rows.every(({ layer }) => layer === "");
  const values = rows.flatMap((row) => {
    const at = { stack: row.stack, layer: row.layer === "" ? 0 : row.layer + 1 };
    const [middle, error] = [rms(row), rmsError(row)];
    return [
      { ...at, series: "largest", value: orNull(row.spectralNorm), low: null, high: null },
      {
        ...at,
        series: "root mean square",
        value: orNull(middle),
        low: middle > 0 ? orNull(Math.max(middle - error, middle / 10)) : null,
        high: middle > 0 ? orNull(middle + error) : null,
      },
    ];
  });
  const yAxis = logAxis(
    rows.flatMap((row) => [row.spectralNorm, rms(row)].map((value) => round(value))),
    [1],
  );
  const stacks = distinct(rows.map(({ stack }) => stack));
  const scales = lineScales(singularValueSeries);
  const legend = lineLegend("singular value", singularValueSeries);
  const color = { field: "series", type: "nominal", scale: scales.color, legend };
  const shape = { field: "series", type: "nominal", scale: scales.shape, legend };
  const last = Math.max(1, ...values.map(({ layer }) => layer));
  const x = whole
    ? { field: "stack", type: "nominal", title: null, sort: stacks, axis: { labelAngle: 0 } }
    : {
        field: "layer",
        type: "quantitative",
        title: "layer",
        scale: { domain: [0.5, last + 0.5], nice: false },
        axis: { values: layerTicks(last), format: "d", grid: false },
      };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: "singular value of the Jacobian",
    scale: { type: "log", domain: yAxis.domain, nice: false },
    axis: yAxis.axis,
  });
  const tooltip = [
    { field: "stack" },
    ...(whole ? [] : [{ field: "layer", type: "quantitative" }]),
    { field: "series" },
    { field: "value", type: "quantitative", format: ".4g" },
  ];
  const unfinished = rows.filter(({ residual }) => residual > largestResidual).length;
  const notes = [
    on,
    "Singular values of ∂(stream after)/∂(stream before), padding left out. The dashed line is the identity; bars: ± one standard error over random probes.",
    ...(unfinished > 0
      ? [`${unfinished} of ${rows.length} power iterations ended early: the largest is then a lower bound.`]
      : []),
    ...hiddenNote(yAxis.hidden),
  ];
  const layer = [
    {
      mark: { type: "rule", strokeDash: [6, 4], color: "currentColor", opacity: 0.7 },
      encoding: { y: { datum: 1, type: "quantitative" } },
    },
    ...(whole ? [] : [{ mark: { type: "line", strokeWidth: 1.6 }, encoding: { x, y: y("value"), color } }]),
    ...errorBars(values, { x, y: y("low"), y2: { field: "high" }, color }),
    {
      mark: { type: "point", filled: true, size: whole ? 70 : 36, opacity: 1 },
      encoding: { x, y: y("value"), color, shape, tooltip },
    },
  ];
  const head = frame(jacobianTitle(rows), notes, whole ? 72 : 100);
  if (whole) return { ...head, data: { values }, width: 540, height: 260, layer } as unknown as TopLevelSpec;
  return facets(head, values, stacks, layer);
}

/** A rule from `low` to `high` where a row has them; no mark where none has, since Vega finds no limits for nothing. */
const errorBars = (rows: readonly { readonly low: number | null }[], encoding: object): object[] =>
  rows.every(({ low }) => low === null)
    ? []
    : [
        {
          transform: [{ filter: "isValid(datum.low)" }],
          mark: { type: "rule", strokeWidth: 1.6, color: "currentColor" },
          encoding,
        },
      ];

const notDrawn = (count: number): string[] => (count > 0 ? [`Values not drawn: ${count} non-finite.`] : []);

/** Panels beside each other, one a stack. */
const facets = (head: object, values: readonly object[], stacks: readonly string[], layer: readonly object[]) =>
  ({
    ...head,
    data: { values },
    facet: { field: "stack", type: "nominal", title: null, sort: [...stacks] },
    columns: 2,
    spacing: 24,
    spec: { width: stacks.length > 1 ? 370 : 560, height: 240, layer },
  }) as unknown as TopLevelSpec;

function removalTitle(all: readonly RemovalRow[]): string {
  const rows = all.filter(({ change }) => Number.isFinite(change));
  const unknown = all.length - rows.length;
  if (!Number.isFinite(all[0]!.loss)) {
    const cures = all.filter(({ lossWithout }) => Number.isFinite(lossWithout));
    const parts = cures.map((row) => `${number(row.lossWithout)} without ${layerName(row)}`);
    return `The dev loss is not finite with all layers in place${parts.length > 0 ? `, but ${parts.join(", ")}` : ""}`;
  }
  if (rows.length === 0) return "Without any one of its layers the dev loss is not finite";
  const most = greatest(rows, ({ change }) => change);
  const least = greatest(rows, ({ change }) => -change);
  return (
    `Without ${layerName(most)} the dev loss changes by ${signed(most.change)} nats a token, the most; ` +
    `without ${layerName(least)} by ${signed(least.change)}, the least` +
    (unknown > 0 ? `; not finite without ${unknown === 1 ? "one other" : `any one of ${unknown} others`}` : "")
  );
}

function removalSpec(rows: readonly RemovalRow[], on: string): TopLevelSpec {
  const values = rows.map(({ stack, layer, change, changeError }) => ({
    stack,
    layer: layer + 1,
    change: orNull(change),
    low: orNull(change - changeError),
    high: orNull(change + changeError),
  }));
  const stacks = distinct(rows.map(({ stack }) => stack));
  const last = Math.max(...values.map(({ layer }) => layer));
  const x = {
    field: "layer",
    type: "ordinal",
    title: "layer taken out",
    axis: { values: layerTicks(last), labelAngle: 0, grid: false },
    scale: { domain: Array.from({ length: last }, (_, i) => i + 1), paddingInner: 0.25 },
  };
  const y = (field: string): object => ({
    field,
    type: "quantitative",
    title: "change of dev loss (nats a token)",
    axis: { tickCount: 6 },
  });
  const notes = [
    on,
    `All other layers as they are; the loss of the whole is ${number(rows[0]!.loss, 4)}.` +
      (values.some(({ low }) => low !== null) ? " Bars across: ± one standard error over batches." : ""),
    ...notDrawn(values.filter(({ change }) => change === null).length),
  ];
  const tooltip = [
    { field: "stack" },
    { field: "layer", type: "ordinal" },
    { field: "change", type: "quantitative", format: "+.4g" },
  ];
  return facets(frame(removalTitle(rows), notes), values, stacks, [
    { mark: { type: "bar", color: "#56B4E9" }, encoding: { x, y: y("change"), tooltip } },
    ...errorBars(values, { x, y: y("low"), y2: { field: "high" } }),
    {
      mark: { type: "rule", color: "currentColor", opacity: 0.7 },
      encoding: { y: { datum: 0, type: "quantitative" } },
    },
  ]);
}

/** The loss in the middle of a surface, and the row that is lowest. */
function surfaceFacts(rows: readonly SurfaceRow[]) {
  const middle = rows.find(({ alpha, beta }) => alpha === 0 && beta === 0)!;
  const finite = rows.filter(({ loss }) => Number.isFinite(loss));
  const lowest = finite.length > 0 ? greatest(finite, ({ loss }) => -loss) : middle;
  const radius = Math.max(...rows.map(({ alpha }) => alpha));
  const border = finite.filter(({ alpha, beta }) => Math.max(Math.abs(alpha), Math.abs(beta)) === radius);
  return { middle, finite, lowest, radius, border };
}

function surfaceTitle(rows: readonly SurfaceRow[]): string {
  const { middle, finite, lowest, border } = surfaceFacts(rows);
  if (finite.length === 0) return "The loss is not finite at any point of the grid, that of the parameters included";
  const [low, high] = extent(border.map(({ loss }) => loss));
  const around = border.length > 0 ? `${number(low)} to ${number(high)} at the border` : "not finite at the border";
  const isFiniteInside = Number.isFinite(middle.loss);
  const where =
    !isFiniteInside || lowest.loss < middle.loss
      ? `the lowest point of the grid, ${number(lowest.loss, 4)}, is at (${number(lowest.alpha, 2)}, ${number(lowest.beta, 2)})`
      : "no point of the grid is lower";
  return `The loss is ${number(middle.loss, 4)} at the parameters and ${around}; ${where}`;
}

function surfaceSpec(rows: readonly SurfaceRow[], on: string): TopLevelSpec {
  const { middle, finite, lowest } = surfaceFacts(rows);
  const places = distinct(rows.map(({ alpha }) => alpha));
  const half = places.length > 1 ? (places[1]! - places[0]!) / 2 : 0.5;
  const losses = finite.map(({ loss }) => loss);
  // A corner that explodes must not leave everything else one colour.
  const top = Math.max(quantile(losses, 0.95), Number.isFinite(middle.loss) ? middle.loss : -Infinity);
  const domain = [round(lowest.loss), round(Math.max(top, lowest.loss * 1.001))];
  // Cells reach a little below their neighbours, or pale seams would show between them.
  const cells = rows.map(({ alpha, beta, loss }) => ({
    left: round(alpha - half),
    right: round(Math.min(alpha + 1.06 * half, places.at(-1)! + half)),
    bottom: round(beta - half),
    top: round(Math.min(beta + 1.06 * half, places.at(-1)! + half)),
    alpha: round(alpha),
    beta: round(beta),
    loss: Number.isFinite(loss) ? round(loss) : null,
  }));
  const names = ["along d₁ (β = 0)", "along d₂ (α = 0)"];
  const cut = (series: string, at: (row: SurfaceRow) => number, kept: (row: SurfaceRow) => boolean) =>
    finite.filter(kept).map((row) => ({ series, at: round(at(row)), loss: round(row.loss) }));
  const cuts = [
    ...cut(
      names[0]!,
      ({ alpha }) => alpha,
      ({ beta }) => beta === 0,
    ),
    ...cut(
      names[1]!,
      ({ beta }) => beta,
      ({ alpha }) => alpha === 0,
    ),
  ];
  const edge = [round(places[0]! - half), round(places.at(-1)! + half)];
  const scales = lineScales(names);
  const legend = { title: null, orient: "top", labelLimit: 0 };
  const axisOf = (field: string, title: string): object => ({
    field,
    type: "quantitative",
    title,
    scale: { domain: edge, nice: false, zero: false },
    axis: { grid: false, tickCount: 5 },
  });
  const clipped = finite.filter(({ loss }) => loss > domain[1]!).length;
  const notes = [
    on,
    "Two random directions d₁ and d₂, each filter as long as the parameters' own (Li et al. 2018), biases and gains fixed; × marks the parameters.",
    ...(clipped > 0 ? [`Colours end at the loss's 95 % quantile: ${clipped} of ${rows.length} points lie above.`] : []),
    ...notDrawn(rows.length - finite.length),
  ];
  const steepest = Math.max(...cuts.map(({ loss }) => loss));
  return {
    ...frame(surfaceTitle(rows), notes),
    hconcat: [
      {
        width: 340,
        height: 340,
        layer: [
          {
            data: { values: cells },
            transform: [{ filter: "isValid(datum.loss)" }],
            mark: { type: "rect", strokeWidth: 0 },
            encoding: {
              x: axisOf("left", "α, in d₁"),
              x2: { field: "right" },
              y: axisOf("bottom", "β, in d₂"),
              y2: { field: "top" },
              color: {
                field: "loss",
                type: "quantitative",
                title: "loss (nats a token)",
                scale: { domain, scheme: "viridis", clamp: true, nice: false, zero: false },
                legend: { orient: "top", gradientLength: 260, titleLimit: 300, tickCount: 5 },
              },
              tooltip: ["alpha", "beta", "loss"].map((field) => ({ field, type: "quantitative", format: ".4g" })),
            },
          },
          {
            data: { values: [{ left: 0, bottom: 0 }] },
            mark: {
              type: "text",
              text: "×",
              fontSize: 22,
              fontWeight: "bold",
              color: "white",
              stroke: "black",
              strokeWidth: 0.4,
            },
            encoding: { x: axisOf("left", "α, in d₁"), y: axisOf("bottom", "β, in d₂") },
          },
        ],
      },
      ...(cuts.length === 0
        ? []
        : [
            {
              width: 320,
              height: 340,
              data: { values: cuts },
              mark: { type: "line", strokeWidth: 1.8, point: { filled: true, size: 22 } },
              encoding: {
                x: axisOf("at", "distance from the parameters (α or β)"),
                y: {
                  field: "loss",
                  type: "quantitative",
                  title: "loss (nats a token)",
                  scale: { zero: false, domainMax: round(steepest), nice: true },
                },
                color: { field: "series", type: "nominal", scale: scales.color, legend },
                shape: { field: "series", type: "nominal", scale: scales.shape, legend },
              },
            },
          ]),
    ],
    resolve: {
      legend: { color: "independent", shape: "independent" },
      scale: { color: "independent" },
    },
    spacing: 30,
  } as unknown as TopLevelSpec;
}

const quantityNames: Record<CurvatureRow["quantity"], string> = {
  "top-eigenvalue": "top eigenvalue",
  "bottom-eigenvalue": "bottom eigenvalue",
  trace: "trace",
};

function curvatureTitle(rows: readonly CurvatureRow[]): string {
  const of = (quantity: string): CurvatureRow => rows.find((row) => row.quantity === quantity)!;
  const [top, trace] = [of("top-eigenvalue"), of("trace")];
  const numbers =
    `The Hessian's top eigenvalue is ${number(top.value)}, ` +
    `its trace ${number(trace.value)} ± ${number(trace.standardError, 2)}`;
  const uncertain = [
    ...(top.residual > largestResidual || top.disagreement > 0.2 ? ["the eigenvalue"] : []),
    ...(trace.disagreement > 0.2 ? ["the trace"] : []),
  ];
  if (!Number.isFinite(top.value) && !Number.isFinite(trace.value))
    return "The top eigenvalue and the trace of the Hessian are not finite";
  if (uncertain.length > 0)
    return `${numbers}; ${uncertain.join(" and ")} ${uncertain.length > 1 ? "are" : "is"} uncertain`;
  const stable = `gradient descent without momentum is stable up to a learning rate of ${number(2 / top.value, 2)}`;
  return top.value > 0 ? `${numbers}: ${stable}` : numbers;
}

function curvatureSpec(rows: readonly CurvatureRow[], on: string): TopLevelSpec {
  const values = rows.map(({ quantity, value, standardError }) => ({
    panel: quantity === "trace" ? "trace" : "eigenvalues",
    quantity: quantityNames[quantity],
    value: orNull(value),
    label: number(value),
    low: orNull(value - standardError),
    high: orNull(value + standardError),
  }));
  const percent = (value: number): string => `${number(100 * value, 2)} %`;
  const errors = rows.map(
    (row) =>
      `${quantityNames[row.quantity]} ${percent(row.disagreement)}${row.residual > largestResidual ? " (power iteration not at its end)" : ""}`,
  );
  const notes = [
    on,
    `${rows[0]!.parameters} parameters, without dropout. Bar across: ± one standard error over ${rows.find(({ quantity }) => quantity === "trace")!.count} random probes.`,
    `Error of the finite differences (step h against h/2): ${errors.join(", ")}. Kinks of ReLU count as curvature.`,
  ];
  const panel = (name: string): object => {
    const own = values.filter((row) => row.panel === name);
    const x = { field: "quantity", type: "nominal", title: null, axis: { labelAngle: 0 }, sort: null };
    const y = (field: string): object => ({
      field,
      type: "quantitative",
      title: name === "trace" ? "trace of the Hessian" : "eigenvalue of the Hessian",
      axis: { tickCount: 6 },
    });
    return {
      width: name === "trace" ? 160 : 80 + 140 * (own.length - 1) + 80,
      height: 240,
      data: { values: own },
      layer: [
        {
          mark: { type: "rule", color: "currentColor", opacity: 0.7 },
          encoding: { y: { datum: 0, type: "quantitative" } },
        },
        { mark: { type: "bar", width: 46, color: "#56B4E9" }, encoding: { x, y: y("value") } },
        ...errorBars(own, { x, y: y("low"), y2: { field: "high" } }),
        {
          mark: { type: "text", align: "left", dx: 28, fontSize: 12, color: "currentColor" },
          encoding: { x, y: y("value"), text: { field: "label" } },
        },
      ],
    };
  };
  return {
    ...frame(curvatureTitle(rows), notes, 72),
    // Vega finds no limits for a panel of nothing.
    hconcat: ["eigenvalues", "trace"]
      .filter((name) => values.some((row) => row.panel === name && row.value !== null))
      .map(panel),
    spacing: 40,
  } as unknown as TopLevelSpec;
}
