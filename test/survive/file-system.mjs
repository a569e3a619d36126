// A file system that fails at a chosen call: every change that a process makes below a folder is counted, and at the n-th it is
// killed, or has no room left. Plain JavaScript, since a child process loads it with `--import` before anything else.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join, resolve } from "node:path";

/** Calls that write bytes: the place of what names the file, and of the bytes. */
const writes = { writeSync: [0, 1], writeFileSync: [0, 1], appendFileSync: [0, 1] };
/** Calls that change a folder, or force what was written onto the disk. */
const changes = ["openSync", "fsyncSync", "renameSync", "rmSync", "rmdirSync", "unlinkSync", "mkdirSync"];

/**
 * Patches `node:fs`. At the `at`-th change below `folder` half of it is done (half of the bytes, one file of a folder that is
 * removed), then `halt(what)` is called, which does not return, and again at every later one. `matching` narrows what counts, each
 * change as `call file`. Returns what was counted so far and a function that undoes the patch.
 * @param {{ folder: string, at: number, halt: (what: string) => never, matching?: RegExp }} options
 * @returns {{ seen: string[], restore: () => void }}
 */
export function failAt({ folder, at, halt, matching = /./ }) {
  const original = { ...fs };
  const root = resolve(folder);
  const opened = new Map();
  const seen = [];
  let isWithin = false; // node:fs calls itself: a file is written whole by opening, writing and closing it
  const fileOf = (target) => (typeof target === "number" ? opened.get(target) : resolve(String(target)));
  const isOurs = (file) => file !== undefined && (file === root || file.startsWith(`${root}/`));
  const patch = (name, half) => {
    fs[name] = (...args) => {
      const file = fileOf(args[0]);
      const isReading = name === "openSync" && /^r$/.test(String(args[1] ?? "r"));
      const what = isOurs(file) && !isReading && !isWithin ? `${name} ${file.slice(root.length + 1)}` : "";
      const before = isWithin;
      isWithin = true;
      try {
        if (matching.test(what)) {
          seen.push(what);
          if (seen.length === at) half(args, file);
          if (seen.length >= at) halt(what);
        }
        const result = original[name](...args);
        if (name === "openSync") opened.set(result, file);
        return result;
      } finally {
        isWithin = before;
      }
    };
  };
  for (const [name, [target, data]] of Object.entries(writes))
    patch(name, (args) => {
      const bytes = Buffer.from(args[data]);
      const from = name === "writeSync" ? (args[2] ?? 0) : 0;
      const half = bytes.subarray(from, from + Math.floor((bytes.length - from) / 2));
      if (name === "writeFileSync") original.writeFileSync(args[target], half, args[2]);
      else original[typeof args[target] === "number" ? "writeSync" : "appendFileSync"](args[target], half);
    });
  for (const name of changes)
    patch(name, (args, file) => {
      if (name !== "rmSync" || !original.existsSync(file) || !original.statSync(file).isDirectory()) return;
      const [first] = original.readdirSync(file);
      if (first !== undefined) original.rmSync(join(file, first), { recursive: true });
    });
  syncBuiltinESMExports();
  return {
    seen,
    restore() {
      for (const name of [...Object.keys(writes), ...changes]) fs[name] = original[name];
      syncBuiltinESMExports();
    },
  };
}
