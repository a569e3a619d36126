import * as tf from "@tensorflow/tfjs-core";
import { branchesOf, encoderDecoder, type Place, type ResidualScheme } from "./scheme.ts";

/** The gain of the scaled matrices: in an encoder of N and a decoder of M layers; sqrt(ln 2N) in a stack alone, 2N its residual
 *  sublayers. A single one counts as two, since with a gain of ln 1 = 0 nothing would ever train. */
function gammaOf(place: Place): number {
  const depths = encoderDecoder(place.network);
  if (!depths) return Math.sqrt(Math.log(Math.max(2, branchesOf(place))));
  const { N, M } = depths;
  return Math.sqrt(place.stack === "encoder" ? (Math.log(3 * M) * Math.log(2 * N)) / 3 : Math.log(3 * M));
}

/** Cross-attention is plain, and so is what follows the last layer. */
const isScaled = ({ sublayer }: Pick<Place, "sublayer">): boolean =>
  sublayer === "self-attention" || sublayer === "feed-forward";

/** Sub-LN (Magneto): pre-LN with one norm more within each sublayer, before its last matrix:
 *  x' = x + W_out LN(heads(LN(x))) and x' = x + W_2 LN(act(W_1 LN(x))). Values, output projections and both feed-forward
 *  matrices start with the gain gamma: sqrt(ln(3M) ln(2N) / 3) in the encoder, sqrt(ln(3M)) in the decoder.
 *  Wang et al. 2022 (arXiv 2210.06423; ICML 2023); microsoft/torchscale, component/multihead_attention.py,
 *  component/feedforward_network.py and architecture/{encoder,decoder}.py. */
export const subLn: ResidualScheme = {
  name: "sub-ln",
  summary: "pre-LN with a second norm before each branch's last matrix (Wang et al. 2022, Magneto)",
  equation: "x' = x + W LN(G(LN(x))), G the branch but for its last matrix W; LN after each stack",
  paper: "Wang et al., Foundation Transformers (Magneto)",
  year: 2022,
  remarks:
    "Cross-attention has neither inner norm nor gain, as in TorchScale; the paper's own word on it could not be " +
    "confirmed, nor that query and key start with gain 1. Gains multiply Xavier's bound, in a uniform distribution of the variance of the paper's normal one; " +
    "TorchScale multiplies PyTorch's default for linear layers instead. L residual MLP blocks have sqrt(ln L), as an " +
    "encoder alone of L / 2 layers.",
  finalNorm: true,
  warmupExpected: true,
  constants: (place): Record<string, number> => (isScaled(place) ? { gamma: gammaOf(place) } : {}),
  gains(place) {
    if (!isScaled(place)) return {};
    const gamma = gammaOf(place);
    return { query: 1, key: 1, value: gamma, in: gamma, out: gamma };
  },
  norms({ sublayer, network: { width, feedForward } }): Record<string, number> {
    switch (sublayer) {
      case "self-attention":
        return { "self-attention": width, "self-attention-inner": width };
      case "cross-attention":
        return { "cross-attention": width };
      case "feed-forward":
        return { "feed-forward": width, "feed-forward-inner": feedForward };
      case "end":
        return { "": width };
    }
  },
  connect: (x, branch, { norm }) => tf.add(x, branch(norm(x))),
  inside: (here) =>
    here.sublayer === "self-attention"
      ? { joined: (o) => here.norm(o, "self-attention-inner") }
      : here.sublayer === "feed-forward"
        ? { hidden: (h) => here.norm(h, "feed-forward-inner") }
        : {},
};
