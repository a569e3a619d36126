// docs/tutorial.md, from its first command to its last, in a copy of the working tree: commands and files are read from the page.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { blocksOf, commandsOf, runCommand, workingCopy, writeBlock } from "./pages.ts";

const page = "docs/tutorial.md";
const { folder, remove } = workingCopy();
afterAll(remove);

/** Rows of a CSV file without quoted commas, by the names in its head. */
function rowsOf(file: string): Record<string, string>[] {
  const [head, ...lines] = readFileSync(join(folder, file), "utf8").trim().split("\n");
  const names = head!.split(",");
  return lines.map((line) => Object.fromEntries(line.split(",").map((value, i) => [names[i]!, value])));
}

test("every command and file of the tutorial works, in their order", { timeout: 600_000 }, async () => {
  const ran: string[] = [];
  const said = new Map<string, string>();
  for (const block of blocksOf(page)) {
    if (block.language === "yaml" || block.language === "ts") expect(writeBlock(block, folder), block.text).toBe(true);
    else if (block.language === "sh")
      for (const command of commandsOf(block)) {
        ran.push(command);
        // The packages are there: they are what runs this.
        if (command !== "npm ci") said.set(command, await runCommand(command, folder));
      }
    else expect(block.language, "what a reader is shown").toBe("text");
  }

  // What the page says of them, beyond that they end well.
  expect(ran.filter((line) => line.startsWith("npx fathom sweep") && !line.endsWith("--plan"))).toHaveLength(3);
  const first = rowsOf("results/first/runs.csv");
  expect(first.map(({ status }) => status)).toEqual(Array(8).fill("done"));
  const lossOf = (scheme: string, depth: string): number[] =>
    first.flatMap((row) =>
      row["model.residual"] === scheme && row["model.depth"] === depth ? [Number(row["finalDevLoss"])] : [],
    );
  const unigram = Number(first[0]!["unigramEntropy"]);
  for (const loss of lossOf("post-ln", "8")) expect(loss).toBeGreaterThan(unigram);
  for (const loss of lossOf("pre-ln", "8")) expect(loss).toBeLessThan(unigram);

  expect(said.get("npx vitest run test/residual/depth-scaled.test.ts")).toMatch(/1 passed/);
  expect(said.get("npx fathom list residual depth-scaled --depth 18+6")).toContain("scale 0.16667"); // 1 / sqrt(36)
  const own = rowsOf("results/own-scheme/runs.csv");
  expect(own.map((row) => `${row["model.residual"]} ${row["seed"]} ${row["status"]}`).sort()).toEqual([
    "depth-scaled 1 done",
    "depth-scaled 2 done",
    "pre-ln 1 done",
    "pre-ln 2 done",
  ]);
  for (const file of ["activation-gradient-by-layer.svg", "branch-share.svg"])
    expect(existsSync(join(folder, "results/own-scheme/plots", file))).toBe(true);

  // Level at the start, where pre-LN's encoder is not: what section 6 says. By 1.15 and 2.3 on the page.
  const slope = (scheme: string): number => {
    const { id } = own.find((row) => row["model.residual"] === scheme)!;
    const rows = rowsOf(`results/own-scheme/runs/${id}/layers.csv`).filter(
      (row) => `${row["step"]} ${row["stack"]} ${row["component"]}` === "0 encoder layer",
    );
    const norms = rows.filter((row) => row["quantity"] === "activation-gradient").map((row) => Number(row["l2"]));
    expect(norms).toHaveLength(8);
    return norms[0]! / norms.at(-1)!;
  };
  expect(slope("depth-scaled")).toBeLessThan(1.3);
  expect(slope("pre-ln")).toBeGreaterThan(1.8);
});

test("the reference of the copy has the new scheme", () => {
  expect(readFileSync(join(folder, "docs/reference/residual-schemes.md"), "utf8")).toContain("## depth-scaled");
  expect(readFileSync(join(folder, "schema/experiment.schema.json"), "utf8")).toContain('"depth-scaled"');
});
