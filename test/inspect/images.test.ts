// Steps of VAEs and GANs, compiled, against PyTorch twins that are written from the papers, in float64. What is compared is
// float32 rounding, some 1e-6 of whole tensors; the bound is the 1e-4 asked of the project.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import * as engines from "../../src/engine/index.ts";
import { gan, type GanOptions } from "../../src/models/gan.ts";
import { vae, type VaeOptions } from "../../src/models/vae.ts";
import { stream } from "../../src/random.ts";
import type { Player } from "../../src/stage.ts";
import { imageBatch, plain, residual, shaken, smallGan, smallVae, stretch } from "../models/images.ts";

const script = fileURLToPath(new URL("./torch_images.py", import.meta.url));
// Debian's python3-torch belongs to the system's Python, which need not be the first one in the path.
const python = ["python3", "/usr/bin/python3"].find(
  (name) => spawnSync(name, ["-c", "import numpy, torch"]).status === 0,
);
if (!python)
  console.warn("test/inspect/images.test.ts: skipped, since no python3 here imports torch (apt install python3-torch)");

const wide = { pixels: 28 * 28, encoder: plain([40, 20], "relu"), decoder: plain([20, 40], "relu") };
const vaes: Record<string, Partial<VaeOptions>> = {
  "VAE, elbo": wide,
  "VAE, elbo, k = 3, beta": { ...wide, samples: 3, beta: 0.3 },
  "VAE, free bits": { ...wide, freeBits: 0.2, encoder: plain([30], "gelu") },
  "VAE, iwae, k = 5": { ...wide, objective: "iwae", samples: 5 },
  "VAE, residual": { encoder: residual("pre-ln"), decoder: residual("pre-ln", "gelu"), samples: 2 },
};
const mlp = { generator: plain([12, 10], "relu"), discriminator: plain([14, 10], "leaky-relu") };
const dcgan = { height: 28, width: 28, net: { channels: 4, generator: "relu", discriminator: "leaky-relu" } } as const;
const smooth = { generator: plain([12], "relu"), discriminator: plain([14, 10], "tanh") };
const gans: Record<string, Partial<GanOptions>> = {
  minimax: { loss: "minimax", net: mlp },
  "non-saturating": { loss: "non-saturating", net: mlp },
  lsgan: { loss: "lsgan", net: mlp },
  hinge: { loss: "hinge", net: mlp },
  "WGAN-GP": { loss: "wgan-gp", net: mlp, pixels: "symmetric" },
  "WGAN-GP, tanh": { loss: "wgan-gp", net: smooth, gradientPenalty: 3 },
  "spectral norm": { loss: "hinge", net: mlp, spectralNorm: true },
  "WGAN-GP, residual": {
    loss: "wgan-gp",
    net: { generator: residual("pre-ln"), discriminator: residual("pre-ln") },
  },
  DCGAN: { loss: "non-saturating", ...dcgan, pixels: "symmetric" },
  "DCGAN, WGAN-GP": { loss: "wgan-gp", ...dcgan },
  "DCGAN, spectral norm": { loss: "hinge", ...dcgan, spectralNorm: true },
};

interface Case {
  readonly name: string;
  readonly kind: "vae" | "gan";
  readonly options: Partial<VaeOptions> | Partial<GanOptions>;
  readonly players: readonly Player[];
  readonly pixels: number;
  readonly std: number;
}
const cases: Case[] = [
  ...Object.entries(vaes).map(([name, overrides]): Case => {
    const options = smallVae(overrides);
    return { name, kind: "vae", options, players: vae(options).players, pixels: options.pixels, std: 0.1 };
  }),
  ...Object.entries(gans).map(([name, overrides]): Case => {
    const options = smallGan(overrides);
    const pixels = options.height * options.width;
    return { name, kind: "gan", options, players: gan(options).players, pixels, std: 0.2 };
  }),
];

interface Report {
  readonly player: string;
  readonly scalars: Readonly<Record<string, number>>;
  readonly gradients: Readonly<Record<string, number>>;
  readonly zeros: Readonly<Record<string, number>>;
}

const listed = ({ shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> }) => ({
  shape,
  data: Array.from(data),
});

describe.skipIf(!python)("PyTorch computes the same losses and gradients of images' models", () => {
  test.each([engines.onnx, engines.wasm])(
    "as engine $name",
    async (kind) => {
      const engine = await kind.create({ threads: 1 });
      const given: unknown[] = [];
      for (const one of cases) {
        const parameters = shaken(one.players, one.std);
        if ("spectralNorm" in one.options && one.options.spectralNorm) stretch(parameters);
        const batch = imageBatch(one.kind === "vae" ? "binary" : "grey", 5, one.pixels);
        const found: Record<string, unknown> = {};
        let noises: Record<string, unknown> = {};
        for (const player of one.players) {
          const step = await engine.differentiate(player, parameters, batch, { step: 2, seed: 1, tapped: false });
          const gradients = [...step.gradients].map(([path, data]) => [
            path,
            listed({ shape: parameters.get(path)!.shape, data }),
          ]);
          found[player.name] = { scalars: step.scalars, gradients: Object.fromEntries(gradients) };
          noises = { ...noises, ...Object.fromEntries([...step.noises].map(([purpose, n]) => [purpose, listed(n)])) };
        }
        const widths = new Set([...parameters.values()].map(({ shape }) => shape.at(-1)!));
        given.push({
          kind: one.kind,
          options: one.options,
          parameters: Object.fromEntries([...parameters].map(([path, parameter]) => [path, listed(parameter)])),
          starts: Object.fromEntries(
            [...widths].map((width) => [width, [...stream(0, "spectral norm").normal(new Float32Array(width))]]),
          ),
          images: listed(batch.tensors["images"]!),
          noises,
          found,
        });
      }
      await engine.dispose();
      const { status, stdout, stderr } = spawnSync(python!, ["-B", script], {
        input: JSON.stringify(given),
        encoding: "utf8",
        maxBuffer: 2 ** 28,
      });
      expect(status, stderr).toBe(0);
      const reports = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Report);
      const expected = cases.flatMap(({ name, players }) => players.map((player) => ({ name, player })));
      expect(reports.map(({ player }) => player)).toEqual(expected.map(({ player }) => player.name));
      for (const [i, { player, scalars, gradients, zeros }] of reports.entries()) {
        const what = `${expected[i]!.name}, ${player}`;
        expect(Object.keys(gradients).length, what).toBeGreaterThan(3);
        for (const [path, apart] of Object.entries({ ...scalars, ...gradients }))
          expect(apart, `${what}: ${path}`).toBeLessThan(1e-4);
        // What is taken off again by batch normalisation, or shifts what is only compared: rounding beside the whole.
        for (const [path, share] of Object.entries(zeros)) {
          expect(path, what).toMatch(/bias$/);
          expect(share, `${what}: ${path}`).toBeLessThan(1e-5);
        }
      }
    },
    60_000,
  );
});
