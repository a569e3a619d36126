import * as tf from "@tensorflow/tfjs-core";
import type { GradSaveFunc, Tensor } from "@tensorflow/tfjs-core";
import { UserError } from "../errors.ts";
import { kernelOr } from "./kernel.ts";

// B images, H x W the larger grid with C channels, h x w the smaller with D, K x K the kernel.
//
// Three maps, each linear in both arguments and each other's derivatives, so that there are gradients of every order:
// <convolution(x, w), y> = <x, transposedConvolution(y, w)> = <w, filterGradient(x, y)>. Each keeps its two inputs.

/** How the kernel goes over the larger grid: in steps of `stride`, over `padding` rows and columns of zeros on each side. */
export interface ConvolutionOptions {
  readonly stride: number;
  readonly padding: number;
}

/** Convolution, as networks call it: y[b, i, j, d] = sum_{k, l, c} x[b, s i + k - p, s j + l - p, c] w[k, l, c, d] with stride
 *  s and padding p; x is 0 outside (Dumoulin & Visin 2016, relationship 6).
 *  Shapes: x_BHWC, w_KKCD -> [B, h, w, D] with h = floor((H + 2p - K) / s) + 1. `UserError` where the kernel does not fit. */
export function convolution(x: Tensor, w: Tensor, options: ConvolutionOptions): Tensor {
  const { stride, padding } = options;
  const [, rows, columns] = x.shape as [number, number, number, number];
  const [kernelRows, kernelColumns] = w.shape as [number, number, number, number];
  const sizes = [outputSize(rows, kernelRows, options), outputSize(columns, kernelColumns, options)] as const;
  return tf.customGrad((...args: unknown[]) => {
    const [x, w, save] = args as [Tensor, Tensor, GradSaveFunc];
    save([x, w]);
    const value = kernelOr("Convolution", { x, w }, { stride, padding, sizes: [...sizes] }, () =>
      tf.conv2d(pad(x, padding) as tf.Tensor4D, w as tf.Tensor4D, stride, "valid"),
    );
    const gradFunc = (dy: Tensor, saved: Tensor[]): Tensor[] => {
      const [x, w] = saved as [Tensor, Tensor];
      return [
        transposedConvolution(dy, w, { ...options, outputSize: [rows, columns] }),
        filterGradient(x, dy, { ...options, kernelSize: [kernelRows, kernelColumns] }),
      ];
    };
    return { value, gradFunc };
  })(x, w);
}

/** The adjoint of {@link convolution} in its input, which spreads each number over a K x K patch ("deconvolution"):
 *  x[b, s i + k - p, s j + l - p, c] += y[b, i, j, d] w[k, l, c, d].
 *  Shapes: y_BhwD, w_KKCD -> [B, H, W, C]; `outputSize` = [H, W] must be one that convolution takes to h x w, the smallest of
 *  which is s (h - 1) + K - 2p. `UserError` where it is not. */
export function transposedConvolution(
  y: Tensor,
  w: Tensor,
  options: ConvolutionOptions & { readonly outputSize: readonly [number, number] },
): Tensor {
  const { stride, padding, outputSize: size } = options;
  const [images, ...small] = (y.shape as [number, number, number, number]).slice(0, 3) as [number, number, number];
  const [kernelRows, kernelColumns, channels] = w.shape as [number, number, number, number];
  [kernelRows, kernelColumns].forEach((kernel, i) => {
    if (outputSize(size[i]!, kernel, options) !== small[i])
      throw new UserError(
        `transposed convolution of size ${small[i]} with kernel ${kernel}, stride ${stride} and padding ${padding}: expected ` +
          `an output of ${stride * (small[i]! - 1) + kernel - 2 * padding} or up to ${stride - 1} more, got ${size[i]}`,
      );
  });
  return tf.customGrad((...args: unknown[]) => {
    const [y, w, save] = args as [Tensor, Tensor, GradSaveFunc];
    save([y, w]);
    const value = kernelOr("TransposedConvolution", { y, w }, { stride, padding, size: [...size] }, () => {
      const padded = [images, size[0] + 2 * padding, size[1] + 2 * padding, channels] as const;
      const whole = tf.conv2dTranspose(y as tf.Tensor4D, w as tf.Tensor4D, [...padded], stride, "valid");
      return tf.slice(whole as Tensor, [0, padding, padding, 0], [images, ...size, channels]);
    });
    const gradFunc = (dx: Tensor, saved: Tensor[]): Tensor[] => {
      const [y, w] = saved as [Tensor, Tensor];
      const kernelSize = [kernelRows, kernelColumns] as const;
      return [convolution(dx, w, { stride, padding }), filterGradient(dx, y, { stride, padding, kernelSize })];
    };
    return { value, gradFunc };
  })(y, w);
}

/** The adjoint of {@link convolution} in its kernel: w[k, l, c, d] = sum_{b, i, j} x[b, s i + k - p, s j + l - p, c] y[b, i, j, d].
 *  Shapes: x_BHWC, y_BhwD -> [K, K, C, D], of the size `kernelSize`. */
export function filterGradient(
  x: Tensor,
  y: Tensor,
  options: ConvolutionOptions & { readonly kernelSize: readonly [number, number] },
): Tensor {
  const { stride, padding, kernelSize } = options;
  const [images, rows, columns, channels] = x.shape as [number, number, number, number];
  const [, smallRows, smallColumns, outChannels] = y.shape as [number, number, number, number];
  return tf.customGrad((...args: unknown[]) => {
    const [x, y, save] = args as [Tensor, Tensor, GradSaveFunc];
    save([x, y]);
    const attributes = { stride, padding, kernelSize: [...kernelSize] };
    const value = kernelOr("ConvolutionFilterGradient", { x, y }, attributes, () => {
      // A product of matrices for every place of the kernel: not every backend has a kernel of its own for this.
      const [padded, flat] = [pad(x, padding), tf.reshape(y, [-1, outChannels])];
      const places = Array.from({ length: kernelSize[0] * kernelSize[1] }, (_, place) => {
        const [k, l] = [Math.floor(place / kernelSize[1]), place % kernelSize[1]];
        const ends = [images, k + (smallRows - 1) * stride + 1, l + (smallColumns - 1) * stride + 1, channels];
        const under = tf.stridedSlice(padded, [0, k, l, 0], ends, [1, stride, stride, 1]);
        return tf.matMul(tf.reshape(under, [-1, channels]), flat, true, false);
      });
      return tf.reshape(tf.stack(places), [...kernelSize, channels, outChannels]);
    });
    const gradFunc = (dw: Tensor, saved: Tensor[]): Tensor[] => {
      const [x, y] = saved as [Tensor, Tensor];
      const size = [rows, columns] as const;
      return [
        transposedConvolution(y, dw, { stride, padding, outputSize: size }),
        convolution(x, dw, { stride, padding }),
      ];
    };
    return { value, gradFunc };
  })(x, y);
}

/** Number of places a kernel has along one axis: floor((size + 2 padding - kernel) / stride) + 1. */
function outputSize(size: number, kernel: number, { stride, padding }: ConvolutionOptions): number {
  const places = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  if (places < 1)
    throw new UserError(
      `convolution: a kernel of ${kernel} does not fit into ${size} with padding ${padding}; use a smaller kernel or a larger padding`,
    );
  return places;
}

/** Zeros around each image. Always given as padding of its own, since not every backend takes it from a convolution. */
const pad = (x: Tensor, padding: number): Tensor =>
  padding
    ? tf.pad(x, [
        [0, 0],
        [padding, padding],
        [padding, padding],
        [0, 0],
      ])
    : x;
