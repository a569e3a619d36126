import type { Tensor } from "@tensorflow/tfjs-core";
import type { Member } from "../registry.ts";

/** How a sublayer's branch F meets the residual stream x, and what that asks of the rest of the network. */
export interface ResidualScheme extends Member {
  /** The residual equation of one sublayer, as printed by `fathom list residual`. */
  readonly equation: string;
  readonly paper: string;
  readonly year: number;
  /** Whether each stack ends in a norm of its own: true where the stream itself is never normalised. */
  readonly finalNorm: boolean;
  /** Whether the paper's recipe trains with learning-rate warm-up. */
  readonly warmupExpected: boolean;
  /** x' from the stream x, the branch F (with its dropout) and this sublayer's norm. */
  connect(x: Tensor, branch: (x: Tensor) => Tensor, norm: (x: Tensor) => Tensor): Tensor;
}
