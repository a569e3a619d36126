// What the page of `fathom ui` reckons before it draws.

import { expect, test } from "vitest";
import type { Curve, ExperimentView, RunView } from "../../src/ui/api.ts";
import { bandOf } from "../../src/ui/page/bands.ts";
import { testsOf, unknownKeys } from "../../src/ui/page/filter.ts";
import { keysLeft, lineGroups, orderedGroups } from "../../src/ui/page/groups.ts";
import { columnsOf, columnTicks } from "../../src/ui/page/heat-columns.ts";
import { verticalAxis } from "../../src/ui/page/lines.ts";
import {
  baselineOf,
  baselineRules,
  gradientNormOf,
  isLoss,
  lossUnit,
  metricTitle,
  usualMetric,
} from "../../src/ui/page/measures.ts";
import { elsewhere, placeText, readingsAt } from "../../src/ui/page/readings.ts";
import { stepAxis, stepsAsked } from "../../src/ui/page/steps.ts";

const run = (config: RunView["config"], more: Partial<RunView> = {}): RunView => ({
  id: Object.entries(config)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join("_"),
  kind: "transformer",
  status: "done",
  seed: typeof config["seed"] === "number" ? config["seed"] : null,
  config,
  steps: 10,
  plannedSteps: 10,
  secondsPerStep: 0.1,
  secondsLeft: 0,
  seconds: 1,
  trainLoss: 5,
  devLoss: 5,
  bestDevLoss: 5,
  unigramEntropy: 6.39,
  finals: {},
  engine: "onnx",
  reason: "",
  hasSamples: false,
  hasTranslations: [],
  commit: null,
  ...more,
});

/** Two schemes, two depths, some warm-ups, two seeds. */
const grid = (...warmups: readonly number[]): RunView[] =>
  ["pre-ln", "post-ln"].flatMap((residual) =>
    [2, 6].flatMap((depth) =>
      warmups.flatMap((warmupSteps) =>
        [1, 2].map((seed) =>
          run({ "model.residual": residual, "model.depth": depth, "train.schedule.warmupSteps": warmupSteps, seed }),
        ),
      ),
    ),
  );
const keys = ["model.residual", "model.depth", "train.schedule.warmupSteps"];

/** The lines of a panel when panels are schemes and colours depths. */
function linesOf(runs: readonly RunView[]): { left: string[]; lines: ReturnType<typeof lineGroups> } {
  const left = keysLeft(runs, keys, ["model.residual", "model.depth"]);
  const panel = orderedGroups(runs, ["model.residual"])[0]!;
  return { left, lines: lineGroups(panel.runs, "model.depth", left, orderedGroups(runs, left)) };
}

test("a line of Compare stands for the seeds of one configuration, never for several configurations", () => {
  const { left, lines } = linesOf(grid(0, 40));
  expect(left).toEqual(["train.schedule.warmupSteps"]);
  expect(lines.map(({ name }) => name)).toEqual([
    "depth 2, warmupSteps 0",
    "depth 2, warmupSteps 40",
    "depth 6, warmupSteps 0",
    "depth 6, warmupSteps 40",
  ]);
  for (const { runs } of lines) {
    expect(runs.map(({ seed }) => seed)).toEqual([1, 2]);
    expect(new Set(runs.map(({ config }) => config["train.schedule.warmupSteps"])).size).toBe(1);
  }
  // Those of one depth share a colour; of two warm-ups the second is dashed.
  expect(lines[0]!.colourKey).toBe(lines[1]!.colourKey);
  expect(lines[0]!.colourKey).not.toBe(lines[2]!.colourKey);
  expect(lines.map(({ isDashed }) => isDashed)).toEqual([false, true, false, true]);
});

test("where nothing else varies a line is named by its own key; three variants are not told apart by dashes", () => {
  const one = linesOf(grid(0));
  expect(one.left).toEqual([]);
  expect(one.lines.map(({ name, isDashed }) => [name, isDashed])).toEqual([
    ["depth 2", false],
    ["depth 6", false],
  ]);
  const three = linesOf(grid(0, 40, 80)).lines;
  expect(three.length).toBe(6);
  expect(three.some(({ isDashed }) => isDashed)).toBe(false);
});

test("a key that follows from the panel's or the colour's is no difference between lines", () => {
  const runs = grid(0).map((one) => ({
    ...one,
    config: { ...one.config, "model.alpha": one.config["model.residual"] === "pre-ln" ? 1 : 2 },
  }));
  expect(keysLeft(runs, [...keys, "model.alpha"], ["model.residual", "model.depth"])).toEqual([]);
  expect(keysLeft(runs, [...keys, "model.alpha"], ["model.depth", ""])).toEqual(["model.residual", "model.alpha"]);
});

const curve = (steps: number[], value: number, of = steps.length): Curve => ({
  run: String(value),
  steps,
  values: steps.map(() => value),
  of,
});

test.each([
  ["whole", 1],
  ["thinned by the server", 10],
])("a seed without values in the window leaves the band of the others: curves %s", (_, times) => {
  const steps = Array.from({ length: 40 }, (_, i) => 100 + i);
  const band = bandOf(
    [curve([], 9), curve(steps, 2, times * steps.length), curve(steps, 4, times * steps.length)],
    false,
  );
  expect(band.x.length).toBeGreaterThan(10);
  expect(new Set(band.y)).toEqual(new Set([3]));
  expect([new Set(band.low), new Set(band.high)]).toEqual([new Set([2]), new Set([4])]);
});

test("a band of nothing but empty curves is empty", () => {
  expect(bandOf([curve([], 1), curve([], 2, 5)], false)).toEqual({ x: [], y: [], low: [], high: [] });
});

test("each reading under the pointer has the step at which it was recorded", () => {
  const line = (name: string, x: number[], y: number[]) => ({ key: name, name, colour: "red", x, y });
  const train = line("train", [192, 193, 194, 195], [6.3, 6.2, 6.1, 6]);
  const dev = line("dev", [100, 200], [6.5, 5.96]);
  const same = (value: number): number => value;
  const found = readingsAt([train, dev], { x: 194.2, pixelY: undefined }, same, same, undefined)!;
  expect(found.x).toBe(194);
  expect(found.readings.map(({ line: { name }, x, value }) => [name, x, value, elsewhere(x, found.x)])).toEqual([
    ["train", 194, 6.1, ""],
    ["dev", 200, 5.96, "200"],
  ]);
});

test("places are whole steps, or shares of a depth", () => {
  expect([0, 1, 0.25, 193.6667, 1234567].map(placeText)).toEqual(["0", "1", "0.25", "194", "1234567"]);
  expect(elsewhere(193.6, 194.2)).toBe("");
});

test("a run that explodes does not flatten the others: the axis keeps to most values and counts the rest", () => {
  const losses = Array.from({ length: 990 }, (_, i) => 5 + i / 990);
  const { y, above } = verticalAxis(Float64Array.from([...losses, ...Array(10).fill(1e5)]), false, []);
  expect(y.domain[1]).toBeLessThan(7);
  expect(above).toBe(10);
  expect(verticalAxis(Float64Array.from(losses), false, []).above).toBe(0);
});

test("columns of a heat map end at the first and the last step, and meet half way between others", () => {
  const columns = columnsOf([0, 10, 20, 29]);
  expect(columns).toEqual({ edges: [0, 5, 15, 24.5, 29], isInSteps: true });
  for (const { value } of columnTicks(columns, [0, 10, 20, 29], 4)) expect(value).toBeLessThanOrEqual(29);
});

test("steps recorded logarithmically are columns of equal width, with ticks at recorded steps", () => {
  const steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 399];
  const columns = columnsOf(steps);
  expect(columns.isInSteps).toBe(false);
  expect(columns.edges).toEqual(Array.from({ length: 12 }, (_, i) => i));
  for (const wanted of [3, 6, 20]) {
    const ticks = columnTicks(columns, steps, wanted);
    expect(ticks.length).toBe(Math.min(wanted, steps.length));
    for (const { value, label } of ticks) expect(label).toBe(String(steps[Math.floor(value)]));
    expect([ticks[0]!.label, ticks.at(-1)!.label]).toEqual(["0", "399"]);
  }
});

test.each([
  ["a last step that comes early", [0, 50, 100, 150, 151], true],
  ["two steps", [3, 9], true],
  ["one step", [7], false],
  ["every second or third step of more", [0, 2, 5, 7, 10, 12, 15], true],
])("%s", (_, steps, isInSteps) => {
  const { edges, ...rest } = columnsOf(steps);
  expect(rest).toEqual({ isInSteps });
  expect(edges.length).toBe(steps.length + 1);
  expect(edges).toEqual([...edges].sort((a, b) => a - b));
});

test("a window the wrong way round is put in order, and what is no step asks for nothing", () => {
  expect(stepsAsked({ from: "390", to: "1" })).toEqual({ from: 1, to: 390 });
  expect(stepsAsked({ from: "1e20" })).toEqual({ from: Number.MAX_SAFE_INTEGER, to: undefined });
  expect(stepsAsked({ from: "-3", to: "never" })).toEqual({ from: undefined, to: undefined });
  expect(stepsAsked({ from: "", to: "Infinity" })).toEqual({ from: undefined, to: undefined });
  expect(stepsAsked({ from: "2.6" })).toEqual({ from: 3, to: undefined });
});

test("the axis of steps is the window within what there is, and never empty", () => {
  const axis = (from: number | undefined, to: number | undefined) => stepAxis({ from, to }, [0, 399]).domain;
  expect(axis(undefined, undefined)).toEqual([0, 399]);
  expect(axis(10, 50)).toEqual([10, 50]);
  expect(axis(10, 5000)).toEqual([10, 399]);
  const [first, last] = axis(Number.MAX_SAFE_INTEGER, undefined);
  expect(last).toBeGreaterThan(first);
  expect(first).toBe(399);
});

const view = (runs: readonly RunView[]): Pick<ExperimentView, "runs" | "shared"> => ({
  runs,
  shared: { "train.steps": 10, "data.corpus": "software-messages", "train.optimizer.learningRate": 0.001 },
});
const left = (text: string, { runs, shared }: ReturnType<typeof view>): number =>
  runs.filter((one) => testsOf(text, shared).every((passes) => passes(one))).length;

test("a filter's key may be one that all runs share, also by its last parts", () => {
  const all = view(grid(0, 40));
  expect(left("corpus=software-messages", all)).toBe(16);
  expect(left("data.corpus=other", all)).toBe(0);
  expect(left("optimizer.learningRate<0.01 depth=6", all)).toBe(8);
  expect(left("warmupSteps=40 seed=1", all)).toBe(4);
  expect(unknownKeys("corpus=software-messages depth=6 warmupSteps=40 dev<4 words", all)).toEqual([]);
});

test("a filter's key that nothing is called is named, once its value is begun", () => {
  const all = view(grid(0));
  expect(unknownKeys("nosuch=3 depth=2 nosuch>1", all)).toEqual(["nosuch"]);
  expect(unknownKeys("nosuch=", all)).toEqual([]);
  expect(unknownKeys("toString=1", all)).toEqual(["toString"]);
  expect(left("nosuch=3", all)).toBe(0);
});

const gan = [
  "discriminator/fake",
  "discriminator/gradient-norm",
  "discriminator/loss",
  "generator/gradient-norm",
  "generator/loss",
];

test("metrics are known by the last part of their names: a GAN's losses and gradient norms are of a player each", () => {
  expect(usualMetric(gan)).toBe("discriminator/loss");
  expect(usualMetric(["learning-rate", "loss"])).toBe("loss");
  expect(usualMetric(["class-kl", "modes"])).toBe("class-kl");
  expect(gan.filter(isLoss)).toEqual(["discriminator/loss", "generator/loss"]);
  expect(isLoss("loss/en-de")).toBe(false);
  expect(gradientNormOf("generator/loss", gan)).toBe("generator/gradient-norm");
  expect(gradientNormOf("discriminator/fake", gan)).toBe("discriminator/gradient-norm");
  expect(gradientNormOf("modes", gan)).toBeUndefined(); // of no player
  expect(gradientNormOf("loss/en-de", ["loss", "gradient-norm"])).toBe("gradient-norm");
});

test("losses and their baseline are named by the kind of model", () => {
  const [text, vae, adversarial] = (["transformer", "vae", "gan"] as const).map((kind) =>
    run({}, { kind, unigramEntropy: kind === "transformer" ? 6.392602 : 206.02058 }),
  ) as [RunView, RunView, RunView];
  expect([text, vae, adversarial].map((one) => lossUnit([one]))).toEqual(["nats a target", "nats an image", ""]);
  expect(lossUnit([text, vae])).toBe("");
  expect([text, vae, adversarial].map((one) => baselineOf(one)?.name)).toEqual([
    "unigram entropy",
    "best without input",
    undefined,
  ]);
  expect(baselineRules([text, text, vae, adversarial])).toEqual([
    { value: 6.393, label: "unigram entropy 6.393" },
    { value: 206, label: "best without input 206" },
  ]);
  expect(metricTitle("loss", [vae])).toBe("loss (nats an image)");
  expect(metricTitle("generator/loss", [adversarial])).toBe("generator/loss");
  expect(metricTitle("gradient-norm", [text])).toBe("gradient norm");
});
