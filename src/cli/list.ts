// `fathom list`: what can be named in a configuration or on the command line.

import pc from "picocolors";
import { members, unknownName, type Member } from "../registry.ts";
import { UserError } from "../errors.ts";
import type { Description, Values } from "../residual/describe.ts";
import type { Launcher } from "../launchers/launcher.ts";
import type { ResidualScheme } from "../residual/scheme.ts";
import { exitCodes, print, unusedOut, verb } from "./verb.ts";

export const list = verb({
  usage: "list [kind] [name]",
  summary: "names of schemes, norms, probes, corpora ... with one line each",
  positionals: {
    kind: { type: "string", describe: "one kind only, such as residual" },
    name: { type: "string", describe: "one member only, such as deepnorm" },
  },
  options: {
    out: unusedOut,
    depth: {
      type: "string",
      describe: "residual: constants at this depth, 12 or 18+6; 6 if not given",
      requiresArg: true,
    },
  },
  examples: [
    ["fathom list", "everything"],
    ["fathom list residual", "the residual schemes: equations, papers, constants and initial gains"],
    ["fathom list residual deepnorm --depth 18+6", "one of them, at 18 encoder and 6 decoder layers"],
  ],
  async run({ kind, name, depth, quiet, json }) {
    const all = await registriesByKind();
    if (kind !== undefined && !Object.hasOwn(all, kind))
      throw new UserError(unknownName("kind", kind, Object.keys(all)));
    const isWanted = (member: Member): boolean => name === undefined || member.name === name;
    if (kind !== undefined && !all[kind]!.some(isWanted))
      throw new UserError(
        unknownName(
          kind,
          name!,
          all[kind]!.map((member) => member.name),
        ),
      );
    if (depth !== undefined && kind !== "residual")
      throw new UserError(
        `--depth: expected with the kind residual, got ${kind ?? "no kind"}; write: fathom list residual --depth ${depth}`,
      );
    if (kind === "residual") {
      const layers = parseDepth(depth ?? "6");
      const schemes = (await describeSchemes(layers)).filter(isWanted);
      const title =
        `residual schemes at ${layers.encoder} + ${layers.decoder} layers (--depth for others). Matrices start uniform within ` +
        "gain x sqrt(6 / (in + out)), the output projection too; embeddings are normal with deviation gain / sqrt(width).";
      print({ quiet, json }, { residual: schemes }, () => [title, ...schemes.map(schemeText)].join("\n\n"));
      return exitCodes.done;
    }
    const wanted = kind === undefined ? all : { [kind]: all[kind]!.filter(isWanted) };
    print({ quiet, json }, wanted, () => Object.entries(wanted).map(section).join("\n\n"));
    return exitCodes.done;
  },
});

function section([kind, entries]: [string, readonly Member[]]): string {
  const width = Math.max(...entries.map((m) => m.name.length));
  return [pc.bold(kind), ...entries.map((m) => `  ${m.name.padEnd(width)}  ${m.summary}`)].join("\n");
}

/** `12` is 12 layers a stack, `18+6` 18 encoder and 6 decoder layers. */
function parseDepth(text: string): { encoder: number; decoder: number } {
  const [encoder, decoder = encoder, ...rest] = text.split("+").map(Number);
  const isCount = (n: number | undefined): n is number => Number.isInteger(n) && n! >= 1 && n! <= 1000;
  if (rest.length > 0 || !isCount(encoder) || !isCount(decoder))
    throw new UserError(
      `--depth: expected layers a stack, 1 to 1000, such as 12, or encoder+decoder such as 18+6; got ${text}`,
    );
  return { encoder, decoder };
}

async function describeSchemes(depth: { encoder: number; decoder: number }): Promise<Description[]> {
  const [{ describeScheme }, residual] = await Promise.all([
    import("../residual/describe.ts"),
    import("../residual/index.ts"),
  ]);
  // No constant depends on these.
  const sizes = { width: 64, heads: 4, feedForward: 256 };
  return [...members<ResidualScheme>(residual).values()].map((scheme) => describeScheme(scheme, { depth, ...sizes }));
}

/** A scheme in a few lines: equation, source, constants and gains of both stacks, and what to know. */
function schemeText(scheme: Description): string {
  const { name, equation, paper, year, finalNorm, warmupExpected, remarks } = scheme;
  const stack = (which: "encoder" | "decoder"): string => {
    const constants = Object.entries(scheme.constants[which]).map(
      ([symbol, values]) => `${symbol} ${valuesText(values)}`,
    );
    const gains = gainsText(scheme.gains[which]);
    return `  ${which}   ${[...constants, gains].join("; ")}`;
  };
  return [
    `${pc.bold(name)}   ${equation}`,
    `  ${paper}, ${year}; final norm: ${finalNorm ? "yes" : "no"}; warm-up expected: ${warmupExpected ? "yes" : "no"}`,
    stack("encoder"),
    stack("decoder"),
    ...(remarks ? [`  ${remarks}`] : []),
  ].join("\n");
}

/** Five digits; of many values the first and the last, and whether all between are as the last. */
function valuesText(values: Values): string {
  const short = (value: number): string => String(Number(value.toPrecision(5)));
  if (typeof values === "number") return short(values);
  const [first, ...rest] = values.map(short);
  return rest.every((value) => value === rest[0]) ? `${first}, then ${rest[0]}` : `${first} ... ${rest.at(-1)}`;
}

/** Gains by matrix, those of different sublayers together where they are equal. */
function gainsText(gains: Description["gains"]["encoder"]): string {
  if (Object.keys(gains).length === 0) return "matrices of unit norm";
  const attention = ["query", "key", "value", "out"];
  const of = (sublayer: string, names: readonly string[]): string =>
    names
      .flatMap((name) => {
        const value = gains[`${sublayer}/${name}`];
        return value === undefined ? [] : [`${name} ${valuesText(value)}`];
      })
      .join(" ");
  const self = of("self-attention", attention);
  const cross = of("cross-attention", attention);
  const both =
    cross === "" || cross === self ? `attention ${self}` : `self-attention ${self}, cross-attention ${cross}`;
  const others = ["embedding", "output"].flatMap((name) =>
    gains[name] === undefined || gains[name] === 1 ? [] : [`${name} ${valuesText(gains[name])}`],
  );
  return ["gains: " + both, `feed-forward ${of("feed-forward", ["in", "out"])}`, ...others].join(", ");
}

/** Every registry by the kind users know it by. */
async function registriesByKind(): Promise<Record<string, readonly Member[]>> {
  const [{ loadRegistries, namesOf }, schema, plots, formats, launchers, checks, instruments] = await Promise.all([
    import("../config/registries.ts"),
    import("../config/schema.ts"),
    import("../plots/index.ts"),
    import("../export/index.ts"),
    import("../launchers/index.ts"),
    import("../theory/index.ts"),
    import("../instruments/index.ts"),
  ]);
  const names = await loadRegistries();
  return {
    model: schema.models,
    residual: names.residual.map(({ name, summary }) => ({ name, summary })),
    norm: names.norms,
    optimizer: schema.optimizers,
    schedule: schema.schedules,
    engine: schema.engines,
    provider: schema.providers,
    corpus: names.corpora,
    reader: names.readers,
    images: names.imageSets,
    binarization: schema.binarizations,
    activation: schema.activations,
    objective: schema.objectives,
    "gan-loss": schema.ganLosses,
    metric: names.metrics.map(({ name, summary }) => ({ name, summary })),
    probe: names.probes.map(({ name, summary }) => ({ name, summary })),
    preset: names.presets.map(({ name, summary }) => ({ name, summary })),
    plot: namesOf(plots),
    "export-format": namesOf(formats),
    launcher: namesOf(launchers),
    "launcher-option": [...members<Launcher>(launchers).values()].flatMap(({ name: of, options }) =>
      options.map(({ name, summary, value }) => ({
        name: `${of} ${name}`,
        summary: `${summary}${value ? `; ${value} if not given` : ""}`,
      })),
    ),
    instrument: namesOf(instruments),
    check: namesOf(checks),
  };
}
