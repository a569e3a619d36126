import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { csvOf } from "../../src/plots/csv.ts";
import { lossCurves } from "../../src/plots/index.ts";
import { asDrawn } from "../../src/report/document.ts";
import { escapeHtml, html, jsonForScript, programForScript } from "../../src/report/html.ts";
import { inlineSvg } from "../../src/report/inline-svg.ts";
import { provenance } from "../../src/report/provenance.ts";
import { missingText, questionOf, reportPage, type ReportInput } from "../../src/report/page.ts";
import { writeReport } from "../../src/report/report.ts";
import { findings, spreadText, summaryOf } from "../../src/report/summary.ts";
import { experimentFolder } from "../plots/experiment-folder.ts";
import { syntheticExperiment } from "../plots/synthetic.ts";
import { recordsOf } from "./records.ts";

const small = syntheticExperiment({ depths: [2, 6], steps: 12 });
const inputOf = (data = small): ReportInput => ({
  data,
  records: recordsOf(data),
  configs: new Map(),
  source: undefined,
  folder: `results/${data.name}`,
  files: ["runs.csv"],
});

/** A page is too long to print where it lacks something. */
const has = (text: string) => (page: string) => page.includes(text);

test("text put into a template is escaped, in contents and attributes", () => {
  const name = `<b onclick="x('y')">&`;
  expect(html`<i title="${name}">${name}</i>`.html).toBe(`<i title="${escapeHtml(name)}">${escapeHtml(name)}</i>`);
  expect(escapeHtml(name)).not.toMatch(/[<>"']/);
  expect(html`${[html`<b>1</b>`, html`<b>2</b>`]}`.html).toBe("<b>1</b>\n<b>2</b>");
});

test("nothing in inlined data or programs ends its script element", () => {
  expect(jsonForScript({ a: "</script><!--" }).html).not.toContain("<");
  expect(JSON.parse(jsonForScript({ a: "</script>" }).html)).toEqual({ a: "</script>" });
  expect(programForScript(`"</script><!--"`).html).toBe(`"<\\/script><\\!--"`);
});

test("markup in names of runs, schemes and reasons stays text; nothing is fetched; the page is small", async () => {
  const attack = `<img src=x onerror=alert(1)>"'</script>`;
  const data = { ...syntheticExperiment({ depths: [2, 6], steps: 12, mark: attack }), name: attack };
  const input = { ...inputOf(data), source: { path: `a ${attack}`, text: `# ${attack}` } };
  const page = await reportPage(input);
  const body = page.slice(page.indexOf("<body>"));
  // Libraries and data aside, what is left is what a browser reads as markup.
  const markup = body.replace(/<script[^>]*>[\s\S]*?<\/script>/g, "");
  expect(markup).toSatisfy(has(escapeHtml(attack)));
  expect(markup).not.toSatisfy(has("<img"));
  expect(markup).not.toSatisfy(has("onerror=alert(1)>"));
  expect(page.match(/<script/g)!.length).toBe(page.match(/<\/script>/g)!.length);
  expect(/(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?\/\//i.exec(markup)).toBeNull();
  expect(page).toSatisfy(has(escapeHtml("default-src 'none'; script-src 'unsafe-inline'")));
  expect(Buffer.byteLength(page)).toBeLessThan(5_000_000);
});

test("figures can be read without scripts: pictures whose ids do not clash, with captions", async () => {
  const page = await reportPage(inputOf());
  const markup = page.replace(/<script[^>]*>[\s\S]*?<\/script>/g, "");
  expect(markup.replace(/<section[\s\S]*?<\/section>/g, "").match(/<svg/g)).toHaveLength(8);
  const ids = [...markup.matchAll(/\bid="([^"]+)"/g)].map((match) => match[1]);
  expect(new Set(ids).size).toBe(ids.length);
  for (const [, used] of markup.matchAll(/url\(#([^)]+)\)/g)) expect(ids).toContain(used);
  expect(markup.match(/<figcaption>/g)).toHaveLength(8);
  expect(inlineSvg(`<a id="x"/><b clip-path="url(#x)"/>`, "p")).toBe(`<a id="p-x"/><b clip-path="url(#p-x)"/>`);
});

test("behind each figure are its numbers in full, in the page, and links to the files beside it", async () => {
  const files = ["plots/loss-curves.csv", "plots/loss-curves.svg", "plots/loss-curves.vl.json", "plots/elsewhere.svg"];
  const page = await reportPage({ ...inputOf(), figureFiles: files });
  const start = page.indexOf('<figure id="loss-curves">');
  const own = page.slice(start, page.indexOf("</figure>", start));
  const csv = /download="pre-vs-post-loss-curves\.csv"\s+href="data:text\/csv;charset=utf-8,([^"]+)"/.exec(own)![1]!;
  expect(decodeURIComponent(csv)).toBe(csvOf(lossCurves.spec(small)));
  expect(own).toSatisfy(has('href="plots/loss-curves.svg"'));
  expect(own).toSatisfy(has('href="plots/loss-curves.vl.json"'));
  // The numbers are in the page already.
  expect(own).not.toContain('href="plots/loss-curves.csv"');
  expect(page).not.toContain("elsewhere");
});

test("numbers in the page are rounded, steps are not", () => {
  const spec = { data: { values: [{ step: [1234567], value: [0.123456789] }] }, width: 0.123456789 };
  expect(asDrawn(spec as never)).toMatchObject({
    data: { values: [{ step: [1234567], value: [0.12346] }] },
    width: 0.123456789,
  });
});

test("figures that no probe has recorded are named together, others with their reason", () => {
  const text = missingText([
    ["a", "no run has recorded a (see probes in the configuration)"],
    ["b", "it needs a sweep"],
    ["c", "no run has recorded c (see probes in the configuration)"],
  ]);
  expect(text).toBe("b (it needs a sweep); a, c: no run has recorded what they show (see probes in the configuration)");
});

test("the summary has a row a configuration, with spread over the seeds that finished", () => {
  const data = syntheticExperiment();
  const rows = summaryOf(data);
  expect(rows.map(({ values }) => values.join(" "))).toEqual([
    ...["2", "6", "12"].map((depth) => `post-ln ${depth}`),
    ...["2", "6", "12"].map((depth) => `pre-ln ${depth}`),
  ]);
  expect(rows.map(({ outcome }) => outcome)).toEqual([
    "learns",
    "learns in 1, diverged in 1 of 2 seeds",
    "at the unigram line",
    "learns",
    "learns",
    "learns",
  ]);
  const [two, six] = rows as [(typeof rows)[0], (typeof rows)[0]];
  const dev = data.runs.slice(0, 2).map((run) => run.row.finalDevLoss) as [number, number];
  expect(two.devLoss.mean).toBeCloseTo((dev[0] + dev[1]) / 2, 12);
  expect(two.devLoss.sd).toBeCloseTo(Math.abs(dev[0] - dev[1]) / Math.SQRT2, 12);
  expect(six.devLoss.n).toBe(1);
  expect(spreadText(six.devLoss)).toMatch(/^\d\.\d\d$/);
  expect(two.unlayered.get("embedding")).toEqual({ first: 40, end: 40 });
});

test("the summary's gradient norms of two runs are their geometric mean: one collapsed seed is seen", () => {
  const collapsed = {
    ...small,
    runs: small.runs.map((run) =>
      run.row.seed === 2 ? { ...run, layers: run.layers.map((row) => ({ ...row, l2: row.l2 * 1e-4 })) } : run,
    ),
  };
  const { first, end } = summaryOf(collapsed)[0]!.unlayered.get("embedding")!;
  expect(first).toBeCloseTo(40 * 1e-2, 12);
  expect(end).toBeCloseTo(40 * 1e-2, 12);
});

test("findings name each scheme's losses and ratios by depth", () => {
  const [post, pre] = findings(syntheticExperiment());
  expect(post!.panel).toBe("post-ln");
  expect(post!.sentences[0]).toMatch(
    /^Learns at depth 2 \(dev loss .*\); learns in 1, diverged in 1 of 2 seeds at depth 6 .*; at the unigram line at depth 12 \(dev loss 5\.\d\d .*\)\. The unigram entropy is 5\.62\.$/,
  );
  expect(post!.sentences[1]).toMatch(/^In the encoder .* 0\.0\d+× at depth 12 at the first step; at the end/);
  expect(pre!.sentences).toHaveLength(3);
});

test("findings say why a ratio is not defined: overflow, no gradient, divergence or a run that goes on", () => {
  const of = (l2: number, status: "done" | "diverged" | "running"): string =>
    findings({
      ...small,
      runs: small.runs.map((run) => ({
        ...run,
        row: { ...run.row, status },
        layers: run.layers.map((row) => ({ ...row, l2 })),
      })),
    })[0]!.sentences[1]!;
  expect(of(NaN, "diverged")).toMatch(
    /not defined \(overflows\) at depth 2, .* at the first step; at the end not defined \(diverged\)/,
  );
  expect(of(0, "done")).toMatch(/not defined \(no gradient\) at depth 2, .* at the end not defined \(no gradient\)/);
  expect(of(2, "running")).toMatch(/1× at depth 2, .* at the end not defined \(not finished\)/);
});

test("the question is the author's first comment, else made of what varies", () => {
  const text = "# yaml-language-server: $schema=x\n#\n# Does depth kill post-LN?\n#\nname: a\n# later\n";
  expect(questionOf({ data: small, source: { path: "a.yaml", text } })).toBe("Does depth kill post-LN?");
  const long = "# Question: does depth\n#   kill it?\n# Command: fathom\nname: a\n";
  expect(questionOf({ data: small, source: { path: "a.yaml", text: long } })).toBe("Does depth kill it?");
  const overrides = 'name: a\n# overrides of this sweep: ["train.steps=5"]\n';
  expect(questionOf({ data: small, source: { path: "a.yaml", text: overrides } })).toContain("model.residual");
  expect(questionOf({ data: small, source: undefined })).toContain("model.residual (post-ln, pre-ln)");
});

test("provenance groups what runs share and tells what differs", () => {
  const records = recordsOf(small).map((record, i) => (i === 0 ? { ...record, engine: "wasm" } : record));
  const page = provenance(records).html;
  expect(page).toSatisfy(has("onnx (7 of 8 runs)"));
  expect(page).toSatisfy(has("wasm (1 of 8 runs)"));
  expect(page).toSatisfy(has("0123456789abcdef0123456789abcdef01234567, with changes that were not committed"));
  expect(page).toSatisfy(has("ab".repeat(32)));
  expect(page).not.toContain("different code");
});

test("runs of different commits are flagged", () => {
  const records = recordsOf(small).map((record, i) =>
    i === 0 ? { ...record, git: { commit: "d4e5f6a7b8c9", dirty: false } } : record,
  );
  const note = "runs were made by different code: 1 run at d4e5f6a, 7 at 0123456 (changed since)";
  expect(provenance(records).html).toSatisfy(has(note));
});

test("a folder's report is written beside its runs; without losses or layers it still says what there is", async () => {
  const dir = experimentFolder(mkdtempSync(path.join(tmpdir(), "fathom-report-")), small);
  const file = await writeReport(dir);
  expect(file).toBe(path.join(dir, "report.html"));
  const page = readFileSync(file, "utf8");
  expect(page).toSatisfy(has("Learns at depth 2"));
  expect(page).toSatisfy(has("npx fathom train"));
  const empty = {
    ...small,
    runs: small.runs.map((run) => ({ row: { ...run.row, status: "pending" as const }, metrics: [], layers: [] })),
  };
  expect(await reportPage({ ...inputOf(empty), records: [] })).toSatisfy(has("no run has recorded a loss yet"));
});
