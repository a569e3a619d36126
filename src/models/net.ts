// The hidden layers of a VAE's or a GAN's networks: plain ones, or residual blocks.
import type { ActivationName } from "../nn/activations.ts";
import type { Stage } from "../stage.ts";
import { plainMlp, residualMlp, type WeightTransform } from "./mlp.ts";

/** Hidden layers one by one, or a number of residual blocks of one width. */
export type Net =
  | { readonly hidden: readonly number[]; readonly activation: ActivationName; readonly dropout?: number }
  | {
      readonly depth: number;
      readonly width: number;
      readonly feedForward: number;
      readonly residual: string;
      readonly norm: string;
      readonly activation: ActivationName;
      readonly dropout: number;
    };

/** The stages of a net, from the carry entry `from` [B, inputSize] to `stack` [B, {@link outputWidth}]. */
export function hiddenStages(
  net: Net,
  place: {
    readonly stack: string;
    readonly from: string;
    readonly inputSize: number;
    readonly weight?: WeightTransform | undefined;
    readonly frozen?: true | undefined;
  },
): Stage[] {
  if ("hidden" in net) {
    const { hidden, ...rest } = net;
    return plainMlp({ ...place, ...rest, sizes: [place.inputSize, ...hidden] });
  }
  return residualMlp({ ...place, ...net });
}

/** Width of what a net gives. */
export const outputWidth = (net: Net): number => ("hidden" in net ? net.hidden.at(-1)! : net.width);
