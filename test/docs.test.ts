// The documentation: the how-to pages' commands and files work, in a copy of the working tree; the reference is current; every link leads
// somewhere. In pages of how-to a block `sh` is run by a test; one of `console` needs a machine that tests do not have.
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Member, members } from "../src/registry.ts";
import * as checks from "../src/theory/index.ts";
import { blocksOf, commandsOf, runCommand, workingCopy, writeBlock } from "./pages.ts";

/** A Python that has PyTorch, if there is one; Debian's belongs to the system's. */
const python = ["python3", "/usr/bin/python3"].find(
  (name) => spawnSync(name, ["-c", "import numpy, torch"]).status === 0,
);

describe("how-to pages", () => {
  const { folder, remove } = workingCopy();
  afterAll(remove);
  const pages = readdirSync("docs/how-to").sort();
  const pathOf = (page: string): string => join("docs/how-to", page);
  /** What makes the names of new files known; all pages' files are there before, so that once is enough. */
  const build = "npm run schema";

  beforeAll(async () => {
    // The recipes of CONTRIBUTING.md are files of the same kind: that they build is what is asked of them.
    for (const page of ["CONTRIBUTING.md", ...pages.map(pathOf)])
      for (const block of blocksOf(page))
        if (["js", "python", "ts", "yaml"].includes(block.language))
          expect(writeBlock(block, folder), `${page}: ${block.text}`).toBe(true);
    await runCommand(build, folder);
  }, 300_000);

  test("there is one for each of the first things a user wants", () => {
    expect(pages).toEqual(["gpu.md", "live-pages.md", "own-corpus.md", "own-probe.md", "own-scheme.md", "slurm.md"]);
  });

  test.each(pages)("every command of %s that this machine can run works", { timeout: 300_000 }, async (page) => {
    const commands = blocksOf(pathOf(page))
      .filter(({ language }) => language === "sh")
      .flatMap(commandsOf);
    expect(commands.length).toBeGreaterThan(1);
    // readme.test.ts runs the doctor, who tries everything.
    for (const command of commands)
      if (![build, "npx fathom doctor"].includes(command)) await runCommand(command, folder);
  });

  test("the configuration of sentence pairs works as it stands, given the file", async () => {
    const word = (n: number): string =>
      ((n * 7919) % 9973).toString(36).replace(/\d/g, (d) => "bcdfghjklm"[Number(d)]!);
    const lines = Array.from({ length: 400 }, (_, i) => {
      const words = Array.from({ length: 5 }, (_, k) => word(((i + 1) * (k + 3)) % 199));
      return `${i}\t${words.join(" ")}\t${i + 1000}\t${words.map((one) => `${one}en`).join(" ")}`;
    });
    writeFileSync(join(folder, "deu.tsv"), lines.join("\n"));
    const shown = await runCommand("npx fathom corpus configs/my-corpus.yaml data.vocabulary.size=300 --json", folder);
    const { directions } = JSON.parse(shown) as { directions: { direction: string; train: number }[] };
    expect(directions.map(({ direction }) => direction)).toEqual(["en-de", "de-en"]);
    expect(directions[0]!.train).toBeGreaterThan(100);
  });

  test("the members that CONTRIBUTING.md adds have built, and are known by their names", async () => {
    const listed = JSON.parse(await runCommand("npx fathom list --json", folder)) as Record<string, { name: string }[]>;
    const names = [
      "centring",
      "weight-scale",
      "halves",
      "greetings",
      "fast-align",
      "brightness",
      "parameter-size",
      "print",
      "names",
    ];
    const all = Object.values(listed).flatMap((members) => members.map(({ name }) => name));
    expect(all).toEqual(expect.arrayContaining(names));
  });

  test("the new check holds", async () => {
    expect(await runCommand("npx fathom verify halves", folder)).toMatch(/holds/);
  });

  test.skipIf(!python)("the new scheme is the same in PyTorch", async () => {
    const command = commandsOf(blocksOf("docs/how-to/own-scheme.md").find(({ language }) => language === "sh")!).at(
      -1,
    )!;
    const { runDir } = JSON.parse(await runCommand(`${command} --json`, folder)) as { runDir: string };
    const inspected = await runCommand(`npx fathom inspect ${runDir} --step 3 --json`, folder);
    const step = join(folder, (JSON.parse(inspected) as { folder: string }).folder);
    const { stdout } = await promisify(execFile)(python!, ["-B", join(folder, "test/inspect/torch_check.py"), step]);
    const report = JSON.parse(stdout) as { error?: string; parameters: Record<string, number> };
    expect(report.error).toBeUndefined();
    expect(Object.keys(report.parameters)).toContain("encoder/00/self-attention/g");
    // As in test/inspect/torch.test.ts: float32 against float64.
    for (const [path, difference] of Object.entries(report.parameters)) expect(difference, path).toBeLessThan(1e-4);
  });

  test("the new probe's rows are in the table of the run", async () => {
    const command = commandsOf(blocksOf("docs/how-to/own-probe.md").findLast(({ language }) => language === "sh")!);
    const shown = await runCommand(`${command.at(-1)!} --json`, folder); // it is done, and says so again
    const { runDir } = JSON.parse(shown) as { runDir: string };
    const table = readFileSync(join(folder, runDir, "readings.csv"), "utf8")
      .trim()
      .split("\n");
    const all = table.filter((line) => line.includes(",all,,all,,gradient-share,"));
    expect(all).toHaveLength(5);
    for (const line of all) expect(Number(line.split(",").at(-1))).toBeCloseTo(1, 6);
  });
});

describe("commands of pages whose works take longer", () => {
  const out = mkdtempSync(join(tmpdir(), "fathom-pages-"));
  afterAll(() => rmSync(out, { recursive: true }));
  const found = ["images.md", "performance.md"].flatMap((page) =>
    blocksOf(join("docs", page))
      .filter(({ language }) => language === "sh")
      .flatMap((block) => commandsOf(block).map((command) => [page, command] as const)),
  );

  test.each(found.filter(([, command]) => command.startsWith("npx fathom ")))("%s: %s is known", async (_, command) => {
    // A sweep is planned; of others it is seen that there are such a command and such options.
    const more = command.startsWith("npx fathom sweep ") ? `--plan --out ${out}` : "--help";
    await expect(runCommand(`${command} ${more}`, resolve("."))).resolves.not.toBe("");
  });
});

test("the package has every page and picture of docs", { timeout: 120_000 }, async () => {
  // Windows starts npm by a script.
  const isWindows = process.platform === "win32";
  const pack = promisify(execFile)(isWindows ? "npm.cmd" : "npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    shell: isWindows,
    maxBuffer: 2 ** 26,
  });
  const [{ files }] = JSON.parse((await pack).stdout) as [{ files: { path: string }[] }];
  const pages = readdirSync("docs", { recursive: true, encoding: "utf8" })
    .map((name) => join("docs", name).replaceAll("\\", "/"))
    .filter((name) => /\.(md|png|svg)$/.test(name));
  expect(pages).toContain("docs/export.md"); // `fathom export --help` names it
  expect(files.map(({ path }) => path)).toEqual(expect.arrayContaining(pages));
});

test("docs/reference is what `npm run schema` writes", { timeout: 120_000 }, async () => {
  const check = promisify(execFile)(process.execPath, ["scripts/write-reference.js", "--check"]);
  await expect(check).resolves.toMatchObject({ stderr: "" });
});

describe("docs/mathematics.md", () => {
  const page = readFileSync("docs/mathematics.md", "utf8");

  test("names every check of `fathom verify`, and none that is not there", () => {
    const known = [...members<Member>(checks).keys()];
    const named = [...page.matchAll(/`([a-z0-9]+(?:-[a-z0-9]+)+)(?:\/[a-z0-9-]+)?`/g)].map(([, name]) => name!);
    expect(known.filter((name) => !named.includes(name))).toEqual([]);
    const like = named.filter((name) => /^(seed-q|xiong-)|-(variance|isometry|product|start)$/.test(name));
    expect(like.filter((name) => !known.includes(name))).toEqual([]);
  });

  test("has no formula that GitHub would show as text", () => {
    const inline = page
      .replaceAll(/^\$\$\n[\s\S]*?^\$\$$/gm, "")
      .replaceAll(/`[^`\n]*`/g, "")
      .split("\n");
    // One that a line's end divides, and a backslash before punctuation, which Markdown takes for its own.
    for (const line of inline) {
      expect(line.match(/\$/g)?.length ?? 0, line).toSatisfy((count: number) => count % 2 === 0);
      for (const [formula] of line.matchAll(/\$[^$]+\$/g)) expect(formula).not.toMatch(/\\[,;!{}|*_]/);
    }
    expect(page.match(/^\$\$$/gm)!.length % 2).toBe(0);
  });
});

describe("links", () => {
  /** The Markdown files that readers have: the project's own, no package's. */
  const files = [
    ...readdirSync(".").filter((name) => name.endsWith(".md")),
    ...["docs", "results", "scripts/peers"].flatMap((folder) =>
      readdirSync(folder, { recursive: folder === "docs", encoding: "utf8" })
        .filter((name) => name.endsWith(".md"))
        .map((name) => join(folder, name)),
    ),
  ];
  /** A page without what is code in it. */
  const proseOf = (file: string): string =>
    readFileSync(file, "utf8")
      .replaceAll(/^ *```[\s\S]*?^ *```$/gm, "")
      .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, " "));

  /** The anchors that GitHub makes of a page's headings. */
  function anchorsOf(file: string): Set<string> {
    const seen = new Map<string, number>();
    const anchors = new Set<string>();
    const text = readFileSync(file, "utf8").replaceAll(/^ *```[\s\S]*?^ *```$/gm, "");
    for (const [, heading] of text.matchAll(/^#{1,6} (.*)$/gm)) {
      const words = heading!
        .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .replaceAll(/[`*\\]/g, "")
        .toLowerCase();
      const anchor = words.replaceAll(/[^\p{L}\p{M}\p{N}_ -]/gu, "").replaceAll(" ", "-");
      const times = seen.get(anchor) ?? 0;
      seen.set(anchor, times + 1);
      anchors.add(times === 0 ? anchor : `${anchor}-${times}`);
    }
    return anchors;
  }

  test("anchors are made as GitHub makes them", () => {
    const file = "docs/quantities.md";
    expect([...anchorsOf(file)]).toContain("layerscsv-norms-of-tensors-l2-rms-max-count-elements");
  });

  test.each(files)("every link of %s leads to a file, and to a heading in it", (file) => {
    for (const [, target] of proseOf(file).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue; // elsewhere
      const [path, anchor] = target!.split("#") as [string, string | undefined];
      const to = path === "" ? file : join(dirname(file), decodeURIComponent(path));
      expect(existsSync(resolve(to)), `${file}: ${target}`).toBe(true);
      if (anchor !== undefined) expect([...anchorsOf(to)], `${file}: ${target}`).toContain(anchor);
    }
  });

  test("there are pages and links to test", () => {
    expect(files.length).toBeGreaterThan(20);
    expect(proseOf("README.md").match(/\]\([^)\s]+\)/g)!.length).toBeGreaterThan(15);
  });

  test("every page of docs is reached from docs/README.md", () => {
    const reached = new Set<string>();
    const visit = (file: string): void => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const [, target] of proseOf(file).matchAll(/\]\(([^)#\s]+\.md)/g)) {
        const to = join(dirname(file), target!);
        if (!/^[a-z]+:/.test(target!) && existsSync(to)) visit(to);
      }
    };
    visit(join("docs", "README.md"));
    expect([...reached]).toEqual(expect.arrayContaining(files.filter((file) => file.startsWith("docs"))));
  });
});
