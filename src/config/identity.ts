// What makes a run itself: its resolved configuration. Ids are readable, safe as folder names, and end in a hash.

import { createHash } from "node:crypto";
import type { RunConfig } from "./schema.ts";

/** A value that can stand in a table or an id: mappings and lists as compact JSON. */
export type Varied = Readonly<Record<string, string | number | boolean | null>>;

/** A configuration's value as it stands in a table or an id; null for what is not there. */
export const variedValue = (value: unknown): Varied[string] =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : ((value ?? null) as Varied[string]);

/** JSON with the keys of every mapping sorted: equal data gives equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) =>
    typeof v === "object" && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}

/** SHA-256 of the canonical resolved configuration, the first 16 hexadecimal digits. */
export const configHash = (config: RunConfig): string =>
  createHash("sha256").update(canonicalJson(config)).digest("hex").slice(0, 16);

/** `residual=pre-ln_depth=6_seed=1_0a1b2c3d`: the varied values by the last part of their key, the seed, and the hash, which whoever
 *  has it already may give. */
export function runId(varied: Varied, config: RunConfig, hash = configHash(config)): string {
  const names = shortNames(Object.keys(varied));
  const values = Object.entries(varied).map(([key, value]) => `${names.get(key)!}=${safe(String(value))}`);
  // 255 bytes is the limit of common file systems; a temporary name and the hash must fit as well.
  const readable = [...values, `seed=${config.seed}`].join("_").slice(0, 120);
  return `${readable}_${hash.slice(0, 8)}`;
}

/** Each key by its last part (`kind` says nothing alone: its parent then), whole where that would not be unique. */
function shortNames(keys: readonly string[]): Map<string, string> {
  const last = (key: string): string =>
    key
      .replace(/\.kind$/, "")
      .split(".")
      .at(-1)!;
  return new Map(keys.map((key) => [key, keys.filter((k) => last(k) === last(key)).length > 1 ? key : last(key)]));
}

const safe = (text: string): string =>
  text
    .replace(/"/g, "")
    .replace(/[^A-Za-z0-9.+-]+/g, "-")
    .replace(/^-|-$/g, "");
