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
    mode: "compile",
  },
  {
    name: "jax",
    label: "JAX jit",
    language: "python",
    probe: ["-c", "import jax; print(jax.__version__)"],
    install: environment,
    step: (step) => ["jax_step.py", ...options(step), "--first-core", String(step.firstCore ?? 0)],
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
  if (names.join() === "none") return [];
  const known = peers.map(({ name }) => name);
  return names.map((given) => {
    const name = known.find((one) => one === given);
    if (name === undefined) throw new UserError(`--peer: ${unknownName("peer", given, known)}`);
    return name;
  });
}

/** Looks for the peers named, those of Python in the Python named, else in python3 of the path, else in Debian's. A named Python
 *  that has none of them is a `UserError`. */
export async function findPeers(
  names: readonly PeerName[],
  python: string | undefined,
): Promise<{ found: FoundPeer[]; leftOut: LeftOut[] }> {
  const found: FoundPeer[] = [];
  const leftOut: LeftOut[] = [];
  for (const name of names) {
    const peer = peerNamed(name);
    const answer = await look(peer, python);
    if ("version" in answer) found.push({ ...peer, name, ...answer });
    else leftOut.push({ name, reason: answer.reason, install: peer.install });
  }
  const ofPython = names.filter((name) => peerNamed(name).language === "python");
  if (python !== undefined && ofPython.length > 0 && !found.some(({ language }) => language === "python"))
    throw new UserError(
      `--python: expected a Python with ${ofPython.join(" or ")}, but "${python}" has none: ${leftOut[0]!.reason}`,
    );
  return { found, leftOut };
}

async function look(
  { language, probe }: Peer,
  python: string | undefined,
): Promise<{ command: string; version: string } | { reason: string }> {
  const commands =
    language === "node" ? [process.execPath] : python === undefined ? ["python3", "/usr/bin/python3"] : [python];
  const args = language === "node" ? [join(peerFolder, probe[0]!), ...probe.slice(1)] : probe;
  let reason = "";
  for (const command of commands)
    try {
      const { stdout } = await output(command, args);
      const last = stdout.trim().split("\n").at(-1)!;
      return { command, version: last.startsWith("{") ? (JSON.parse(last) as { version: string }).version : last };
    } catch (error) {
      reason ||= messageOf(error);
    }
  return { reason };
}
