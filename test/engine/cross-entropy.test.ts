// The output layer where its logits do not fit at once: rows of them after one another, in one loop that gives losses and gradients.
import { expect, test } from "vitest";
import { rowsAtOnce } from "../../src/engine/cross-entropy.ts";
import { cpu, onnx } from "../../src/engine/index.ts";
import { linearCrossEntropy } from "../../src/ops/index.ts";
import { stream } from "../../src/random.ts";
import type { Parameter, Player, Stage } from "../../src/stage.ts";

test.each([
  { targets: 1024, width: 64, vocabulary: 4000, rows: 256 },
  { targets: 192, width: 3, vocabulary: 16384, rows: 64 },
  { targets: 192, width: 256, vocabulary: 16384, rows: 192 },
  { targets: 24, width: 64, vocabulary: 50, rows: 24 },
  { targets: 1009, width: 64, vocabulary: 4000, rows: 1009 }, // a prime number: all at once rather than one by one
  { targets: 64, width: 64, vocabulary: 200_000, rows: 64 }, // no 32 rows fit
])("of $targets targets and $vocabulary words $rows are done at once", ({ targets, width, vocabulary, rows }) => {
  expect(rowsAtOnce(targets, width, vocabulary)).toBe(rows);
});

const [N, D, V] = [192, 3, 16384];

function draw(path: string, shape: number[]): Parameter {
  const data = new Float32Array(shape.reduce((a, b) => a * b));
  stream(1, path)
    .uniform(new Float64Array(data.length))
    .forEach((u, i) => (data[i] = 2 * u - 1));
  return { path, shape, data, init: { kind: "constant", value: 0 } };
}

const parameters = new Map(
  [draw("x", [N, D]), draw("weight", [D, V]), draw("bias", [V])].map((parameter) => [parameter.path, parameter]),
);

const labels = Int32Array.from({ length: N }, (_, i) => (i * 7919) % V);
// Labels are likelier than other words, so that smoothing makes a difference.
for (const label of labels) parameters.get("bias")!.data[label]! += 3;

const player = (smoothing: number, plainFirst = false): Player => {
  const stage: Stage = {
    name: "output",
    stack: "output",
    layer: "",
    key: `output ${smoothing} ${plainFirst}`,
    parameters: Object.fromEntries(parameters),
    reads: ["labels", "labelWeights"],
    apply({ x, weight, bias }, { labels, labelWeights }) {
      const mean = (smoothing: number) =>
        linearCrossEntropy(x!, weight!, bias!, labels!, smoothing).mul(labelWeights!).sum();
      if (plainFirst) return { plain: mean(0), loss: mean(smoothing) };
      return { loss: mean(smoothing), plain: mean(0) };
    },
  };
  return { name: "output", stages: [stage], scalars: ["loss", "plain"] };
};

test.each([
  { smoothing: 0, plainFirst: false },
  { smoothing: 0.1, plainFirst: false },
  { smoothing: 0.1, plainFirst: true },
])("three times 64 rows give the losses and gradients of all at once: %o", async ({ smoothing, plainFirst }) => {
  const asked = player(smoothing, plainFirst);
  const labels = Int32Array.from({ length: N }, (_, i) => (i * 7919) % V);
  const weights = Float32Array.from({ length: N }, (_, i) => (i % 5) / N);
  const batch = {
    tensors: {
      labels: { dtype: "int32", shape: [N], data: labels },
      labelWeights: { dtype: "float32", shape: [N], data: weights },
    },
    tokens: N,
  } as const;
  const found = [];
  for (const kind of [cpu, onnx]) {
    const engine = await kind.create({ threads: 1 });
    const { scalars, gradients } = await engine.differentiate(asked, parameters, batch, {
      step: 0,
      seed: 1,
      tapped: false,
    });
    const evaluated = await engine.evaluate(asked, parameters, batch, { step: 0, seed: 1 });
    expect(evaluated["loss"]).toBeCloseTo(scalars["loss"]!, 4);
    found.push({ scalars, gradients: new Map([...gradients].map(([path, g]) => [path, g.slice()])) });
    await engine.dispose();
  }
  const [all, chunked] = found as [(typeof found)[0], (typeof found)[0]];
  // Sums of 192 terms, and of 16384, in another order: some roundings of 6e-8 each.
  for (const name of ["loss", "plain"])
    expect(Math.abs(chunked.scalars[name]! / all.scalars[name]! - 1), name).toBeLessThan(1e-6);
  if (smoothing) expect(all.scalars["plain"]).not.toBeCloseTo(all.scalars["loss"]!, 3);
  for (const [path, gradient] of all.gradients) {
    const largest = Math.max(...gradient.map(Math.abs));
    const got = chunked.gradients.get(path)!;
    expect(Math.max(...gradient.map((g, i) => Math.abs(g - got[i]!))) / largest, path).toBeLessThan(3e-6);
  }
});
