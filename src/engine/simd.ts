// Loops over many numbers, written in WebAssembly with its instructions for several numbers at once (NAME.wat): two to three
// times as fast as what JavaScript makes of the same loop. Arrays that are to be gone through often are made in a WebAssembly
// memory, where loops find them; others go through a chunk of one that stays in the processor's cache, which takes an
// optimizer twice as long. The loops of heap.wat work where TensorFlow.js keeps its tensors.

/** What of WebAssembly's interface is used here: TypeScript has it for browsers only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports?: object) => { readonly exports: object };
  Memory: new (size: { readonly initial: number }) => Memory;
};

/** A memory that never grows. */
interface Memory {
  readonly buffer: ArrayBuffer;
}

/** Numbers in a chunk: four arrays of them and what else a loop needs fit the second-level cache many times. */
export const chunkLength = 4096;

const pageBytes = 65536;
/** At the beginning of each memory loops have their sums and chunks. */
const scratchBytes = 2 * pageBytes;
/** Of a memory that many arrays share: the system gives its pages when they are touched. Larger arrays than a quarter have their own. */
const sharedBytes = 64 * 2 ** 20;

const memories = new WeakMap<ArrayBufferLike, Memory>();
const makeMemory = (bytes: number): Memory => {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((scratchBytes + bytes) / pageBytes) });
  memories.set(memory.buffer, memory);
  return memory;
};

/** The memory that new arrays go to, and where its free part begins. It stays for as long as one of them does. */
let shared: { readonly memory: WeakRef<Memory>; free: number } | undefined;

/** An array of zeros that loops work on in place: parameters, their gradients, the state of optimizers. An ordinary array where
 *  WebAssembly has no memory of that size. */
export function float32Array(length: number): Float32Array<ArrayBuffer> {
  // Lines of the cache. Where float64 stands in float32's place, as in tests of gradients, the numbers take twice the room.
  const bytes = 64 * Math.ceil((Float32Array.BYTES_PER_ELEMENT * length) / 64);
  try {
    if (bytes > sharedBytes / 4) return new Float32Array(makeMemory(bytes).buffer, scratchBytes, length);
    let memory = shared?.memory.deref();
    if (!shared || !memory || shared.free + bytes > memory.buffer.byteLength) {
      memory = makeMemory(sharedBytes);
      shared = { memory: new WeakRef(memory), free: scratchBytes };
    }
    const array = new Float32Array(memory.buffer, shared.free, length);
    shared.free += bytes;
    return array;
  } catch (error) {
    if (error instanceof RangeError) return new Float32Array(length);
    throw error;
  }
}

/** The exports of a module given in base64. */
export const instantiate = <Exports>(base64: string, imports: Readonly<Record<string, object>>): Exports =>
  new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(base64, "base64")), imports).exports as Exports;

/** Loops, and all of the memory that they work on. */
export interface Loops<Exports> {
  readonly run: Exports;
  readonly floats: Float32Array<ArrayBuffer>;
  readonly doubles: Float64Array<ArrayBuffer>;
}

/** Gives the loops of a module, in base64, that work where an array is, or on a memory without arrays if it is in none. */
export function loopsOn<Exports>(base64: string): (array: Float32Array) => Loops<Exports> {
  const module = new WebAssembly.Module(Buffer.from(base64, "base64"));
  const known = new WeakMap<Memory, Loops<Exports>>();
  let spare: Memory | undefined;
  return (array) => {
    const memory = memories.get(array.buffer) ?? (spare ??= makeMemory(0));
    let loops = known.get(memory);
    if (!loops) {
      const run = new WebAssembly.Instance(module, { arrays: { memory } }).exports as Exports;
      const { buffer } = memory;
      known.set(memory, (loops = { run, floats: new Float32Array(buffer), doubles: new Float64Array(buffer) }));
    }
    return loops;
  };
}

/** Where loops find `count` numbers of `array` from `start` on, in bytes: where they are, or else copied to `chunk` and filled up with
 *  zeros to a multiple of four. */
export function placed(
  { floats }: Loops<unknown>,
  chunk: number,
  array: Float32Array,
  start: number,
  count: number,
): number {
  if (array.buffer === floats.buffer && count % 4 === 0) return array.byteOffset + 4 * start;
  return copied(floats, chunk, array, start, count);
}

/** The same, copied in any case. */
export function copied(floats: Float32Array, chunk: number, array: Float32Array, start: number, count: number): number {
  floats.set(count === array.length ? array : array.subarray(start, start + count), chunk / 4);
  floats.fill(0, chunk / 4 + count, chunk / 4 + fours(count));
  return chunk;
}

/** The next multiple of four. */
export const fours = (count: number): number => 4 * Math.ceil(count / 4);
