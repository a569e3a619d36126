// The JSON Schema of an experiment file, for editors, and the list of all keys it knows, for messages and overrides.

import * as z from "zod";
import { experimentSchema, type Registries } from "./schema.ts";

/** A JSON Schema node, as far as this file looks into it. */
interface Node {
  properties?: Record<string, Node>;
  additionalProperties?: Node | boolean;
  anyOf?: Node[];
  oneOf?: Node[];
  definitions?: Record<string, Node>;
  [key: string]: unknown;
}

/** Draft-7 JSON Schema of an experiment file, with the registries' names as enumerations. */
export function jsonSchema(names: Registries): Node {
  const schema = z.toJSONSchema(experimentSchema(names), {
    target: "draft-7",
    io: "input",
    override: ({ jsonSchema: node }) => {
      // zod states the range of safe integers, which tells an author nothing.
      if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
      if (node.minimum === Number.MIN_SAFE_INTEGER) delete node.minimum;
    },
  }) as Node;
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
