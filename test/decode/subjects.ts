// Small transformers to decode with, and sources for them.
import type { Translator } from "../../src/decode.ts";
import type { Engine } from "../../src/engine/engine.ts";
import { decoder } from "../../src/models/decoding.ts";
import type { TransformerOptions } from "../../src/models/transformer.ts";
import { stream } from "../../src/random.ts";
import { members } from "../../src/registry.ts";
import * as residual from "../../src/residual/index.ts";
import type { ResidualScheme } from "../../src/residual/scheme.ts";
import { build, shake, smallTransformer } from "../helpers.ts";

/** A small transformer whose parameters are all away from where they start, so that nothing is 0 or 1 by chance. */
export function translatorOf(engine: Engine, overrides: Partial<TransformerOptions> = {}): Translator {
  const options = smallTransformer(overrides);
  const { parameters } = build(options);
  // Without norms a larger push makes an encoder's output of hundreds, and scores of thousands whose rounding shows.
  const scheme = members<ResidualScheme>(residual).get(options.residual as string)!;
  shake(parameters, scheme.normless ? 0.1 : 0.3);
  return { engine, parameters, decoder: decoder(options) };
}

/** Sources of these lengths, of random ids from 3 on. */
export const randomSources = (lengths: readonly number[], vocabulary: number, seed = 1): number[][] =>
  lengths.map((length, i) =>
    Array.from(
      stream(seed, `source ${i}`).uniform(new Float64Array(length)),
      (u) => 3 + Math.floor(u * (vocabulary - 3)),
    ),
  );

/** Makes the end less likely, or more: by bias, which the output has in most schemes. */
export function pushEnd({ parameters }: Translator, by: number): void {
  parameters.get("output/projection/bias")!.data[2]! += by;
}
