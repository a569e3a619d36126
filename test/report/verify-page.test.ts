import { expect, test } from "vitest";
import { escapeHtml } from "../../src/report/html.ts";
import { verifyPage } from "../../src/report/verify-page.ts";
import type { CheckRecord } from "../../src/runs/verify-folder.ts";
import type { Claim } from "../../src/types.ts";

const claimOf = (name: string, verdict: Claim["verdict"], more: Partial<Claim> = {}): Claim => ({
  name,
  statement: `Statement of ${name.replaceAll("/", ", ")}.`,
  predicted: -0.5,
  measured: -0.4375,
  relativeError: 0.125,
  tolerance: 0.2,
  verdict,
  ...more,
});

const environment = {
  versions: { fathom: "0.1.0", node: "20.20.2" },
  git: { commit: "ab".repeat(20), dirty: false },
  machine: { cpu: "some processor", cores: 2, memoryBytes: 2 ** 33, platform: "linux-x64" },
};

const record = (check: string, more: Partial<CheckRecord> = {}): CheckRecord => ({
  check,
  summary: `summary of ${check}`,
  source: `Somebody 2020, Theorem 1 (${check})`,
  conditions: `at initialisation (${check})`,
  claims: [claimOf(`${check}/one`, "holds", { spread: { seeds: 3, low: -0.46, high: -0.41 } })],
  figure: {
    kind: "lines",
    title: `finding of ${check}`,
    caption: `caption of ${check}`,
    x: { title: "depth", scale: "log" },
    y: { title: "norm", scale: "log" },
    points: [6, 12].flatMap((x) => [1, 2, 3].map((seed) => ({ series: "pre-ln", x, y: seed / x, seed }))),
  },
  engine: "onnx",
  made: "2026-11-22T18:03:00.000Z",
  seconds: 12.34,
  environment,
  ...more,
});

/** What a browser reads as markup: without scripts and their data. */
const markupOf = (page: string): string => page.replace(/<script[^>]*>[\s\S]*?<\/script>/g, "");
/** The words of the page. */
const wordsOf = (page: string): string =>
  markupOf(page)
    .replace(/<style>[\s\S]*?<\/style>/g, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
/** A page is too long to print where it lacks something. */
const has = (text: string) => (page: string) => page.includes(text);

test("every claim stands on the page with its numbers, every check with source, conditions and figure in the page", async () => {
  const corrected = claimOf("second/two", "corrected", {
    correction: { claimed: 3325, text: "1.1 to the 20th is 6.7" },
  });
  const records = [record("first"), record("second", { claims: [claimOf("second/one", "fails"), corrected] })];
  const page = await verifyPage({ records, known: ["first", "second", "third"] });
  const words = wordsOf(page);
  for (const { claims, source, conditions, figure } of records) {
    for (const { name, statement } of claims) {
      expect(words.split(name).length - 1).toBe(2); // in the table and in its section
      expect(words).toSatisfy(has(statement));
    }
    for (const text of [source, conditions, figure!.title, figure!.caption]) expect(words).toSatisfy(has(text));
  }
  expect(words).toSatisfy(has("3 claims of 2 checks: 1 holds, 1 corrected, 1 fails"));
  expect(words).toSatisfy(has("predicted -0.5"));
  expect(words).toSatisfy(has("of 3 seeds -0.46 to -0.41"));
  expect(words).toSatisfy(has("As it was stated: 3325. In its place stands: 1.1 to the 20th is 6.7"));
  expect(words).toSatisfy(has("Not run yet: third."));
  expect(markupOf(page).match(/<div class="chart"[^>]*>\s*<svg/g)).toHaveLength(2);
});

test("ids of the figures' parts do not clash, and every reference has what it refers to", async () => {
  const markup = markupOf(await verifyPage({ records: [record("first"), record("second")], known: [] }));
  const ids = [...markup.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id!);
  expect(new Set(ids).size).toBe(ids.length);
  for (const [, id] of markup.matchAll(/(?:url\(|href=")#([^")]+)/g)) expect(ids).toContain(id);
});

test("markup in what a check says stays text; nothing is fetched", async () => {
  const attack = `<img src=x onerror=alert(1)>"'</script>`;
  const bad = record("first", {
    summary: attack,
    source: attack,
    conditions: attack,
    reason: attack,
    claims: [claimOf(attack, "corrected", { statement: attack, correction: { claimed: 1, text: attack } })],
    figure: {
      ...record("x").figure!,
      title: attack,
      caption: attack,
      points: [{ series: attack, x: 1, y: 1, seed: 1 }],
    },
  });
  const page = await verifyPage({ records: [bad], known: [] });
  const markup = markupOf(page.slice(page.indexOf("<body>")));
  expect(markup).toSatisfy(has(escapeHtml(attack)));
  expect(markup).not.toSatisfy(has("<img"));
  expect(page.match(/<script/g)!.length).toBe(page.match(/<\/script>/g)!.length);
  expect(/(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?\/\//i.exec(markup)).toBeNull();
  expect(page).toSatisfy(has(escapeHtml("default-src 'none'")));
});

test("a check that could not be carried out shows why, without numbers and without a figure", async () => {
  const nothing = { predicted: NaN, measured: NaN, relativeError: NaN, tolerance: NaN };
  const failed = {
    ...record("first", { claims: [claimOf("first", "fails", nothing)], reason: "no such layer" }),
    figure: undefined,
  };
  const page = await verifyPage({ records: [failed as CheckRecord], known: [] });
  expect(wordsOf(page)).toSatisfy(has("It could not be carried out: no such layer"));
  expect(wordsOf(page)).not.toSatisfy(has("NaN"));
  expect(markupOf(page)).not.toSatisfy(has("<figure"));
});

test("a check made by other code says when and at which commit it was made", async () => {
  const old = record("old", {
    made: "2026-10-01T07:00:00.000Z",
    environment: { ...environment, git: { commit: "cd".repeat(20), dirty: true } },
  });
  const words = wordsOf(await verifyPage({ records: [record("new"), old], known: [] }));
  expect(words).toSatisfy(
    has("made 2026-10-01 07:00 UTC by other code than the newest check here (commit cdcdcdcdcdcd)"),
  );
  expect(words.split("by other code").length - 1).toBe(1);
  expect(words).toSatisfy(has("last made 2026-11-22 18:03 UTC"));
});
