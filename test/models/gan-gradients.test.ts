// Gradients of both players of GANs, every parameter of them, against their losses in float64: slopes.ts. That the compiled
// engine gives the same gradients is in gan.test.ts, and that PyTorch does in test/inspect/images.test.ts.
import { env } from "@tensorflow/tfjs-core";
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { gan, type GanOptions } from "../../src/models/gan.ts";
import { convolutional, imageBatch, plain, residual, shaken, smallGan, stretch } from "./images.ts";
import { expectSlopes } from "./slopes.ts";

globalThis.Float32Array = Float64Array as never;
env().platform.isTypedArray = (a): a is Float32Array => ArrayBuffer.isView(a);

// Tanh throughout, since differences across kinks are wrong. A hinge's own kinks are where a score is 1 or -1.
const cases: Record<string, Partial<GanOptions>> = {
  minimax: { loss: "minimax" },
  "non-saturating": { loss: "non-saturating" },
  lsgan: { loss: "lsgan" },
  hinge: { loss: "hinge" },
  "wgan-gp": { loss: "wgan-gp" },
  "wgan-gp, symmetric pixels": { loss: "wgan-gp", pixels: "symmetric" },
  "noise on what is shown": { loss: "non-saturating", pixels: "symmetric", instanceNoise: 0.3 },
  dropout: { loss: "non-saturating", net: { generator: plain([6, 5]), discriminator: plain([7, 5], "tanh", 0.3) } },
  "spectral norm": { loss: "hinge", spectralNorm: true },
  "wgan-gp, spectral norm": { loss: "wgan-gp", spectralNorm: true },
  residual: { net: { generator: residual("pre-ln"), discriminator: residual("post-ln") } },
  "wgan-gp, residual": { loss: "wgan-gp", net: { generator: residual("rezero"), discriminator: residual("rezero") } },
  dcgan: { loss: "non-saturating", net: convolutional() },
  "dcgan, wgan-gp": { loss: "wgan-gp", net: convolutional() },
  "dcgan, spectral norm": { loss: "hinge", net: convolutional(), spectralNorm: true },
};

/** Whether the loss depends on a parameter. Batch normalisation takes the biases before it off again; and a shift of all scores
 *  is nothing to a slope, nor to the difference of real and generated images, which is all a hinge sees within its margins. */
const isBlind = (path: string, { net, loss, spectralNorm }: Partial<GanOptions>): boolean => {
  if (/^generator\/0\d\/(linear|convolution)\/bias$/.test(path)) return net !== undefined && "channels" in net;
  const shifts = /^discriminator\/(score|01\/feed-forward\/out)\/bias$/;
  return shifts.test(path) && (loss === "wgan-gp" || (loss === "hinge" && spectralNorm === true));
};

describe.each(Object.entries(cases))("%s", (_, overrides) => {
  const { players } = gan(smallGan(overrides));
  const parameters = shaken(players, 0.4);
  if (overrides.spectralNorm) stretch(parameters);

  test.each(players)("the $name's loss changes as every parameter's gradient says", async (player) => {
    const blind = await expectSlopes(player, parameters, imageBatch("grey"));
    const own = [...parameters.keys()].filter((path) => path.startsWith("generator") === (player.name === "generator"));
    expect(blind.sort()).toEqual(own.filter((path) => isBlind(path, overrides)).sort());
  });

  test.each(players)("the $name has gradients of all its own parameters and of no other", async (player) => {
    const engine = await engines.cpu.create({ threads: 1 });
    const options = { step: 3, seed: 1, tapped: false };
    const { gradients } = await engine.differentiate(player, parameters, imageBatch("grey"), options);
    const isGenerators = (path: string): boolean => path.startsWith("generator/");
    const own = [...parameters.keys()].filter((path) => isGenerators(path) === (player.name === "generator"));
    expect([...gradients.keys()].sort()).toEqual(own.sort());
  });
});
