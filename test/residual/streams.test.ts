// Schemes that keep more than one stream, or more than the last layer's: dlcl, residual-dual, hyper-connections and mhc.
// That their gradients are those of their losses, and the same on every engine, is in test/engine/finite-differences.test.ts
// and parity.test.ts, for every scheme; here their equations, written again in plain float64 loops, and how they start.
import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import * as engines from "../../src/engine/index.ts";
import { sinusoidalPositions } from "../../src/nn/positions.ts";
import { sinkhorn } from "../../src/ops/index.ts";
import { stream } from "../../src/random.ts";
import type { Parameter, StageContext, Tensors } from "../../src/stage.ts";
import * as float64 from "../float64.ts";
import { build, randomBatch, relativeDifference, shake, smallTransformer } from "../helpers.ts";

let engine: Engine;
beforeAll(async () => void (engine = await engines.onnx.create({ threads: 1 })));
afterAll(() => engine.dispose());

const batch = randomBatch(3, 6, 50, 1, [6, 4, 2]);
const step = { step: 3, seed: 1, tapped: false };

/** A model's loss and gradients, the latter copied out of the engine's memory. */
async function differentiate(residual: string, change: (p: ReadonlyMap<string, Parameter>) => void = () => {}) {
  const { players, parameters } = build(smallTransformer({ residual }));
  change(parameters);
  const { scalars, gradients } = await engine.differentiate(players[0]!, parameters, batch, step);
  const own = new Map(Array.from(gradients, ([path, gradient]) => [path, Float32Array.from(gradient)]));
  return { loss: scalars["loss"]!, gradients: own };
}

type Numbers = ArrayLike<number>;
const zip = (a: Numbers, b: Numbers, f: (x: number, y: number) => number): Float64Array =>
  Float64Array.from({ length: a.length }, (_, i) => f(a[i]!, b[i]!));
const plus = (a: Numbers, b: Numbers): Float64Array => zip(a, b, (x, y) => x + y);
const times = (a: Numbers, c: number): Float64Array => Float64Array.from({ length: a.length }, (_, i) => a[i]! * c);
const total = (terms: readonly Numbers[]): Float64Array => terms.map((t) => times(t, 1)).reduce(plus);
const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/** Rows of a matrix of `columns` columns. */
const rows = (values: Numbers, columns: number): Float64Array[] =>
  range(values.length / columns).map((i) => Float64Array.from(range(columns), (j) => values[i * columns + j]!));

describe("the encoder of one token, against the equations in float64 loops", () => {
  const width = 6;
  const layers = 3;
  const sublayers = ["self-attention", "feed-forward"] as const;

  beforeAll(async () => void (await tf.setBackend("cpu")));

  /** What the encoder of `residual` makes of the embedding x of token 0, stage by stage; and what an equation needs. */
  function encode(residual: string) {
    const options = smallTransformer({
      residual,
      width,
      heads: 2,
      feedForward: 8,
      depth: { encoder: layers, decoder: 1 },
    });
    const { players, parameters } = build(options);
    shake(parameters);
    // mhc's mixing far from the identity, so that it matters which of its sides is which.
    for (const [path, { data }] of parameters)
      if (path.endsWith("mix/bias")) stream(1, `test ${path}`).normal(data as Float32Array);
    const p = (path: string): Float32Array => parameters.get(path)!.data;
    const context: StageContext = {
      training: false,
      tap: (_component, _point, x) => x,
      reading: () => {},
      noise: () => expect.unreachable(),
      constant: (name) => expect.unreachable(name),
    };
    const output = tf.tidy(() => {
      const [embed, ...rest] = players[0]!.stages.filter(({ name }) => /^(embedding\/source|encoder)/.test(name));
      let carry: Tensors = { source: tf.zeros([1, 1], "int32"), sourceMask: tf.ones([1, 1]) };
      for (const stage of [embed!, ...rest]) {
        const tensors = Object.fromEntries(
          Object.entries(stage.parameters).map(([name, { path, shape }]) => [name, tf.tensor(p(path), [...shape])]),
        );
        carry = { ...carry, ...stage.apply(tensors, carry, context) };
      }
      return carry["encoder"]!.dataSync();
    });
    const position = sinusoidalPositions(1, width).dataSync();
    const embedded = plus(times(p("embedding/source/weight").subarray(0, width), Math.sqrt(width)), position);
    const norm = (y: Numbers, path: string) => float64.layerNorm(y, p(`${path}/gain`), p(`${path}/bias`), 1e-5);
    /** F of a sublayer. Attention to one key is that key's value. */
    const branch = (y: Numbers, layer: string, sublayer: string): Float64Array => {
      const linear = (y: Numbers, name: string) =>
        float64.linear(y, p(`${layer}/${sublayer}/${name}/weight`), p(`${layer}/${sublayer}/${name}/bias`));
      return sublayer === "feed-forward"
        ? linear(float64.relu(linear(y, "in")), "out")
        : linear(linear(y, "value"), "out");
    };
    return { output, x: embedded, p, norm, branch };
  }
  const layerNames = range(layers).map((l) => `encoder/0${l}`);
  /** The float32 rounding of a few dozen operations in a row: some units in the last place, 6e-8 each. */
  const rounding = 1e-5;

  test("dlcl: layers read weighted sums of all that was written before, each but the embedding through its norm", () => {
    const { output, x, p, norm, branch } = encode("dlcl");
    const history: Numbers[] = [x];
    const combine = (weights: Numbers) => total(history.map((y, k) => times(y, weights[k]!)));
    layerNames.forEach((layer, l) => {
      let y = combine(p(`${layer}/layer/combination`));
      for (const sublayer of sublayers) y = plus(y, branch(norm(y, `${layer}/norm/${sublayer}`), layer, sublayer));
      const next = l + 1 < layers ? layerNames[l + 1]! : "encoder";
      history.push(norm(y, `${next}/norm/history`));
    });
    const wanted = norm(combine(p("encoder/end/combination")), "encoder/norm");
    expect(relativeDifference(output, wanted)).toBeLessThan(rounding);
  });

  test("residual-dual: the Post-LN stream plus the normalised sum of the embedding and all branches", () => {
    const { output, x, norm, branch } = encode("residual-dual");
    let [y, sum] = [x, x];
    for (const layer of layerNames)
      for (const sublayer of sublayers) {
        const f = branch(y, layer, sublayer);
        sum = plus(sum, f);
        y = norm(plus(y, f), `${layer}/norm/${sublayer}`);
      }
    expect(relativeDifference(output, plus(y, norm(sum, "encoder/norm")))).toBeLessThan(rounding);
  });

  /** H' from H, for weights by token: H'_t = sum_s mix(s, t) H_s + write(t) F(LN(sum_s read(s) H_s)). */
  type Weights = { read: Numbers; mix: (s: number, t: number) => number; write: Numbers };
  const connect = (H: Numbers[], { read, mix, write }: Weights, f: (h: Numbers) => Float64Array): Numbers[] => {
    const F = f(total(H.map((h, s) => times(h, read[s]!))));
    return H.map((_, t) => plus(total(H.map((h, s) => times(h, mix(s, t)))), times(F, write[t]!)));
  };

  test("hyper-connections: weights are a static matrix plus a tanh of each stream, in columns read, mix and write", () => {
    const { output, x, p, norm, branch } = encode("hyper-connections");
    let H: Numbers[] = [x, x, x, x];
    for (const layer of layerNames)
      for (const sublayer of sublayers) {
        const own = (path: string) => p(`${layer}/${sublayer}/hyper/${path}`);
        const normed = H.map((h) => norm(h, `${layer}/norm/${sublayer}-hyper`));
        const dynamic = (h: Numbers, kind: string, columns: number) =>
          Float64Array.from(
            float64.linear(h, own(`${kind}/weight`), new Float32Array(columns)),
            (z) => own(`${kind}/scale`)[0]! * Math.tanh(z),
          );
        const alpha = rows(own("alpha/static"), 5).map((row, s) => plus(row, dynamic(normed[s]!, "alpha", 5)));
        const write = normed.map((h, s) => own("beta/static")[s]! + dynamic(h, "beta", 1)[0]!);
        const weights = { read: alpha.map((row) => row[0]!), mix: (s: number, t: number) => alpha[s]![t + 1]!, write };
        H = connect(H, weights, (h) => branch(norm(h, `${layer}/norm/${sublayer}`), layer, sublayer));
      }
    expect(relativeDifference(output, norm(total(H), "encoder/norm"))).toBeLessThan(rounding);
  });

  test("mhc: sigmoids and Sinkhorn's matrix of one RMSNorm over all streams", () => {
    const { output, x, p, norm, branch } = encode("mhc");
    let H: Numbers[] = [x, x, x, x];
    for (const layer of layerNames)
      for (const sublayer of sublayers) {
        const own = (path: string) => p(`${layer}/${sublayer}/hyper/${path}`);
        const z = float64.rmsNorm(
          H.flatMap((h) => [...times(h, 1)]),
          new Float64Array(4 * width).fill(1),
          1e-5,
        );
        const logits = (map: string) =>
          plus(
            times(
              float64.linear(
                z,
                own(`${map}/weight`),
                own(`${map}/bias`).map(() => 0),
              ),
              own(`${map}/scale`)[0]!,
            ),
            own(`${map}/bias`),
          );
        let mix = rows(logits("mix").map(Math.exp), 4);
        for (let i = 0; i < 20; i++) {
          const columnSums = total(mix);
          mix = mix.map((row) => zip(row, columnSums, (m, s) => m / s));
          mix = mix.map((row) => times(row, 1 / row.reduce((a, b) => a + b)));
        }
        const weights = {
          read: logits("pre").map(sigmoid),
          mix: (s: number, t: number) => mix[t]![s]!,
          write: logits("post").map((q) => 2 * sigmoid(q)),
        };
        H = connect(H, weights, (h) => branch(norm(h, `${layer}/norm/${sublayer}`), layer, sublayer));
      }
    expect(relativeDifference(output, norm(total(H), "encoder/norm"))).toBeLessThan(rounding);
  });
});

describe.each(["hyper-connections", "mhc"])("%s starts as pre-ln", (residual) => {
  // The final norm sees n times the stream, so its epsilon of 1e-5 weighs n^2 times less; that and rounding is the
  // difference. Variances are 1 and more, so it is 1e-5 at most.
  test("in its loss, and in the gradient of every parameter that pre-ln has", async () => {
    const [pre, own] = [await differentiate("pre-ln"), await differentiate(residual)];
    expect(Math.abs(own.loss / pre.loss - 1)).toBeLessThan(1e-5);
    for (const [path, gradient] of pre.gradients)
      if (!path.endsWith("key/bias"))
        expect(relativeDifference(own.gradients.get(path)!, gradient), path).toBeLessThan(1e-4);
  });

  test("but its streams do not stay alike: what they are written with gets gradients of different size", async () => {
    const { gradients } = await differentiate(residual);
    const path = residual === "mhc" ? "post/bias" : "beta/static";
    const gradient = gradients.get(`encoder/00/self-attention/hyper/${path}`)!;
    const spread = Math.max(...gradient) - Math.min(...gradient);
    expect(spread / Math.max(...gradient.map(Math.abs))).toBeGreaterThan(0.01);
  });
});

describe("dlcl", () => {
  const combinations = (paths: Iterable<string>): string[] =>
    [...paths].filter((path) => path.endsWith("/combination"));

  test("each layer has a row of its own, and so has the end; rows start as means and all learn", async () => {
    const { parameters } = build(smallTransformer({ residual: "dlcl", depth: { encoder: 3, decoder: 2 } }));
    const paths = combinations(parameters.keys());
    expect(paths.map((path) => parameters.get(path)!.shape)).toEqual([[1], [2], [3], [4], [1], [2], [3]]);
    for (const path of paths) expect(parameters.get(path)!.data.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    const { gradients } = await differentiate("dlcl");
    for (const path of combinations(gradients.keys()))
      expect(Math.min(...gradients.get(path)!.map(Math.abs)), path).toBeGreaterThan(1e-6);
  });

  test("where the last row reads the embedding alone, no layer gets any gradient", async () => {
    const { gradients } = await differentiate("dlcl", (parameters) =>
      parameters.get("decoder/end/combination")!.data.set([1, 0, 0]),
    );
    for (const [path, gradient] of gradients)
      if (/^(encoder|decoder)\/\d/.test(path)) expect(Math.hypot(...gradient), path).toBe(0);
    expect(Math.hypot(...gradients.get("embedding/target/weight")!)).toBeGreaterThan(0);
    expect(Math.hypot(...gradients.get("decoder/end/combination")!)).toBeGreaterThan(0);
  });
});

describe("Sinkhorn and Knopp", () => {
  beforeAll(async () => void (await tf.setBackend("cpu")));
  const matrix = (logits: number[][], iterations = 20): number[][] => {
    const n = logits.length;
    return rows(sinkhorn(tf.tensor(logits.flat(), [n, n, 1]), iterations).dataSync(), n).map((row) => [...row]);
  };
  const square = (n: number, f: (i: number, j: number) => number) => range(n).map((i) => range(n).map((j) => f(i, j)));

  test("rows and columns sum to 1, whatever the logits", () => {
    const logits = stream(1, "test logits").normal(new Float64Array(16));
    const m = matrix(square(4, (i, j) => 2 * logits[4 * i + j]!));
    for (const row of m) expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
    // Columns as nearly as 20 iterations come.
    for (const j of range(4)) expect(m.reduce((sum, row) => sum + row[j]!, 0)).toBeCloseTo(1, 3);
    expect(Math.min(...m.flat())).toBeGreaterThan(0);
  });

  test("logits of the identity give 0.4754 on the diagonal, mhc's start 0.9990", () => {
    const eye = matrix(square(4, (i, j) => Number(i === j)));
    expect([eye[0]![0], eye[0]![1]].map((x) => x!.toFixed(4))).toEqual(["0.4754", "0.1749"]);
    expect(matrix(square(4, (i, j) => (i === j ? 0 : -8)))[2]![2]).toBeCloseTo(0.99899, 5);
  });

  test("survives logits of 1000", () => {
    expect(matrix(square(3, (i, j) => (i === j ? 1000 : 990)))[1]![1]).toBeCloseTo(1, 3);
  });
});
