import { epochWork } from "./epoch.ts";

export const vaeEpoch = epochWork("vae-epoch", "a VAE on MNIST");
