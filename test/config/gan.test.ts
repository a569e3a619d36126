// What a GAN's configuration refuses beside unknown keys, and which keys it leaves out.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadRun } from "../../src/config/load.ts";
import { loadRegistries } from "../../src/config/registries.ts";
import { singleRun } from "../../src/config/sweep.ts";
import { UserError } from "../../src/errors.ts";

const names = await loadRegistries();
const folder = mkdtempSync(join(tmpdir(), "fathom-gan-"));

function load(model: object) {
  const file = join(folder, "c.yaml");
  const text = { name: "tiny", data: { images: "mnist" }, model: { kind: "gan", ...model }, train: { steps: 10 } };
  writeFileSync(file, JSON.stringify(text));
  return loadRun(file, [], names).config;
}

const plain = { generator: { hidden: [8] }, discriminator: { hidden: [8] } };
const blocks = (residual: string) => ({ depth: { generator: 2, discriminator: 2 }, width: 8, residual });

test.each([
  [
    "a gradient penalty of noisy images",
    { ...plain, loss: "wgan-gp", instanceNoise: 0.1 },
    /model\.instanceNoise: expected 0 with model\.loss: wgan-gp.*, got 0\.1; remove it or choose another model\.loss/,
  ],
  [
    "spectral norms of matrices of zeros",
    { ...blocks("fixup"), spectralNorm: true },
    /model\.spectralNorm: expected false with model\.residual: fixup.*; remove it or choose another model\.residual/,
  ],
  [
    "dropout of layers that are no plain ones",
    { ...blocks("pre-ln"), discriminator: { dropout: 0.3 } },
    /model\.discriminator\.dropout: expected .* only with model\.discriminator\.hidden; remove it \(residual blocks have model\.dropout\)/,
  ],
  [
    "dropout of convolutions",
    { net: "dcgan", generator: { dropout: 0.3 } },
    /expected no model\.generator\.dropout with model\.net: dcgan; remove it/,
  ],
])("%s: refused with both keys", (_, model, message) => {
  expect(() => load(model)).toThrow(UserError);
  expect(() => load(model)).toThrow(message);
});

test("each of these keys is taken without the other", () => {
  expect(load({ ...plain, loss: "hinge", instanceNoise: 0.1 }).model).toMatchObject({ instanceNoise: 0.1 });
  expect(load({ ...plain, loss: "wgan-gp", instanceNoise: 0 }).model).toMatchObject({ gradientPenalty: 10 });
  expect(load({ ...blocks("fixup"), spectralNorm: false }).model).toMatchObject({ residual: "fixup" });
  expect(load({ ...blocks("pre-ln"), spectralNorm: true }).model).toMatchObject({ spectralNorm: true });
});

test.each([
  ["noise", { instanceNoise: 0 }, { instanceNoise: 0.1 }],
  ["dropout", { discriminator: { hidden: [8], dropout: 0 } }, { discriminator: { hidden: [8], dropout: 0.3 } }],
])("%s of 0 is left out, so that runs keep their names", (_, none, some) => {
  const [without, zero, noisy] = [{}, none, some].map((own) => load({ ...plain, ...own }));
  expect(without!.model).not.toHaveProperty("instanceNoise");
  expect(zero).toEqual(without);
  const ids = [without, zero, noisy].map((config) => singleRun(config!).id);
  expect(ids[1]).toBe(ids[0]);
  expect(ids[2]).not.toBe(ids[0]);
});
