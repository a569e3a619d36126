import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { create } from "tar";
import { beforeAll, expect, test } from "vitest";
import { fetchPackages, packageDirectories, tarballName, type PinnedPackage } from "../../src/data/packages.ts";
import { UserError } from "../../src/errors.ts";
import { useTemporaryCache } from "./temporary-cache.ts";

const cache = useTemporaryCache();
const pin = { name: "@fathom-test/messages", version: "1.2.3", keep: "texts/" };
let good: string;
let tampered: string;
let integrity: string;

async function pack(file: string, message: string): Promise<string> {
  const root = path.join(cache, `making-${file}`);
  await mkdir(path.join(root, "package", "texts"), { recursive: true });
  await writeFile(path.join(root, "package", "package.json"), JSON.stringify({ name: pin.name, version: pin.version }));
  await writeFile(path.join(root, "package", "texts", "fr.json"), message);
  await writeFile(path.join(root, "package", "large.js"), "not needed");
  await create({ file: path.join(cache, file), cwd: root, gzip: true }, ["package"]);
  return path.join(cache, file);
}

const sending =
  (tarball: string) =>
  async (packages: readonly PinnedPackage[], folder: string): Promise<void> => {
    for (const one of packages) await copyFile(tarball, path.join(folder, tarballName(one)));
  };

beforeAll(async () => {
  good = await pack("good.tgz", '"Bonjour"');
  tampered = await pack("tampered.tgz", '"Au revoir"');
  integrity = `sha512-${createHash("sha512")
    .update(await readFile(good))
    .digest("base64")}`;
});

test("a tampered package is refused, and nothing of it is left", async () => {
  const attempt = fetchPackages([{ ...pin, integrity }], sending(tampered));
  await expect(attempt).rejects.toThrow(UserError);
  await expect(attempt).rejects.toThrow(/@fathom-test\/messages@1\.2\.3: expected .* integrity sha512-.*, got sha512-/);
  expect(await readdir(path.join(cache, "packages"))).toEqual([]);
});

test("a package that is not installed is fetched once, with only what is kept of it", async () => {
  let calls = 0;
  const download = async (packages: readonly PinnedPackage[], folder: string): Promise<void> => {
    calls++;
    await sending(good)(packages, folder);
  };
  const [directory] = await packageDirectories([{ ...pin, integrity }], download);
  expect(await packageDirectories([{ ...pin, integrity }], download)).toEqual([directory]);
  expect(calls).toBe(1);
  expect(await readFile(path.join(directory!, "texts", "fr.json"), "utf8")).toBe('"Bonjour"');
  expect((await readdir(directory!)).sort()).toEqual(["package.json", "texts"]);
  expect(await readdir(path.join(cache, "packages"))).toEqual(["@fathom-test+messages@1.2.3"]);
});

test("an installed package of another version is not taken for the pinned one", async () => {
  const other = { name: "typescript", alias: "typescript-5", version: "1.2.3", integrity };
  const [directory] = await packageDirectories([other], sending(good));
  expect(directory).toBe(path.join(cache, "packages", "typescript@1.2.3"));
});

test("without the registry the error says what was to be fetched and how to get it", async () => {
  const before = process.env.npm_config_registry;
  process.env.npm_config_registry = "http://127.0.0.1:9/";
  try {
    const missing = { name: "fathom-test-missing", version: "1.0.0", integrity };
    await expect(packageDirectories([missing])).rejects.toThrow(
      /expected to fetch fathom-test-missing@1\.0\.0 from the npm registry, got: .*; check the network, or install/,
    );
  } finally {
    if (before === undefined) delete process.env.npm_config_registry;
    else process.env.npm_config_registry = before;
  }
});
