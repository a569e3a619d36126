// Who may import whom: the table of docs/architecture.md, held on every import of src, static and dynamic. Imports of
// types alone are held to a table of their own: they tie the words of two folders together, not their code.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { type Member, members } from "../src/registry.ts";

const src = fileURLToPath(new URL("../src", import.meta.url));

/** Open to all; they themselves import nothing but each other. */
const leaves = [
  "errors.ts",
  "folders.ts",
  "paired.ts",
  "random.ts",
  "registry.ts",
  "stage.ts",
  "statistics.ts",
  "synthetic.ts",
  "types.ts",
  "vectors.ts",
];
/** The main paths: they tie everything together, and only the command line calls them. */
const mains = [
  "attention-maps.ts",
  "build.ts",
  "compare-translations.ts",
  "decode.ts",
  "estimate.ts",
  "evaluate.ts",
  "evaluate-translation.ts",
  "halving.ts",
  "index.ts",
  "inspect.ts",
  "launch.ts",
  "measure.ts",
  "memory.ts",
  "parity.ts",
  "prepare.ts",
  "run.ts",
  "run-one.ts",
  "samples.ts",
  "soak.ts",
  "translate.ts",
  "verify.ts",
];
/** A folder of them: the works of `fathom bench` run the main paths themselves. */
const mainFolders = ["bench"];
const isMain = (file: string): boolean => mains.includes(file) || mainFolders.includes(folderOf(file));

/** Folder -> folders it may import, itself and the leaves aside. A path of more parts allows that part alone. */
const mayImport: Record<string, readonly string[]> = {
  ops: [],
  nn: ["ops"],
  residual: ["nn"],
  models: ["nn", "residual", "ops"],
  engine: ["ops"],
  train: ["engine"],
  probes: [],
  data: [],
  metrics: ["engine", "models", "train", "data/cache.ts"],
  config: [],
  runs: ["config"],
  launchers: ["runs"],
  plots: ["runs"],
  report: ["plots", "runs"],
  ui: ["runs", "plots", "config"],
  export: ["runs", "plots/layer-series.ts"],
  theory: ["models", "engine", "residual", "nn", "ops", "train"],
  instruments: ["engine"],
};

/** Folder -> files whose types it may import beyond that. */
const mayImportTypes: Record<string, readonly string[]> = {
  engine: ["probes/probe.ts"], // a tap's reading is what an engine gives and a probe takes
  train: ["probes/probe.ts", "config/schema.ts"],
  report: ["config/schema.ts"],
  metrics: ["data/images.ts"],
};

/** Dynamic imports of our own files: of what a verb needs, so that `--help` need not load it, and of registries' names. */
const mayImportOnDemand = (file: string): boolean =>
  file.startsWith("cli/") ||
  file.startsWith("engine/") ||
  ["config/registries.ts", "index.ts", "launch.ts", "run-one.ts"].includes(file);

/** Packages that belong to some folders alone. */
const packageHomes: readonly [pattern: RegExp, homes: readonly string[]][] = [
  [/^@tensorflow\//, ["ops", "nn", "residual", "models", "engine", "theory", "metrics", "stage.ts"]],
  [/^(onnxruntime-node|onnx-buf)/, ["engine"]],
  [/^@bufbuild\//, ["engine", "export"]],
  [/^yargs$/, ["cli"]],
  [/^vega/, ["plots", "report", "ui"]],
  [/^(hono|@hono\/|preact|@preact\/)/, ["ui"]],
  [/^yaml$/, ["config", "runs", "launchers"]],
];
/** Folders of pure computation: no files, no processes, no network. */
const pure = [
  "ops",
  "nn",
  "residual",
  "models",
  "probes",
  "errors.ts",
  "paired.ts",
  "random.ts",
  "registry.ts",
  "stage.ts",
  "statistics.ts",
  "synthetic.ts",
  "types.ts",
  "vectors.ts",
];

interface Import {
  readonly from: string;
  /** A file of src, or a package's name. */
  readonly to: string;
  readonly own: boolean;
  readonly kind: "value" | "type" | "dynamic";
}

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .map((file) => file.split(sep).join("/"))
  .filter((file) => file.endsWith(".ts"))
  .sort();
const imports = files.flatMap(importsOf);

function importsOf(from: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: string, kind: Import["kind"]): void => {
    const own = specifier.startsWith(".");
    found.push({ from, to: own ? posix.join(posix.dirname(from), specifier) : specifier, own, kind });
  };
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier)
      add((node.moduleSpecifier as ts.StringLiteral).text, isTypeOnly(node) ? "type" : "value");
    if (ts.isImportTypeNode(node))
      add(((node.argument as ts.LiteralTypeNode).literal as ts.StringLiteral).text, "type");
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments;
      add(ts.isStringLiteral(argument!) ? argument.text : `computed: ${argument!.getText()}`, "dynamic");
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(from, readFileSync(join(src, from), "utf8"), ts.ScriptTarget.Latest, true));
  return found;
}

function isTypeOnly(node: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(node)) return node.isTypeOnly;
  const clause = node.importClause;
  if (!clause) return false;
  const named = clause.namedBindings;
  const allTypes =
    named && ts.isNamedImports(named) && named.elements.length > 0 && named.elements.every((e) => e.isTypeOnly);
  return clause.isTypeOnly || (!clause.name && Boolean(allTypes));
}

const folderOf = (file: string): string => file.split("/")[0]!;
const within = (file: string, place: string): boolean => file === place || file.startsWith(`${place}/`);
const show = ({ from, to, kind }: Import): string => `src/${from} imports ${to}${kind === "value" ? "" : ` (${kind})`}`;

test("every folder of src is in the table, and every file stands in one or is known by name", () => {
  const unknown = files.filter((file) =>
    file.includes("/")
      ? !["cli", ...mainFolders, ...Object.keys(mayImport)].includes(folderOf(file))
      : ![...leaves, ...mains].includes(file),
  );
  expect(unknown).toEqual([]);
  expect(imports.length).toBeGreaterThan(200); // the parser has seen something
});

test("imports go only where the table allows", () => {
  const isAllowed = ({ from, to, kind }: Import): boolean => {
    const folder = folderOf(from);
    if (folder === "cli" || isMain(from) || leaves.includes(to) || folder === folderOf(to)) return true;
    if (from === "config/registries.ts" && kind === "dynamic") return true; // names for the schema
    if (leaves.includes(from)) return false;
    const allowed = [...mayImport[folder]!, ...(kind === "type" ? (mayImportTypes[folder] ?? []) : [])];
    return allowed.some((place) => within(to, place));
  };
  expect(imports.filter((i) => i.own && !isAllowed(i)).map(show)).toEqual([]);
});

test("nobody imports the main paths but the command line and each other; nobody imports the command line", () => {
  const wrong = imports.filter(
    ({ from, to, own }) =>
      own && ((isMain(to) && folderOf(from) !== "cli" && !isMain(from)) || (within(to, "cli") && !within(from, "cli"))),
  );
  expect(wrong.map(show)).toEqual([]);
});

test("every exception of the table is used, or it goes", () => {
  for (const [folder, places] of Object.entries(mayImportTypes))
    for (const place of places)
      expect(
        imports.some((i) => folderOf(i.from) === folder && i.to === place && i.kind === "type"),
        `${folder} -> ${place}`,
      ).toBe(true);
});

test("dynamic imports of our own files stand only where a start must be quick, and none is computed elsewhere", () => {
  const dynamic = imports.filter(({ kind }) => kind === "dynamic");
  expect(
    dynamic.filter(({ from, own, to }) => (own || to.startsWith("computed:")) && !mayImportOnDemand(from)).map(show),
  ).toEqual([]);
  // Packages on demand: what few runs need.
  expect(dynamic.filter(({ from, own }) => !own && !mayImportOnDemand(from)).map(show)).toEqual([
    "src/data/packages.ts imports tar (dynamic)",
  ]);
});

test("packages stay in their folders, and computation touches no files", () => {
  const touchesFiles = (to: string): boolean => to.startsWith("node:") || to === "folders.ts";
  const isHome = (from: string, homes: readonly string[]): boolean =>
    [...homes, ...mains, ...mainFolders, "cli"].some((home) => within(from, home));
  const escaped = imports.filter(
    ({ from, to, own }) =>
      (!own && packageHomes.some(([pattern, homes]) => pattern.test(to) && !isHome(from, homes))) ||
      (touchesFiles(to) && pure.some((place) => within(from, place))),
  );
  expect(escaped.map(show)).toEqual([]);
});

test("no file imports itself by a detour, types apart", () => {
  const graph = new Map(
    files.map((file) => [file, imports.filter((i) => i.from === file && i.own && i.kind !== "type").map((i) => i.to)]),
  );
  const cycles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, way: readonly string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) return void cycles.push([...way.slice(at), file].join(" -> "));
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) walk(next, [...way, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
  expect(cycles).toEqual([]);
});

describe("registries", () => {
  const kebab = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  // ops/index.ts is a list of functions, not of interchangeable members; index.ts is the library.
  const registries = files.filter(
    (file) => posix.basename(file) === "index.ts" && !["index.ts", "ops/index.ts"].includes(file),
  );

  test("are where they were", () => {
    expect(registries.map(dirname)).toEqual(
      expect.arrayContaining([
        "bench",
        "cli",
        "data/corpora",
        "engine",
        "export",
        "launchers",
        "nn/norms",
        "plots",
        "probes",
        "residual",
      ]),
    );
  });

  test.each(registries)("%s has one export line a member, each with a name of its own and a summary", async (file) => {
    const lines = readFileSync(join(src, file), "utf8").split("\n");
    const code = lines.filter((line) => line.trim() && !line.startsWith("//"));
    expect(code.filter((line) => !/^export \{ \w+(, \w+)* \} from "\.\/[\w-]+\.ts";$/.test(line))).toEqual([]);
    const registry = (await import(pathToFileURL(join(src, file)).href)) as Record<string, Member>;
    expect(members(registry).size).toBe(Object.keys(registry).length); // `members` throws where a name is there twice
    for (const [key, { name, summary }] of Object.entries(registry)) {
      expect(name).toBe(kebab(key));
      expect(summary.length, name).toBeGreaterThan(10);
      expect(summary, name).not.toContain("\n");
    }
  });
});
