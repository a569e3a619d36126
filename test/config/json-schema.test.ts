import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { jsonSchema, knownKeys } from "../../src/config/json-schema.ts";
import { loadRegistries } from "../../src/config/registries.ts";
import { optimizers, schedules } from "../../src/config/schema.ts";
import { loadSweep } from "../../src/config/load.ts";
import { names } from "./names.ts";

const root = new URL("../../", import.meta.url);
const configs = readdirSync(new URL("configs/", root)).filter((name) => name.endsWith(".yaml"));

test("schema/experiment.schema.json is up to date; `node scripts/write-schema.js` writes it", async () => {
  const written = JSON.parse(readFileSync(new URL("schema/experiment.schema.json", root), "utf8")) as unknown;
  expect(written).toEqual(JSON.parse(JSON.stringify(jsonSchema(await loadRegistries()))));
});

test("keys of all alternatives are known, and a sweep's parameters are completed from them", () => {
  const schema = jsonSchema(names);
  const keys = knownKeys(schema);
  expect(keys).toEqual(
    expect.arrayContaining(["name", "model.depth", "model.depth.encoder", "train.optimizer.momentum"]),
  );
  const parameters = schema.properties!["sweep"]!.properties!["parameters"]!.properties!;
  expect(parameters).toHaveProperty(["model.residual"]);
  expect(parameters).not.toHaveProperty(["seed"]);
});

test("numbers carry no bounds of safe integers", () => {
  expect(JSON.stringify(jsonSchema(names))).not.toContain(String(Number.MAX_SAFE_INTEGER));
});

test.each(configs)("configs/%s names the schema in its first line and is valid", async (name) => {
  const file = new URL(`configs/${name}`, root);
  expect(readFileSync(file, "utf8").split("\n")[0]).toBe(
    "# yaml-language-server: $schema=../schema/experiment.schema.json",
  );
  const { runs, notes } = loadSweep(file.pathname, [], await loadRegistries());
  expect(runs.length).toBeGreaterThan(0);
  expect(notes).toEqual([]);
});

test("there are configs to test", () => {
  expect(configs).toEqual(expect.arrayContaining(["debug.yaml", "pre-vs-post.yaml", "quickstart.yaml"]));
});

test("optimizers and schedules have one name each", () => {
  for (const table of [optimizers, schedules]) expect(new Set(table.map((m) => m.name)).size).toBe(table.length);
});
