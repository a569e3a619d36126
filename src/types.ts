// Shared vocabulary of the folders: data that flows between them, and nothing that runs.

/** Element types that cross the border between JavaScript and an engine. */
export type Dtype = "float32" | "int32";

/** A tensor in JavaScript memory, row-major. */
export interface HostTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** What one step consumes: named tensors (the first carry of the model's stages) and the number of targets in them. */
export interface Batch {
  readonly tensors: Readonly<Record<string, HostTensor>>;
  /** Targets the loss is averaged over: non-padding target tokens for translation, images for VAE and GAN. */
  readonly tokens: number;
  /** What the batch holds, for per-direction figures: e.g. `en-de`. Absent in mixed training batches. */
  readonly label?: string;
  /** What its figures are called where they do not count in those of the split: `zero-shot`, of a direction that is not trained. */
  readonly apart?: string;
}

/** Training data as pure functions of the step: the data cursor of a checkpoint is the step itself. */
export interface Dataset {
  /** The batch of training step `step` (0-based): epoch = floor(step / stepsPerEpoch), each epoch in its own order. */
  batchAt(step: number): Batch;
  readonly stepsPerEpoch: number;
  /** Evaluation batches, without shuffling; every example once. Padding rows carry weight 0. */
  readonly evaluation: Readonly<Record<"dev" | "test", readonly Batch[]>>;
  /** Loss of the best model that ignores its input, nats a target: the unigram entropy of the training targets. */
  readonly unigramEntropy: number;
  /** Sizes the model needs, e.g. `{ vocabulary: 4000, maxLength: 32 }`. */
  readonly dimensions: Readonly<Record<string, number>>;
  /** SHA-256 hashes for `run.json`: of the segments as split, and of the vocabulary file. */
  readonly hashes: Readonly<Record<string, string>>;
}

/** Sums and extremes of one tensor, from which every norm column is made. */
export interface Moments {
  readonly sumSquares: number;
  /** Largest absolute value. */
  readonly max: number;
  readonly count: number;
}

/** One line of `metrics.csv`. */
export interface MetricRow {
  readonly step: number;
  /** Training targets seen so far. */
  readonly tokens: number;
  /** Wall-clock seconds since the start of training, evaluation included. */
  readonly seconds: number;
  readonly split: "train" | "dev" | "test";
  /** `loss` (nats a target), `learning-rate`, `gradient-norm` (global, before clipping), `loss/en-de` ... */
  readonly name: string;
  readonly value: number;
}

/** How far a run is, for people: `executeRun` reports it, launchers pass it on. */
export interface Progress {
  /** Updates done, of `steps`. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  /** Global, before clipping. */
  readonly gradientNorm: number;
  readonly stepsPerSecond: number;
  readonly secondsLeft: number;
  /** What it does beside training, where that takes long: `importance-weighted-nll 34 %`. */
  readonly doing?: string;
}

/** The quantities of `layers.csv`. Gradients are of the mean loss a target token, before clipping. */
export type Quantity =
  | "parameter-gradient"
  | "activation-gradient"
  | "activation"
  | "parameter"
  | "update"
  | "model-update"
  | "distance-from-init"
  /** Norm of the mean of K batches' gradients, and mean of their norms. */
  | "expected-gradient"
  | "mean-gradient-norm";

/** The quantities of `readings.csv`: numbers that are no norm of a tensor. */
export type ReadingQuantity =
  | "angular-distance"
  | "attention-entropy"
  | "attention-logit"
  | "branch-share"
  | "dead-units"
  | "gradient-coherence"
  | "noise-scale"
  | "noise-trace"
  | "noise-signal";

/** One line of `layers.csv`: one quantity of one tensor at one step. */
export interface LayerRow {
  readonly step: number;
  readonly player: string;
  /** `embedding`, `encoder`, `decoder`, `output`, or the network's own for VAE and GAN. */
  readonly stack: string;
  /** Counted from 0; empty for what belongs to no layer (embeddings, final norms, output). */
  readonly layer: number | "";
  /** `self-attention`, `cross-attention`, `feed-forward`, `norm`, `layer` ... */
  readonly component: string;
  /** Path of the parameter within its component; for activations which one: `stream` (residual stream) or `branch`. */
  readonly parameter: string;
  readonly quantity: Quantity;
  readonly l2: number;
  readonly rms: number;
  readonly max: number;
  readonly count: number;
}

/** One line of `readings.csv`: one number about a place of the network at one step. Places as in `LayerRow`; `parameter` is
 *  `head-0` ... for what each attention head has, else empty, and a stack `all` is the whole network. */
export interface ReadingRow {
  readonly step: number;
  readonly player: string;
  readonly stack: string;
  readonly layer: number | "";
  readonly component: string;
  readonly parameter: string;
  readonly quantity: ReadingQuantity;
  readonly value: number;
}

/** One line of `runs.csv`: identity and final values of a run, the varied config keys under `config`. */
export interface RunRow {
  readonly id: string;
  readonly status: "done" | "diverged" | "failed" | "running" | "pending" | "stale";
  readonly seed: number;
  /** The keys that tell the runs apart (those the sweep varies, and those in which runs of `fathom train` differ). */
  readonly config: Readonly<Record<string, string | number | boolean | null>>;
  readonly steps: number;
  readonly seconds: number;
  readonly finalTrainLoss: number;
  readonly finalDevLoss: number;
  /** NaN while the run is not finished: it would take all of its events. */
  readonly bestDevLoss: number;
  readonly unigramEntropy: number;
  readonly engine: string;
  /** For `diverged`: what became non-finite, where and when; for `failed`: the error. */
  readonly reason: string;
}

/** One number a check of `fathom verify` compares: what a formula predicts and what was measured. */
export interface Claim {
  /** `<check>` or `<check>/<part>`. */
  readonly name: string;
  /** What is claimed, by whom (paper, theorem or the seed's question) and under which conditions. */
  readonly statement: string;
  readonly predicted: number;
  readonly measured: number;
  /** |measured - predicted| / |predicted|; |measured| where the prediction is 0. */
  readonly relativeError: number;
  /** Largest relative error at which the claim counts as holding. */
  readonly tolerance: number;
  /** An interval it has to lie in besides, where the source gives one. */
  readonly within?: readonly [low: number, high: number];
  /** `corrected`: the claim as it was stated does not hold, the formula in `correction` does. */
  readonly verdict: "holds" | "corrected" | "fails";
  /** What stands in the place of a claim that does not hold, and what it had claimed. */
  readonly correction?: { readonly claimed: number; readonly text: string };
  /** Where there is a number a seed, of which `measured` is the median or, of a claim about every seed, the one furthest from
   *  the prediction: how many, the smallest and the largest. */
  readonly spread?: { readonly seeds: number; readonly low: number; readonly high: number };
}

/** What a check found, as a figure: points by series, measured over seeds or predicted. */
export interface CheckFigure {
  /** `lines`: y over x, a line a series, one point a seed. `bars`: stacked bars over x, a colour a series. */
  readonly kind: "lines" | "bars";
  /** The finding in a sentence. */
  readonly title: string;
  /** How to read it. */
  readonly caption: string;
  readonly x: { readonly title: string; readonly scale?: "linear" | "log" };
  readonly y: { readonly title: string; readonly scale?: "linear" | "log" };
  readonly points: readonly CheckPoint[];
}

export interface CheckPoint {
  /** What a line or a colour stands for. */
  readonly series: string;
  /** Points of different panels stand beside each other; empty where there is one. */
  readonly panel?: string;
  readonly x: number;
  readonly y: number;
  /** Absent for a prediction, which is drawn dashed, in the colour of its series. */
  readonly seed?: number;
}

/** What an on-demand instrument found, by the kind of its rows. */
export type Measurement =
  | { readonly kind: "jacobian"; readonly rows: readonly JacobianRow[] }
  | { readonly kind: "removal"; readonly rows: readonly RemovalRow[] }
  | { readonly kind: "surface"; readonly rows: readonly SurfaceRow[] }
  | { readonly kind: "curvature"; readonly rows: readonly CurvatureRow[] };

/** Singular values of the Jacobian of a layer or a stack: of its residual stream at the end with respect to the same at the
 *  start, over the positions that are no padding. */
export interface JacobianRow {
  readonly stack: string;
  /** From 0; empty for a whole stack. */
  readonly layer: number | "";
  /** The largest singular value, from below: a power iteration on J^T J. */
  readonly spectralNorm: number;
  readonly iterations: number;
  /** ||J^T J v - s^2 v|| / s^2 of the last iterate v, s the spectral norm found: 0 where v is a singular vector. */
  readonly residual: number;
  /** ||J||_F^2 / n from random probes, and the standard error of that. */
  readonly meanSquare: number;
  readonly meanSquareError: number;
  readonly probes: number;
  /** n, numbers that enter. */
  readonly size: number;
}

/** What becomes of the loss without one layer. */
export interface RemovalRow {
  readonly stack: string;
  /** From 0. */
  readonly layer: number;
  /** Nats a target, all layers in place. */
  readonly loss: number;
  readonly lossWithout: number;
  /** `lossWithout` - `loss`. */
  readonly change: number;
  /** Standard error of `change` over batches; NaN of one batch. */
  readonly changeError: number;
  readonly batches: number;
}

/** The loss at theta + alpha d1 + beta d2. */
export interface SurfaceRow {
  readonly alpha: number;
  readonly beta: number;
  readonly loss: number;
}

/** A number about the Hessian of the loss. */
export interface CurvatureRow {
  /** `bottom-eigenvalue` is there where an eigenvalue below 0 is the largest in magnitude. */
  readonly quantity: "top-eigenvalue" | "bottom-eigenvalue" | "trace";
  readonly value: number;
  /** Of a trace, over its probes; NaN of an eigenvalue. */
  readonly standardError: number;
  /** Power iterations, or random probes. */
  readonly count: number;
  /** ||H v - value v|| / |value| of an eigenvalue's last iterate; NaN of a trace. */
  readonly residual: number;
  /** How far the value at half the step of the finite difference is from this one, in parts of it. */
  readonly disagreement: number;
  readonly parameters: number;
}

/** A program as it was compiled, for whoever keeps it. */
export interface CompiledProgram {
  /** Name and key of the stage that asked for it first; all stages of that key share it. */
  readonly stage: string;
  readonly key: string;
  readonly mode: string;
  readonly direction: string;
  /** How taps are measured in it: `none`, `plain` or `scaled`. */
  readonly taps: string;
  readonly provider: string;
  /** The bytes of an ONNX model. */
  readonly model: Uint8Array;
  readonly inputs: readonly ProgramEnd[];
  readonly outputs: readonly ProgramEnd[];
  /** How many nodes it has of each operator. */
  readonly nodes: Readonly<Record<string, number>>;
}

/** An input or output of a program. */
export interface ProgramEnd {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: string;
}
