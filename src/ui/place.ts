// What `fathom ui` was opened on, and which paths lie in it. Names come from the network: only what a listing of the folder holds is
// found, and a link that leads out of it is not followed.

import { lstatSync, readdirSync, realpathSync, statSync, type Dirent } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { messageOf, UserError } from "../errors.ts";
import { isFile } from "../runs/files.ts";
import { manifestFile } from "../runs/manifest.ts";
import { Refusal } from "./refusal.ts";

/** A folder that was opened. */
export interface Place {
  /** As the user named it. */
  readonly folder: string;
  /** Where it lies, links resolved: all that is shown lies in it. */
  readonly root: string;
  /** The name of the one experiment it is; undefined of a folder of experiments. */
  readonly only: string | undefined;
}

/** An experiment's folder in a place. */
export interface Found {
  readonly name: string;
  readonly dir: string;
  /** Why it is not looked into. */
  readonly damage?: string;
}

/** Opens an experiment's folder or a folder of experiments; a `UserError` where there is none. */
export function openPlace(folder: string): Place {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (!stats?.isDirectory())
    throw new UserError(
      `${folder}: expected an experiment's folder or a folder of experiments, got ${stats ? "a file" : "none"}; ` +
        "name another, or run `fathom train` or `fathom sweep` first",
    );
  const root = realpathSync(folder);
  return { folder, root, only: isExperiment(root) ? basename(resolve(folder)) || "experiment" : undefined };
}

/** The experiments of a place, by name. A refusal where its folder is there no more. */
export function findExperiments({ root, only }: Place): Found[] {
  if (only !== undefined) return [{ name: only, dir: root }];
  return entriesOf(root)
    .filter((entry) => !entry.name.startsWith(".") && (entry.isDirectory() || entry.isSymbolicLink()))
    .map(({ name }) => name)
    .sort()
    .flatMap((name): Found[] => {
      const dir = join(root, name);
      const out = wayOut(root, dir);
      if (out !== undefined) return [{ name, dir, damage: `${name}: expected a folder, got ${out}` }];
      return isExperiment(dir) ? [{ name, dir }] : [];
    });
}

function entriesOf(root: string): Dirent[] {
  try {
    return readdirSync(root, { withFileTypes: true });
  } catch (error) {
    throw new Refusal(
      404,
      `${root}: expected the folder that was opened, got none to read (${messageOf(error)}); put it back, or open another`,
    );
  }
}

/** Whether a folder is an experiment's, as `readExperiment` has it. */
function isExperiment(dir: string): boolean {
  return (lstatOf(join(dir, "runs"))?.isDirectory() ?? false) || isFile(manifestFile(dir));
}

/** The words for a path that is a link which leads out of `root`; undefined of all others, and of what is not there. */
export function wayOut(root: string, path: string): string | undefined {
  if (!lstatOf(path)?.isSymbolicLink()) return undefined;
  try {
    const target = realpathSync(path);
    if (target === root || target.startsWith(root.endsWith(sep) ? root : root + sep)) return undefined;
    return `a link to ${target}, which lies outside ${root} and is not followed; open that with \`fathom ui\``;
  } catch {
    return "a link that leads nowhere";
  }
}

/** The first of some paths that is a link out of `root`, in words for an error; undefined where none is. */
export function linkOut(root: string, paths: readonly string[]): string | undefined {
  for (const path of paths) {
    const out = wayOut(root, path);
    if (out !== undefined) return `${basename(dirname(path))}/${basename(path)}: expected a run's own file, got ${out}`;
  }
  return undefined;
}

/** What there is at a path, links not followed; undefined where there is nothing, or it cannot be looked at. */
export function lstatOf(path: string): ReturnType<typeof lstatSync> | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // below something that is no folder
  }
}

/** A text that differs where what there is at a path does, as {@link lstatOf} saw it. */
export const keyOf = (stats: ReturnType<typeof lstatOf>): string =>
  stats ? `${stats.ino} ${stats.size} ${stats.mtimeMs}` : "-";
