import { epochWork } from "./epoch.ts";

export const ganEpoch = epochWork("gan-epoch", "an MLP GAN on MNIST");
