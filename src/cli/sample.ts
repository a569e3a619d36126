// `fathom sample`: pictures of a trained model of images.

import { exitCodes, findRun, print, verb } from "./verb.ts";

export const sample = verb({
  usage: "sample <run>",
  summary: "images of a trained VAE or GAN as one PNG picture",
  positionals: {
    run: { type: "string", demandOption: true, describe: "a run's folder, or its path below results" },
  },
  options: {
    n: { type: "number", requiresArg: true, describe: "images; 64 if not given, of --reconstruct 40" },
    out: {
      type: "string",
      requiresArg: true,
      describe: "the picture's file; one in the run's samples/ if not given",
    },
    step: { type: "number", requiresArg: true, describe: "of the checkpoint; the newest if not given" },
    seed: { type: "number", requiresArg: true, describe: "of the latent variables; the run's if not given" },
    reconstruct: { type: "boolean", default: false, describe: "dev images above what a VAE makes of them" },
    traverse: { type: "boolean", default: false, describe: "a VAE's latent dimensions one by one, from -3 to 3" },
  },
  examples: [
    ["fathom sample results/gan-mnist/runs/<id>", "64 generated images, beside those of training"],
    ["fathom sample results/vae-mnist/runs/<id> -n 100 --seed 7 --out grid.png", "others, into a file"],
    ["fathom sample results/vae-mnist/runs/<id> --traverse --out latent.png", "what each latent dimension does"],
  ],
  async run({ run, n, out, step, seed, reconstruct, traverse, quiet, json }) {
    const { UserError } = await import("../errors.ts");
    const { sampleRun } = await import("../samples.ts");
    const { interruption } = await import("./run-one.ts");
    if (reconstruct && traverse)
      throw new UserError("expected --reconstruct or --traverse, got both; a picture shows one of them");
    const kind = reconstruct ? "reconstructions" : traverse ? "traversal" : "generated";
    const interrupt = interruption();
    try {
      const { signal } = interrupt;
      const result = await sampleRun(findRun(run, "results"), { kind, images: n, file: out, step, seed, signal });
      print(
        { quiet, json },
        result,
        () => `${result.images} images, ${result.kind}, of step ${result.step}: ${result.file}`,
      );
      return exitCodes.done;
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      console.error("interrupted; nothing was written");
      return exitCodes.interrupted;
    } finally {
      interrupt.dispose();
    }
  },
});
