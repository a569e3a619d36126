// What the server answers with, put together from what its threads read. Runs are shared out among these by their folders, so that
// each keeps what it has read of its own.

import { setTimeout as sleep } from "node:timers/promises";
import { codeNotes } from "../runs/origin.ts";
import { pacesOf, type Pace } from "../runs/pace.ts";
import { commitOf } from "../runs/verify-folder.ts";
import { groupBy } from "../statistics.ts";
import type {
  Curves,
  ExperimentList,
  ExperimentSummary,
  ExperimentView,
  Figure,
  FigureList,
  LayerWindows,
  RunRecordView,
  RunView,
  SampleList,
  Translations,
  Verification,
} from "./api.ts";
import type { drawings } from "./drawer.ts";
import type { DrawnRuns } from "./figures.ts";
import type { jobs } from "./jobs.ts";
import { keeping } from "./kept.ts";
import { finite } from "./numbers.ts";
import { findExperiments, type Found, type Place } from "./place.ts";
import type { Outline, Plan, PlannedPlace } from "./plan.ts";
import { Refusal } from "./refusal.ts";
import type { RunFacts, RunGlance, RunPlace } from "./run-facts.ts";
import { openThread, type Thread } from "./thread.ts";
import { hasVerification, verificationKey } from "./verification.ts";
import type { StepWindow } from "./windows.ts";

/** Threads that read, and what each keeps at most, bytes. */
const readers = 2;
const keptBytes = { tables: 2 ** 28, notes: 2 ** 26 };
/** Objects of a thread at most, MiB: readers hold columns of numbers, which do not count; the drawer every row as an object. */
const heap = { reader: 1024, drawer: 3072 };
/** Bins of all curves of an answer together: of more runs each has fewer. */
const mostPoints = 1_000_000;
/** Figures kept, bytes of their specifications. */
const figureBytes = 2 ** 26;

/** How an experiment stands, for lists and for whoever waits for a change. */
export interface Standing extends Found {
  readonly outline: Outline;
  readonly glances: readonly RunGlance[];
}

/** What the server asks. Names that are not there are refused (404), what cannot be read as well (422). */
export interface Library {
  readonly place: Place;
  experiments(): Promise<ExperimentList>;
  experiment(name: string): Promise<ExperimentView>;
  curves(
    name: string,
    ids: readonly string[] | undefined,
    asked: { readonly split: string; readonly metric: string; readonly window: StepWindow; readonly points: number },
  ): Promise<Curves>;
  layers(
    name: string,
    ids: readonly string[],
    asked: { readonly quantity: string; readonly window: StepWindow; readonly bins: number },
  ): Promise<LayerWindows>;
  figures(name: string): Promise<FigureList>;
  figure(name: string, plot: string): Promise<Figure>;
  samples(name: string, id: string): Promise<SampleList>;
  picture(name: string, id: string, file: string): Promise<Uint8Array>;
  translations(
    name: string,
    id: string,
    asked: { readonly split: "dev" | "test"; readonly from: number; readonly count: number; readonly find: string },
  ): Promise<Translations>;
  record(name: string, id: string): Promise<RunRecordView>;
  verification(): Promise<Verification>;
  /** How all experiments stand now, and the state of what `fathom verify` has found. */
  standings(): Promise<{ readonly experiments: readonly Standing[]; readonly verification: string }>;
  close(): Promise<void>;
}

/** Opens the threads over a place. */
export function openLibrary(place: Place): Library {
  const start = { root: place.root, mostBytes: keptBytes };
  const threads: Thread<typeof jobs>[] = Array.from({ length: readers }, () =>
    openThread("reader", start, heap.reader),
  );
  for (const thread of threads) thread.warm();
  const drawer: Thread<typeof drawings> = openThread("drawer", start, heap.drawer);
  const figures = keeping(figureBytes);
  const threadOf = (dir: string): Thread<typeof jobs> => threads[hashOf(dir) % threads.length]!;

  /** Asks each thread for its share of `items` and gives the answers in the order of the items. */
  async function shared<T extends { readonly dir: string }, R>(
    items: readonly T[],
    ask: (thread: Thread<typeof jobs>, items: readonly T[]) => Promise<readonly R[]>,
  ): Promise<R[]> {
    const shares = groupBy(
      items.map((item, i) => ({ item, i })),
      ({ item }) => String(hashOf(item.dir) % threads.length),
    );
    const answers: R[] = [];
    await Promise.all(
      [...shares].map(async ([thread, share]) => {
        const own = await ask(
          threads[Number(thread)]!,
          share.map(({ item }) => item),
        );
        share.forEach(({ i }, at) => (answers[i] = own[at]!));
      }),
    );
    return answers;
  }

  /** Asks each thread once for its share of `runs`. Refused where runs were asked for by name (`ids`) and none of them can be read: the table
   *  shows the reasons of the others. */
  async function readable<R extends { readonly damage: readonly string[] }>(
    ids: readonly string[] | undefined,
    runs: readonly RunPlace[],
    ask: (thread: Thread<typeof jobs>, runs: readonly RunPlace[]) => Promise<R>,
  ): Promise<R[]> {
    const parts = await Promise.all(
      [...groupBy(runs, ({ dir }) => String(hashOf(dir) % threads.length))].map(([thread, share]) =>
        ask(threads[Number(thread)]!, share),
      ),
    );
    const damage = parts.flatMap((part) => part.damage);
    if (ids && ids.length > 0 && damage.length === ids.length) throw new Refusal(422, damage[0]!);
    return parts;
  }

  function found(name: string): Found {
    const experiment = findExperiments(place).find((one) => one.name === name);
    if (!experiment)
      throw new Refusal(404, `${name}: expected an experiment in ${place.folder}, got none of that name`);
    if (experiment.damage !== undefined) throw new Refusal(422, experiment.damage);
    return experiment;
  }

  const planOf = async (name: string): Promise<Plan & Found> => {
    const experiment = found(name);
    const plan = await threadOf(experiment.dir).ask("plan", experiment.dir);
    return { ...plan, ...experiment };
  };

  function runOf({ name, runs }: Plan, id: string): PlannedPlace {
    const run = runs.find((one) => one.id === id);
    if (!run) throw new Refusal(404, `${id}: expected a run of ${name}, got none of that name`);
    return run;
  }

  /** A run whose folder may be looked into. */
  async function folderOf(name: string, id: string): Promise<string> {
    const plan = await planOf(name);
    return runOf(plan, id).dir;
  }

  const placeOf = ({ id, dir, hash, damage }: RunPlace): RunPlace => ({
    id,
    dir,
    ...(hash !== undefined && { hash }),
    ...(damage !== undefined && { damage }),
  });

  const chosen = (plan: Plan, ids: readonly string[] | undefined): RunPlace[] =>
    (ids ? ids.map((id) => runOf(plan, id)) : plan.runs).map(placeOf);

  async function standings(): Promise<Standing[]> {
    const experiments = findExperiments(place);
    const outlines = await shared(experiments, async (thread, own) =>
      thread.ask(
        "outlines",
        own.map(({ dir }) => dir),
      ),
    );
    const runs = outlines.flatMap((outline) => outline.runs);
    const glances = await shared(runs, (thread, own) => thread.ask("glances", own));
    let at = 0;
    return experiments.map((experiment, i) => {
      const outline = outlines[i]!;
      return { ...experiment, outline, glances: glances.slice(at, (at += outline.runs.length)) };
    });
  }

  /** The state of all that figures are made from, and whose it is. */
  async function drawn(name: string): Promise<DrawnRuns> {
    const { dir } = found(name);
    const [outline] = await threadOf(dir).ask("outlines", [dir]);
    const runs = outline!.runs;
    // Facts first: they tell of damage within tables, which glances know of from then on. Nor may a link be followed that leads out.
    await shared(runs, (thread, own) => thread.ask("facts", own));
    const glances = await shared(runs, (thread, own) => thread.ask("glances", own));
    const leftOut = glances.flatMap(({ id, status, reason = "" }) => (status === "damaged" ? [{ id, reason }] : []));
    const [odd] = leftOut;
    if (odd && leftOut.length === runs.length)
      throw new Refusal(422, `all runs are damaged, so that no figure can be made; of ${odd.id}: ${odd.reason}`);
    const key = [outline!.signature, ...glances.map(({ signature }) => signature)].join("\n");
    const runDirs = runs.filter((_, i) => glances[i]!.status !== "damaged").map((run) => run.dir);
    return { dir, key, runDirs, leftOut };
  }

  /** What the drawer holds of an experiment: of which state of its files, and until when it is left to rest. */
  const latest = new Map<string, { readonly key: string; readonly until: number }>();
  let turn: Promise<unknown> = Promise.resolve();

  /** What `make` gives of an experiment's rows as they are now. All of them are read for it: while they change every second, that is done
   *  again only after four times as long as it took. */
  async function drawnOf<T>(name: string, what: string, make: (drawn: DrawnRuns) => Promise<T>): Promise<T> {
    for (;;) {
      const rows = await drawn(name);
      const { dir, key } = rows;
      const known = figures.get<T>(`${what} ${dir} ${key}`);
      if (known) return known;
      const rest = (): number => {
        const last = latest.get(dir);
        return last && last.key !== key ? last.until - performance.now() : 0;
      };
      // One after the other: who comes second finds the rows read.
      const mine = turn.then(async () => {
        if (rest() > 0) return undefined;
        const start = performance.now();
        const isRead = latest.get(dir)?.key === key;
        const made = await make(rows);
        const end = performance.now();
        if (!isRead) latest.set(dir, { key, until: end + 4 * (end - start) });
        figures.set(`${what} ${dir} ${key}`, made, JSON.stringify(made).length + key.length);
        return made;
      });
      turn = mine.catch(() => {});
      const made = await mine;
      if (made !== undefined) return made;
      await sleep(Math.max(100, rest()), undefined, { ref: false });
    }
  }

  return {
    place,
    async experiments() {
      const all = await standings();
      return {
        folder: place.folder,
        experiments: all.map(summaryOf).sort((a, b) => (a.changed < b.changed ? 1 : a.changed > b.changed ? -1 : 0)),
        hasVerification: place.only === undefined && hasVerification(place.root),
      };
    },
    async experiment(name) {
      const plan = await planOf(name);
      const facts = await shared(plan.runs.map(placeOf), (thread, own) => thread.ask("facts", own));
      return experimentView({ ...plan, name }, facts);
    },
    async curves(name, ids, asked) {
      const plan = await planOf(name);
      const runs = chosen(plan, ids);
      const points = Math.min(asked.points, Math.max(2, Math.floor(mostPoints / Math.max(1, runs.length))));
      const parts = await readable(ids, runs, (thread, own) => thread.ask("curves", own, { ...asked, points }));
      const steps = parts.flatMap(({ extent }) => extent ?? []);
      return {
        split: asked.split,
        metric: asked.metric,
        extent: steps.length > 0 ? [Math.min(...steps), Math.max(...steps)] : null,
        curves: inOrder(
          runs,
          parts.flatMap(({ curves }) => curves),
        ),
      };
    },
    async layers(name, ids, asked) {
      const plan = await planOf(name);
      const runs = chosen(plan, ids);
      const parts = await readable(ids, runs, (thread, own) => thread.ask("layers", own, asked));
      return {
        quantity: asked.quantity,
        isLogarithmic: !linear.has(asked.quantity),
        windows: inOrder(
          runs,
          parts.flatMap(({ windows }) => windows),
        ),
      };
    },
    async figures(name) {
      return drawnOf(name, "figures", (rows) => drawer.ask("figures", rows));
    },
    async figure(name, plot) {
      return drawnOf(name, `figure ${plot}`, (rows) => drawer.ask("figure", rows, plot));
    },
    async samples(name, id) {
      const dir = await folderOf(name, id);
      return threadOf(dir).ask("samples", dir);
    },
    async picture(name, id, file) {
      const dir = await folderOf(name, id);
      return threadOf(dir).ask("picture", dir, file);
    },
    async translations(name, id, asked) {
      const dir = await folderOf(name, id);
      return threadOf(dir).ask("translations", dir, asked);
    },
    async record(name, id) {
      const dir = await folderOf(name, id);
      return threadOf(dir).ask("record", dir);
    },
    async verification() {
      if (place.only !== undefined || !hasVerification(place.root)) return { checks: [] };
      return threads[0]!.ask("verification");
    },
    async standings() {
      return {
        experiments: await standings(),
        verification: place.only === undefined ? verificationKey(place.root) : "",
      };
    },
    async close() {
      await Promise.all([...threads, drawer].map((thread) => thread.close()));
    },
  };
}

/** A number of a text (FNV-1a), by which runs are shared out. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/** What was read of runs, in their order. */
function inOrder<T extends { readonly run: string }>(runs: readonly RunPlace[], parts: readonly T[]): T[] {
  const places = new Map(runs.map(({ id }, i) => [id, i]));
  return [...parts].sort((a, b) => places.get(a.run)! - places.get(b.run)!);
}

/** Quantities on a linear axis: numbers with a unit, shares and angles, as their figures have them. */
const linear = new Set([
  "angular-distance",
  "attention-entropy",
  "attention-logit",
  "branch-share",
  "dead-units",
  "gradient-coherence",
]);

function summaryOf({ name, damage, outline, glances }: Standing): ExperimentSummary {
  const reason = damage ?? outline.damage;
  const changed = Math.max(outline.changed, ...glances.map((run) => run.changed));
  const counts = [...groupBy(glances, ({ status }) => status)].map(([status, runs]) => [status, runs.length] as const);
  return {
    name,
    question: outline.question,
    kinds: outline.kinds,
    counts: Object.fromEntries(counts),
    changed: new Date(changed).toISOString(),
    ...(reason !== undefined && { damage: reason }),
  };
}

/** What an experiment's page shows, from its plan and what there is to know of each of its runs. */
export function experimentView(plan: Plan, facts: readonly RunFacts[]): ExperimentView {
  const made = facts.flatMap(({ madeWith }) => madeWith ?? []);
  const left = pacesBy(plan.runs, facts);
  const all = facts.flatMap((run) => run.metrics);
  const metricsOf = (split: string): string[] =>
    sortedBy([...new Set(all.flatMap(([of, name]) => (of === split ? [name] : [])))], (name) =>
      name === "loss" ? 0 : name.includes("/") ? 2 : 1,
    );
  return {
    name: plan.name,
    question: plan.question,
    shared: plan.shared,
    varied: plan.varied,
    runs: plan.runs.map((run, i) => runView(run, facts[i]!, left[i]!)),
    metrics: { train: metricsOf("train"), dev: metricsOf("dev"), test: metricsOf("test") },
    quantities: sortedBy([...new Set(facts.flatMap((run) => run.quantities))], (name) => {
      const place = quantityOrder.indexOf(name);
      return place < 0 ? quantityOrder.length : place;
    }),
    notes: [...plan.notes, ...codeNotes(made)],
  };
}

/** Quantities that are looked at first; the others follow by name. */
const quantityOrder = [
  "parameter-gradient",
  "activation-gradient",
  "activation",
  "update",
  "parameter",
  "model-update",
];

const sortedBy = (names: readonly string[], rank: (name: string) => number): string[] =>
  [...names].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));

/** How long runs will go on; a run that cannot be read will not. */
function pacesBy(places: readonly PlannedPlace[], facts: readonly RunFacts[]): Left[] {
  const plannedSteps = facts.map((run, i) => run.plannedSteps || places[i]!.steps);
  const paces = pacesOf(
    facts.map(({ steps, seconds, status }, i) => ({
      steps,
      plannedSteps: plannedSteps[i]!,
      seconds,
      configuration: places[i]!.configuration,
      end: ["failed", "damaged"].includes(status)
        ? "broken"
        : ["done", "diverged"].includes(status)
          ? "over"
          : undefined,
    })),
  );
  return paces.map((pace, i) => ({ ...pace, plannedSteps: plannedSteps[i]! }));
}

interface Left extends Pace {
  readonly plannedSteps: number;
}

function runView(place: PlannedPlace, facts: RunFacts, left: Left): RunView {
  return {
    id: place.id,
    kind: place.kind,
    status: facts.status,
    seed: place.seed ?? facts.seed ?? null,
    config: place.config,
    steps: facts.steps,
    plannedSteps: left.plannedSteps,
    secondsPerStep: finite(left.secondsPerStep),
    secondsLeft: finite(left.secondsLeft),
    seconds: finite(facts.seconds),
    trainLoss: finite(facts.trainLoss),
    devLoss: finite(facts.devLoss),
    bestDevLoss: finite(facts.bestDevLoss),
    unigramEntropy: finite(facts.unigramEntropy),
    finals: Object.fromEntries(Object.entries(facts.finals).map(([name, value]) => [name, finite(value)])),
    engine: facts.engine,
    reason: facts.reason,
    hasSamples: facts.hasSamples,
    hasTranslations: facts.hasTranslations,
    commit: facts.madeWith ? commitOf(facts.madeWith) : null,
  };
}
