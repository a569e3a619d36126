import * as tf from "@tensorflow/tfjs-core";
import { constant } from "../nn/parameters.ts";
import { branchesOf, encoderDecoder, type Place, type ResidualScheme, trunkGains } from "./scheme.ts";

/** B, the number of branches of both stacks of a transformer, or of a stack alone. */
function branches(place: Place): number {
  const depths = encoderDecoder(place.network);
  return depths ? 2 * depths.N + 3 * depths.M : branchesOf(place);
}

/** Whether a scale follows the stack: the encoder of a transformer, whose end is read by cross-attention, has one. */
const isScaledAtEnd = ({ network, stack }: Place): boolean => network.heads > 0 && stack === "encoder";

/** Fixup for the transformer: x' = x + s F(x - b), without norms and without bias vectors. Scalar shifts, from 0, stand
 *  before every branch and, in the feed-forward, before the activation and before the second map; scalar multipliers,
 *  from 1, after every branch. With B = 2N + 3M branches the first matrices of a branch are scaled by B^(-1/6)
 *  (attention) and B^(-1/2) (feed-forward), the last ones start at 0. The encoder ends in s (x - b), the decoder in
 *  x - b. An MLP of B blocks has B branches and ends in x - b: the paper's rules for residual networks, where a branch of m
 *  matrices starts with B^(-1 / (2m - 2)). Zhang et al. 2019 (ICLR), section 3; hongyi-zhang/Fixup, fairseq/models/transformer_zero.py. */
export const fixup: ResidualScheme = {
  name: "fixup",
  summary: "x' = x + s F(x - b), scalar s and b, branches from 0, no norms (Zhang et al. 2019)",
  equation: "x' = x + s F(x - b); s (x - b) after the encoder, x - b after the decoder",
  paper: "Zhang et al., Fixup Initialization: Residual Learning Without Normalization",
  year: 2019,
  remarks:
    "The released code gives cross-attention the exponent of 12 branches at any depth, surely by oversight; here it has " +
    "that of all branches, as the others. A transformer's output projection starts at 0, but where it is tied to an embedding; what follows a stack of MLP blocks does not.",
  finalNorm: false,
  warmupExpected: true,
  normless: true,
  unbiasedLinear: true,
  outputGain: 0,
  constants: (place) => ({
    ...(place.network.heads && { "B^(-1/6)": branches(place) ** (-1 / 6) }),
    "B^(-1/2)": branches(place) ** (-1 / 2),
    b: 0,
    ...(place.sublayer !== "end" && { s: 1 }),
  }),
  gains(place) {
    const attention = branches(place) ** (-1 / 6);
    return {
      query: attention * trunkGains.query,
      key: attention * trunkGains.key,
      value: attention * trunkGains.value,
      in: branches(place) ** (-1 / 2),
      out: 0,
    };
  },
  // Stages of different stacks have keys of their own; an MLP's stack may be named `encoder` all the same.
  form: (place) => (place.network.heads ? "" : "alone"),
  parameters(place) {
    const { sublayer } = place;
    const shifts = sublayer === "feed-forward" ? ["shift", "shift-inner", "shift-hidden"] : ["shift"];
    const scales = sublayer === "end" && !isScaledAtEnd(place) ? [] : ["scale"];
    return Object.fromEntries([
      ...shifts.map((name) => [`${sublayer}/${name}`, constant([1], 0)] as const),
      ...scales.map((name) => [`${sublayer}/${name}`, constant([1], 1)] as const),
    ]);
  },
  connect(x, branch, { sublayer, parameter }) {
    const f = branch(tf.sub(x, parameter(`${sublayer}/shift`)));
    return tf.add(x, tf.mul(f, parameter(`${sublayer}/scale`)));
  },
  inside: ({ parameter }) => ({
    inner: (u) => tf.sub(u, parameter("feed-forward/shift-inner")),
    hidden: (h) => tf.sub(h, parameter("feed-forward/shift-hidden")),
  }),
  close(x, { stack, form, parameter }) {
    const shifted = tf.sub(x, parameter("end/shift"));
    return form !== "alone" && stack === "encoder" ? tf.mul(shifted, parameter("end/scale")) : shifted;
  },
};
