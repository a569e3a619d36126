// Writes docs/reference/: every configuration key from the schema, every name from the registries, every command from its
// definition, every column from the types. Run it (after `npm run build`) when one of them changes: npm run schema.
// With --check it writes nothing, and exits with 1 where a page is not what it would write.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import prettier from "prettier";
import ts from "typescript";
import { z } from "zod";
import * as verbs from "../dist/cli/index.js";
import { common } from "../dist/cli/verb.js";
import { loadRegistries } from "../dist/config/registries.js";
import * as vocabulary from "../dist/config/schema.js";
import * as corpora from "../dist/data/corpora/index.js";
import * as imageSets from "../dist/data/image-sets/index.js";
import * as readers from "../dist/data/readers/index.js";
import * as instruments from "../dist/instruments/index.js";
import * as launchers from "../dist/launchers/index.js";
import * as metrics from "../dist/metrics/index.js";
import * as norms from "../dist/nn/norms/index.js";
import * as formats from "../dist/export/index.js";
import * as plots from "../dist/plots/index.js";
import * as probes from "../dist/probes/index.js";
import { presets } from "../dist/probes/presets.js";
import { members } from "../dist/registry.js";
import { describeScheme } from "../dist/residual/describe.js";
import * as residual from "../dist/residual/index.js";
import * as checks from "../dist/theory/index.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "docs/reference");
const all = (registry) => [...members(registry).values()];

// Markdown -------------------------------------------------------------------------------------------------------------

/** Prose as Markdown shows it: what is in backticks stays, `docs/x.md` becomes a link. */
const prose = (text) =>
  text
    .split(/(`[^`]*`)/)
    .map((part) =>
      part.startsWith("`")
        ? part
        : part.replaceAll(/[\\*_<>[\]~]/g, "\\$&").replaceAll(/\bdocs\/([\w-]+)\.md/g, "[docs/$1.md](../$1.md)"),
    )
    .join("");
const code = (text) => `\`${text}\``;
const codes = (names) => names.map(code).join(" ");
/** A table; columns in which nothing stands are left out. */
function table(head, rows) {
  const kept = head.flatMap((_, i) => (rows.some((row) => row[i] !== "" && row[i] !== undefined) ? [i] : []));
  const line = (cells) => `| ${kept.map((i) => String(cells[i] ?? "").replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
/** Names of a registry with a line each. */
const namesTable = (list) =>
  table(
    ["name", "what it is"],
    list.map(({ name, summary }) => [code(name), prose(summary)]),
  );

// Configuration --------------------------------------------------------------------------------------------------------

const kinds = ["transformer", "vae", "gan"];
/** Where the names of a key's values are explained. */
const explained = {
  "model.residual": "residual-schemes.md",
  "model.norm": "norms.md",
  "data.corpus": "corpora.md#corpora",
  "data.corpus.reader": "corpora.md#readers",
  "data.images": "corpora.md#image-sets",
  "probes.record": "probes.md#probes",
  "probes.preset": "probes.md#presets",
  "metrics.evaluation": "metrics.md",
  "metrics.final": "metrics.md",
  engine: "engines.md",
  "engine.kind": "engines.md",
  "engine.provider": "engines.md#providers",
};

const isNull = (node) => node.type === "null";
const alternatives = (node) => node.anyOf ?? node.oneOf ?? [];

/** Every key below `node`: `{key, node, required, variant}`, where `variant` is the `kind` of the mapping it is in, if there
 *  are several. */
function keysBelow(node, prefix, variant = "") {
  const several = alternatives(node).filter((one) => one.properties?.kind?.const !== undefined).length > 1;
  return [
    ...alternatives(node).flatMap((one) =>
      keysBelow(one, prefix, several ? (one.properties?.kind?.const ?? variant) : variant),
    ),
    ...(node.type === "array" && node.items?.properties ? keysBelow(node.items, prefix, variant) : []),
    ...Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
      const key = prefix + name;
      const own = { key, node: child, required: (node.required ?? []).includes(name), variant };
      // The dotted keys of all sections once more: the text says so.
      return key === "sweep.parameters" ? [own] : [own, ...keysBelow(child, `${key}.`, variant)];
    }),
  ];
}

/** Columns whose names say enough in the types. */
const plainColumns = {
  id: "the run's, and the name of its folder",
  status: "`done`, `diverged`, `failed`, `running`, `pending` or `stale`: see [sweeps](../sweeps.md)",
  seed: "of every random stream of the run",
  steps: "optimizer updates done",
  seconds: "of training, evaluation included",
  finalTrainLoss: "nats a target, of the last step",
  finalDevLoss: "nats a target, of the last evaluation",
  unigramEntropy: "of the training targets, nats: the loss of the best model that ignores its input",
  engine: "what computed",
  step: "optimizer updates done by then",
  player: "`model` of a transformer or VAE; `generator`, `discriminator`",
  split: "`train`, `dev` or `test`",
  value: "the number itself",
  component: "`self-attention`, `cross-attention`, `feed-forward`, `norm`, `layer` ...",
  quantity: "what was measured",
  l2: "root of the sum of squares",
  rms: "root of the mean of squares",
  max: "largest magnitude",
  count: "elements of the tensor",
  stack: "`encoder`, `decoder`, or the network's own",
  layer: "from 0; empty for what belongs to none",
  parameter: "path within the component; for activations `stream` or `branch`",
  iterations: "power iterations",
  meanSquareError: "standard error of `meanSquare` over the probes",
  probes: "random vectors",
  lossWithout: "nats a target, without the layer",
  batches: "batches it is the mean of",
  alpha: "along the first direction",
  beta: "along the second",
  loss: "nats a target",
  predicted: "what the formula gives",
  measured: "what the engine gives; the median where there are several seeds",
  parameters: "how many numbers the Hessian is of",
};

const isSafe = (number) => number !== undefined && Math.abs(number) < Number.MAX_SAFE_INTEGER;

/** What a value may be, in words: `integer, 1 to 1000`, `` `adam` ``, `list of strings`. */
function typeText(node) {
  const options = alternatives(node);
  if (options.length > 0) {
    const texts = options.filter((one) => !isNull(one)).map((one) => typeText(one));
    return [...new Set(texts)].join(" or ") + (options.some(isNull) ? ", or null" : "");
  }
  if (node.const !== undefined) return code(node.const);
  if (node.enum) return node.enum.length > 8 ? "a name" : codes(node.enum);
  if (node.type === "array") return `list: ${typeText(node.items ?? {})}`;
  if (node.type === "object") return "mapping";
  if (Array.isArray(node.type)) return node.type.filter((t) => t !== "null").join(" or ") + ", or null";
  if (node.type !== "integer" && node.type !== "number") return node.type ?? "";
  const low = node.exclusiveMinimum !== undefined ? `above ${node.exclusiveMinimum}` : undefined;
  const high = node.exclusiveMaximum !== undefined ? `below ${node.exclusiveMaximum}` : undefined;
  const [from, to] = [node.minimum, node.maximum].map((limit) => (isSafe(limit) ? limit : undefined));
  const range =
    from !== undefined && to !== undefined
      ? `${from} to ${to}`
      : [from !== undefined ? `from ${from}` : low, to !== undefined ? `up to ${to}` : high].filter(Boolean).join(", ");
  return [node.type, range].filter(Boolean).join(", ");
}

const nodesOf = (node) => [node, ...alternatives(node).flatMap(nodesOf), ...(node.items ? nodesOf(node.items) : [])];

/** What a key means, without the list of names with which the schema ends it for editors. */
function meaning(key, node) {
  const found = nodesOf(node);
  const described = found.find(({ description }) => description);
  let text = described?.description ?? "";
  for (const { enum: names } of found)
    for (const name of names ?? []) {
      const at = text.indexOf(`: ${name} (`);
      if (at >= 0) text = text.slice(0, at);
    }
  const names = found.find(({ enum: list }) => list?.length > 8);
  const link = explained[key] ? `[names](${explained[key]})` : names ? codes(names.enum) : "";
  return [prose(text), link].filter(Boolean).join("; ");
}

const defaultText = ({ node, required }) =>
  required
    ? "required"
    : node.default === undefined
      ? ""
      : code(JSON.stringify(node.default).replaceAll('"', "").replaceAll(":", ": ").replaceAll(",", ", ") || '""');

/** The table of a section's keys: those of several kinds of model that agree share a row. */
function sectionTable(section, schemas) {
  const rows = new Map();
  const having = kinds.filter((kind) => schemas[kind].properties[section]);
  for (const kind of having) {
    const schema = schemas[kind];
    const own = {
      key: section,
      node: schema.properties[section],
      required: (schema.required ?? []).includes(section),
      variant: "",
    };
    const leaves = ["name", "seed", "engine", "threads"].includes(section);
    for (const entry of [...(leaves ? [own] : []), ...keysBelow(own.node, `${section}.`)]) {
      const { key, node, variant } = entry;
      // A value that no type admits is there for its message alone.
      if (key === "model.kind" || typeText(node) === "") continue;
      const cells = [code(key), typeText(node), defaultText(entry), meaning(key, node)];
      const id = JSON.stringify(cells);
      const row = rows.get(id) ?? { key, cells, kinds: new Set(), variants: new Set() };
      row.kinds.add(kind);
      if (variant) row.variants.add(variant);
      rows.set(id, row);
    }
  }
  // Rows of one key stand together.
  const order = [...new Set([...rows.values()].map(({ key }) => key))];
  const sorted = [...rows.values()].sort((a, b) => order.indexOf(a.key) - order.indexOf(b.key));
  const variantsOf = (key) => {
    const prefix = key.slice(0, key.lastIndexOf(".") + 1);
    return new Set(sorted.flatMap((row) => (row.key.startsWith(prefix) ? [...row.variants] : [])));
  };
  return table(
    ["key", "value", "default", "meaning", "only of"],
    sorted.map(({ key, cells, kinds: some, variants }) => {
      const only = [
        ...(some.size < having.length ? [...some] : []),
        ...(variants.size > 0 && variants.size < variantsOf(key).size && !key.endsWith(".kind") ? [...variants] : []),
      ];
      return [...cells, codes(only)];
    }),
  );
}

function configPage(names) {
  const json = (schema) => z.toJSONSchema(schema, { target: "draft-7", io: "input" });
  const schemas = Object.fromEntries(
    Object.entries(vocabulary.experimentSchemas(names)).map(([kind, schema]) => [kind, json(schema)]),
  );
  const section = (name, text) => `## ${name}\n\n${text}\n\n${sectionTable(name, schemas)}`;
  const words = [
    ["Optimizers", "train.optimizer.kind", vocabulary.optimizers],
    ["Schedules", "train.schedule.kind", vocabulary.schedules],
    ["Objectives", "model.objective", vocabulary.objectives],
    ["Losses of a GAN", "model.loss", vocabulary.ganLosses],
    ["Orders of a GAN's updates", "train.order", vocabulary.orders],
    ["Pixels", "model.pixels", vocabulary.pixelRanges],
    ["Activations", "model.activation", vocabulary.activations],
  ];
  return `# Configuration

Every key of an experiment file. A key with a default may be left out; what a run then used stands in \`config.yaml\` of its folder. Dotted
keys are also what overrides on the command line (\`train.steps=50\`) and \`sweep.parameters\` name. "Only of" says of which \`model.kind\`, or of which
\`kind\` of the mapping it stands in, a key, a default or a range is. What is required within a mapping is so where the mapping is given.

\`schema/experiment.schema.json\` says the same to editors: begin a file with
\`# yaml-language-server: $schema=../schema/experiment.schema.json\`.

## The top level

${["name", "seed", "engine", "threads"].map((key) => sectionTable(key, schemas)).reduce((a, b) => `${a}\n${b.split("\n").slice(2).join("\n")}`)}

${section("data", "What is translated, or which images are modelled.")}

${section("model", "`model.kind` is `transformer` if it is not given, `vae` or `gan`.")}

${section("train", "How it is trained: `steps` or `epochs`, one of them.")}

${section("probes", "What is measured at every layer, and when.")}

${section("samples", "Which generated images a run of a VAE or GAN keeps.")}

${section("metrics", "What is computed of a VAE or GAN beside its loss.")}

${section("sweep", "Which runs `fathom sweep` makes of the file. `parameters` and the entries of `list` take every dotted key above but `name`, `seed` and `sweep`.")}

${words.map(([title, key, list]) => `## ${title}\n\nThe names of \`${key}\`.\n\n${namesTable(list)}`).join("\n\n")}
`;
}

// Registries -----------------------------------------------------------------------------------------------------------

/** Five digits; of many values the first and the last. */
function valuesText(values) {
  const short = (value) => String(Number(value.toPrecision(5)));
  if (typeof values === "number") return short(values);
  const [first, ...rest] = values.map(short);
  return rest.every((value) => value === rest[0]) ? `${first}, then ${rest[0]}` : `${first} ... ${rest.at(-1)}`;
}

/** Constants and gains of a scheme at two depths, encoder and decoder. */
function numbersTable(scheme) {
  const depths = [6, 12];
  const found = depths.map((n) =>
    describeScheme(scheme, { depth: { encoder: n, decoder: n }, width: 64, heads: 4, feedForward: 256 }),
  );
  const rows = ["constants", "gains"].flatMap((what) => {
    const names = new Set(
      found.flatMap((one) => [...Object.keys(one[what].encoder), ...Object.keys(one[what].decoder)]),
    );
    return [...names].map((name) => [
      what === "constants" ? prose(name) : `gain of ${code(name)}`,
      ...found.flatMap((one) =>
        ["encoder", "decoder"].map((stack) =>
          one[what][stack][name] === undefined ? "" : valuesText(one[what][stack][name]),
        ),
      ),
    ]);
  });
  // Gains that most matrices share are one line.
  const usual = { query: "0.70711", key: "0.70711", value: "0.70711", out: "1", in: "1", embedding: "1", output: "1" };
  const told = rows.filter(([name, ...values]) => {
    const matrix = /^gain of `(?:.*\/)?(\w+)`$/.exec(name)?.[1];
    return !matrix || values.some((value) => value !== "" && value !== usual[matrix]);
  });
  if (told.length === 0) return "";
  return table(
    ["", ...depths.flatMap((n) => ["encoder", "decoder"].map((stack) => `${stack}, ${n} + ${n} layers`))],
    told,
  );
}

function residualPage() {
  const schemes = all(residual);
  const yes = (value) => (value ? "yes" : "no");
  const facts = (scheme) =>
    [
      scheme.normless && "`model.norm` can only be `none`",
      scheme.unbiasedNorms && "norms have no bias",
      scheme.unbiasedLinear && "linear maps have no bias",
      scheme.unitSphere && "all matrices keep unit norm along the stream's width",
      scheme.attentionOnly && "has no meaning without attention, and is refused in VAEs and GANs",
      scheme.profiling && "is measured on the first batch before training",
    ].filter(Boolean);
  return `# Residual schemes

The names of \`model.residual\`. \`npx fathom list residual --depth 18+6\` says the same at any depth; \`run.json\` keeps it for every run. F is a
sublayer's branch, x the stream, x' what the sublayer leaves. Matrices start uniform within gain x sqrt(6 / (in + out)); where a table
does not say otherwise, gains are 1, and 0.70711 of queries, keys and values. [How to add one](../how-to/own-scheme.md).

${table(
  ["name", "equation", "final norm", "warm-up expected", "paper"],
  schemes.map((s) => [
    `[${code(s.name)}](#${s.name})`,
    prose(s.equation),
    yes(s.finalNorm),
    yes(s.warmupExpected),
    `${prose(s.paper)}, ${s.year}`,
  ]),
)}

${schemes
  .map((s) =>
    [
      `## ${s.name}`,
      `\`\`\`text\n${s.equation}\n\`\`\``,
      `${prose(s.paper)}, ${s.year}.${facts(s).length > 0 ? ` Here ${facts(s).join("; ")}.` : ""}`,
      s.remarks ? prose(s.remarks) : "",
      numbersTable(s),
    ]
      .filter(Boolean)
      .join("\n\n"),
  )
  .join("\n\n")}
`;
}

const normsPage = () => `# Norms

The names of \`model.norm\`. Which parameters one has at width D; a norm of a scheme without biases has no \`bias\`.

Schemes without a norm take \`none\` alone: leave \`model.norm\` out of a sweep that has schemes of both kinds, or list the runs
(\`sweep: {method: list, list: [{model.residual: rezero}, {model.residual: pre-ln, model.norm: derf}]}\`).

${table(
  ["name", "what it is", "parameters"],
  all(norms).map((norm) => [
    code(norm.name),
    prose(norm.summary),
    Object.entries(norm.parameters(64))
      .map(([name, { shape }]) => `${code(name)} [${shape.map((n) => (n === 64 ? "D" : n)).join(", ")}]`)
      .join(", "),
  ]),
)}
`;

const probesPage = () => `# Probes

What \`probes.record\` may list, and \`probes.preset\` name. [Quantities](../quantities.md) defines what each writes; [how to add
one](../how-to/own-probe.md).

## Probes

"Needs" is what is done for it beyond a step: \`taps\` are reductions at every layer, \`output\` a forward on the first dev batch, \`start\` a copy of the
initial parameters, \`batches\` the gradients of further batches.

${table(
  ["name", "what it measures", "writes to", "needs", "includes"],
  all(probes).map((probe) => [
    code(probe.name),
    prose(probe.summary),
    [probe.rows && "`layers.csv`", probe.numbers && "`readings.csv`"].filter(Boolean).join(" "),
    codes(probe.needs),
    codes(probe.covers ?? []),
  ]),
)}

## Presets

${table(
  ["name", "what it is", "measured every", "probes"],
  presets.map(({ name, summary, everySteps, record }) => [
    code(name),
    prose(summary),
    everySteps === 1 ? "step" : `${everySteps} steps`,
    codes(record),
  ]),
)}
`;

const plotsPage = () => `# Figures

What \`fathom plot DIR --plot NAME\` draws, and what the report holds where the runs have what a figure needs. Every title states what was found
in the rows at hand.

${table(
  ["name", "what it shows", "of", "needs"],
  all(plots).map((plot) => [
    `[${code(plot.name)}](#${plot.name})`,
    prose(plot.summary),
    codes(plot.of ?? []),
    codes(plot.requires),
  ]),
)}

${all(plots)
  .map((plot) => `## ${plot.name}\n\n${prose(plot.caption)}`)
  .join("\n\n")}
`;

const corporaPage = () => `# Corpora

What \`data\` may name. [How to use files of your own](../how-to/own-corpus.md).

## Corpora

The names of \`data.corpus\`.

${table(
  ["name", "what it is", "version"],
  all(corpora).map(({ name, summary, version }) => [code(name), prose(summary), prose(version)]),
)}

## Readers

The formats of \`data.corpus.reader\`, of files plain or .gz.

${table(
  ["name", "what it reads", "\`files\`"],
  all(readers).map(({ name, summary, layout }) => [
    code(name),
    prose(summary),
    layout === "together" ? "a list, each with all languages" : "a mapping, a file a language",
  ]),
)}

Files with tab-separated columns are \`manythings\` or \`tatoeba\`, by their columns. Columns have no names: the first of
\`languages\` is that of the left text, the second that of the right one, and there are two of them. Ids are left aside, and so is
an attribution, the only column that may be missing.

## Image sets

The names of \`data.images\`, which also takes a folder of IDX files.

${namesTable(all(imageSets))}

## Binarisation

The names of \`data.binarization\`.

${namesTable(vocabulary.binarizations)}
`;

const metricsPage = () => `# Metrics

What \`metrics.evaluation\` and \`metrics.final\` of a VAE or GAN may list, and \`fathom evaluate\` name. What each number means stands in
[quantities](../quantities.md#metricscsv-of-models-of-images). Translations are scored by \`fathom evaluate\` with BLEU, chrF2 and chrF2++ as
sacreBLEU 2.6.0 computes them.

${table(
  ["name", "what it is", "needs of the model", "likelihood"],
  all(metrics).map(({ name, summary, needs, isLikelihood }) => [
    code(name),
    prose(summary),
    codes(needs),
    isLikelihood ? "yes: of binarised images only" : "",
  ]),
)}
`;

const instrumentsPage = () => `# Instruments

What \`fathom measure RUN NAME\` measures of a trained model. Each writes \`measure/step-<step>/<name>.csv\` into the run's folder, whose columns stand
in [files](files.md#measurestep-stepinstrumentcsv).

${namesTable(all(instruments))}
`;

const formatsPage = () => `# Export formats

The names of \`fathom export DIR --format\`. [Export](../export.md) tells how to open what they write.

${namesTable(all(formats))}
`;

const checksPage = () => `# Checks

What \`fathom verify\` runs: each is a few claims of the seed or of a paper, with what a formula predicts beside what the engine measures.
[Mathematics](../mathematics.md) tells what they are about.

${table(
  ["name", "what it checks", "source"],
  all(checks).map(({ name, summary, source }) => [`[${code(name)}](#${name})`, prose(summary), prose(source)]),
)}

${all(checks)
  .map(({ name, summary, source, conditions }) =>
    [`## ${name}`, `${prose(summary)}.`, `Source: ${prose(source)}. Conditions: ${prose(conditions)}`].join("\n\n"),
  )
  .join("\n\n")}
`;

const launchersPage = () => `# Launchers

The names of \`fathom sweep --launcher\`, with what each may be told by \`--option name=value\`. [Sweeps](../sweeps.md) and [clusters](../clusters.md)
tell how they are used.

${all(launchers)
  .map(({ name, summary, options }) =>
    [
      `## ${name}`,
      `${prose(summary)}.`,
      options.length > 0
        ? table(
            ["option", "if not given", "what it is"],
            options.map((o) => [code(o.name), o.value === "" ? "" : code(o.value), prose(o.summary)]),
          )
        : "It has no options.",
    ].join("\n\n"),
  )
  .join("\n\n")}
`;

/** Where each engine comes from. */
const engineSources = {
  auto: "",
  onnx: "with `npm ci`",
  "tensorflow-gpu": "[a GPU](../how-to/gpu.md); `docker/Dockerfile.gpu`",
  tensorflow: "`scripts/install-libtensorflow`",
  wasm: "with `npm ci`",
  cpu: "with `npm ci`",
};
const providerSources = {
  cpu: "with `npm ci`",
  cuda: "[GPU](../gpu.md#the-other-way-onnx-on-a-gpu)",
  webgpu: "with `npm ci`, and a driver for Vulkan, Direct3D 12 or Metal",
};
const sourced = (list, sources) =>
  table(
    ["name", "what computes", "how to get it"],
    list.map(({ name, summary }) => {
      if (sources[name] === undefined) throw new Error(`internal error: no words for where ${name} comes from`);
      return [code(name), prose(summary), sources[name]];
    }),
  );

const enginesPage = () => `# Engines

The names of \`engine\`. [Engines](../engines.md) tells how far they agree and what they cost, [how to train on a GPU](../how-to/gpu.md) how to get one there.

${sourced(vocabulary.engines, engineSources)}

What cannot work on a machine is refused with what is missing; nothing falls back in silence. \`npx fathom doctor\` tries all of them in ten seconds: every
operation on random and hard shapes against float64, three small networks trained side by side.

\`--keep-graphs\` keeps every compiled program of a run as an ONNX file, which [Netron](https://netron.app) opens; \`graphs/index.json\` says of each stage, direction,
shapes of what goes in and out, and how many nodes of which operator. Before a run starts its memory is estimated: with \`onnx\` on the CPU within 11 % of what
22 configurations then took, with other engines from below. A run that cannot fit is refused at once. \`fathom bench soak --minutes 30\` trains
networks of random sizes and depths, one after the other, and fails if resident memory grows.

## Providers

The names of \`engine.provider\`, with \`engine.kind: onnx\`.

${sourced(vocabulary.providers, providerSources)}
`;

// Experiments ----------------------------------------------------------------------------------------------------------

/** The head of a configuration in sections: `{Question, Command, Expected}`. */
function headOf(file) {
  const lines = readFileSync(join(root, "configs", file), "utf8").split("\n");
  const head = lines.slice(
    1,
    lines.findIndex((line) => !line.startsWith("#")),
  );
  const found = {};
  let name;
  for (const line of head) {
    const [, key, text] = /^# (\w+): +(.*)$/.exec(line) ?? [];
    if (key) [name, found[key]] = [key, text];
    else if (name && /^# /.test(line)) found[name] += ` ${line.slice(1).trim()}`;
  }
  return found;
}

function experimentsPage() {
  const found = readdirSync(join(root, "configs"), { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => file.endsWith(".yaml"))
    .sort((a, b) => a.split("/").length - b.split("/").length || (a < b ? -1 : 1));
  return `# Experiments

The configurations in \`configs/\`, with the question that each asks and what it came to. [results/LOG.md](../../results/LOG.md) has the numbers, and what they were
measured on. \`baselines/\` are models of images, \`published/\` experiments of papers at a laptop's size, \`findings/\` what the log's findings stand on.

${found
  .map((file) => ({ file, ...headOf(file) }))
  // A reader's own files may say nothing.
  .filter(({ Question, Command, Expected }) => Question && Command && Expected)
  .map(({ file, Question, Command, Expected }) =>
    [
      `## ${file.replace(/\.yaml$/, "")}`,
      prose(Question[0].toUpperCase() + Question.slice(1)),
      `\`\`\`text\n${Command}\n\`\`\``,
      prose(`Expected: ${Expected}`),
    ].join("\n\n"),
  )
  .join("\n\n")}
`;
}

// Commands -------------------------------------------------------------------------------------------------------------

function optionRow([name, option]) {
  const value =
    option.type === "boolean"
      ? ""
      : option.choices
        ? codes(option.choices)
        : `${option.array ? "list of " : ""}${option.type ?? "string"}`;
  const given = option.default;
  const isTold = given !== undefined && given !== false && !(Array.isArray(given) && given.length === 0);
  const names = [name, ...[option.alias ?? []].flat()];
  return [
    names.map((one) => code(one.length === 1 ? `-${one}` : `--${one}`)).join(" "),
    value,
    option.demandOption ? "required" : isTold ? code(String(given)) : "",
    prose(option.describe ?? ""),
  ];
}

function commandsPage() {
  const listed = all(verbs).filter(({ hidden }) => !hidden);
  const command = ({ name, usage, summary, positionals, options, examples }) => {
    const own = Object.entries(options);
    const places = Object.entries(positionals);
    return [
      `## ${name}`,
      `${prose(summary)}.`,
      `\`\`\`text\nfathom ${usage}\n\`\`\``,
      places.length > 0
        ? table(
            ["argument", "", "what it is"],
            places.map(([argument, { demandOption, describe }]) => [
              code(argument),
              demandOption ? "required" : "",
              prose(describe ?? ""),
            ]),
          )
        : "",
      own.length > 0 ? table(["option", "value", "default", "what it is"], own.map(optionRow)) : "",
      examples.length > 0
        ? table(
            ["example", ""],
            examples.map(([line, text]) => [code(line), prose(text)]),
          )
        : "",
    ]
      .filter(Boolean)
      .join("\n\n");
  };
  return `# Commands

${table(
  ["command", "what it does"],
  listed.map(({ name, usage, summary }) => [`[${code(`fathom ${usage}`)}](#${name})`, prose(summary)]),
)}

## Options of all commands

${table(["option", "value", "default", "what it is"], Object.entries(common).map(optionRow))}

\`--help\` prints what stands here, \`--version\` the version.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | done; a diverged run is a result, too |
| 1 | a failure of fathom's own |
| 2 | something to repair in a configuration, an argument or a file; the message says what was expected and what came |
| 75 | another process works on it, or it cannot be had now: try again |
| 130 | interrupted, with its state saved |

${listed.map(command).join("\n\n")}
`;
}

// Files ----------------------------------------------------------------------------------------------------------------

/** The interfaces of src/types.ts as `{name: {text, columns: [{name, text}]}}`. */
function rowTypes() {
  const file = join(root, "src/types.ts");
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
  const docOf = (node) =>
    ts
      .getJSDocCommentsAndTags(node)
      .map(({ comment }) => String(comment ?? "").replaceAll("`LayerRow`", "`layers.csv`"))
      .join(" ")
      .replaceAll(/\s+/g, " ");
  return Object.fromEntries(
    source.statements.filter(ts.isInterfaceDeclaration).map((declaration) => [
      declaration.name.text,
      {
        text: docOf(declaration),
        columns: declaration.members.map((member) => ({ name: member.name.getText(), text: docOf(member) })),
      },
    ]),
  );
}

const files = [
  [
    "`config.yaml`",
    "resolved; `fathom train` on it repeats the run, on another machine too, and says what differs there",
  ],
  ["`run.json`", "status, engine, versions, commit, machine, data and vocabulary hashes"],
  ["`metrics.csv`", "[loss, learning rate, gradient norm, dev loss by direction](#metricscsv)"],
  [
    "`layers.csv`",
    "[parameter gradients, activation gradients, activations, parameters and updates, at every layer](#layerscsv)",
  ],
  [
    "`readings.csv`",
    "[numbers that are no norms](#readingscsv), where such probes record: entropies, angles, shares, cosines",
  ],
  [
    "`samples/`",
    "of a VAE or GAN: grids of generated images over training, reconstructions, latent traversals; of a transformer that `fathom evaluate` has scored: its translations",
  ],
  ["`evaluation-*.csv`", "of `fathom evaluate`: the last number of each metric, by split"],
  ["`measure/`", "of `fathom measure`: [a table](#measurestep-stepinstrumentcsv) and a figure an instrument, by step"],
  [
    "`checkpoints/`",
    "safetensors: weights, optimizer state, step, with SHA-256 sums; the last two and the best; with `train.averageCheckpoints` those averaged, and their mean",
  ],
  ["`graphs/`", "with `--keep-graphs`: compiled programs as ONNX files, with an index"],
  ["`log.txt`", "what the run said, where a launcher started it"],
  ["`events.jsonl`", "the crash-safe source of the tables"],
];

function filesPage() {
  const types = rowTypes();
  const columns = (type, { doc = true } = {}) => {
    const { text, columns: own } = types[type];
    return [
      doc ? `${prose(text)}` : "",
      table(
        ["column", "meaning"],
        own.map(({ name, text }) => {
          const told = text || plainColumns[name];
          if (!told) throw new Error(`internal error: no words for the column ${name} of ${type}`);
          return [code(name), prose(told)];
        }),
      ),
    ]
      .filter(Boolean)
      .join("\n\n");
  };
  return `# Files

What fathom leaves, and the columns of its tables. Tables are derived, from \`events.jsonl\`, so that a run that was killed leaves what one that was
not leaves. Same config, engine and kind of machine: the same bytes, but for the \`seconds\` column, also after an interruption, a \`kill -9\`
anywhere, or a full disk. What was damaged since is refused by name; a damaged checkpoint is passed over for the one before it. NaN and
the infinities are written by these names.

## An experiment

\`results/<experiment>/\` holds

| file | contents |
| --- | --- |
| \`manifest.jsonl\` | the runs that were planned, frozen: editing the YAML later changes nothing already planned |
| \`runs.csv\` | [a row a run](#runscsv) |
| \`runs/<id>/\` | [a folder a run](#a-run) |
| \`plots/\`, \`report.html\` | figures, and the page that shows all of it |
| \`halving.json\` | with \`sweep.halving\`: every comparison |
| \`slurm/\`, \`kubernetes.yaml\` | what a launcher submitted |

## A run

${table(["file", "contents"], files)}

## runs.csv

One row a run: the columns below, and in the place of \`config\` a column for every key that tells the runs apart. Of models of images what was measured of
the test images stands last.

${columns("RunRow", { doc: false })}

## metrics.csv

${columns("MetricRow")}

## layers.csv

${columns("LayerRow")}

Which probe records which quantity, and what it means: [quantities](../quantities.md#layerscsv-norms-of-tensors-l2-rms-max-count-elements).

## readings.csv

${columns("ReadingRow")}

[Quantities](../quantities.md#readingscsv-numbers-that-are-no-norms-value) defines them.

## measure/step-STEP/INSTRUMENT.csv

${[
  ["`layer-jacobian`, `stack-jacobian`", "JacobianRow"],
  ["`layer-removal`", "RemovalRow"],
  ["`loss-surface`", "SurfaceRow"],
  ["`hessian`", "CurvatureRow"],
]
  .map(([of, type]) => `Of ${of}: ${columns(type)}`)
  .join("\n\n")}

## verify/checks.json

What \`fathom verify\` leaves in \`results/verify/\`, beside \`checks.csv\`, \`report.html\` and a figure a check: a list of claims.

${columns("Claim")}
`;
}

// The pages ------------------------------------------------------------------------------------------------------------

const written = [
  ["config.md", "Configuration", "every key: value, default, meaning", configPage(await loadRegistries())],
  ["commands.md", "Commands", "every verb with its options and examples, and exit codes", commandsPage()],
  ["files.md", "Files", "what an experiment and a run leave, and the columns of the tables", filesPage()],
  ["residual-schemes.md", "Residual schemes", "equation, paper, constants and remarks of each", residualPage()],
  ["norms.md", "Norms", "`model.norm`", normsPage()],
  ["probes.md", "Probes", "what is measured while training, and presets", probesPage()],
  ["instruments.md", "Instruments", "what is measured on demand", instrumentsPage()],
  ["plots.md", "Figures", "what each shows and how to read it", plotsPage()],
  ["export-formats.md", "Export formats", "what other tools read", formatsPage()],
  ["corpora.md", "Corpora", "corpora, readers of files, image sets", corporaPage()],
  ["metrics.md", "Metrics", "of models of images", metricsPage()],
  ["checks.md", "Checks", "the claims of `fathom verify`", checksPage()],
  ["launchers.md", "Launchers", "where runs run", launchersPage()],
  ["engines.md", "Engines", "what computes", enginesPage()],
  ["experiments.md", "Experiments", "the configurations that come with fathom, and what they ask", experimentsPage()],
];
const index = `# Reference

Written by \`npm run schema\` from the schema, the registries, the commands and the types: a test holds these pages to them.

${written.map(([file, title, text]) => `- [${title}](${file}): ${text}`).join("\n")}
`;

const check = process.argv.includes("--check");
const stale = [];
mkdirSync(folder, { recursive: true });
const before = new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
const pages = [["README.md", index], ...written.map(([file, , , text]) => [file, text])];
const options = await prettier.resolveConfig(join(folder, "x.md"));
for (const [name, text] of pages) {
  const formatted = await prettier.format(text, { ...options, parser: "markdown" });
  if (before.get(name) !== formatted) stale.push(name);
  if (!check) writeFileSync(join(folder, name), formatted);
}
stale.push(...[...before.keys()].filter((name) => !pages.some(([own]) => own === name)));
if (!check) console.log(`wrote ${pages.length} pages of docs/reference`);
else if (stale.length > 0) {
  console.error(`docs/reference is not current: ${stale.join(", ")}; \`npm run schema\` writes it`);
  process.exitCode = 1;
}
