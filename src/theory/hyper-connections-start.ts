import type { Engine } from "../engine/engine.ts";
import { type Stack, stacks } from "../residual/scheme.ts";
import { placeOf } from "../stage.ts";
import { extent } from "../statistics.ts";
import { initialize } from "../train/initialize.ts";
import type { CheckPoint, Claim } from "../types.ts";
import { distance, norm } from "../vectors.ts";
import { type Check, claim } from "./check.ts";
import { measured, predicted, seedsUpTo } from "./points.ts";
import { randomSentences, translationSetting, translator } from "./translation.ts";

const [layers, width] = [6, 64];

/** How a network starts beside the same one under pre-LN. */
export interface Start {
  readonly seed: number;
  readonly loss: { readonly own: number; readonly preLn: number };
  /** ||g - g'|| / ||g'|| of the parameter whose gradients differ most. */
  readonly largestDifference: number;
  /** The norm of the gradient of all a layer shares with pre-LN's, by stack and layer. */
  readonly norms: Readonly<Record<"own" | "preLn", Readonly<Record<Stack, readonly number[]>>>>;
}

/** Runs `residual` and pre-LN from the same seed on the same batch. */
export async function startBesidePreLn(engine: Engine, residual: string, seed: number): Promise<Start> {
  const differentiate = async (scheme: string) => {
    const player = translator(scheme, layers, width);
    const parameters = initialize([player], seed);
    const options = { step: 0, seed, tapped: false };
    const { scalars, gradients } = await engine.differentiate(player, parameters, randomSentences(seed), options);
    // Out of the engine's memory, which the next step writes to.
    return { loss: scalars["loss"]!, gradients: new Map(Array.from(gradients, ([path, g]) => [path, g.slice()])) };
  };
  const preLn = await differentiate("pre-ln");
  const own = await differentiate(residual);
  // The trunk: all that pre-LN has. A bias of the keys adds the same to all scores of a query, which the softmax does not
  // see: its gradient is 0 but for rounding, and a difference of roundings says nothing.
  const trunk = [...preLn.gradients.keys()].filter((path) => !path.endsWith("key/bias"));
  const differences = trunk.map((path) => distance(own.gradients.get(path)!, preLn.gradients.get(path)!));
  const byLayer = (gradients: ReadonlyMap<string, Float32Array>) => {
    const of = (stack: string): number[] =>
      Array.from({ length: layers }, (_, layer) =>
        norm(
          trunk
            .filter((path) => placeOf(path).stack === stack && placeOf(path).layer === layer)
            .map((path) => norm(gradients.get(path)!)),
        ),
      );
    return { encoder: of("encoder"), decoder: of("decoder") };
  };
  return {
    seed,
    loss: { own: own.loss, preLn: preLn.loss },
    largestDifference: extent(differences)[1],
    norms: { own: byLayer(own.gradients), preLn: byLayer(preLn.gradients) },
  };
}

/** Compares with pre-LN. */
export function startClaims(starts: readonly Start[]): Claim[] {
  const says =
    "Hyper-connections start as pre-LN: static read e_(k mod n), mixing I, writing 1, dynamic weights 0 (Zhu et al. 2024, " +
    `section 2; ${translationSetting}, ${layers} layers each side, D = ${width}, n = 4 streams)`;
  return [
    claim({
      name: "hyper-connections-start/loss",
      statement: `${says}: the loss over pre-LN's, of all seeds`,
      predicted: 1,
      measured: starts.map(({ loss }) => loss.own / loss.preLn),
      worst: true,
      // The final norm reads the sum of the n streams, n times pre-LN's: its epsilon of 1e-5 weighs n^2 times less beside a
      // variance of 1 and more. That, and float32's rounding of 6e-8 through some hundred operations, is all.
      tolerance: 1e-5,
    }),
    claim({
      name: "hyper-connections-start/gradients",
      statement:
        `${says}: ||g - g'|| / ||g'|| of the gradients of the parameters both have, at the one that differs most, of all seeds; biases of ` +
        "keys apart, whose gradient is 0",
      predicted: 0,
      measured: starts.map(({ largestDifference }) => largestDifference),
      worst: true,
      // As above; a gradient is a sum with signs of larger terms, so that rounding weighs more.
      tolerance: 1e-4,
    }),
  ];
}

/** Hyper-connections at initialisation: the same function as pre-LN, with the same gradients in the trunk. */
export const hyperConnectionsStart: Check = {
  name: "hyper-connections-start",
  summary:
    "hyper-connections start as pre-LN: the same loss, the same gradients of all that both have (Zhu et al. 2024)",
  source: "Zhu et al. 2024, Hyper-Connections (arXiv 2409.19606), section 2",
  conditions:
    `${translationSetting}, ${layers} layers each side, D = ${width}, four streams. The paper also scales the initial output ` +
    "matrices by the root of the number of streams, which is left out here. It holds of the start alone: the weights " +
    "that read, mix and write get gradients of their own, so that the first update parts the streams.",
  async run({ engine }) {
    const starts: Start[] = [];
    for (const seed of seedsUpTo(5)) starts.push(await startBesidePreLn(engine, "hyper-connections", seed));
    const claims = startClaims(starts);
    const x = Array.from({ length: layers }, (_, i) => i + 1);
    // One seed's prediction belongs to that seed alone: seeds are series here.
    const points: CheckPoint[] = stacks.flatMap((panel) =>
      starts.flatMap(({ seed, norms }) => {
        const where = { series: `seed ${seed}`, panel };
        return [...measured(where, seed, x, norms.own[panel]), ...predicted(where, x, norms.preLn[panel])];
      }),
    );
    const largest = Math.max(...starts.map(({ largestDifference }) => largestDifference));
    return {
      claims,
      figure: {
        kind: "lines",
        title: `Hyper-connections start with pre-LN's gradients: no parameter's differ by more than ${largest.toExponential(0)}`,
        caption:
          "Norm of the gradient of a layer's parameters at initialisation, those that pre-LN has too. Points: " +
          "hyper-connections; dashed: pre-LN from the same seed. Where they start as the same function, one lies on the other.",
        x: { title: "layer" },
        y: { title: "gradient norm", scale: "log" },
        points,
      },
    };
  },
};
