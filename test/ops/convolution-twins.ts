// Convolution in plain float64 loops over its definition, and twins of it for odd and even sizes, steps and paddings.
import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import * as ops from "../../src/ops/index.ts";
import type { Twin } from "../gradient-check.ts";

/** Sizes of one convolution: `images` of rows x columns x channels, a square kernel, `outChannels`. */
export interface Sizes {
  readonly images: number;
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

export const sizes = (list: readonly number[]): Sizes => {
  const [images, rows, columns, channels, outChannels, kernel, stride, padding] = list as number[];
  return {
    images: images!,
    rows: rows!,
    columns: columns!,
    channels: channels!,
    outChannels: outChannels!,
    kernel: kernel!,
    stride: stride!,
    padding: padding!,
  };
};

/** Sizes of the smaller grid. */
export const small = ({ rows, columns, kernel, stride, padding }: Sizes): [number, number] => [
  Math.floor((rows + 2 * padding - kernel) / stride) + 1,
  Math.floor((columns + 2 * padding - kernel) / stride) + 1,
];

export const shapesOf = (s: Sizes): Record<"x" | "y" | "w", number[]> => ({
  x: [s.images, s.rows, s.columns, s.channels],
  y: [s.images, ...small(s), s.outChannels],
  w: [s.kernel, s.kernel, s.channels, s.outChannels],
});

/** Shows `visit` every product of the definition: places in x, y and w. */
function forEachProduct(s: Sizes, visit: (x: number, y: number, w: number) => void): void {
  const [smallRows, smallColumns] = small(s);
  for (let b = 0; b < s.images; b++)
    for (let i = 0; i < smallRows; i++)
      for (let j = 0; j < smallColumns; j++)
        for (let k = 0; k < s.kernel; k++)
          for (let l = 0; l < s.kernel; l++) {
            const [row, column] = [i * s.stride + k - s.padding, j * s.stride + l - s.padding];
            if (row < 0 || row >= s.rows || column < 0 || column >= s.columns) continue;
            for (let c = 0; c < s.channels; c++)
              for (let d = 0; d < s.outChannels; d++)
                visit(
                  ((b * s.rows + row) * s.columns + column) * s.channels + c,
                  ((b * smallRows + i) * smallColumns + j) * s.outChannels + d,
                  ((k * s.kernel + l) * s.channels + c) * s.outChannels + d,
                );
          }
}

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export function convolve(x: Float64Array, w: Float64Array, s: Sizes): Float64Array {
  const out = new Float64Array(count(shapesOf(s).y));
  forEachProduct(s, (i, j, k) => (out[j]! += x[i]! * w[k]!));
  return out;
}

export function transposedConvolve(y: Float64Array, w: Float64Array, s: Sizes): Float64Array {
  const out = new Float64Array(count(shapesOf(s).x));
  forEachProduct(s, (i, j, k) => (out[i]! += y[j]! * w[k]!));
  return out;
}

function gradientOfKernel(x: Float64Array, y: Float64Array, s: Sizes): Float64Array {
  const out = new Float64Array(count(shapesOf(s).w));
  forEachProduct(s, (i, j, k) => (out[k]! += x[i]! * y[j]!));
  return out;
}

/** Images, rows, columns, channels, out channels, kernel, stride, padding. */
const cases = [
  [2, 6, 6, 2, 3, 4, 2, 1],
  [1, 7, 5, 1, 2, 3, 2, 0], // odd sizes, batch 1, one channel
  [3, 5, 6, 2, 1, 5, 1, 2],
  [2, 6, 5, 1, 1, 3, 2, 2], // the last rows are reached by no place of the kernel, or by the padding alone
  [1, 3, 3, 2, 2, 3, 1, 0], // down to one number
  [2, 4, 4, 2, 2, 1, 1, 0],
].map(sizes);

const named = (s: Sizes): string =>
  `${s.images} x ${s.rows} x ${s.columns} x ${s.channels} to ${s.outChannels}, kernel ${s.kernel}, stride ${s.stride}, padding ${s.padding}`;

/** The three maps by what they are called in a test. */
export const convolutionTwins: Record<string, Twin> = Object.fromEntries(
  cases.flatMap((s): [string, Twin][] => {
    const { x, y, w } = shapesOf(s);
    const { stride, padding } = s;
    const outputSize = [s.rows, s.columns] as const;
    const kernelSize = [s.kernel, s.kernel] as const;
    return [
      [
        `convolution of ${named(s)}`,
        {
          inputs: { x, w },
          apply: ({ x, w }) => ops.convolution(x!, w!, { stride, padding }),
          reference: ({ x, w }) => convolve(x!, w!, s),
        },
      ],
      [
        `transposed convolution of ${named(s)}`,
        {
          inputs: { y, w },
          apply: ({ y, w }) => ops.transposedConvolution(y!, w!, { stride, padding, outputSize }),
          reference: ({ y, w }) => transposedConvolve(y!, w!, s),
        },
      ],
      [
        `filter gradient of ${named(s)}`,
        {
          inputs: { x, y },
          apply: ({ x, y }) => ops.filterGradient(x!, y!, { stride, padding, kernelSize }),
          reference: ({ x, y }) => gradientOfKernel(x!, y!, s),
        },
      ],
    ];
  }),
);

/** |dD/dx|^2 summed over all pixels, for a critic D of two convolutions and a weighted sum, as WGAN-GP differentiates it. */
function gradientPenalty(
  activation: { apply(x: Tensor): Tensor; value(x: number): number; slope(x: number): number },
  fixed: readonly string[],
): Twin {
  const first = sizes([2, 6, 6, 1, 2, 4, 2, 1]);
  const second = sizes([2, 3, 3, 2, 2, 3, 2, 1]);
  const [one, two] = [first, second].map(({ stride, padding }) => ({ stride, padding }));
  const all = { x: shapesOf(first).x, w1: shapesOf(first).w, w2: shapesOf(second).w, w3: [2, 2, 2] };
  const inputs = Object.fromEntries(Object.entries(all).filter(([name]) => !fixed.includes(name)));
  const constants = Object.fromEntries(
    fixed.map((name) => {
      const shape = all[name as keyof typeof all];
      const data = Float32Array.from({ length: count(shape) }, (_, i) => Math.sin(7 * i + 1));
      return [name, { dtype: "float32" as const, shape, data }];
    }),
  );
  return {
    inputs,
    constants,
    apply: ({ x, w1, w2, w3 }) => {
      const critic = (x: Tensor): Tensor => {
        const h = activation.apply(ops.convolution(x, w1!, one!));
        return tf.sum(tf.mul(activation.apply(ops.convolution(h, w2!, two!)), w3!));
      };
      return tf.sum(tf.square(tf.grad(critic)(x!)));
    },
    reference: ({ x, w1, w2, w3 }) => {
      const a1 = convolve(x!, w1!, first);
      const a2 = convolve(a1.map(activation.value), w2!, second);
      const d2 = a2.map((a, i) => w3![i % w3!.length]! * activation.slope(a));
      const h = transposedConvolve(d2, w2!, second);
      const dx = transposedConvolve(
        h.map((g, i) => g * activation.slope(a1[i]!)),
        w1!,
        first,
      );
      return Float64Array.of(dx.reduce((sum, g) => sum + g * g, 0));
    },
  };
}

export const gradientPenalties: Record<string, Twin> = {
  // Piecewise linear in x: the penalty does not depend on it between the kinks.
  "gradient penalty of a critic with leaky ReLU": gradientPenalty(
    {
      apply: (x) => ops.leakyRelu(x, 0.2),
      value: (x) => Math.max(x, 0.2 * x),
      slope: (x) => (x > 0 ? 1 : 0.2),
    },
    ["x"],
  ),
  "gradient penalty of a critic with tanh": gradientPenalty(
    { apply: ops.tanh, value: Math.tanh, slope: (x) => 1 - Math.tanh(x) ** 2 },
    [],
  ),
  "gradient penalty of a critic with sigmoid": gradientPenalty(
    {
      apply: ops.sigmoid,
      value: (x) => 1 / (1 + Math.exp(-x)),
      slope: (x) => Math.exp(-x) / (1 + Math.exp(-x)) ** 2,
    },
    [],
  ),
};
