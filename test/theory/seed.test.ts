import * as tf from "@tensorflow/tfjs-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/engine/engine.ts";
import { linearize } from "../../src/engine/linearize.ts";
import { onnx } from "../../src/engine/onnx.ts";
import { transformer } from "../../src/models/transformer.ts";
import { stream } from "../../src/random.ts";
import type { Parameter, Stage } from "../../src/stage.ts";
import type { Check, Finding, Laboratory } from "../../src/theory/check.ts";
import { carries, jacobians } from "../../src/theory/error-signal.ts";
import { add, identity, multiply, rowTimes } from "../../src/theory/matrix.ts";
import {
  ascending,
  chained,
  measurePostLn,
  type PostLnSample,
  type Product,
  separated,
} from "../../src/theory/post-ln-factors.ts";
import { local, measurePreLn, type PreLnSample, type Sum, telescoped } from "../../src/theory/pre-ln-terms.ts";
import { record, setting, shortSentence } from "../../src/theory/recorded.ts";
import { postLnFinding, seedQ18PostLn } from "../../src/theory/seed-q18-post-ln.ts";
import { preLnFinding, seedQ18PreLn } from "../../src/theory/seed-q18-pre-ln.ts";
import { cancellationFinding, seedQ19Cancellation } from "../../src/theory/seed-q19-cancellation.ts";
import { seedQ19Numbers } from "../../src/theory/seed-q19-numbers.ts";
import { seedQ19Separation, separationFinding } from "../../src/theory/seed-q19-separation.ts";
import { seedQ19Sum, sumFinding } from "../../src/theory/seed-q19-sum.ts";
import { partLinks, takenApart } from "../../src/theory/sublayers.ts";
import { initialize } from "../../src/train/initialize.ts";
import { distance } from "../../src/vectors.ts";
import { randomBatch, smallTransformer } from "../helpers.ts";

const vocabulary = 50;
let engine: Engine;
let laboratory: Laboratory;

beforeAll(async () => {
  engine = await onnx.create({ threads: 1 });
  laboratory = laboratoryOn(engine);
});
afterAll(() => engine.dispose());

/** A laboratory without a corpus: networks trained for ten steps of gradient descent on random tokens. */
function laboratoryOn(engine: Engine): Laboratory {
  return {
    engine,
    async trained({ residual, depth, width, seed }) {
      const options = smallTransformer({ residual, depth: { encoder: depth, decoder: depth }, width, vocabulary });
      const player = transformer(options)[0]!;
      const [parameters, initial] = [initialize([player], seed), initialize([player], seed)];
      for (let step = 0; step < 10; step++) {
        const batch = randomBatch(4, 10, vocabulary, step);
        const { gradients } = await engine.differentiate(player, parameters, batch, { step, seed, tapped: false });
        for (const [path, { data }] of parameters)
          gradients.get(path)!.forEach((slope, i) => (data[i] = data[i]! - 0.3 * slope));
      }
      const batch = randomBatch(4, 12, vocabulary, 100, [12, 9, 4, 12]);
      return { options, player, parameters, initial, batch, loss: { before: NaN, after: NaN, unigram: NaN } };
    },
  };
}

const findings = new Map<string, Promise<Finding>>();

/** What a check finds in this laboratory, once for all tests. */
function found(check: Check): Promise<Finding> {
  const known = findings.get(check.name) ?? check.run(laboratory);
  findings.set(check.name, known);
  return known;
}

const verdicts = ({ claims }: Finding): Record<string, string> =>
  Object.fromEntries(claims.map(({ name, verdict }) => [name, verdict]));

describe("the tools of the checks", () => {
  const carry = (data: Float32Array) => ({ x: { dtype: "float32", shape: [1, 2, 3], data } }) as const;

  test("the Jacobian of a stage is its matrix, one block a token, with the output in the rows", async () => {
    const weight = Float32Array.from({ length: 9 }, (_, i) => i + 1);
    const parameter: Parameter = { path: "w", shape: [3, 3], init: { kind: "constant", value: 0 }, data: weight };
    const stage: Stage = {
      name: "linear",
      stack: "test",
      layer: "",
      key: "linear",
      parameters: { w: parameter },
      reads: ["x"],
      apply: (p, { x }) => ({ x: tf.reshape(tf.matMul(tf.reshape(x!, [-1, 3]), p["w"]!), x!.shape) }),
    };
    const [first, last] = await jacobians(
      engine,
      [stage, stage],
      new Map([["w", parameter]]),
      carry(new Float32Array(6)),
      "x",
    );
    expect(last!.size).toBe(6);
    for (let i = 0; i < 6; i++)
      for (let j = 0; j < 6; j++)
        expect(last!.data[6 * i + j]).toBe(
          Math.floor(i / 3) === Math.floor(j / 3) ? weight[3 * (j % 3) + (i % 3)]! : 0,
        );
    expect(first).toEqual(multiply(last!, last!));
  });

  test("a Jacobian times a small step is the change of what the stage gives", async () => {
    const options = smallTransformer({ residual: "post-ln", depth: { encoder: 1, decoder: 1 } });
    const parameters = initialize(transformer(options), 1);
    const [attention] = partLinks(options, "encoder", ["sublayer"]);
    const size = 4 * options.width;
    const x = stream(1, "test x").normal(new Float32Array(size));
    const step = stream(1, "test step").normal(new Float64Array(size));
    const at = async (scale: number): Promise<ArrayLike<number>> => {
      const data = Float32Array.from(x, (value, i) => value + scale * step[i]!);
      return (await carries(engine, [attention!.stage], parameters, first(data)))[1]!["encoder"]!.data;
    };
    const first = (data: Float32Array) =>
      ({
        encoder: { dtype: "float32", shape: [1, 4, options.width], data },
        sourceMask: { dtype: "float32", shape: [1, 4], data: new Float32Array(4).fill(1) },
      }) as const;
    const [jacobian] = await jacobians(engine, [attention!.stage], parameters, first(x), "encoder");
    const width = 1e-2;
    const [up, down] = [await at(width), await at(-width)];
    const change = Float64Array.from(up, (value, i) => (value - down[i]!) / (2 * width));
    const predicted = change.map((_, i) => step.reduce((sum, s, j) => sum + jacobian!.data[i * size + j]! * s, 0));
    // Central differences leave the third derivative times 1e-4, and float32's rounding over 2e-2.
    expect(distance(predicted, change)).toBeLessThan(1e-3);
  });

  test("the rows of a Jacobian are what the engine's linearization gives", async () => {
    const options = smallTransformer({ residual: "post-ln", depth: { encoder: 2, decoder: 1 } });
    const parameters = initialize(transformer(options), 1);
    const stages = partLinks(options, "encoder", ["residual", "norm"]).map(({ stage }) => stage);
    const size = 3 * options.width;
    const given = {
      encoder: {
        dtype: "float32",
        shape: [1, 3, options.width],
        data: stream(1, "test x").normal(new Float32Array(size)),
      },
      sourceMask: { dtype: "float32", shape: [1, 3], data: new Float32Array(3).fill(1) },
    } as const;
    const [jacobian] = await jacobians(engine, stages, parameters, given, "encoder");
    const error = stream(1, "test error").normal(new Float32Array(size));
    const { vjp, jvp } = linearize(engine, stages, parameters, given, "encoder");
    // The same derivative by the same kernels, but for the order of sums.
    expect(distance(rowTimes(error, jacobian!), await vjp(error))).toBeLessThan(1e-5);
    const column = Float64Array.from({ length: size }, (_, i) =>
      error.reduce((sum, e, j) => sum + jacobian!.data[i * size + j]! * e, 0),
    );
    expect(distance(column, await jvp(error))).toBeLessThan(1e-5);
  });

  test("a network taken apart has the loss of the whole one, or is refused", async () => {
    const options = smallTransformer({ residual: "pre-ln" });
    const parameters = initialize(transformer(options), 1);
    const batch = randomBatch(2, 5, vocabulary);
    const whole = await record(engine, options, parameters, batch, (stack) => partLinks(options, stack, ["sublayer"]));
    expect(whole.encoder.errors).toHaveLength(5);
    expect(whole.decoder.errors).toHaveLength(7);
    await expect(
      record(engine, options, parameters, batch, (stack) => partLinks(options, stack, ["residual"])),
    ).rejects.toThrow(/taken apart, the network's loss is/);
  });

  test("the chain keeps every parameter of the network", () => {
    for (const [residual, parts] of [
      ["post-ln", ["residual", "norm"]],
      ["pre-ln", ["sublayer"]],
    ] as const) {
      const options = smallTransformer({ residual });
      const links = (stack: "encoder" | "decoder") => partLinks(options, stack, parts);
      const chain = takenApart(options, { encoder: links("encoder"), decoder: links("decoder") });
      const paths = (stages: readonly Stage[]): string[] =>
        stages.flatMap(({ parameters }) => Object.values(parameters).map(({ path }) => path)).sort();
      expect(paths(chain)).toEqual(paths(transformer(options)[0]!.stages));
    }
  });

  test("a sentence is cut to real tokens, another for another seed", () => {
    const batch = randomBatch(4, 12, vocabulary, 1, [12, 9, 4, 12]);
    const cut = shortSentence(batch, 8, 1);
    expect(cut.tensors["source"]!.shape).toEqual([1, 8]);
    expect([...cut.tensors["labelWeights"]!.data]).toEqual(Array(8).fill(1));
    expect(cut).not.toEqual(shortSentence(batch, 8, 2));
    expect(cut).toEqual(shortSentence(batch, 8, 4)); // three of the four are long enough
    expect(shortSentence(batch, 20, 1).tokens).toBe(12);
  });
});

describe("Question 18, post-LN", { timeout: 60_000 }, () => {
  let samples: PostLnSample[];
  beforeAll(async () => void (samples = await measurePostLn(laboratory)), 60_000);

  test("the product is the recorded error at every sublayer, in descending order alone", () => {
    expect(samples).toHaveLength(4 * setting.seeds.length);
    const { claims, figure } = postLnFinding(samples);
    expect(verdicts({ claims, figure })).toEqual({
      "seed-q18-post-ln/product": "holds",
      "seed-q18-post-ln/taps": "holds",
      "seed-q18-post-ln/order": "holds",
    });
    expect(claims[0]!.measured).toBeGreaterThan(0);
    expect(claims[0]!.measured).toBeLessThan(1e-5);
    for (const { spread } of claims) expect(spread!.seeds).toBe(setting.seeds.length);
  });

  test.each<[string, Product]>([
    ["in ascending order", ascending],
    ["in two separate products", separated],
    ["without the LayerNorms", (factors) => chained(factors.map((f) => ({ ...f, norm: identity(f.norm.size) })))],
    ["without one residual factor", (factors) => chained(replaced(factors, 3, { residual: identity(128) }))],
    ["without the 1 of the residual", (factors) => chained(factors.map((f) => ({ ...f, residual: withoutOne(f) })))],
  ])("the product %s is not", (_, product) => {
    expect(verdicts(postLnFinding(samples, product))).toEqual({
      "seed-q18-post-ln/product": "fails",
      "seed-q18-post-ln/taps": "fails",
      "seed-q18-post-ln/order": "fails",
    });
  });

  test("a factor that is off by a thousandth is seen", () => {
    const [first, ...others] = samples;
    const { residual } = first!.factors[2]!;
    const wrong = { ...residual, data: residual.data.map((x) => 1.001 * x) };
    const tampered = { ...first!, factors: replaced(first!.factors, 2, { residual: wrong }) };
    expect(verdicts(postLnFinding([tampered, ...others]))["seed-q18-post-ln/product"]).toBe("fails");
  });

  test("the figure's bars add up to what becomes of the error from top to bottom", () => {
    const { points } = postLnFinding(samples).figure;
    for (const { seed, moment, recorded } of samples) {
      const panel = `${recorded.stack}, ${moment === "trained" ? "trained" : "at initialisation"}`;
      const own = points.filter((point) => point.seed === seed && point.panel === panel);
      const change = Math.log10(recorded.tapNorms[0]! / recorded.tapNorms.at(-1)!);
      expect(own.reduce((sum, { y }) => sum + y, 0)).toBeCloseTo(change, 5);
    }
  });

  test("Question 19's two separate products are not the error, the interleaved one is", () => {
    expect(verdicts(separationFinding(samples))).toEqual({
      "seed-q19-separation/two-products": "corrected",
      "seed-q19-separation/interleaved": "holds",
    });
    // Had the seed kept them interleaved, it would hold; a correction that is wrong itself fails.
    expect(verdicts(separationFinding(samples, chained))["seed-q19-separation/two-products"]).toBe("holds");
    expect(verdicts(separationFinding(samples, separated, ascending))).toEqual({
      "seed-q19-separation/two-products": "fails",
      "seed-q19-separation/interleaved": "fails",
    });
  });
});

const replaced = (factors: PostLnSample["factors"], at: number, part: Partial<PostLnSample["factors"][number]>) =>
  factors.map((factor, i) => (i === at ? { ...factor, ...part } : factor));

const withoutOne = ({ residual }: PostLnSample["factors"][number]) => {
  const minusOne = identity(residual.size);
  return add(residual, { ...minusOne, data: minusOne.data.map((x) => -x) });
};

describe("Question 18, pre-LN", { timeout: 60_000 }, () => {
  let samples: PreLnSample[];
  beforeAll(async () => void (samples = await measurePreLn(laboratory)), 60_000);

  test("the telescoped sum is the recorded error at every sublayer", () => {
    const { claims, figure } = preLnFinding(samples);
    expect(verdicts({ claims, figure })).toEqual({
      "seed-q18-pre-ln/sum": "holds",
      "seed-q18-pre-ln/taps": "holds",
    });
    expect(claims[0]!.measured).toBeGreaterThan(0);
    expect(claims[0]!.measured).toBeLessThan(1e-5);
  });

  test.each<[string, Sum]>([
    ["with each branch's own Jacobian", local],
    ["without its first term", (terms) => telescoped(terms.map((row, l) => (l ? row : row.map(none))))],
    ["without its last term", (terms) => telescoped(terms.slice(0, -1)).concat(identity(terms[0]![0]!.size))],
    ["without the 1", (terms) => telescoped(terms).map((sum) => withoutOne({ residual: sum, norm: sum }))],
  ])("the sum %s is not", (_, sum) => {
    expect(verdicts(preLnFinding(samples, sum))).toEqual({
      "seed-q18-pre-ln/sum": "fails",
      "seed-q18-pre-ln/taps": "fails",
    });
  });

  test("the figure's bars add up to the error at each sublayer, in units of that at the top", () => {
    const { points } = preLnFinding(samples).figure;
    for (const { seed, moment, recorded } of samples) {
      const panel = `${recorded.stack}, ${moment === "trained" ? "trained" : "at initialisation"}`;
      const at = (x: number) => points.filter((p) => p.seed === seed && p.panel === panel && p.x === x);
      recorded.tapNorms.slice(0, -1).forEach((value, l0) => {
        const sum = at(l0 + 1).reduce((total, { y }) => total + y, 0);
        expect(sum).toBeCloseTo(value / recorded.tapNorms.at(-1)!, 4);
      });
    }
  });
});

const none = ({ size, data }: { size: number; data: Float64Array }) => ({ size, data: new Float64Array(data.length) });

describe("Question 19", { timeout: 60_000 }, () => {
  test("1.1^20 is not 3325, 1.5^20 is, and 0.5^20 is about 1e-6", async () => {
    const { claims } = await found(seedQ19Numbers);
    expect(claims.map(({ verdict }) => verdict)).toEqual(["corrected", "holds", "holds"]);
    expect(claims[0]!.measured).toBeCloseTo(6.7275, 4);
  });

  test("pre-LN's sum hides a product, and falling branch Jacobians tame it", async () => {
    const finding = await found(seedQ19Sum);
    expect(verdicts(finding)).toEqual({
      "seed-q19-sum/hidden-product": "corrected",
      "seed-q19-sum/branch-gain": "corrected",
      "seed-q19-sum/layer-norm": "holds",
      "seed-q19-sum/attention": "holds",
      "seed-q19-sum/whole-stack": "corrected",
    });
  });

  /** A stack whose branches have these gains by layer, equal in both sublayers, on a stream that grows as they fall. */
  const stackOf = (gain: (layer: number) => number, wholeOf = (product: number) => product) => {
    const gains = Array.from({ length: 128 }, (_, i) => gain(Math.floor(i / 2) + 1));
    const factors = gains.map((_, i) => 1 / Math.sqrt(Math.floor(i / 2) + 1));
    const likeness = gains.map(() => 0.5);
    const whole = gains.map((_, i) => wholeOf(gains.slice(i).reduce((product, g) => product * Math.hypot(1, g), 1)));
    return [{ seed: 1, gains, factors, likeness, whole }];
  };

  test("were all derivatives equal, the seed would be right about that, and LayerNorm not the cause", () => {
    const constant = verdicts(
      sumFinding(
        1 + 20 * 0.1,
        stackOf(() => 0.3),
      ),
    );
    expect(constant).toEqual({
      "seed-q19-sum/hidden-product": "holds",
      "seed-q19-sum/branch-gain": "holds",
      "seed-q19-sum/layer-norm": "fails",
      "seed-q19-sum/attention": "fails",
      "seed-q19-sum/whole-stack": "holds",
    });
  });

  test("a fall like 1/l, or a stack that does not multiply, would be seen", () => {
    const fast = verdicts(
      sumFinding(
        5,
        stackOf(
          (l) => 0.5 / l,
          (product) => 1.2 * product,
        ),
      ),
    );
    expect(new Set(Object.values(fast))).toEqual(new Set(["fails"]));
  });

  test("post-LN's LayerNorm and residual factors are exponential in depth and nearly cancel", async () => {
    expect(verdicts(await found(seedQ19Cancellation))).toEqual({
      "seed-q19-cancellation/layer-norm": "holds",
      "seed-q19-cancellation/residual": "holds",
      "seed-q19-cancellation/both": "corrected",
    });
  });

  test("factors of 1.1 and 0.5 would be what the seed supposes; gains that the branches do not explain are seen", () => {
    const log = (value: number) => Array.from({ length: 128 }, () => Math.log10(value));
    const stack = (norms: number[], residuals: number[], spreads: number[], returns: number[]) =>
      Object.values(verdicts(cancellationFinding([{ seed: 1, norms, residuals, spreads, returns }])));
    expect(stack(log(0.5), log(1.1), log(1.2), log(1.2))).toEqual(["holds", "holds", "holds"]);
    expect(stack(log(0.8), log(1.2), log(1.25), log(1.2))).toEqual(["holds", "holds", "corrected"]);
    expect(stack(log(0.8), log(1.2), log(1.25), log(1.25))).toEqual(["holds", "holds", "fails"]);
  });

  test("a power of depth is no exponential", () => {
    const fading = Array.from({ length: 128 }, (_, i) => 1 / (i + 1));
    const power = { seed: 1, norms: fading.map((x) => -x), residuals: fading, spreads: fading, returns: fading };
    expect(Object.values(verdicts(cancellationFinding([power])))).toEqual(["fails", "fails", "corrected"]);
  });
});

test(
  "every statement cites the seed's question, and every check its figure's caption",
  { timeout: 120_000 },
  async () => {
    const checks: Check[] = [
      seedQ18PostLn,
      seedQ18PreLn,
      seedQ19Separation,
      seedQ19Numbers,
      seedQ19Sum,
      seedQ19Cancellation,
    ];
    for (const check of checks) {
      const { claims, figure } = await found(check);
      expect(check.source).toMatch(/^seed, Question 1[89]/);
      for (const { statement, name, tolerance } of claims) {
        expect(statement).toMatch(/Question 1[89]|Lemma 3/);
        expect(name.split("/")[0]).toBe(check.name);
        expect(tolerance).toBeLessThanOrEqual(0.1);
      }
      expect(figure.caption.length).toBeGreaterThan(40);
      expect(figure.points.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y))).toBe(true);
    }
  },
);

test("an error sent down as a row is what the matrices say", () => {
  const a = { size: 2, data: Float64Array.of(1, 2, 3, 4) };
  const b = { size: 2, data: Float64Array.of(0, 1, 1, 1) };
  expect(multiply(a, b).data).toEqual(Float64Array.of(2, 3, 4, 7));
  expect(rowTimes([1, -1], a)).toEqual(Float64Array.of(-2, -2));
  expect(rowTimes(rowTimes([1, -1], a), b)).toEqual(rowTimes([1, -1], multiply(a, b)));
});
