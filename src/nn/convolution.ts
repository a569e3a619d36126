import * as tf from "@tensorflow/tfjs-core";
import type { Tensor } from "@tensorflow/tfjs-core";
import { convolution, type ConvolutionOptions, transposedConvolution } from "../ops/index.ts";
import type { Tensors } from "../stage.ts";
import { constant, type ParameterShapes } from "./parameters.ts";

/** Parameters of a convolution with square kernels: weight [K, K, in, out], normal with standard deviation `std` (0.02 in
 *  Radford et al. 2016); bias [out], zero. */
export function convolutionParameters(
  kernel: number,
  channels: number,
  outChannels: number,
  std = 0.02,
): ParameterShapes {
  return {
    weight: { shape: [kernel, kernel, channels, outChannels], init: { kind: "normal", std } },
    bias: constant([outChannels], 0),
  };
}

/** Parameters of a transposed convolution: weight [K, K, out, in], since the layer is the adjoint of a convolution from its
 *  output to its input, normal with standard deviation `std`; bias [out], zero. */
export function transposedConvolutionParameters(
  kernel: number,
  channels: number,
  outChannels: number,
  std = 0.02,
): ParameterShapes {
  return {
    weight: { shape: [kernel, kernel, outChannels, channels], init: { kind: "normal", std } },
    bias: constant([outChannels], 0),
  };
}

/** Convolution and a bias a channel: [B, H, W, in] -> [B, h, w, out], h = floor((H + 2 padding - K) / stride) + 1. */
export const convolutionLayer = (x_BHWC: Tensor, p: Tensors, options: ConvolutionOptions): Tensor =>
  tf.add(convolution(x_BHWC, p["weight"]!, options), p["bias"]!);

/** Transposed convolution and a bias a channel: [B, h, w, in] -> [B, H, W, out], H = stride (h - 1) + K - 2 padding. */
export function transposedConvolutionLayer(y_BhwD: Tensor, p: Tensors, options: ConvolutionOptions): Tensor {
  const { stride, padding } = options;
  const weight = p["weight"]!;
  const size = (axis: number): number => stride * (y_BhwD.shape[1 + axis]! - 1) + weight.shape[axis]! - 2 * padding;
  return tf.add(transposedConvolution(y_BhwD, weight, { ...options, outputSize: [size(0), size(1)] }), p["bias"]!);
}
