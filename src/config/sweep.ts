// Expansion of a `sweep` section into runs: pure, and the same runs for the same text. Random draws come from the
// experiment's seed, a stream a parameter, so that adding a parameter never changes another's draws.

import { nearest } from "../registry.ts";
import { stream } from "../random.ts";
import { configHash, runId, variedValue, type Varied } from "./identity.ts";
import { isSweepable } from "./json-schema.ts";
import { valueAt, type Problem } from "./problems.ts";
import { withKey, type Resolved, type Resolver } from "./resolve.ts";
import type { RunConfig, SweepConfig, SweepParameter } from "./schema.ts";

/** One run of a plan. */
export interface PlannedRun {
  readonly id: string;
  readonly hash: string;
  /** The keys the sweep varies, without the seed. */
  readonly varied: Varied;
  readonly config: RunConfig;
}

/** The runs of a sweep, with what the author should know about them. */
export interface Expansion {
  readonly runs: readonly PlannedRun[];
  readonly notes: readonly string[];
  /** How runs are stopped early by comparison, where they are. */
  readonly halving?: NonNullable<SweepConfig["halving"]>;
}

/** Runs of a sweep at most. */
const mostRuns = 100_000;

type Assignment = Readonly<Record<string, unknown>>;

/** All runs of `sweep` over `base` (an author's input without its `sweep`), in the order of the text, seeds innermost.
 *  Without a sweep: the one run of `base`. */
export function expandSweep(base: unknown, sweep: SweepConfig | undefined, resolver: Resolver): Resolved<Expansion> {
  const wrong = sweep ? sweepProblems(sweep, resolver.keys) : [];
  if (wrong.length > 0) return { ok: false, problems: wrong };
  const seed = valueAt(base, ["seed"]);
  const seeds: readonly unknown[] = sweep?.seeds ?? [seed];
  const asked = sweep ? combinationsOf(sweep) * seeds.length : 1;
  if (asked > mostRuns)
    return {
      ok: false,
      problems: [
        {
          path: ["sweep"],
          message: `expected at most ${mostRuns} runs, got ${asked}; vary less, or use method: random`,
        },
      ],
    };
  const assignments = sweep ? assignmentsOf(sweep, typeof seed === "number" ? seed : 1) : [{}];
  const varied = [...new Set(assignments.flatMap((a) => Object.keys(a)))];

  const runs = new Map<string, PlannedRun>();
  const found = new Map<string, { problem: Problem; label: string; count: number }>();
  let repeated = 0;
  for (const assignment of assignments)
    for (const seed of seeds) {
      const resolved = resolveRun(base, assignment, seed, resolver);
      if (!resolved.ok) {
        for (const problem of resolved.problems) {
          const key = JSON.stringify([problem.path, problem.message]);
          const label = Object.entries(assignment)
            .map(([k, v]) => `${k}=${JSON.stringify(v)}`)
            .join(" ");
          const entry = found.get(key) ?? { problem, label, count: 0 };
          found.set(key, { ...entry, count: entry.count + 1 });
        }
        continue;
      }
      const config = resolved.value;
      const hash = configHash(config);
      if (runs.has(hash)) repeated++;
      else runs.set(hash, plannedRun(assignment, varied, config, hash));
    }
  if (found.size > 0) {
    const total = assignments.length * seeds.length;
    // What is wrong in some runs only is the combination's fault: say which.
    const problems = [...found.values()].map(({ problem, label, count }) =>
      count < total ? { ...problem, message: `${problem.message} (in the run ${label})` } : problem,
    );
    return { ok: false, problems };
  }
  const notes = repeated > 0 ? [`${repeated} of the sweep's runs repeat earlier ones and are left out`] : [];
  const halving = sweep?.halving;
  const inapt = halving && halvingProblem(halving, [...runs.values()]);
  if (inapt) return { ok: false, problems: [{ path: ["sweep", "halving"], message: inapt }] };
  return { ok: true, value: { runs: [...runs.values()], notes, ...(halving && { halving }) } };
}

/** The plan of one resolved configuration by itself. */
export const singleRun = (config: RunConfig): PlannedRun => plannedRun({}, [], config);

function plannedRun(
  assignment: Assignment,
  keys: readonly string[],
  config: RunConfig,
  hash = configHash(config),
): PlannedRun {
  const varied: Varied = Object.fromEntries(
    keys.map((key) => [
      key,
      variedValue(Object.hasOwn(assignment, key) ? assignment[key] : valueAt(config, key.split("."))),
    ]),
  );
  return { id: runId(varied, config, hash), hash, varied, config };
}

function resolveRun(base: unknown, assignment: Assignment, seed: unknown, resolver: Resolver): Resolved<RunConfig> {
  let input = base;
  for (const [key, value] of Object.entries({ ...assignment, ...(seed === undefined ? {} : { seed }) })) {
    const next = withKey(input, key, value);
    if (!next.ok) return next;
    input = next.value;
  }
  return resolver.resolve(input);
}

/** How many assignments there are, without making them. */
function combinationsOf({ method, parameters, list, runs }: SweepConfig): number {
  if (method !== "grid") return method === "list" ? list!.length : runs!;
  return Object.values(parameters ?? {}).reduce((product, { values }) => product * values!.length, 1);
}

function assignmentsOf(sweep: SweepConfig, seed: number): Assignment[] {
  const parameters = Object.entries(sweep.parameters ?? {});
  switch (sweep.method) {
    case "list":
      return sweep.list!;
    case "grid":
      return parameters.reduce<Assignment[]>(
        (partial, [key, { values }]) => partial.flatMap((a) => values!.map((value) => ({ ...a, [key]: value }))),
        [{}],
      );
    case "random":
      return Array.from({ length: sweep.runs! }, (_, i) =>
        Object.fromEntries(parameters.map(([key, parameter]) => [key, draw(parameter, seed, key, i)])),
      );
  }
}

/** Draw number `i` of a parameter; real values with 6 significant digits, which is plenty and keeps ids short. */
function draw({ values, min, max, distribution }: SweepParameter, seed: number, key: string, i: number): unknown {
  const u = stream(seed, `sweep/${key}`).uniform(new Float64Array(1), i)[0]!;
  if (values) return values[Math.floor(u * values.length)];
  const [low, high] = [min!, max!];
  if (distribution === "int-uniform") return low + Math.floor(u * (high - low + 1));
  const value = distribution === "log-uniform" ? low * (high / low) ** u : low + u * (high - low);
  return Number(value.toPrecision(6));
}

/** What is wrong with the section itself, apart from the values it gives. */
function sweepProblems(sweep: SweepConfig, keys: readonly string[]): Problem[] {
  const problems: Problem[] = [];
  const add = (path: readonly (string | number)[], message: string, unknownKey = false): void => {
    problems.push({ path: ["sweep", ...path], message, unknownKey });
  };
  const { method, parameters, runs, list } = sweep;
  if (method === "list") {
    if (!list) add([], "expected sweep.list with sweep.method: list, got nothing; add the list of runs");
    if (parameters) add(["parameters"], "sweep.parameters has no use with sweep.method: list; remove one of them");
  } else {
    if (!parameters || Object.keys(parameters).length === 0)
      if (method === "random" || !sweep.seeds)
        add([], `expected sweep.parameters with sweep.method: ${method}, got nothing; add the keys to vary`);
    if (list) add(["list"], `sweep.list has no use with sweep.method: ${method}; remove it or say sweep.method: list`);
  }
  if (method === "random" && runs === undefined)
    add([], "expected sweep.runs (the number of draws) with sweep.method: random, got nothing");
  if (method !== "random" && runs !== undefined)
    add(["runs"], `sweep.runs has no use with sweep.method: ${method}; remove it or say sweep.method: random`);
  for (const [key, parameter] of Object.entries(parameters ?? {})) {
    keyProblem(key, keys, (message) => add(["parameters", key], message, true));
    const message = parameterProblem(parameter, method);
    if (message) add(["parameters", key], message);
  }
  for (const [i, entry] of (list ?? []).entries())
    for (const key of Object.keys(entry)) keyProblem(key, keys, (message) => add(["list", i, key], message, true));
  return problems;
}

/** What keeps runs from being compared at the steps of successive halving. */
function halvingProblem(
  { from }: NonNullable<SweepConfig["halving"]>,
  runs: readonly PlannedRun[],
): string | undefined {
  for (const { id, config } of runs) {
    const { steps, evaluateEverySteps } = config.train;
    if (config.model.kind === "gan")
      return `expected a model with one dev loss to compare, got model.kind: gan in the run ${id}`;
    if (typeof steps !== "number")
      return `expected train.steps, since runs are compared at steps, got train.epochs in the run ${id}`;
    if (from % evaluateEverySteps !== 0)
      return `expected from to be a multiple of train.evaluateEverySteps, where dev losses are, got ${from} and ${evaluateEverySteps} in the run ${id}`;
  }
  if (runs.every(({ config }) => from >= config.train.steps!))
    return `expected from below train.steps, got ${from} and at most ${Math.max(...runs.map(({ config }) => config.train.steps!))}`;
  return undefined;
}

function keyProblem(key: string, keys: readonly string[], add: (message: string) => void): void {
  if (!isSweepable(key)) add(`${key} cannot be swept${key === "seed" ? "; list the seeds in sweep.seeds" : ""}`);
  else if (!keys.includes(key)) {
    const guess = nearest(key, keys.filter(isSweepable)) ?? keys.find((k) => k.endsWith(`.${key}`));
    add(
      `unknown configuration key "${key}"${guess ? `; did you mean "${guess}"?` : "; `schema/experiment.schema.json` lists them"}`,
    );
  }
}

function parameterProblem({ values, min, max, distribution }: SweepParameter, method: string): string | undefined {
  const range = min !== undefined || max !== undefined || distribution !== undefined;
  if (values && range) return "expected either values or min, max and distribution, got both; remove one";
  if (values) return undefined;
  if (method === "grid") return "expected values with sweep.method: grid, got none; ranges need sweep.method: random";
  if (min === undefined || max === undefined || distribution === undefined)
    return "expected values, or min, max and distribution; got only a part of them";
  if (min >= max) return `expected min below max, got min ${min} and max ${max}`;
  if (distribution === "log-uniform" && min <= 0)
    return `expected min above 0 with distribution: log-uniform, got ${min}`;
  if (distribution === "int-uniform" && !(Number.isInteger(min) && Number.isInteger(max)))
    return `expected whole numbers for min and max with distribution: int-uniform, got ${min} and ${max}`;
  return undefined;
}
