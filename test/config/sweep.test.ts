import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalJson, configHash, runId } from "../../src/config/identity.ts";
import { resolver, withKey } from "../../src/config/resolve.ts";
import { sweepSchema } from "../../src/config/schema.ts";
import { expandSweep, type Expansion } from "../../src/config/sweep.ts";
import { names } from "./names.ts";

const resolve = resolver(names);
const base = {
  name: "tiny",
  data: { corpus: "typescript-diagnostics", directions: ["en-de"] },
  model: { depth: 2, width: 16, heads: 2, residual: "pre-ln" },
  train: { steps: 20 },
};

function expand(sweep: unknown, input: unknown = base): Expansion {
  const result = expandSweep(input, sweepSchema.optional().parse(sweep), resolve);
  if (!result.ok) throw new Error(result.problems.map((p) => `${p.path.join(".")}: ${p.message}`).join("\n"));
  return result.value;
}

test("a grid is all combinations in the order of the text, seeds innermost", () => {
  const { runs } = expand({
    parameters: { "model.residual": { values: ["post-ln", "pre-ln"] }, "model.depth": { values: [2, 6] } },
    seeds: [1, 2],
  });
  expect(runs.map((r) => r.id.replace(/_[0-9a-f]{8}$/, ""))).toEqual([
    "residual=post-ln_depth=2_seed=1",
    "residual=post-ln_depth=2_seed=2",
    "residual=post-ln_depth=6_seed=1",
    "residual=post-ln_depth=6_seed=2",
    "residual=pre-ln_depth=2_seed=1",
    "residual=pre-ln_depth=2_seed=2",
    "residual=pre-ln_depth=6_seed=1",
    "residual=pre-ln_depth=6_seed=2",
  ]);
  expect(runs[0]!.config.model).toMatchObject({ residual: "post-ln", finalNorm: false, depth: { encoder: 2 } });
  expect(runs[7]!.config.model).toMatchObject({ residual: "pre-ln", finalNorm: true, depth: { decoder: 6 } });
  expect(runs[0]!.varied).toEqual({ "model.residual": "post-ln", "model.depth": 2 });
});

test("derived defaults follow the swept value", () => {
  const { runs } = expand({ parameters: { "model.width": { values: [16, 32] } } });
  expect(runs.map((r) => r.config.model.feedForward)).toEqual([64, 128]);
});

test("a swept key may be missing from the base", () => {
  const model = { depth: 2, width: 16, heads: 2 };
  expect(expand({ parameters: { "model.residual": { values: ["pre-ln"] } } }, { ...base, model }).runs).toHaveLength(1);
});

test("keys below a section that is not written are set in it", () => {
  const { runs } = expand({ parameters: { "train.optimizer.learningRate": { values: [0.1] } } });
  expect(runs[0]!.config.train.optimizer).toMatchObject({ kind: "adam", learningRate: 0.1 });
});

test("a list runs as written, and missing values are the base's", () => {
  const { runs } = expand({ method: "list", list: [{ "model.depth": 3 }, { "model.heads": 4 }] });
  expect(runs.map((r) => r.varied)).toEqual([
    { "model.depth": 3, "model.heads": 2 },
    { "model.depth": '{"encoder":2,"decoder":2}', "model.heads": 4 },
  ]);
});

test("random draws lie in their range, are the same every time, and do not depend on other parameters", () => {
  const rate = { "train.optimizer.learningRate": { min: 1e-4, max: 1e-1, distribution: "log-uniform" } };
  const depth = { "model.depth": { min: 1, max: 3, distribution: "int-uniform" } };
  const drawn = (parameters: object) =>
    expand({ method: "random", runs: 40, parameters }).runs.map(
      (r) => r.varied["train.optimizer.learningRate"] as number,
    );
  const alone = drawn(rate);
  expect(drawn({ ...depth, ...rate })).toEqual(alone);
  expect(Math.min(...alone)).toBeGreaterThanOrEqual(1e-4);
  expect(Math.max(...alone)).toBeLessThanOrEqual(1e-1);
  // Log-uniform: a third of the draws in each decade, give or take.
  expect(alone.filter((r) => r < 1e-3).length).toBeGreaterThan(4);
  const depths = expand({ method: "random", runs: 40, parameters: depth });
  expect(new Set(depths.runs.map((r) => r.varied["model.depth"]))).toEqual(new Set([1, 2, 3]));
  expect(depths.notes[0]).toBe("37 of the sweep's runs repeat earlier ones and are left out");
});

test.each([
  [
    { parameters: { "model.dpth": { values: [1] } } },
    'unknown configuration key "model.dpth"; did you mean "model.depth"?',
  ],
  [{ parameters: { depth: { values: [1] } } }, 'unknown configuration key "depth"; did you mean "model.depth"?'],
  [{ parameters: { seed: { values: [1] } } }, "seed cannot be swept; list the seeds in sweep.seeds"],
  [
    { parameters: { "model.depth": { min: 1, max: 3, distribution: "int-uniform" } } },
    "expected values with sweep.method: grid",
  ],
  [{ method: "random", parameters: { "model.depth": { values: [1] } } }, "expected sweep.runs"],
  [{ method: "random", runs: 2, parameters: { "model.depth": { min: 3 } } }, "got only a part of them"],
  [
    { method: "random", runs: 2, parameters: { "model.dropout": { min: 0, max: 0.1, distribution: "log-uniform" } } },
    "expected min above 0",
  ],
  [
    { method: "random", runs: 2, parameters: { "model.depth": { min: 3, max: 1, distribution: "uniform" } } },
    "expected min below max",
  ],
  [{ method: "list" }, "expected sweep.list with sweep.method: list"],
  [{ method: "list", list: [{ "model.dept": 1 }] }, 'did you mean "model.depth"?'],
  [{ runs: 3, parameters: { "model.depth": { values: [1] } } }, "sweep.runs has no use with sweep.method: grid"],
  [{}, "expected sweep.parameters with sweep.method: grid"],
  [
    { parameters: { "model.heads": { values: [2, 3] } } },
    "expected a multiple of model.heads (3), got 16; change model.width or model.heads (in the run model.heads=3)",
  ],
  [{ parameters: { "model.depth.encoder": { values: [1] } } }, "cannot be set, since model.depth is 2 and no mapping"],
])("the sweep %j is refused", (sweep, message) => {
  expect(() => expand(sweep)).toThrow(message);
});

test("the hash does not depend on the order of keys, and every value counts", () => {
  const { config } = expand({ seeds: [1] }).runs[0]!;
  const reversed = JSON.parse(JSON.stringify(config), (_k, v: unknown) =>
    typeof v === "object" && v !== null && !Array.isArray(v) ? Object.fromEntries(Object.entries(v).reverse()) : v,
  ) as typeof config;
  expect(Object.keys(reversed)).not.toEqual(Object.keys(config));
  expect(configHash(reversed)).toBe(configHash(config));
  expect(configHash({ ...config, seed: 2 })).not.toBe(configHash(config));
  expect(canonicalJson({ b: [2, 1], a: { d: null, c: 1 } })).toBe('{"a":{"c":1,"d":null},"b":[2,1]}');
});

test("ids are safe as folder names whatever is varied, and keep colliding keys apart", () => {
  const { config } = expand({ seeds: [1] }).runs[0]!;
  const value = fc.oneof(fc.string({ unit: "grapheme" }), fc.double(), fc.boolean(), fc.constant(null));
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom("model.depth", "train.steps", "data.corpus"), value), (varied) => {
      expect(runId(varied, config)).toMatch(/^[A-Za-z0-9][A-Za-z0-9.=_+-]{0,140}$/);
    }),
    { seed: 1 },
  );
  expect(runId({ "train.optimizer.kind": "sgd", "train.schedule.kind": "noam" }, config)).toMatch(
    /^optimizer=sgd_schedule=noam_seed=1_[0-9a-f]{8}$/,
  );
  expect(runId({ "model.depth.encoder": 1, "x.encoder": 2 }, config)).toMatch(/^model\.depth\.encoder=1_x\.encoder=2_/);
});

test("setting a key leaves the input as it was", () => {
  const input = { a: { b: 1 } };
  expect(withKey(input, "a.c", 2)).toEqual({ ok: true, value: { a: { b: 1, c: 2 } } });
  expect(input).toEqual({ a: { b: 1 } });
});

test("successive halving that has no dev loss to compare at its steps is refused", () => {
  const halved = (train: object, halving: object, more: object = {}): Expansion =>
    expand({ seeds: [1, 2], halving }, { ...base, ...more, train });
  expect(halved({ steps: 20, evaluateEverySteps: 5 }, { from: 10 }).halving).toEqual({ from: 10, factor: 2 });
  expect(() => halved({ steps: 20, evaluateEverySteps: 4 }, { from: 10 })).toThrow(
    /sweep\.halving: expected from to be a multiple of train\.evaluateEverySteps, .* got 10 and 4 in the run seed=1_/,
  );
  expect(() => halved({ steps: 20, evaluateEverySteps: 10 }, { from: 20 })).toThrow(
    "expected from below train.steps, got 20 and at most 20",
  );
  expect(() => halved({ epochs: 2, evaluateEverySteps: 10 }, { from: 20 })).toThrow("expected train.steps");
  expect(() => halved({ steps: 20 }, { from: 10, factor: 1 })).toThrow();
});
