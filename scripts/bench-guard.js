// Is a training step slower than it was? `npm run bench:guard -- COMMIT` times this checkout and an earlier commit in turns, each in
// processes of its own, and prints the ratio of their medians. The earlier commit is checked out beside the temporary files, gets
// this checkout's node_modules where its package-lock.json is the same and its own where not, is built, and is removed afterwards.
// Exit code 0 whatever the ratios are: a machine that others use scatters, and its owner must judge.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const usage = `usage: npm run bench:guard -- COMMIT [--shape 6x64]... [--rounds 5] [--threads 1] [--steps 8]
  e.g. npm run bench:guard -- HEAD~1 --shape 6x64 --shape 24x64`;

/** Ends with one clear sentence. */
function fail(message, code = 2) {
  console.error(`bench:guard: ${message}`);
  process.exit(code);
}

function parsed() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        shape: { type: "string", multiple: true, default: ["2x64", "6x64", "24x64", "6x128"] },
        rounds: { type: "string", default: "5" },
        threads: { type: "string", default: "1" },
        steps: { type: "string", default: "8" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return fail(`${error.message}\n${usage}`);
  }
}

const { values, positionals } = parsed();
if (values.help) {
  console.log(usage);
  process.exit(0);
}
const [named] = positionals;
if (positionals.length !== 1) fail(`expected one commit to compare with, got ${positionals.length}\n${usage}`);
for (const shape of values.shape)
  if (!/^\d+x\d+$/.test(shape)) fail(`--shape: expected DEPTHxWIDTH, e.g. 6x64, got "${shape}"`);
for (const name of ["rounds", "threads", "steps"])
  if (!/^[1-9]\d*$/.test(values[name])) fail(`--${name}: expected a whole number, at least 1, got "${values[name]}"`);

/** What a command prints; what it says goes into the error. */
const output = (folder, command, ...args) =>
  execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 2 ** 26 });
const git = (...args) => output(here, "git", ...args).trim();

/** The commit that is meant. */
function commitOf(name) {
  try {
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`);
  } catch {
    return fail(`expected a commit of this repository, got "${name}"; \`git log --oneline\` lists them`);
  }
}

const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)] + sorted[Math.ceil(middle)]) / 2;
};

/** The median step of a fresh process, milliseconds: the interface of `fathom bench child` is the same in all versions. */
function timed(folder, shape) {
  const counts = ["--shape", shape, "--threads", values.threads, "--steps", values.steps, "--warmup", "3"];
  const printed = output(folder, process.execPath, "bin/fathom.js", "bench", "child", ...counts);
  return median(JSON.parse(printed).milliseconds);
}

const npm = process.platform === "win32" ? "npm.cmd" : "npm";

/** Makes a checkout able to run. */
function built(folder) {
  output(folder, process.execPath, join("node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json");
}

const commit = commitOf(named);
const parent = mkdtempSync(join(tmpdir(), "fathom-guard-"));
const there = join(parent, "checkout");
const discard = () => {
  // The link is removed first: nothing may follow it into this checkout's packages.
  rmSync(join(there, "node_modules"), { recursive: true, force: true });
  try {
    git("worktree", "remove", "--force", there);
  } catch {
    // It was never made.
  }
  rmSync(parent, { recursive: true, force: true });
};
for (const signal of ["SIGINT", "SIGTERM"])
  process.on(signal, () => {
    discard();
    process.exit(130);
  });

try {
  git("worktree", "add", "--detach", there, commit);
  const lock = (folder) => readFileSync(join(folder, "package-lock.json"), "utf8");
  if (lock(here) === lock(there)) symlinkSync(join(here, "node_modules"), join(there, "node_modules"), "junction");
  else {
    console.error("packages differ: npm ci ...");
    output(there, npm, "ci", "--ignore-scripts");
  }
  console.error(`building this checkout and ${commit.slice(0, 12)} ...`);
  built(here);
  built(there);
  const before = loadavg()[0];
  const lines = [];
  for (const shape of values.shape) {
    const [ours, theirs, ratios] = [[], [], []];
    for (let round = 0; round < Number(values.rounds); round++) {
      ours.push(timed(here, shape));
      theirs.push(timed(there, shape));
      ratios.push(ours.at(-1) / theirs.at(-1));
      console.error(`${shape}, round ${round + 1} of ${values.rounds}: ${ratios.at(-1).toFixed(3)}`);
    }
    const spread = `${Math.min(...ratios).toFixed(3)}-${Math.max(...ratios).toFixed(3)}`;
    lines.push(
      `${shape}  this ${median(ours).toFixed(1)} ms  ${commit.slice(0, 12)} ${median(theirs).toFixed(1)} ms  ` +
        `this / that ${median(ratios).toFixed(3)} (${spread})`,
    );
  }
  console.log(
    [
      ...lines,
      `medians (lowest-highest) of ${values.rounds} rounds of ${values.steps} steps, ${values.threads} thread(s); ${cpus()[0].model}, ` +
        `${cpus().length} cores, load ${before.toFixed(2)} before and ${loadavg()[0].toFixed(2)} after; Node ${process.versions.node}`,
    ].join("\n"),
  );
} catch (error) {
  const said = String(error.stderr ?? "").trim();
  console.error(`bench:guard: could not measure: ${said.split("\n").at(-1) || error.message}`);
  process.exitCode = 1;
} finally {
  discard();
}
