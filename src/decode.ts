// Translates with a trained transformer: beam search, of which greedy decoding is the beam of one, over many sentences at
// once. The search asks a scorer for log-probabilities; that of `translate` keeps keys and values, that of `translateFully`
// runs the whole network on the whole prefix every time and is what the other is checked against.
import { BOS, EOS, PAD } from "./data/vocabulary.ts";
import type { Engine } from "./engine/engine.ts";
import { UserError } from "./errors.ts";
import type { Decoder } from "./models/decoding.ts";
import type { Parameters } from "./stage.ts";
import type { HostTensor } from "./types.ts";

/** A trained transformer, and what runs it. */
export interface Translator {
  readonly engine: Engine;
  /** They keep their values for as long as the engine lives, which compiles them into its programs: others want another map. */
  readonly parameters: Parameters;
  readonly decoder: Decoder;
}

/** How to search. */
export interface SearchOptions {
  /** Hypotheses kept of a sentence; 1 is greedy decoding. */
  readonly beam: number;
  /** Tokens of the longest translation, its end among them. */
  readonly maxLength: number;
  /** alpha of {@link lengthPenalty}: 0 compares plain log-probabilities, more favours longer translations. */
  readonly lengthPenalty: number;
  /** Translations wanted of a sentence, `beam` at most; 1 if not given. */
  readonly nbest?: number;
  /** Hypotheses that are run at once, of all sentences together; at least `beam` are. */
  readonly rows: number;
  /** Ids that are never chosen; padding and the begin if not given. The others' probabilities stay as they are. */
  readonly forbidden?: readonly number[];
  /** The id a translation begins with; `<s>` if not given. */
  readonly begin?: number;
}

/** A translation that was found. */
export interface Hypothesis {
  /** Without begin and end. */
  readonly ids: readonly number[];
  /** Sum over its tokens, the end among them, in nats. */
  readonly logProbability: number;
  /** `logProbability` / {@link lengthPenalty}. */
  readonly score: number;
  /** False where it was cut at `maxLength`. */
  readonly isFinished: boolean;
}

/** lp(Y) = ((5 + |Y|) / 6)^alpha, |Y| counting the end (Wu et al. 2016, equation 14; the coverage penalty is left out). */
export const lengthPenalty = (length: number, alpha: number): number => ((5 + length) / 6) ** alpha;

/** The `nbest` best translations of each of `sources`, best first, as beam search finds them: at every step the `beam` best
 *  continuations of a sentence are kept; one that ends leaves the beam for the next best that does not. A sentence is done
 *  when `beam` translations have ended, when no other could still become one of the `nbest`, or at `maxLength`, where those
 *  that were cut come after those that ended. Equal scores go by the order of hypotheses, then of ids, so that a result is a
 *  function of the numbers alone.
 *  @param sources ids as training has them: the target language's tag, the pieces, the end; at least one id
 *
 *  `UserError`s: options out of range, a source without ids or with ids that are not in the vocabulary, parameters that
 *  give no finite probabilities. */
export function translate(
  translator: Translator,
  sources: readonly (readonly number[])[],
  options: SearchOptions,
): Promise<Hypothesis[][]> {
  return search(translator, sources, options, incrementalScorer);
}

/** The same by running the whole network on the whole prefix for every token. */
export function translateFully(
  translator: Translator,
  sources: readonly (readonly number[])[],
  options: SearchOptions,
): Promise<Hypothesis[][]> {
  return search(translator, sources, options, fullScorer);
}

/** A hypothesis whose continuation is asked for. */
interface Asked {
  readonly sentence: number;
  /** The begin, and what has been chosen. */
  readonly tokens: readonly number[];
  /** The slot in which all but the last of its tokens were asked about before; its own where there are none. */
  readonly from: number;
}

/** Gives log-probabilities [V] of what comes next, of every slot in use; true until it is asked again. */
type Scorer = (slots: readonly (Asked | undefined)[]) => Promise<readonly Float32Array[]>;

/** What there is to translate. */
interface Work {
  readonly sources: readonly (readonly number[])[];
  /** Sentences in the order in which they are taken up, and how many are under way at once. */
  readonly order: readonly number[];
  readonly sentencesAtOnce: number;
  readonly slots: number;
  readonly maxLength: number;
}

/** A hypothesis that has not ended. */
interface Alive {
  readonly tokens: readonly number[];
  readonly logProbability: number;
  readonly from: number;
}

/** A sentence under way, in slots of its own from `first` on. */
interface UnderWay {
  readonly sentence: number;
  readonly first: number;
  /** Best first. */
  alive: readonly Alive[];
  readonly ended: Hypothesis[];
}

async function search(
  translator: Translator,
  sources: readonly (readonly number[])[],
  options: SearchOptions,
  makeScorer: (translator: Translator, work: Work) => Scorer,
): Promise<Hypothesis[][]> {
  const { vocabulary } = translator.decoder;
  const { beam, maxLength, nbest = 1, rows, forbidden = [PAD, BOS], begin = BOS } = options;
  check(sources, options, vocabulary);
  const isForbidden = new Uint8Array(vocabulary);
  for (const id of forbidden) isForbidden[id] = 1;
  // Longest first: sentences of one length run together, and no buffer has to grow.
  const order = [...sources.keys()].sort((a, b) => sources[b]!.length - sources[a]!.length || a - b);
  const sentencesAtOnce = Math.min(sources.length, Math.max(1, Math.floor(rows / beam)));
  const slots = sentencesAtOnce * beam;
  const score = makeScorer(translator, { sources, order, sentencesAtOnce, slots, maxLength });
  const results: Hypothesis[][] = sources.map(() => []);

  const pending = [...order];
  const free = Array.from({ length: sentencesAtOnce }, (_, i) => i * beam);
  let underWay: UnderWay[] = [];
  for (;;) {
    while (free.length && pending.length) {
      const first = free.shift()!;
      const unbegun = { tokens: [begin], logProbability: 0, from: first };
      underWay.push({ sentence: pending.shift()!, first, alive: [unbegun], ended: [] });
    }
    if (!underWay.length) return results;
    const asked = new Array<Asked | undefined>(slots).fill(undefined);
    for (const { sentence, first, alive } of underWay)
      alive.forEach(({ tokens, from }, i) => (asked[first + i] = { sentence, tokens, from }));
    const logProbabilities = await score(asked);
    underWay = underWay.filter((of) => {
      advance(of, logProbabilities, isForbidden, options);
      if (!isDone(of, options)) return true;
      results[of.sentence] = ranked(of, options).slice(0, nbest);
      free.push(of.first);
      return false;
    });
  }
}

/** The best continuations of a sentence's hypotheses take their place; those that end go to `ended`. */
function advance(
  of: UnderWay,
  logProbabilities: readonly Float32Array[],
  isForbidden: Uint8Array,
  { beam, lengthPenalty: alpha }: SearchOptions,
): void {
  const continued: Alive[] = [];
  // Every hypothesis can end in one way only, so that among twice as many as are kept enough go on.
  for (const [rank, candidate] of bestCandidates(of, logProbabilities, isForbidden, 2 * beam).entries()) {
    const { tokens } = of.alive[candidate.hypothesis]!;
    const { logProbability, id } = candidate;
    if (id !== EOS) {
      if (continued.length < beam)
        continued.push({ tokens: [...tokens, id], logProbability, from: of.first + candidate.hypothesis });
    } else if (rank < beam) of.ended.push(hypothesis(tokens, logProbability, alpha, true));
  }
  of.alive = continued;
}

interface Candidate {
  /** By its place among those alive. */
  readonly hypothesis: number;
  readonly id: number;
  readonly logProbability: number;
}

/** The `count` best continuations by one token, best first; of equals the one of the earlier hypothesis, then of the lower id. */
function bestCandidates(
  { alive, first }: UnderWay,
  logProbabilities: readonly Float32Array[],
  isForbidden: Uint8Array,
  count: number,
): Candidate[] {
  const best: Candidate[] = [];
  for (const [hypothesis, { logProbability: before }] of alive.entries()) {
    const row = logProbabilities[first + hypothesis]!;
    // The logarithm of a softmax is finite everywhere or nowhere, short of overflow.
    if (!Number.isFinite(row[EOS]))
      throw new UserError(
        "translate: the network gives no finite probabilities; choose a checkpoint before it diverged",
      );
    let least = best.length < count ? -Infinity : best[count - 1]!.logProbability;
    for (let id = 0; id < row.length; id++) {
      const logProbability = before + row[id]!;
      if (!(logProbability > least) || isForbidden[id]) continue;
      let at = best.length;
      while (at > 0 && best[at - 1]!.logProbability < logProbability) at--;
      best.splice(at, 0, { hypothesis, id, logProbability });
      if (best.length > count) best.pop();
      if (best.length === count) least = best[count - 1]!.logProbability;
    }
  }
  return best;
}

/** `tokens` start with the begin. */
function hypothesis(tokens: readonly number[], logProbability: number, alpha: number, isFinished: boolean): Hypothesis {
  const length = tokens.length - 1 + (isFinished ? 1 : 0);
  return { ids: tokens.slice(1), logProbability, score: logProbability / lengthPenalty(length, alpha), isFinished };
}

function isDone(
  { alive, ended }: UnderWay,
  { beam, nbest = 1, maxLength, lengthPenalty: alpha }: SearchOptions,
): boolean {
  const best = alive[0];
  if (!best || ended.length >= beam) return true;
  const length = best.tokens.length - 1;
  if (length >= maxLength) return true;
  if (ended.length < nbest) return false;
  // Log-probabilities only fall: the best that can still come ends at once, or at the length that is penalised most.
  const attainable = best.logProbability / Math.max(lengthPenalty(length + 1, alpha), lengthPenalty(maxLength, alpha));
  return ended.map(({ score }) => score).sort((a, b) => b - a)[nbest - 1]! >= attainable;
}

/** Those that ended, then those that did not, each best first. */
function ranked({ alive, ended }: UnderWay, { lengthPenalty: alpha }: SearchOptions): Hypothesis[] {
  const cut = alive.map(({ tokens, logProbability }) => hypothesis(tokens, logProbability, alpha, false));
  const byScore = (a: Hypothesis, b: Hypothesis): number => b.score - a.score;
  return [...ended.sort(byScore), ...cut.sort(byScore)];
}

function check(sources: readonly (readonly number[])[], options: SearchOptions, vocabulary: number): void {
  const { beam, maxLength, nbest = 1, rows, lengthPenalty: alpha, forbidden = [], begin = BOS } = options;
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new UserError(`translate: expected ${what} ${expected}, got ${String(got)}`);
  };
  for (const [what, count] of Object.entries({ beam, maxLength, nbest, rows }))
    if (!Number.isInteger(count) || count < 1) refuse(what, "to be a whole number from 1", count);
  if (nbest > beam) refuse("nbest", `to be at most the beam, ${beam}`, nbest);
  if (!Number.isFinite(alpha)) refuse("lengthPenalty", "to be a number", alpha);
  const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < vocabulary;
  for (const [i, source] of sources.entries()) {
    if (!source.length) refuse(`source ${i}`, "to have a token", "none");
    const stray = source.find((id) => !isId(id));
    if (stray !== undefined) refuse(`source ${i}`, `to be of ids below ${vocabulary}`, stray);
  }
  const stray = forbidden.find((id) => !isId(id));
  if (stray !== undefined) refuse("forbidden", `to be ids below ${vocabulary}`, stray);
  if (!isId(begin)) refuse("begin", `to be an id below ${vocabulary}`, begin);
  if (forbidden.includes(EOS)) refuse("forbidden", "to leave the end", `id ${EOS} in it`);
}

/** The least length that programs are compiled for: lengths are rounded up to it, and to its doubles, `most` at the end. */
const LEAST = 16;
function rounded(length: number, most: number): number {
  let size = LEAST;
  while (size < length) size *= 2;
  return Math.min(size, Math.ceil(most / LEAST) * LEAST);
}

const int32 = (shape: readonly number[], data: Int32Array): HostTensor => ({ dtype: "int32", shape, data });
const float32 = (shape: readonly number[], data: Float32Array): HostTensor => ({ dtype: "float32", shape, data });

/** `source` and `sourceMask` of some sentences, padded to `length`. A row without a sentence has one token, so that attention
 *  over it stays defined. */
function sourceTensors(
  rows: readonly (readonly number[] | undefined)[],
  length: number,
): { source: HostTensor; sourceMask: HostTensor } {
  const shape = [rows.length, length];
  const source = new Int32Array(rows.length * length).fill(PAD);
  const mask = new Float32Array(rows.length * length);
  for (const [row, ids] of rows.entries()) {
    source.set(ids ?? [], row * length);
    mask.fill(1, row * length, row * length + (ids?.length ?? 1));
  }
  return { source: int32(shape, source), sourceMask: float32(shape, mask) };
}

/** The rows [slots, ...] of a player's output. */
function rowsOf(output: Float32Array, rows: number): Float32Array[] {
  const size = output.length / rows;
  return Array.from({ length: rows }, (_, row) => output.subarray(row * size, (row + 1) * size));
}

function fullScorer({ engine, parameters, decoder }: Translator, { sources, slots, maxLength }: Work): Scorer {
  const longestSource = Math.max(...sources.map(({ length }) => length));
  return async (asked) => {
    const given = asked.map((one) => one && sources[one.sentence]!);
    const sourceLength = rounded(Math.max(...given.map((ids) => ids?.length ?? 0)), longestSource);
    const targetLength = rounded(Math.max(...asked.map((one) => one?.tokens.length ?? 0)), maxLength);
    const target = new Int32Array(slots * targetLength).fill(PAD);
    const position = new Int32Array(slots);
    for (const [slot, one] of asked.entries()) {
      if (!one) continue;
      target.set(one.tokens, slot * targetLength);
      position[slot] = one.tokens.length - 1;
    }
    const tensors = {
      ...sourceTensors(given, sourceLength),
      target: int32([slots, targetLength], target),
      position: int32([slots], position),
    };
    return rowsOf(await engine.output(decoder.full, parameters, { tensors, tokens: slots }), slots);
  };
}

/** Lists of 2 L tensors [rows, H, length, K]: keys and values of each layer. */
interface KeysAndValues {
  readonly length: number;
  readonly lists: readonly Float32Array[];
}

/** The same end to end in one array, of which the lists are views. */
interface PackedKeysAndValues extends KeysAndValues {
  readonly packed: HostTensor;
}

/** Bytes of keys and values up to which they are handed over packed. */
const MOST_PACKED = 2 ** 20;

function incrementalScorer({ engine, parameters, decoder }: Translator, work: Work): Scorer {
  const { sources, order, sentencesAtOnce, slots, maxLength } = work;
  const { layers, heads, headWidth, vocabulary } = decoder;
  const longestSource = Math.max(...sources.map(({ length }) => length));
  const allocate = (length: number): PackedKeysAndValues => {
    const shape = [2 * layers * slots, heads, length, headWidth];
    const data = new Float32Array(2 * layers * slots * heads * length * headWidth);
    return { length, lists: rowsOf(data, 2 * layers), packed: float32(shape, data) };
  };
  /** The first `count` vectors of every head of a row. */
  const copyRow = (from: KeysAndValues, row: number, to: KeysAndValues, toRow: number, count: number): void => {
    for (const [i, list] of from.lists.entries())
      for (let head = 0; head < heads; head++) {
        const start = (row * heads + head) * from.length * headWidth;
        const vectors = list.subarray(start, start + count * headWidth);
        to.lists[i]!.set(vectors, (toRow * heads + head) * to.length * headWidth);
      }
  };

  // Sentences are encoded ahead, as many at a time as are under way.
  const encoded = new Map<number, { readonly row: number; readonly memory: KeysAndValues }>();
  const takenUp = new Set<number>();
  let next = 0;
  const memoryOf = async (sentence: number): Promise<{ readonly row: number; readonly memory: KeysAndValues }> => {
    while (!encoded.has(sentence)) {
      const group = order.slice(next, (next += sentencesAtOnce));
      const given = Array.from({ length: sentencesAtOnce }, (_, i) =>
        i < group.length ? sources[group[i]!] : undefined,
      );
      const length = rounded(sources[group[0]!]!.length, longestSource);
      const batch = { tensors: sourceTensors(given, length), tokens: sentencesAtOnce };
      const output = await engine.output(decoder.encode, parameters, batch);
      const memory = { length, lists: rowsOf(output.slice(), 2 * layers) };
      for (const [row, of] of group.entries()) encoded.set(of, { row, memory });
    }
    return encoded.get(sentence)!;
  };

  let memory = allocate(0);
  let sourceMask = new Float32Array();
  /** The sentence whose memory a slot has. */
  const inSlot = new Array<number | undefined>(slots).fill(undefined);
  const layOutMemory = async (asked: readonly (Asked | undefined)[]): Promise<void> => {
    const lengths = asked.map((one) => (one ? sources[one.sentence]!.length : 0));
    const length = rounded(Math.max(...lengths), longestSource);
    if (length !== memory.length) {
      memory = allocate(length);
      sourceMask = new Float32Array(slots * length);
      for (let slot = 0; slot < slots; slot++) sourceMask[slot * length] = 1;
      inSlot.fill(undefined);
    }
    for (const [slot, one] of asked.entries()) {
      if (!one || inSlot[slot] === one.sentence) continue;
      const found = await memoryOf(one.sentence);
      copyRow(found.memory, found.row, memory, slot, lengths[slot]!);
      sourceMask.fill(0, slot * length, (slot + 1) * length).fill(1, slot * length, slot * length + lengths[slot]!);
      inSlot[slot] = one.sentence;
      takenUp.add(one.sentence);
    }
    const underWay = new Set(asked.map((one) => one?.sentence));
    for (const sentence of encoded.keys())
      if (takenUp.has(sentence) && !underWay.has(sentence)) encoded.delete(sentence);
  };

  let cache = allocate(0);
  let spare = new Float32Array();
  /** Brings the keys and values of every hypothesis into its slot. */
  const layOutCache = (asked: readonly (Asked | undefined)[]): void => {
    const filled = asked.map((one) => (one ? one.tokens.length - 1 : 0));
    const length = rounded(Math.max(...filled) + 1, maxLength);
    if (length !== cache.length) {
      const resized = allocate(length);
      for (const [slot, one] of asked.entries()) if (one) copyRow(cache, one.from, resized, slot, filled[slot]!);
      cache = resized;
      spare = new Float32Array(slots * heads * length * headWidth);
      return;
    }
    const size = heads * length * headWidth;
    const rowOf = (list: Float32Array, slot: number): Float32Array => list.subarray(slot * size, (slot + 1) * size);
    const moves = asked.flatMap((one, slot) => (one && one.from !== slot ? [[one.from, slot] as const] : []));
    const moved = new Set(moves.map(([from]) => from));
    for (const list of cache.lists) {
      // Two may change places.
      for (const from of moved) rowOf(spare, from).set(rowOf(list, from));
      for (const [from, slot] of moves) rowOf(list, slot).set(rowOf(spare, from));
    }
  };
  /** Appends the keys and values of a slot's newest token. Number by number: views of so few take longer to make than to copy. */
  const keep = (slot: number, position: number, fresh: Float32Array): void => {
    let at = 0;
    for (const list of cache.lists)
      for (let head = 0; head < heads; head++) {
        const place = ((slot * heads + head) * cache.length + position) * headWidth;
        for (let i = 0; i < headWidth; i++) list[place + i] = fresh[at++]!;
      }
  };

  // Few are handed over as two tensors, which the runtime then takes apart: that costs less than handing over many.
  const keptBytes = 8 * layers * slots * heads * headWidth * (maxLength + longestSource);
  const isMany = keptBytes > MOST_PACKED;
  const step = isMany ? decoder.stepOfMany : decoder.step;
  const tensorsOf = (name: "cache" | "memory", { packed, lists, length }: PackedKeysAndValues) => {
    const shape = [slots, heads, length, headWidth];
    return isMany
      ? Object.fromEntries(lists.map((list, i) => [`${name}/${i}`, float32(shape, list)]))
      : { [name]: packed };
  };
  const keptOf = () => ({ ...tensorsOf("memory", memory), ...tensorsOf("cache", cache) });
  const options = { fixedParameters: true, inPlace: new Set(Object.keys(keptOf())) };
  return async (asked) => {
    await layOutMemory(asked);
    layOutCache(asked);
    const [target, position] = [new Int32Array(slots).fill(PAD), new Int32Array(slots)];
    for (const [slot, one] of asked.entries()) {
      if (!one) continue;
      target[slot] = one.tokens.at(-1)!;
      position[slot] = one.tokens.length - 1;
    }
    const tensors = {
      target: int32([slots], target),
      position: int32([slots], position),
      sourceMask: float32([slots, memory.length], sourceMask),
    };
    const batch = { tensors: { ...tensors, ...keptOf() }, tokens: slots };
    const rows = rowsOf(await engine.output(step, parameters, batch, options), slots);
    for (const [slot, one] of asked.entries()) if (one) keep(slot, position[slot]!, rows[slot]!.subarray(vocabulary));
    return rows.map((row) => row.subarray(0, vocabulary));
  };
}
