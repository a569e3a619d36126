// Counter-based random streams, named by purpose: `init/<parameter path>`, `data`, `dropout/<layer>`, `latent` ...
// A value depends on (seed, purpose, counter) alone, so adding a module or a probe never shifts another stream, and a
// resumed run needs no generator state. The generator is Threefry-2x32-20 (Salmon et al. 2011, "Parallel random
// numbers: as easy as 1, 2, 3"), made of 32-bit adds, rotations and xors, which JavaScript runs fast.

/** The 20-round Threefry-2x32 block: two words of key, two of counter, two random words written to `out`. Written out
 *  in full, since a loop or closures here make dropout ten times slower. */
export function threefry2x32(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  const key2 = key0 ^ key1 ^ 0x1bd11bda;
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
  x0 = (x0 + key1) | 0;
  x1 = (x1 + key2 + 1) | 0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
  x0 = (x0 + key2) | 0;
  x1 = (x1 + key0 + 2) | 0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
  x0 = (x0 + key0) | 0;
  x1 = (x1 + key1 + 3) | 0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0;
  x0 = (x0 + key1) | 0;
  x1 = (x1 + key2 + 4) | 0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0;
  x0 = (x0 + x1) | 0;
  x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0;
  x0 = (x0 + key2) | 0;
  x1 = (x1 + key0 + 5) | 0;
  out[0] = x0;
  out[1] = x1;
}

/** A random stream: an unbounded sequence for every `counter` (a step, an epoch, 0), each a pure function of its name. */
export interface Stream {
  /** Fills `out` with independent uniforms on [0, 1), 24 bits each. */
  uniform<T extends Float32Array | Float64Array>(out: T, counter?: number): T;
  /** Fills `out` with independent standard normals (Box-Muller). */
  normal<T extends Float32Array | Float64Array>(out: T, counter?: number): T;
  /** Fills `out` with inverted-dropout factors: 0 with probability `rate` (in steps of 2^-16), else 1 / (1 - rate). */
  dropout(out: Float32Array, rate: number, counter?: number): Float32Array;
  /** Fills `out` with ones and zeros: 1 with probability `chances[i]` / 255 (in steps of 2^-16; 0 and 255 are certain). */
  bernoulli(out: Float32Array, chances: Uint8Array, counter?: number): Float32Array;
  /** A uniformly random permutation of 0 .. n-1 (Fisher-Yates). */
  permutation(n: number, counter?: number): Uint32Array;
}

/** The stream of `seed` (a non-negative safe integer) for `purpose`. */
export function stream(seed: number, purpose: string): Stream {
  const [key0, key1] = streamKey(seed, purpose);
  const pair = new Uint32Array(2);
  // One block a call: `index` counts blocks within a sequence, `counter` selects the sequence.
  const block = (index: number, counter: number): void => threefry2x32(key0, key1, index, counter, pair);
  const toUnit = (word: number): number => (word >>> 8) / 0x1000000;
  return {
    uniform(out, counter = 0) {
      for (let i = 0; i < out.length; i += 2) {
        block(i >>> 1, counter);
        out[i] = toUnit(pair[0]!);
        if (i + 1 < out.length) out[i + 1] = toUnit(pair[1]!);
      }
      return out;
    },
    normal(out, counter = 0) {
      for (let i = 0; i < out.length; i += 2) {
        block(i >>> 1, counter);
        const radius = Math.sqrt(-2 * Math.log(1 - toUnit(pair[0]!)));
        const angle = 2 * Math.PI * toUnit(pair[1]!);
        out[i] = radius * Math.cos(angle);
        if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
      }
      return out;
    },
    dropout(out, rate, counter = 0) {
      const threshold = Math.round(rate * 0x10000);
      const keep = 1 / (1 - rate);
      for (let i = 0; i < out.length; i += 4) {
        block(i >>> 2, counter);
        const low = pair[0]!;
        const high = pair[1]!;
        out[i] = (low & 0xffff) < threshold ? 0 : keep;
        if (i + 1 < out.length) out[i + 1] = low >>> 16 < threshold ? 0 : keep;
        if (i + 2 < out.length) out[i + 2] = (high & 0xffff) < threshold ? 0 : keep;
        if (i + 3 < out.length) out[i + 3] = high >>> 16 < threshold ? 0 : keep;
      }
      return out;
    },
    bernoulli(out, chances, counter = 0) {
      // Of ink on paper most is certain. A block belongs to its place, so that one left out shifts no other.
      const whole = out.length & ~3;
      for (let i = 0; i < whole; i += 4) {
        const a = chances[i]!;
        const b = chances[i + 1]!;
        const c = chances[i + 2]!;
        const d = chances[i + 3]!;
        if ((a | b | c | d) === 0) {
          out[i] = out[i + 1] = out[i + 2] = out[i + 3] = 0;
          continue;
        }
        if (isUncertain(a) || isUncertain(b) || isUncertain(c) || isUncertain(d)) block(i >>> 2, counter);
        const low = pair[0]! | 0;
        const high = pair[1]! | 0;
        // The sign of a difference rather than a comparison, which would be a branch that nobody can predict.
        out[i] = ((low & 0xffff) - THRESHOLDS[a]!) >>> 31;
        out[i + 1] = ((low >>> 16) - THRESHOLDS[b]!) >>> 31;
        out[i + 2] = ((high & 0xffff) - THRESHOLDS[c]!) >>> 31;
        out[i + 3] = ((high >>> 16) - THRESHOLDS[d]!) >>> 31;
      }
      if (whole < out.length) block(whole >>> 2, counter);
      for (let i = whole; i < out.length; i++) {
        const word = pair[(i & 3) >>> 1]!;
        out[i] = ((i & 1 ? word >>> 16 : word & 0xffff) - THRESHOLDS[chances[i]!]!) >>> 31;
      }
      return out;
    },
    permutation(n, counter = 0) {
      const order = Uint32Array.from({ length: n }, (_, i) => i);
      const draws = this.uniform(new Float64Array(n), counter);
      for (let i = n - 1; i > 0; i--) {
        const j = Math.floor(draws[i]! * (i + 1));
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      return order;
    },
  };
}

/** Of 2^16 equally likely numbers, those below `THRESHOLDS[v]` make the share v / 255. */
const THRESHOLDS = Int32Array.from({ length: 256 }, (_, v) => Math.round((v * 0x10000) / 255));
const isUncertain = (chance: number): boolean => chance !== 0 && chance !== 255;

/** Two key words from a seed and a purpose: FNV-1a of the purpose, whitened together with the seed by one Threefry block. */
function streamKey(seed: number, purpose: string): [number, number] {
  let hash = 0x811c9dc5;
  let hash2 = 0x9747b28c;
  for (const byte of new TextEncoder().encode(purpose)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
    hash2 = Math.imul(hash2 ^ byte, 0x85ebca6b) ^ (hash2 >>> 13);
  }
  const out = new Uint32Array(2);
  threefry2x32(seed >>> 0, Math.floor(seed / 0x100000000) >>> 0, hash >>> 0, hash2 >>> 0, out);
  return [out[0]!, out[1]!];
}
