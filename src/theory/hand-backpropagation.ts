// Backpropagation through networks of fully connected layers, written out as the seed's Questions 11-15 derive it: loops over
// float64 numbers, with nothing of the engines in it.

/** An activation function g and its derivative. */
export interface Activation {
  value(z: number): number;
  slope(z: number): number;
}

const logistic = (z: number): number => 1 / (1 + Math.exp(-z));

/** Activations by name; `exponential` is the one that is its own derivative. */
export const handActivations = {
  tanh: { value: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2 },
  sigmoid: { value: logistic, slope: (z) => logistic(z) * logistic(-z) },
  "leaky-relu": { value: (z) => (z > 0 ? z : 0.2 * z), slope: (z) => (z > 0 ? 1 : 0.2) },
  exponential: { value: Math.exp, slope: Math.exp },
} satisfies Record<string, Activation>;

export type HandActivation = keyof typeof handActivations;

/** h = g(z), z = x W + b: weight [in, out], bias [out]. The seed's W_d^l is the transpose of this weight. */
export interface Layer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly activation: Activation;
}

/** What a forward pass leaves of each layer: its input x, and z before the activation, rows one after the other. */
export interface Pass {
  readonly rows: number;
  readonly inputs: readonly ArrayLike<number>[];
  readonly z: readonly Float64Array[];
  /** g(z) of the last layer. */
  readonly output: Float64Array;
}

/** Runs `rows` rows through the layers. */
export function forwardByHand(layers: readonly Layer[], x: ArrayLike<number>, rows: number): Pass {
  const inputs: ArrayLike<number>[] = [];
  const all: Float64Array[] = [];
  let output: ArrayLike<number> = x;
  for (const { weight, bias, activation } of layers) {
    const [width, size] = [output.length / rows, bias.length];
    const z = new Float64Array(rows * size);
    for (let n = 0; n < rows; n++)
      for (let j = 0; j < size; j++) {
        let sum = bias[j]!;
        for (let i = 0; i < width; i++) sum += output[n * width + i]! * weight[i * size + j]!;
        z[n * size + j] = sum;
      }
    inputs.push(output);
    all.push(z);
    output = z.map(activation.value);
  }
  return { rows, inputs, z: all, output: output as Float64Array };
}

/** Derivatives of a scalar L, by layer from the first. */
export interface Derivatives {
  readonly weights: readonly Float64Array[];
  readonly biases: readonly Float64Array[];
  /** dL/dz of every layer, row by row. */
  readonly z: readonly Float64Array[];
  /** dL/dx of what the first layer read (the seed's Question 14). */
  readonly input: Float64Array;
}

/** From dL/dz of the last layer down: dL/dz^l = factor(z^l) . (W^{l+1 T} dL/dz^{l+1}), the seed's Question 13, where the factor is
 *  g'(z); dL/dW^l is the sum over rows of x dL/dz^T, dL/db^l that of dL/dz. */
export function backwardByHand(
  layers: readonly Layer[],
  { rows, inputs, z }: Pass,
  last: Float64Array,
  factor: (activation: Activation, z: number) => number = (activation, value) => activation.slope(value),
): Derivatives {
  const weights: Float64Array[] = [];
  const biases: Float64Array[] = [];
  const all: Float64Array[] = [];
  let dz = last;
  let input = new Float64Array();
  for (let l = layers.length - 1; l >= 0; l--) {
    const { weight, bias } = layers[l]!;
    const [x, size] = [inputs[l]!, bias.length];
    const width = x.length / rows;
    const dWeight = new Float64Array(weight.length);
    const dBias = new Float64Array(size);
    input = new Float64Array(x.length);
    for (let n = 0; n < rows; n++)
      for (let j = 0; j < size; j++) {
        const slope = dz[n * size + j]!;
        dBias[j]! += slope;
        for (let i = 0; i < width; i++) {
          dWeight[i * size + j]! += x[n * width + i]! * slope;
          input[n * width + i]! += weight[i * size + j]! * slope;
        }
      }
    weights.unshift(dWeight);
    biases.unshift(dBias);
    all.unshift(dz);
    if (l > 0) {
      const below = layers[l - 1]!.activation;
      dz = input.map((slope, i) => factor(below, z[l - 1]![i]!) * slope);
    }
  }
  return { weights, biases, z: all, input };
}
