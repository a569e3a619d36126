// Gradients of VAEs, every parameter of them, against their loss in float64: slopes.ts. That the compiled engine gives the
// same gradients is in vae.test.ts, and that PyTorch does in test/inspect/images.test.ts.
import { env } from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import { vae, type VaeOptions } from "../../src/models/vae.ts";
import { imageBatch, plain, residual, shaken, smallVae } from "./images.ts";
import { expectSlopes } from "./slopes.ts";

globalThis.Float32Array = Float64Array as never;
env().platform.isTypedArray = (a): a is Float32Array => ArrayBuffer.isView(a);

// Free bits have a kink where a dimension costs just as much: of the three dimensions here one costs less than 0.4 nats.
const cases: Record<string, Partial<VaeOptions>> = {
  "elbo, k = 1": {},
  "elbo, k = 3": { samples: 3 },
  "beta 0.3, warming up": { beta: 0.3, klWarmupSteps: 10 },
  "free bits": { freeBits: 0.4 },
  "iwae, k = 5": { objective: "iwae", samples: 5 },
  "iwae, k = 1": { objective: "iwae" },
  "elbo, residual": { encoder: residual("pre-ln"), decoder: residual("post-ln"), samples: 2 },
  "iwae, residual": { encoder: residual("rezero"), decoder: residual("pre-ln"), objective: "iwae", samples: 2 },
  "sigmoid units": { encoder: plain([6], "sigmoid"), decoder: plain([6], "sigmoid") },
};

test.each(Object.entries(cases))("%s: the loss changes as every parameter's gradient says", async (_, overrides) => {
  const { players } = vae(smallVae(overrides));
  const parameters = shaken(players, 0.4);
  expect(await expectSlopes(players[0]!, parameters, imageBatch("binary"))).toEqual([]);
  expect(parameters.size).toBeGreaterThan(7);
});
