import { float32Array } from "../engine/simd.ts";
import { assert } from "../errors.ts";
import { stream } from "../random.ts";
import { type Init, type Parameter, type Player, parameterSpecs, sizeOf } from "../stage.ts";
import { normalizeVectors } from "./unit-norm.ts";

/** The initial parameters of `players` by path. Every parameter draws from its own stream `init/<path>`, so two schemes
 *  with the same seed start from the same trunk weights. */
export function initialize(players: readonly Player[], seed: number): Map<string, Parameter> {
  const parameters = new Map<string, Parameter>();
  for (const [path, spec] of parameterSpecs(players)) {
    const parameter = { ...spec, data: draw(spec.init, spec.shape, seed, path) };
    normalizeVectors(parameter);
    parameters.set(path, parameter);
  }
  return parameters;
}

function draw(init: Init, shape: readonly number[], seed: number, path: string): Float32Array {
  const data = float32Array(sizeOf(shape));
  const source = stream(seed, `init/${path}`);
  switch (init.kind) {
    case "constant":
      return data.fill(init.value);
    case "profiled":
      return data.fill(1);
    case "values":
      assert(init.values.length === data.length, `${path}: ${init.values.length} values for ${data.length} elements`);
      data.set(init.values);
      return data;
    case "normal":
      source.normal(data);
      for (let i = 0; i < data.length; i++) data[i]! *= init.std;
      return data;
    case "xavier-uniform": {
      const [fanIn = 1, fanOut = 1] = shape;
      const bound = init.gain * Math.sqrt(6 / (fanIn + fanOut));
      source.uniform(data);
      for (let i = 0; i < data.length; i++) data[i] = (2 * data[i]! - 1) * bound;
      return data;
    }
  }
}
