// The JSON Schema of an experiment file, for editors, and the list of all keys it knows, for messages and overrides.

import * as z from "zod";
import { experimentSchemas, type Registries } from "./schema.ts";

/** A JSON Schema node, as far as this file looks into it. */
interface Node {
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  anyOf?: Node[];
  oneOf?: Node[];
  definitions?: Record<string, Node>;
  [key: string]: unknown;
}

/** Every dotted key of an experiment file by `model.kind`. */
export function keysOf(names: Registries): Record<keyof ReturnType<typeof experimentSchemas>, string[]> {
  const { transformer, vae, gan } = experimentSchemas(names);
  const keys = (schema: z.ZodType): string[] => knownKeys(plainJsonSchema(schema));
  return { transformer: keys(transformer), vae: keys(vae), gan: keys(gan) };
}

const plainJsonSchema = (schema: z.ZodType): Node =>
  z.toJSONSchema(schema, {
    target: "draft-7",
    io: "input",
    override: ({ jsonSchema: node }) => {
      // zod states the range of safe integers, which tells an author nothing.
      if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
      if (node.minimum === Number.MIN_SAFE_INTEGER) delete node.minimum;
    },
  }) as Node;

/** Draft-7 JSON Schema of an experiment file, with the registries' names as enumerations. Sections that depend on
 *  `model.kind` are any of the kinds'. */
export function jsonSchema(names: Registries): Node {
  const { transformer, vae, gan } = experimentSchemas(names);
  const kinds = [transformer, vae, gan].map(plainJsonSchema);
  const schema: Node = { ...kinds[0], properties: anyOfProperties(kinds.map(({ properties }) => properties!)) };
  // A sweep's parameters are free-form for zod; editors are to complete the dotted keys.
  const sweep = schema.properties!["sweep"]!.properties!;
  const parameters = sweep["parameters"]!;
  const keys = knownKeys(schema).filter((key) => isSweepable(key));
  sweep["parameters"] = {
    ...parameters,
    propertyNames: undefined,
    properties: Object.fromEntries(keys.map((key) => [key, { $ref: "#/definitions/parameter" }])),
    additionalProperties: false,
  };
  return {
    $schema: schema["$schema"],
    title: "fathom experiment",
    ...schema,
    definitions: { ...schema.definitions, parameter: parameters.additionalProperties as Node },
  };
}

/** Each property as it is where the kinds agree, and any of theirs where they do not. */
function anyOfProperties(kinds: readonly Record<string, Node>[]): Record<string, Node> {
  const all = [...new Set(kinds.flatMap((properties) => Object.keys(properties)))];
  return Object.fromEntries(
    all.map((key) => {
      const variants = new Map(kinds.flatMap((p) => (p[key] ? [[JSON.stringify(p[key]), p[key]] as const] : [])));
      const [first, ...others] = variants.values();
      return [key, others.length > 0 ? { description: first!["description"], anyOf: [first!, ...others] } : first!];
    }),
  );
}

/** Every dotted key of a schema: `model`, `model.depth`, `model.depth.encoder` ... in the schema's order. */
export function knownKeys(schema: Node): string[] {
  const keys = new Set<string>();
  const walk = (node: Node, prefix: string): void => {
    for (const variant of [...(node.anyOf ?? []), ...(node.oneOf ?? [])]) walk(variant, prefix);
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      keys.add(prefix + key);
      walk(child, `${prefix}${key}.`);
    }
  };
  walk(schema, "");
  return [...keys];
}

/** Whether a sweep may vary a key: seeds have a list of their own, and the name is the experiment's folder. */
export const isSweepable = (key: string): boolean => !/^(name|seed|sweep)(\.|$)/.test(key);
