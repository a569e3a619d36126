// Loops over many numbers, written in WebAssembly with its instructions for several numbers at once (NAME.wat): two to three
// times as fast as what JavaScript makes of the same loop. Most work on a memory of their own, which never grows; arrays go
// through it in chunks that stay in the processor's cache. Those of heap.wat work where TensorFlow.js keeps its tensors.

/** What of WebAssembly's interface is used here: TypeScript has it for browsers only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports?: object) => { readonly exports: object };
};

/** Numbers in a chunk: four arrays of them and what else a loop needs fit the second-level cache many times. */
export const chunkLength = 4096;

/** The exports of a module given in base64. `memory` is theirs, unless they work on one of the `imports`. */
export const instantiate = <Exports>(
  base64: string,
  imports?: Readonly<Record<string, object>>,
): Exports & { readonly memory: { readonly buffer: ArrayBuffer } } =>
  new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(base64, "base64")), imports).exports as Exports & {
    readonly memory: { readonly buffer: ArrayBuffer };
  };

/** Copies `array` from `start` on into `chunk`, as far as both go, fills up to a multiple of `multiple` with zeros, and says up
 *  to where the chunk is then full. */
export function fillChunk(chunk: Float32Array, array: Float32Array, start: number, multiple: number): number {
  const count = Math.min(chunk.length, array.length - start);
  chunk.set(count === array.length ? array : array.subarray(start, start + count));
  const end = Math.ceil(count / multiple) * multiple;
  if (count < end) chunk.fill(0, count, end);
  return end;
}

/** Copies the chunk back to where {@link fillChunk} took it from. */
export function emptyChunk(chunk: Float32Array, array: Float32Array, start: number): void {
  const count = Math.min(chunk.length, array.length - start);
  array.set(count === chunk.length ? chunk : chunk.subarray(0, count), start);
}
