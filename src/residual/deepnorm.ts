import * as tf from "@tensorflow/tfjs-core";
import { branchesOf, encoderDecoder, type Place, type ResidualScheme } from "./scheme.ts";

/** Table 1 of the paper: for an encoder of N and a decoder of M layers; for a stack alone (2N)^(1/4) and (8N)^(-1/4), 2N its
 *  residual sublayers. */
function constants(place: Place): { alpha: number; beta: number } {
  const depths = encoderDecoder(place.network);
  if (!depths) {
    const n = branchesOf(place);
    return { alpha: n ** (1 / 4), beta: (4 * n) ** (-1 / 4) };
  }
  const { N, M } = depths;
  return place.stack === "encoder"
    ? { alpha: 0.81 * (N ** 4 * M) ** (1 / 16), beta: 0.87 * (N ** 4 * M) ** (-1 / 16) }
    : { alpha: (3 * M) ** (1 / 4), beta: (12 * M) ** (-1 / 4) };
}

/** DeepNorm: x' = LN(alpha x + F(x)), with beta the Xavier gain of value, output and feed-forward matrices, and gain 1 of
 *  query and key. It bounds the model's update whatever the depth. Wang et al. 2022, figure 2 and equation 1. */
export const deepnorm: ResidualScheme = {
  name: "deepnorm",
  summary: "x' = LN(alpha x + F(x)), weights shrunk by beta (Wang et al. 2022); 1,000 layers",
  equation: "x' = LN(alpha x + F(x))",
  paper: "Wang et al., DeepNet: Scaling Transformers to 1,000 Layers",
  year: 2022,
  remarks:
    "The paper draws from Xavier's normal distribution, fathom from the uniform one of the same variance. TorchScale " +
    "uses 1 / 1.15 where the paper has 0.87. L residual MLP blocks have the constants of an encoder alone of L / 2 layers.",
  finalNorm: false,
  warmupExpected: true,
  constants,
  gains(place) {
    const { beta } = constants(place);
    return { query: 1, key: 1, value: beta, out: beta, in: beta };
  },
  connect: (x, branch, { norm, constant }) => norm(tf.add(tf.mul(x, constant("alpha")), branch(x))),
};
