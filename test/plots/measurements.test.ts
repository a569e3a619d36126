// Figures of measurements with the rows that are out of the ordinary: svgOf throws where Vega would only warn.
import { expect, test } from "vitest";
import { measurementSpec, measurementTitle } from "../../src/plots/measurements.ts";
import { svgOf } from "../../src/plots/picture.ts";
import type { CurvatureRow, JacobianRow, Measurement, RemovalRow, SurfaceRow } from "../../src/types.ts";

const context = { run: "post-ln_1", step: 20, batches: 1, tokens: 100 };
const jacobian = (stack: string, layer: number | "", spectralNorm: number, meanSquare: number): JacobianRow => ({
  ...{ stack, layer, spectralNorm, iterations: 9, residual: 0.01, meanSquare },
  ...{ meanSquareError: meanSquare / 20, probes: 16, size: 640 },
});
const removal = (layer: number, change: number, changeError: number): RemovalRow => ({
  ...{ stack: "encoder", layer, loss: 5, lossWithout: 5 + change, change, changeError, batches: 1 },
});
const surface = (loss: (alpha: number, beta: number) => number): SurfaceRow[] =>
  [-1, 0, 1].flatMap((beta) => [-1, 0, 1].map((alpha) => ({ alpha, beta, loss: loss(alpha, beta) })));
const curvature = (quantity: CurvatureRow["quantity"], value: number, residual = 0.01): CurvatureRow => ({
  ...{ quantity, value, standardError: quantity === "trace" ? 2 : NaN, count: 16 },
  ...{ residual: quantity === "trace" ? NaN : residual, disagreement: 0.01, parameters: 1000 },
});

const cases: [name: string, measurement: Measurement, title: string][] = [
  [
    "layers of two depths, one of them a dead end",
    {
      kind: "jacobian",
      rows: [jacobian("encoder", 0, 4, 1.44), jacobian("encoder", 1, 0, 0), jacobian("decoder", 0, 2.5, 0.25)],
    },
    "A layer multiplies a change of its stream by 0 to 1.2 in the root mean square; at most by 4, in encoder layer 1",
  ],
  [
    "layers whose largest singular value was not found",
    { kind: "jacobian", rows: [{ ...jacobian("encoder", 0, 4, 1.44), residual: 0.5 }] },
    "A layer multiplies a change of its stream by 1.2 to 1.2 in the root mean square; by 4 and maybe more, in encoder layer 1",
  ],
  [
    "one stack",
    { kind: "jacobian", rows: [jacobian("encoder", "", 20_000, 900)] },
    "From first to last layer a change of the stream is multiplied, in the root mean square, by 30 in the encoder (at most 2·10⁴)",
  ],
  [
    "removal on one batch",
    { kind: "removal", rows: [removal(0, 0.31, NaN), removal(1, -0.00123, NaN)] },
    "Without encoder layer 1 the dev loss changes by +0.31 nats a token, the most; without encoder layer 2 by −0.00123, the least",
  ],
  [
    "a surface that leaves the finite numbers",
    { kind: "surface", rows: surface((alpha, beta) => (alpha > 0 && beta > 0 ? Infinity : 5 + alpha + beta ** 2)) },
    "The loss is 5 at the parameters and 4 to 7 at the border; the lowest point of the grid, 4, is at (−1, 0)",
  ],
  [
    "a flat surface",
    { kind: "surface", rows: surface(() => 5) },
    "The loss is 5 at the parameters and 5 to 5 at the border; no point of the grid is lower",
  ],
  [
    "eigenvalues on both sides of 0",
    {
      kind: "curvature",
      rows: [curvature("top-eigenvalue", 4), curvature("bottom-eigenvalue", -9), curvature("trace", -3)],
    },
    "The Hessian's top eigenvalue is 4, its trace −3 ± 2: gradient descent without momentum is stable up to a learning rate of 0.5",
  ],
  [
    "an iteration that did not come to its end",
    { kind: "curvature", rows: [curvature("top-eigenvalue", 4, 0.9), curvature("trace", 12)] },
    "The Hessian's top eigenvalue is 4, its trace 12 ± 2; the eigenvalue is uncertain",
  ],
  [
    "layers, three of them beyond float32",
    {
      kind: "jacobian",
      rows: [
        ...[jacobian("encoder", 0, 4, 1.44), jacobian("encoder", 1, NaN, NaN)],
        ...[jacobian("decoder", 0, NaN, NaN), jacobian("decoder", 1, Infinity, Infinity)],
      ],
    },
    "A layer multiplies a change of its stream by 1.2 to 1.2 in the root mean square; at most by 4, in encoder layer 1; of 3 of 4 layers the Jacobian is not finite",
  ],
  [
    "stacks, one of them beyond float32",
    { kind: "jacobian", rows: [jacobian("encoder", "", 4, 9), jacobian("decoder", "", NaN, NaN)] },
    "From first to last layer a change of the stream is multiplied, in the root mean square, by 3 in the encoder (at most 4); in the decoder the Jacobian is not finite",
  ],
  [
    "removals, one of which leaves the finite numbers",
    { kind: "removal", rows: [removal(0, 0.31, 0.1), removal(1, Infinity, NaN), removal(2, -0.1, 0.1)] },
    "Without encoder layer 1 the dev loss changes by +0.31 nats a token, the most; without encoder layer 3 by −0.1, the least; not finite without one other",
  ],
  [
    "a surface that is finite at one corner alone",
    { kind: "surface", rows: surface((alpha, beta) => (alpha < 0 && beta < 0 ? 5 : NaN)) },
    "The loss is not finite at the parameters and 5 to 5 at the border; the lowest point of the grid, 5, is at (−1, −1)",
  ],
  [
    "a trace without an eigenvalue",
    { kind: "curvature", rows: [curvature("top-eigenvalue", NaN, NaN), curvature("trace", 12)] },
    "The Hessian's top eigenvalue is not finite, its trace 12 ± 2",
  ],
];

test.each(cases)("%s: the figure is drawn, and its title says what was found", async (_name, measurement, title) => {
  expect(measurementTitle(measurement)).toBe(title);
  const svg = await svgOf("measurement", measurementSpec(measurement, context)!);
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  expect(svg).toContain("post-ln_1, step 20, on 1 dev batch of 100 target tokens.");
});

test.each<[title: string, Measurement]>([
  ["The Jacobian of no layer is finite", { kind: "jacobian", rows: [jacobian("encoder", 0, NaN, NaN)] }],
  [
    "From first to last layer the Jacobian is not finite in any stack",
    { kind: "jacobian", rows: [jacobian("encoder", "", NaN, Infinity)] },
  ],
  [
    "The dev loss is not finite with all layers in place",
    { kind: "removal", rows: [{ ...removal(0, NaN, NaN), loss: NaN }] },
  ],
  ["Without any one of its layers the dev loss is not finite", { kind: "removal", rows: [removal(0, Infinity, NaN)] }],
  [
    "The loss is not finite at any point of the grid, that of the parameters included",
    { kind: "surface", rows: surface(() => NaN) },
  ],
  [
    "The top eigenvalue and the trace of the Hessian are not finite",
    { kind: "curvature", rows: [curvature("top-eigenvalue", NaN, NaN), curvature("trace", NaN)] },
  ],
  [
    "The dev loss is not finite with all layers in place, but 5.5 without encoder layer 2",
    {
      kind: "removal",
      rows: [
        { ...removal(0, NaN, NaN), loss: NaN },
        { ...removal(1, NaN, NaN), loss: NaN, lossWithout: 5.5 },
      ],
    },
  ],
])("%s: said so, and no figure", (title, measurement) => {
  expect(measurementTitle(measurement)).toBe(title);
  expect(measurementSpec(measurement, context)).toBeUndefined();
});
