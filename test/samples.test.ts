// The pictures of models of images: what a run leaves while it trains, that training does not notice, and `fathom sample`.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { decode } from "fast-png";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IDX_NAMES } from "../src/data/image-set.ts";
import { readLatent, readSamples } from "../src/runs/samples.ts";
import { fathom } from "./cli/capture.ts";
import { dotsFolder, dotsRun, gan, vae } from "./dots.ts";
import { tables } from "./train/run-folder.ts";

const root = mkdtempSync(join(tmpdir(), "fathom-samples-"));
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const images = join(root, "images");
beforeAll(() => void dotsFolder(images));

/** Trains from the start or, with `run`, goes on; stops after `stopAt` steps where that is given. */
async function trained(
  model: object,
  options: { samples?: object; train?: object; stopAt?: number; run?: Awaited<ReturnType<typeof dotsRun>> } = {},
): Promise<string> {
  const run = options.run ?? (await dotsRun(root, model, { images, ...options }));
  await run.go(({ step }) => step === options.stopAt);
  return run.runDir;
}

/** A PNG with other data in place of its pixels, packed and with the right checksum. */
function withPixels(png: Buffer, data: Buffer): Buffer {
  const parts = [png.subarray(0, 8)];
  for (let at = 8, end = 8; at < png.length; at = end) {
    end = at + 12 + png.readUInt32BE(at);
    if (png.toString("latin1", at + 4, at + 8) !== "IDAT") parts.push(png.subarray(at, end));
    else {
      const body = Buffer.concat([Buffer.from("IDAT"), deflateSync(data)]);
      const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
      size.writeUInt32BE(body.length - 4);
      sum.writeUInt32BE(crc32(body));
      parts.push(size, body, sum);
    }
  }
  return Buffer.concat(parts);
}

const bytesOf = (runDir: string): string[] => readSamples(runDir).map(({ png }) => Buffer.from(png).toString("base64"));

describe("a run", () => {
  let whole: string;
  beforeAll(async () => {
    whole = await trained(vae);
  });

  test("leaves generated images at the epochs asked for and after the last step, and a VAE its other pictures", () => {
    const found = readSamples(whole).map(({ kind, step, epoch, rows, columns }) => [kind, step, epoch, rows, columns]);
    expect(found).toEqual([
      ["generated", 0, 0, 2, 3],
      ["generated", 8, 1, 2, 3],
      ["generated", 16, 2, 2, 3],
      ["generated", 20, 2.5, 2, 3],
      ["manifold", 20, 2.5, 20, 20],
      ["reconstructions", 20, 2.5, 2, 8],
      ["traversal", 20, 2.5, expect.any(Number), 11],
    ]);
    expect(readLatent(whole).map(({ label }) => label)).toEqual(Array.from({ length: 12 }, (_, i) => String(i % 3)));
  });

  test("shows dev images above their reconstructions, pixel by pixel", () => {
    const { png, width } = readSamples(whole).find(({ kind }) => kind === "reconstructions")!;
    const picture = decode(png);
    const at = (row: number, column: number, y: number, x: number): number =>
      picture.data[(2 + row * 6 + y) * picture.width + 2 + column * 6 + x]!;
    const file = readFileSync(join(images, IDX_NAMES.trainImages)).subarray(16);
    for (let i = 0; i < 8; i++)
      for (let p = 0; p < 16; p++) {
        const [y, x] = [Math.floor(p / width), p % width];
        expect(at(0, i, y, x)).toBe(file[(32 + i) * 16 + p]! >= 128 ? 255 : 0); // the last 8 are dev
        expect(at(1, i, y, x)).toBeGreaterThan(0); // a probability
      }
  });

  test("trains to the same bits whether it leaves pictures or not, and leaves the same ones when resumed", async () => {
    const without = await trained(vae, { samples: { epochs: [] } });
    expect(tables(without)).toEqual(tables(whole));
    const run = await dotsRun(root, vae, { images });
    const resumed = await trained(vae, { run, stopAt: 8 });
    await trained(vae, { run });
    expect(tables(resumed)).toEqual(tables(whole));
    expect(bytesOf(resumed)).toEqual(bytesOf(whole));
  });

  test("of a GAN counts the batches of the player with most updates as its epochs", async () => {
    const runDir = await trained(gan, { train: { discriminator: { updates: 2 } } });
    expect(readSamples(runDir).map(({ kind, step, epoch }) => [kind, step, epoch])).toEqual([
      ["generated", 0, 0],
      ["generated", 4, 1],
      ["generated", 8, 2],
      ["generated", 20, 5],
    ]);
  });

  test("what is torn, foreign or not named like a picture of ours is passed over", async () => {
    const runDir = await trained(gan, { samples: { epochs: [0] } });
    const before = bytesOf(runDir);
    const folder = join(runDir, "samples");
    writeFileSync(join(folder, "generated-step-00000001.png"), Buffer.from(before[0]!, "base64").subarray(0, 60));
    writeFileSync(join(folder, "traversal.png"), "<svg>");
    writeFileSync(join(folder, "manifold.png"), withPixels(Buffer.from(before[0]!, "base64"), Buffer.alloc(1 << 20)));
    writeFileSync(join(folder, "mine.png"), Buffer.from(before[0]!, "base64"));
    expect(bytesOf(runDir)).toEqual(before);
  });
});

describe("fathom sample", () => {
  let runDir: string;
  beforeAll(async () => {
    runDir = await trained(vae);
  });

  test("draws the images of training from the newest checkpoint, and others from another seed", async () => {
    const file = join(root, "grid.png");
    const { code, stdout } = await fathom("sample", runDir, "-n", "5", "--out", file, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ runDir, step: 20, kind: "generated", images: 5, file });
    const last = readSamples(runDir)
      .filter(({ kind }) => kind === "generated")
      .at(-1)!;
    expect(readFileSync(file)).toEqual(last.png);
    await fathom("sample", runDir, "-n", "5", "--seed", "2", "--out", file, "--quiet");
    expect(readFileSync(file)).not.toEqual(last.png);
  });

  test("writes beside the run's own where no file is named", async () => {
    const { stdout } = await fathom("sample", runDir, "--traverse", "--step", "15", "--json");
    const { file, step } = JSON.parse(stdout) as { file: string; step: number };
    expect([file, step]).toEqual([join(runDir, "samples", "sampled-traversal-step-15.png"), 15]);
    expect(existsSync(file)).toBe(true);
    expect(readSamples(runDir)).toHaveLength(7); // figures show those of training alone
  });

  test.each([
    [["-n", "0"], /-n: expected a whole number from 1 to 10000, got 0/],
    [["-n", "10001"], /got 10001/],
    [["--seed", "-1"], /--seed: expected a whole number from 0/],
    [["--step", "3"], /--step: expected a step of which .* has a checkpoint \(15, 20\), got 3/],
    [["--traverse", "--reconstruct"], /got both/],
    [["--traverse", "-n", "3"], /it draws a row a dimension/],
    [["--out", join(root, "no", "such.png")], /expected a file that can be written/],
  ])("refuses %j", async (args, message) => {
    const { code, stderr } = await fathom("sample", runDir, ...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  test("refuses runs that have no images or no checkpoint, and reconstructions of a GAN", async () => {
    const without = join(root, "without");
    mkdirSync(without);
    writeFileSync(join(without, "config.yaml"), readFileSync(join(runDir, "config.yaml")));
    expect((await fathom("sample", without)).stderr).toMatch(/expected a run with a checkpoint, got none/);
    const ganDir = await trained(gan);
    expect((await fathom("sample", ganDir, "--reconstruct")).stderr).toMatch(
      /has an encoder, got gan; leave --reconstruct out/,
    );
    expect((await fathom("sample", join(root, "nowhere"))).stderr).toMatch(/expected the folder of a run/);
  });
});
