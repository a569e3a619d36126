import type { ParameterShape, Tensors } from "../stage.ts";

/** Parameters of a layer by their path within it: `query/weight`. */
export type ParameterShapes = Readonly<Record<string, ParameterShape>>;

/** Puts every parameter under `scope`: `weight` becomes `query/weight`. */
export function scope(name: string, parameters: ParameterShapes): ParameterShapes {
  return Object.fromEntries(Object.entries(parameters).map(([path, shape]) => [`${name}/${path}`, shape]));
}

/** The tensors under `scope`, by the rest of their path: the inverse of {@link scope}. */
export function under(tensors: Tensors, name: string): Tensors {
  const prefix = `${name}/`;
  return Object.fromEntries(
    Object.entries(tensors).flatMap(([path, tensor]) =>
      path.startsWith(prefix) ? [[path.slice(prefix.length), tensor]] : [],
    ),
  );
}

/** A parameter that starts at one value everywhere. */
export const constant = (shape: readonly number[], value: number): ParameterShape => ({
  shape,
  init: { kind: "constant", value },
});
