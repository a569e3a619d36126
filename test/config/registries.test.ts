// The schema names engines, optimizers and schedules itself, so that it loads no code that computes.

import { expect, test } from "vitest";
import * as schema from "../../src/config/schema.ts";
import * as engines from "../../src/engine/index.ts";
import { members, type Member } from "../../src/registry.ts";
import { optimizers } from "../../src/train/optimizers.ts";
import { gan } from "../../src/models/gan.ts";
import { vae } from "../../src/models/vae.ts";
import { schedules } from "../../src/train/schedules.ts";
import { smallGan, smallVae } from "../models/images.ts";

const names = (table: readonly Member[]): string[] => table.map(({ name }) => name).sort();

test("the schema's engines are those of the registry, and auto", () => {
  expect(names(schema.engines)).toEqual(["auto", ...members<Member>(engines).keys()].sort());
});

test("the schema's optimizers and schedules are those that train", () => {
  expect(names(schema.optimizers)).toEqual(Object.keys(optimizers).sort());
  expect(names(schema.schedules)).toEqual(Object.keys(schedules).sort());
});

test("the schema's views are those that models have", () => {
  expect(schema.views).toEqual({ vae: Object.keys(vae(smallVae()).views), gan: Object.keys(gan(smallGan()).views) });
});
