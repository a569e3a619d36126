// Whom fathom is compared with, as data: how each is looked for, how it is installed, how its programs are called. None is needed for
// anything else, and one that is not here is said to be left out.

import { join } from "node:path";
import { messageOf, UserError } from "../errors.ts";
import { unknownName } from "../registry.ts";
import { output, peerFolder } from "./processes.ts";
import type { LeftOut } from "./turns.ts";

/** A training step that a peer is to take. */
export interface PeerStep {
  readonly depth: number;
  readonly width: number;
  readonly threads: number;
  readonly steps: number;
  /** Steps after the first that are not timed; what its program thinks right if not given. */
  readonly warmup?: number;
  /** Rows and tokens of a batch, and the vocabulary; 32, 32 and 4000 if not given. */
  readonly batch?: number;
  readonly length?: number;
  readonly vocabulary?: number;
  readonly seed?: number;
  /** The first of the processors that are its, for peers that are held to some. */
  readonly firstCore?: number;
}

interface Peer {
  readonly name: string;
  /** How it is called in tables. */
  readonly label: string;
  readonly language: "python" | "node";
  /** Arguments of a program that prints the version as its last word, and fails where the peer cannot work. */
  readonly probe: readonly string[];
  /** How to get it. */
  readonly install: string;
  /** Arguments for its program of a training step; the first is a file of scripts/peers. */
  step(step: PeerStep): readonly string[];
  /** How many times as long as others its processes take, by what they compile first: measured with six networks of `step`, 2 + 2 to
   *  24 + 24 layers. */
  readonly timesAsLong?: number;
  /** How torch_vae.py and torch_gan.py are to run, where it is one of PyTorch's. */
  readonly mode?: "eager" | "fused" | "compile";
}

const environment =
  "python3 -m venv peers && peers/bin/pip install -r scripts/peers/requirements.txt, then --python peers/bin/python";

/** A Python program's arguments; `firstCore` is JAX's alone. */
function options({ depth, width, threads, steps, warmup, batch, length, vocabulary, seed }: PeerStep): string[] {
  const named = Object.entries({ warmup, batch, length, vocabulary, seed }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  );
  return [depth, width, threads, steps, ...named].map(String);
}

/** `warmup`: at least so many steps after the first are not timed. */
const torchStep =
  (mode: string, warmup = 0): Peer["step"] =>
  (step) => ["torch_step.py", ...options({ ...step, warmup: Math.max(step.warmup ?? 3, warmup) }), ...["--mode", mode]];

const tfjs = (backend: string, label: string, install: string) =>
  ({
    name: `tfjs-${backend}`,
    label,
    language: "node",
    probe: ["tfjs-step.js", "1", "8", backend, "1"],
    install,
    step: ({ depth, width, steps }) => ["tfjs-step.js", ...[depth, width, backend, steps].map(String)],
  }) as const satisfies Peer;

/** All of them. */
export const peers = [
  {
    name: "torch",
    label: "PyTorch eager",
    language: "python",
    probe: ["-c", "import torch; print(torch.__version__)"],
    install: `${environment}; on Debian also apt-get install python3-torch`,
    step: torchStep("eager"),
    mode: "eager",
  },
  {
    name: "torch-fused",
    label: "PyTorch, fused Adam",
    language: "python",
    probe: [
      "-c",
      "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)], fused=True); print(torch.__version__)",
    ],
    install: `${environment} (Debian's PyTorch has no fused Adam for the CPU)`,
    step: torchStep("fused"),
    mode: "fused",
  },
  {
    name: "torch-compile",
    label: "torch.compile",
    language: "python",
    probe: ["-c", "import torch; torch.compile; import torch._inductor; print(torch.__version__)"],
    install: `${environment}, and a C++ compiler (Debian's PyTorch has no torch.compile)`,
    // More warm-up: guards settle, and autotuned kernels are loaded, in the first steps.
    step: torchStep("compile", 6),
    timesAsLong: 5,
    mode: "compile",
  },
  {
    name: "jax",
    label: "JAX jit",
    language: "python",
    probe: ["-c", "import jax; print(jax.__version__)"],
    install: environment,
    step: (step) => ["jax_step.py", ...options(step), "--first-core", String(step.firstCore ?? 0)],
    timesAsLong: 5,
  },
  tfjs("wasm", "TensorFlow.js wasm", "npm ci"),
  tfjs("tensorflow", "TensorFlow.js tensorflow", "scripts/install-libtensorflow"),
] as const satisfies readonly Peer[];

export type PeerName = (typeof peers)[number]["name"];

/** A peer that works here. */
export interface FoundPeer extends Peer {
  readonly name: PeerName;
  /** The program that runs its programs. */
  readonly command: string;
  readonly version: string;
}

/** A peer by its name. */
export const peerNamed = (name: PeerName): Peer & { readonly name: PeerName } =>
  peers.find((peer) => peer.name === name)!;

/** Names of peers as a user gives them, `none` alone for no peers; an unknown one is a `UserError`. */
export function parsePeers(names: readonly string[]): PeerName[] {
  const none = "none";
  if (names.join() === none) return [];
  if (names.includes(none))
    throw new UserError(`--peer: ${none} stands alone, got ${names.join(" ")}; leave out ${none}, or the others`);
  const known = peers.map(({ name }) => name);
  return names.map((given) => {
    const name = known.find((one) => one === given);
    if (name === undefined) throw new UserError(`--peer: ${unknownName("peer", given, [...known, none])}`);
    return name;
  });
}

/** The Pythons that are looked into where none is named, in this order: that of the path, and Debian's. */
const pythons = ["python3", "/usr/bin/python3"];

/** Looks for the peers named, those of Python in the Python named, else in python3 of the path, else in Debian's. Throws the signal's
 *  reason once it is aborted. */
export async function findPeers(
  names: readonly PeerName[],
  python: string | undefined,
  signal?: AbortSignal,
): Promise<{ found: FoundPeer[]; leftOut: LeftOut[] }> {
  const found: FoundPeer[] = [];
  const leftOut: LeftOut[] = [];
  for (const name of names) {
    const peer = peerNamed(name);
    const answer = await look(peer, python);
    signal?.throwIfAborted();
    if ("version" in answer) found.push({ ...peer, name, ...answer });
    else leftOut.push({ name, reason: answer.reason, install: peer.install });
  }
  return { found, leftOut };
}

/** What a user names must be there: in a Python one of the peers that were looked for in it, and of the peers one at least. Else a
 *  `UserError`. */
export function requireNamed(
  { found, leftOut }: Awaited<ReturnType<typeof findPeers>>,
  named: { readonly python?: string | undefined; readonly peers?: readonly PeerName[] | undefined },
): void {
  const ofPython = leftOut.filter(({ name }) => peerNamed(name).language === "python");
  if (named.python !== undefined && ofPython.length > 0 && !found.some(({ language }) => language === "python"))
    throw new UserError(
      `--python: expected a Python with ${ofPython.map(({ name }) => name).join(" or ")}, got "${named.python}": ` +
        `${ofPython[0]!.reason}; to get one: ${environment}`,
    );
  if (named.peers && leftOut.length > 0 && found.length === 0)
    throw new UserError(
      "--peer: expected one that is here, got " +
        leftOut.map(({ name, reason, install }) => `${name} (${reason}; to get it: ${install})`).join(" and "),
    );
}

async function look(
  { language, probe }: Peer,
  python: string | undefined,
): Promise<{ command: string; version: string } | { reason: string }> {
  const commands = language === "node" ? [process.execPath] : python === undefined ? pythons : [python];
  const args = language === "node" ? [join(peerFolder, probe[0]!), ...probe.slice(1)] : probe;
  const reasons = new Map<string, string[]>();
  for (const command of commands)
    try {
      const { stdout } = await output(command, args);
      const last = stdout.trim().split("\n").at(-1)!;
      return { command, version: last.startsWith("{") ? (JSON.parse(last) as { version: string }).version : last };
    } catch (error) {
      const reason = messageOf(error);
      reasons.set(reason, [...(reasons.get(reason) ?? []), command]);
    }
  // Which of several has what reason; one alone has been named by whoever asks.
  const told = [...reasons].map(([reason, of]) => (commands.length > 1 ? `${of.join(" and ")}: ${reason}` : reason));
  return { reason: told.join("; ") };
}
