// The one place that gathers the registries' names for the configuration. The registries import model
// code, so they are loaded on demand: `--help` must not wait for them.

import { members, type Member } from "../registry.ts";
import type { Registries } from "./schema.ts";

/** The names a configuration may use, from the registries themselves. */
export async function loadRegistries(): Promise<Registries> {
  const [residual, norms, probes, { presets }, corpora, readers, imageSets, metrics] = await Promise.all([
    import("../residual/index.ts"),
    import("../nn/norms/index.ts"),
    import("../probes/index.ts"),
    import("../probes/presets.ts"),
    import("../data/corpora/index.ts"),
    import("../data/readers/index.ts"),
    import("../data/image-sets/index.ts"),
    import("../metrics/index.ts"),
  ]);
  return {
    residual: [...members<Registries["residual"][number]>(residual).values()],
    norms: namesOf(norms),
    probes: [...members<Member & { readonly needs: readonly string[] }>(probes).values()].map(
      ({ name, summary, needs }) => ({ name, summary, comparesBatches: needs.includes("batches") }),
    ),
    presets,
    corpora: namesOf(corpora),
    readers: namesOf(readers),
    imageSets: namesOf(imageSets),
    metrics: [...members<Registries["metrics"][number]>(metrics).values()].map(
      ({ name, summary, needs, isLikelihood }) => ({
        name,
        summary,
        ...(needs && { needs }),
        ...(isLikelihood && { isLikelihood }),
      }),
    ),
  };
}

/** Names and summaries alone, in the order of the names: a registry's members carry much else. */
export const namesOf = (registry: Record<string, Member>): Member[] =>
  [...members(registry).values()].map(({ name, summary }) => ({ name, summary }));
