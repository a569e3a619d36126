// Gradients of MLPs, every parameter of them, against their loss: the derivative of the loss along a tensor's own gradient
// g / ||g|| must be ||g||, in float64 as in test/engine/finite-differences.test.ts, which says how and within what bounds.
// That the compiled engine gives the same gradients is in mlp.test.ts.
import { env } from "@tensorflow/tfjs-core";
import { expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { plainMlp, residualMlp } from "../../src/models/mlp.ts";
import type { ActivationName } from "../../src/nn/activations.ts";
import { members } from "../../src/registry.ts";
import * as schemes from "../../src/residual/index.ts";
import type { ResidualScheme } from "../../src/residual/scheme.ts";
import { shake } from "../helpers.ts";
import { batch, regression, sizes } from "./regression.ts";

globalThis.Float32Array = Float64Array as never;
env().platform.isTypedArray = (a): a is Float32Array => ArrayBuffer.isView(a);

const width = 6;
const bound = 1e-5;

/** Where mHC mixes or weighs streams that are all equal: nothing depends on it but for an epsilon. */
const weighsEqualStreams = (path: string): boolean => /\/00\/[^/]+\/hyper\/(pre|mix)\//.test(path);

async function expectSlopes({ player, parameters }: ReturnType<typeof regression>): Promise<void> {
  shake(parameters);
  const engine = await engines.cpu.create({ threads: 1 });
  const { gradients } = await engine.differentiate(player, parameters, batch(), { step: 0, seed: 1, tapped: false });
  expect([...gradients.keys()].sort()).toEqual([...parameters.keys()].sort());
  for (const [path, gradient] of gradients) {
    const norm = Math.hypot(...gradient);
    const { data } = parameters.get(path)!;
    const start = data.slice();
    const lossAt = async (t: number, direction: ArrayLike<number>, length: number): Promise<number> => {
      for (let i = 0; i < data.length; i++) data[i] = start[i]! + (t * direction[i]!) / length;
      const { loss } = await engine.evaluate(player, parameters, batch());
      data.set(start);
      return loss!;
    };
    if (weighsEqualStreams(path) && norm < 1e-12) {
      const ones = new Float32Array(data.length).fill(1);
      expect(Math.abs((await lossAt(1, ones, 1)) - (await lossAt(0, ones, 1))), path).toBeLessThan(1e-12);
      continue;
    }
    expect(norm, path).toBeGreaterThan(weighsEqualStreams(path) ? 1e-9 : 1e-7); // a zero would prove nothing
    const slope = ((await lossAt(1e-5, gradient, norm)) - (await lossAt(-1e-5, gradient, norm))) / 2e-5;
    expect(Math.abs(slope - norm), path).toBeLessThan(bound * norm + 1e-10);
  }
}

const applicable = [...members<ResidualScheme>(schemes).values()].flatMap((scheme) =>
  scheme.attentionOnly ? [] : [scheme.name],
);

// Tanh, since differences across the kink of a ReLU are wrong (it has its own test in test/ops), and since the plain backend's
// erf is an approximation: GELU's slope is off by 1e-8, too much for mHC's gradients of 1e-3.
test.each(applicable)("%s: the loss of a residual MLP changes as every parameter's gradient says", (residual) =>
  expectSlopes(
    regression(
      residualMlp({
        stack: "generator",
        from: "images",
        inputSize: sizes.inputs,
        depth: 3,
        width,
        feedForward: 9,
        residual,
        norm: "layer-norm",
        activation: "tanh",
        dropout: 0,
      }),
      "generator",
      width,
    ),
  ),
);

test.each<ActivationName>(["gelu", "tanh", "sigmoid"])("so does that of a plain MLP with %s", (activation) =>
  expectSlopes(
    regression(
      plainMlp({ stack: "encoder", from: "images", sizes: [sizes.inputs, 8, width], activation }),
      "encoder",
      width,
    ),
  ),
);
