// Parameters moved along directions and put back.
import type { Parameters } from "../stage.ts";

/** Runs `measure` at theta + sum of amounts x directions (by path; what has no direction stays), and puts theta back. */
export async function displaced<T>(
  parameters: Parameters,
  moves: readonly { readonly amount: number; readonly direction: ReadonlyMap<string, ArrayLike<number>> }[],
  measure: () => Promise<T>,
): Promise<T> {
  const paths = new Set(moves.flatMap(({ direction }) => [...direction.keys()]));
  const before = new Map([...paths].map((path) => [path, parameters.get(path)!.data.slice()]));
  try {
    for (const [path, theta] of before) {
      const { data } = parameters.get(path)!;
      const along = moves.flatMap(({ amount, direction }) => {
        const values = direction.get(path);
        return values ? [{ amount, values }] : [];
      });
      // Summed in float64 and rounded once.
      for (let i = 0; i < data.length; i++)
        data[i] = along.reduce((sum, { amount, values }) => sum + amount * values[i]!, theta[i]!);
    }
    return await measure();
  } finally {
    for (const [path, theta] of before) parameters.get(path)!.data.set(theta);
  }
}
