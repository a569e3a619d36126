import type { Member } from "../registry.ts";
import * as probes from "./index.ts";

/** Probes that go together under one word, `probes.preset`. */
export interface Preset extends Member {
  readonly record: readonly string[];
  /** Steps between measurements where the config does not say. */
  readonly everySteps: number;
}

const light = ["gradient-norm", "activation-gradient", "activation-rms", "update-ratio"];
/** Beside `light` what a forward shows anyway, and one pass over the parameters. */
const standard = [
  ...light,
  "angular-distance",
  "attention-entropy",
  "attention-logit",
  "branch-share",
  "dead-units",
  "distance-from-init",
];

/** From cheap to dear. What they cost is measured by `fathom bench probes`. */
export const presets: readonly Preset[] = [
  {
    name: "light",
    summary: "gradients, activations and updates at every layer",
    record: light,
    everySteps: 1,
  },
  {
    name: "standard",
    summary:
      "light, and how layers turn the stream, branch shares, attention, dead units, distance from the start; every 2 steps",
    record: standard,
    everySteps: 2,
  },
  {
    name: "full",
    summary: "all probes, those that differentiate further batches among them; every 10 steps",
    record: Object.values(probes)
      .map(({ name }) => name)
      .sort(),
    everySteps: 10,
  },
];
