// What an experiment's folder holds before its runs are read: which they are, and which keys tell them apart.

import { readdirSync, readFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { configHash, variedValue } from "../config/identity.ts";
import type { RunConfig } from "../config/schema.ts";
import { messageOf, UserError } from "../errors.ts";
import { isFile } from "../runs/files.ts";
import { authorsFile, manifestFile, maxManifestBytes, questionIn, readManifest } from "../runs/manifest.ts";
import { isRunName, readConfig } from "../runs/run-folder.ts";
import { variedKeys, variedValues, type Distinguished } from "../runs/varied.ts";
import type { ConfigValue } from "./api.ts";
import type { Desk } from "./desk.ts";
import { headOf } from "./lines.ts";
import { keyOf, linkOut, lstatOf } from "./place.ts";
import type { RunPlace } from "./run-facts.ts";

/** A run of a plan. */
export interface PlannedPlace extends RunPlace {
  readonly kind: RunConfig["model"]["kind"] | "unknown";
  readonly seed: number | undefined;
  /** By the plan's varied keys; empty where the configuration cannot be read. */
  readonly config: Readonly<Record<string, ConfigValue>>;
  /** Runs that agree in this are seeds of one configuration. */
  readonly configuration: string;
  /** Steps the configuration asks for; 0 where they follow from the data. */
  readonly steps: number;
}

/** What an experiment's folder holds. */
export interface Plan {
  readonly name: string;
  readonly question: string;
  readonly shared: Readonly<Record<string, ConfigValue>>;
  readonly varied: readonly string[];
  readonly runs: readonly PlannedPlace[];
  readonly notes: readonly string[];
}

/** What an experiment's folder holds, at little cost: for lists, and for whoever waits for a change. */
export interface Outline {
  readonly question: string;
  readonly kinds: readonly RunConfig["model"]["kind"][];
  readonly runs: readonly RunPlace[];
  /** Differs where the manifest or the author's file has changed, or a run has come or gone. */
  readonly signature: string;
  /** Milliseconds of the epoch. */
  readonly changed: number;
  readonly damage?: string;
}

const kinds = ["transformer", "vae", "gan"] as const;
const isKind = (kind: unknown): kind is (typeof kinds)[number] => kinds.some((known) => known === kind);

/** The state of the files of an experiment itself. */
interface FolderState {
  /** Differ where the manifest has changed, the author's file, and what folders of runs there are. */
  readonly manifest: string;
  readonly author: string;
  readonly folders: readonly string[];
  /** Milliseconds of the epoch. */
  readonly changed: number;
  readonly damage?: string;
}

function stateOf(root: string, dir: string): FolderState {
  const runs = join(dir, "runs");
  const paths = [manifestFile(dir), authorsFile(dir), runs];
  const stats = paths.map(lstatOf);
  const changed = Math.max(0, ...stats.map((one) => Number(one?.mtimeMs ?? 0)));
  const [manifest, author] = stats.map(keyOf) as [string, string, string];
  const damage = linkOut(root, [dir, ...paths]);
  if (damage !== undefined) return { manifest, author, folders: [], changed, damage };
  try {
    const folders = readdirSync(runs, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
      .map(({ name }) => name)
      .sort();
    return { manifest, author, folders, changed };
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    return { manifest, author, folders: [], changed, ...(!isMissing && { damage: messageOf(error) }) };
  }
}

/** What an experiment's folder holds, at little cost. Never throws for what its files hold. */
export function outlineOf(desk: Desk, dir: string): Outline {
  const { root, notes } = desk;
  const { manifest, author, folders, changed, damage } = stateOf(root, dir);
  const signature = [manifest, author, folders.join("/")].join(";");
  if (damage !== undefined) return { question: "", kinds: [], runs: [], signature, changed, damage };
  const name = `outline ${dir}`;
  const known = notes.get<Outline>(name);
  if (known?.signature === signature) return known;
  const lines = manifestLines(desk, dir, manifest);
  const planned = typeof lines === "string" ? [] : lines;
  const ids = new Set(planned.map(({ id }) => id));
  const alone = folders.filter((id) => !ids.has(id)).flatMap((id) => aloneOf(root, dir, id) ?? []);
  const runs = [...planned.map(({ id, hash }) => ({ id, dir: join(dir, "runs", id), hash })), ...alone];
  const found = [
    ...planned.map(({ kind }) => kind),
    ...alone.map((run) => (run.damage === undefined ? kindIn(join(run.dir, "config.yaml")) : undefined)),
  ];
  const outline: Outline = {
    question: questionOf(dir),
    kinds: kinds.filter((kind) => found.includes(kind)),
    runs,
    signature,
    changed,
    ...(typeof lines === "string" && runs.length === 0 && { damage: lines }),
  };
  notes.set(name, outline, 1000 + 400 * runs.length);
  return outline;
}

/** A line of a manifest as far as a list needs it. */
interface ManifestLine {
  readonly id: string;
  readonly hash: string;
  readonly kind: unknown;
}

/** The lines of a manifest in a state, none where there is no such file; or why it cannot be read. */
function manifestLines({ notes }: Desk, dir: string, state: string): readonly ManifestLine[] | string {
  const name = `lines ${dir}`;
  const known = notes.get<{ state: string; lines: readonly ManifestLine[] | string }>(name);
  if (known?.state === state) return known.lines;
  const lines = readLines(manifestFile(dir));
  notes.set(name, { state, lines }, 1000 + 200 * lines.length);
  return lines;
}

function readLines(file: string): readonly ManifestLine[] | string {
  if (!isFile(file)) return [];
  try {
    if (Number(lstatOf(file)?.size ?? 0) > maxManifestBytes) throw new Error("more than any has");
    return readFileSync(file, "utf8")
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => {
        const entry = JSON.parse(line) as {
          id?: unknown;
          hash?: unknown;
          config?: { model?: { kind?: unknown } };
        } | null;
        if (!isRunName(entry?.id) || typeof entry.hash !== "string") throw new Error("something else");
        return { id: entry.id, hash: entry.hash, kind: entry.config?.model?.kind };
      });
  } catch (error) {
    return `${file}: expected planned runs, got ${messageOf(error)}; restore the file or remove it to plan anew`;
  }
}

/** A folder of `runs/` that is in no manifest; undefined where it is no run's. */
function aloneOf(root: string, dir: string, id: string): RunPlace | undefined {
  const run = { id, dir: join(dir, "runs", id) };
  const damage = linkOut(root, [run.dir]);
  if (damage !== undefined) return { ...run, damage };
  if (lstatOf(join(run.dir, "config.yaml"))) return run;
  const traces = ["run.json", "events.jsonl", "metrics.csv", "layers.csv"].some((file) => lstatOf(join(run.dir, file)));
  return traces
    ? { ...run, damage: `${run.dir}: expected the folder of a run, got one without config.yaml; restore or remove it` }
    : undefined;
}

/** The kind of model that a run's `config.yaml` names, without taking the file apart. */
function kindIn(file: string): string | undefined {
  try {
    return /^model:\n(?: .*\n)*? {2}kind: (\w+)$/m.exec(headOf(file, 65_536))?.[1];
  } catch {
    return undefined;
  }
}

/** The question of the author's file, which stands at its beginning; empty where there is none. */
function questionOf(dir: string): string {
  const file = authorsFile(dir);
  return isFile(file) ? questionIn(headOf(file, 65_536)) : "";
}

/** What an experiment's folder holds. Never throws for what its files hold: a run whose configuration cannot be read is damaged, and where
 *  the manifest cannot be, the runs in their folders are there. */
export function planOf(desk: Desk, dir: string): Plan {
  const { root, notes } = desk;
  const { manifest, author, folders, damage } = stateOf(root, dir);
  const name = basename(resolve(dir));
  if (damage !== undefined) return { name, question: "", shared: {}, varied: [], runs: [], notes: [damage] };
  const planned = plannedOf(desk, dir, manifest);
  const ids = new Set(planned.runs.map(({ place }) => place.id));
  const alone = folders.filter((id) => !ids.has(id));
  // Folders of planned runs come one after the other while a sweep goes on, and change nothing here.
  const states = alone.map((id) => {
    const config = lstatOf(join(dir, "runs", id, "config.yaml"));
    return `${id} ${keyOf(config)} ${config ? "" : keyOf(lstatOf(join(dir, "runs", id)))}`;
  });
  const key = [manifest, author, ...states].join(";");
  const known = notes.get<{ key: string; plan: Plan }>(`plan ${dir}`);
  if (known?.key === key) return known.plan;
  const plan = planFrom(name, questionOf(dir), planned, readAlone(desk, dir, alone));
  notes.set(`plan ${dir}`, { key, plan }, 4000 + 2000 * plan.runs.length);
  return plan;
}

/** A run and its configuration, where that can be read. */
interface Read {
  readonly place: RunPlace;
  readonly run: Distinguished | undefined;
}

/** The runs of a manifest, or none and why. */
interface Planned {
  readonly runs: readonly Read[];
  readonly note?: string;
}

function plannedOf({ notes }: Desk, dir: string, state: string): Planned {
  const name = `planned ${dir}`;
  const known = notes.get<{ state: string; planned: Planned }>(name);
  if (known?.state === state) return known.planned;
  const planned = readPlanned(dir);
  notes.set(name, { state, planned }, 1000 + 4000 * planned.runs.length);
  return planned;
}

function readPlanned(dir: string): Planned {
  try {
    const runs = readManifest(dir).map(({ id, hash, varied, config }) => {
      if (!isRunName(id)) throw new UserError(`${manifestFile(dir)}: "${id}" is no run's name`);
      return { place: { id, dir: join(dir, "runs", id), hash }, run: { varied, config } };
    });
    return { runs };
  } catch (error) {
    return { runs: [], note: messageOf(error) };
  }
}

/** The runs in folders that no manifest names. */
const readAlone = (desk: Desk, dir: string, folders: readonly string[]): Read[] =>
  folders.flatMap((id): Read[] => {
    const place = aloneOf(desk.root, dir, id);
    if (!place || place.damage !== undefined) return place ? [{ place, run: undefined }] : [];
    const read = configOf(desk, place.dir);
    return typeof read === "string"
      ? [{ place: { ...place, damage: read }, run: undefined }]
      : [{ place: { ...place, hash: configHash(read) }, run: { varied: {}, config: read } }];
  });

function planFrom(name: string, question: string, planned: Planned, alone: readonly Read[]): Plan {
  const all = [...planned.runs, ...alone];
  const readable = all.flatMap(({ run }) => run ?? []);
  const keys = variedKeys(readable).filter((key) => key !== "seed");
  const seeds = new Set(readable.map(({ config }) => config.seed));
  const varied = [...[...keys].sort((a, b) => rank(a) - rank(b)), ...(seeds.size > 1 ? ["seed"] : [])];
  const values = valuesByPath(readable);
  const differs = (path: string): boolean => {
    const byRun = values.get(path)!;
    return byRun.size < readable.length || new Set(byRun.values()).size > 1;
  };
  const others = [...values.keys()].filter((path) => path !== "name" && !varied.includes(path));
  const implied = others.filter((path) => path !== "seed" && differs(path));
  return {
    name,
    question,
    shared: Object.fromEntries(
      others.filter((path) => !differs(path)).map((path) => [path, values.get(path)!.get(readable[0]!)!]),
    ),
    varied,
    runs: all.map(({ place, run }): PlannedPlace => {
      const config = run ? variedValues(run, keys) : undefined;
      return {
        ...place,
        kind: run && isKind(run.config.model.kind) ? run.config.model.kind : "unknown",
        seed: run?.config.seed,
        config: Object.fromEntries([
          ...varied.map((key) => [key, key === "seed" ? (run?.config.seed ?? null) : (config?.[key] ?? null)]),
          ...implied.map((key) => [key, (run && values.get(key)!.get(run)) ?? null]),
        ]),
        configuration: config ? JSON.stringify(config) : place.id,
        steps: run?.config.train.steps ?? 0,
      };
    }),
    notes: planned.note === undefined ? [] : [planned.note],
  };
}

/** In what order keys tell runs apart: the scheme, the depth, others. */
function rank(key: string): number {
  if (key === "model.residual") return 0;
  return key === "model.depth" || key.startsWith("model.depth.") ? 1 : 2;
}

/** A run's configuration as it wrote it, or why it cannot be read. */
function configOf({ root, notes }: Desk, runDir: string): RunConfig | string {
  const file = join(runDir, "config.yaml");
  const out = linkOut(root, [file]);
  if (out !== undefined) return out;
  const key = keyOf(lstatOf(file));
  const known = notes.get<{ key: string; read: RunConfig | string }>(`config ${runDir}`);
  if (known?.key === key) return known.read;
  let read: RunConfig | string;
  try {
    read = readConfig(runDir);
  } catch (error) {
    read = messageOf(error);
  }
  notes.set(`config ${runDir}`, { key, read }, 8000);
  return read;
}

/** The values of all keys that some run has, by run. */
function valuesByPath(runs: readonly Distinguished[]): Map<string, Map<Distinguished, ConfigValue>> {
  const values = new Map<string, Map<Distinguished, ConfigValue>>();
  for (const run of runs)
    for (const [path, value] of leavesOf(run.config, "")) {
      const known = values.get(path);
      if (known) known.set(run, value);
      else values.set(path, new Map([[run, value]]));
    }
  return values;
}

/** The values of a configuration by dotted path; lists whole. */
function leavesOf(value: unknown, path: string): [string, ConfigValue][] {
  const isMapping = typeof value === "object" && value !== null && !Array.isArray(value) && path !== "model.depth";
  if (!isMapping) return [[path, variedValue(path === "model.depth" ? depthOf(value) : value)]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, path === "" ? key : `${path}.${key}`));
}

/** A depth as one number, where both stacks have the same. */
function depthOf(depth: unknown): unknown {
  const depths = new Set(typeof depth === "object" && depth !== null ? Object.values(depth) : [depth]);
  return depths.size === 1 ? [...depths][0] : depth;
}
