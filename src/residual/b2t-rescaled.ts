import { b2t } from "./b2t.ts";
import { layersOf, type ResidualScheme, trunkGains } from "./scheme.ts";

/** The B2T connection as its authors' code starts it: every matrix of a layer times 1 / sqrt(layers of its stack). A name
 *  of its own, since it mixes two causes. takase/b2t_connection, `rescaling_init`. */
export const b2tRescaled: ResidualScheme = {
  ...b2t,
  name: "b2t-rescaled",
  summary: "b2t with all matrices shrunk by 1 / sqrt(layers), as its authors' code does unsaid",
  remarks:
    "`rescaling_init` in the released code, not described in the README. Its feed-forward matrices start from PyTorch's " +
    "default before that, here from Xavier's. As b2t it has no meaning in residual MLP blocks.",
  constants: (place) => ({ gain: layersOf(place) ** -0.5 }),
  gains(place) {
    const gain = layersOf(place) ** -0.5;
    return {
      query: gain * trunkGains.query,
      key: gain * trunkGains.key,
      value: gain * trunkGains.value,
      out: gain * trunkGains.out,
      in: gain * trunkGains.in,
    };
  },
};
