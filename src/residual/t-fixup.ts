import * as tf from "@tensorflow/tfjs-core";
import { encoderDecoder, type Place, type ResidualScheme, transformerLayersOf } from "./scheme.ts";

/** The gain of the scaled matrices. A stack alone has an encoder's. */
function factor(place: Pick<Place, "network" | "stack">): number {
  const isDecoder = encoderDecoder(place.network) && place.stack === "decoder";
  const layers = transformerLayersOf(place);
  return isDecoder ? (9 * layers) ** (-1 / 4) : 0.67 * layers ** (-1 / 4);
}

/** The gain of a stack's embeddings. */
const embeddingFactor = (place: Pick<Place, "network" | "stack">): number =>
  (9 * transformerLayersOf(place)) ** (-1 / 4);

/** T-Fixup: the plain residual x' = x + F(x) without norms and without warm-up, from smaller weights: value, output and
 *  both feed-forward matrices times 0.67 N^(-1/4) in the encoder and (9M)^(-1/4) in the decoder, cross-attention
 *  included; embeddings times (9N)^(-1/4) and (9M)^(-1/4). Huang et al. 2020 (ICML), section 3;
 *  layer6ai-labs/T-Fixup, fairseq/modules/transformer_layer.py. */
export const tFixup: ResidualScheme = {
  name: "t-fixup",
  summary: "x' = x + F(x) from smaller weights, no norms, no warm-up (Huang et al. 2020)",
  equation: "x' = x + F(x)",
  paper: "Huang et al., Improving Transformer Optimization Through Better Initialization",
  year: 2020,
  remarks:
    "An embedding that source and target share is scaled by the encoder's factor, as in the released code. L residual MLP " +
    "blocks have the gains of an encoder of L / 2 layers, the first matrix that of its embedding: ours.",
  finalNorm: false,
  warmupExpected: false,
  normless: true,
  constants: (place) => ({ gain: factor(place), embedding: embeddingFactor(place) }),
  gains(place) {
    const gain = factor(place);
    return { value: gain, out: gain, in: gain };
  },
  embeddingGain: (stack, network) => embeddingFactor({ stack, network }),
  connect: (x, branch) => tf.add(x, branch(x)),
};
