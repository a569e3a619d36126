// `fathom list`: what can be named in a configuration or on the command line.

import pc from "picocolors";
import { members, unknownName, type Member } from "../registry.ts";
import { UserError } from "../errors.ts";
import { exitCodes, print, unusedOut, verb } from "./verb.ts";

export const list = verb({
  usage: "list [kind]",
  summary: "names of schemes, norms, probes, corpora ... with one line each",
  positionals: { kind: { type: "string", describe: "one kind only, such as residual" } },
  options: { out: unusedOut },
  examples: [
    ["fathom list", "everything"],
    ["fathom list residual", "the residual schemes"],
  ],
  async run({ kind, quiet, json }) {
    const all = await registriesByKind();
    if (kind !== undefined && !Object.hasOwn(all, kind))
      throw new UserError(unknownName("kind", kind, Object.keys(all)));
    const wanted = kind === undefined ? all : { [kind]: all[kind]! };
    print({ quiet, json }, wanted, () => Object.entries(wanted).map(section).join("\n\n"));
    return exitCodes.done;
  },
});

function section([kind, entries]: [string, readonly Member[]]): string {
  const width = Math.max(...entries.map((m) => m.name.length));
  return [pc.bold(kind), ...entries.map((m) => `  ${m.name.padEnd(width)}  ${m.summary}`)].join("\n");
}

/** Every registry by the kind users know it by. */
async function registriesByKind(): Promise<Record<string, readonly Member[]>> {
  const [{ loadRegistries }, schema, plots, launchers] = await Promise.all([
    import("../config/registries.ts"),
    import("../config/schema.ts"),
    import("../plots/index.ts"),
    import("../launchers/index.ts"),
  ]);
  const names = await loadRegistries();
  return {
    model: schema.models,
    residual: names.residual.map(({ name, summary }) => ({ name, summary })),
    norm: names.norms,
    optimizer: schema.optimizers,
    schedule: schema.schedules,
    engine: schema.engines,
    corpus: names.corpora,
    probe: names.probes,
    plot: [...members<Member>(plots).values()].map(({ name, summary }) => ({ name, summary })),
    launcher: [...members<Member>(launchers).values()].map(({ name, summary }) => ({ name, summary })),
  };
}
