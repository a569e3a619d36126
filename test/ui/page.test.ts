// The page of `fathom ui` as a browser shows it, on experiments made here. Needs Chromium at /usr/bin/chromium (or where CHROMIUM
// says) and the built program; skipped without a browser.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  prepareVerifyFolder,
  verifyFolder,
  writeCheck,
  writeLists,
  type CheckRecord,
} from "../../src/runs/verify-folder.ts";
import { fathom } from "../cli/capture.ts";
import { writeConfigs } from "../survive/tiny.ts";

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const present = existsSync(executablePath);
if (!present) console.warn(`skipped: the page was not opened in a browser, there is none at ${executablePath}`);

const program = fileURLToPath(new URL("../../bin/fathom.js", import.meta.url));
/** A name and a sentence that would run, were they read as markup. */
const attack = `<img src=x onerror="document.title='run'">`;

let root = "";
let results = "";
let browser: Browser;
let server: Served;

interface Served {
  readonly url: string;
  readonly child: ChildProcess;
}

/** `fathom ui` as users start it. */
async function serve(port = 0): Promise<Served> {
  const child = spawn(process.execPath, [program, "ui", results, "--port", String(port), "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
  return { url: (JSON.parse(line) as { url: string }).url, child };
}

async function stop({ child }: Served): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGINT");
  await ended;
}

async function made(...args: string[]): Promise<void> {
  const { code, stderr } = await fathom(...args, "--out", results, "--quiet");
  expect([code, stderr]).toEqual([0, ""]);
}

const runsOf = (experiment: string): string[] => readdirSync(join(results, experiment, "runs")).sort();

beforeAll(async () => {
  if (!present) return;
  root = mkdtempSync(join(tmpdir(), "fathom-page-"));
  results = join(root, "results");
  writeConfigs(root);
  const tiny = readFileSync(join(root, "transformer.yaml"), "utf8");
  const base = tiny
    .replace("name: transformer", "name: schemes")
    .replace("depth: 1", "depth: 2")
    .replace("maxLength: 12", "maxLength: 40");
  const sweep = `# Question: which of two schemes learns more in five steps?
${base}sweep:
  parameters:
    model.residual: { values: [pre-ln, post-ln] }
  seeds: [1, 2]
`;
  writeFileSync(join(root, "schemes.yaml"), sweep);
  await made("sweep", join(root, "schemes.yaml"));
  const many = base.replace("name: schemes", "name: many").replace("steps: 5", "steps: 3");
  writeFileSync(
    join(root, "many.yaml"),
    `${many}sweep:
  parameters:
    model.residual: { values: [pre-ln, post-ln, deepnorm, rezero] }
    model.depth: { values: [1, 2] }
`,
  );
  await made("sweep", join(root, "many.yaml"));
  await made("train", join(root, "vae.yaml"));
  const [first, second] = runsOf("schemes");
  for (const run of [first!, second!])
    await made("evaluate", join(results, "schemes", "runs", run), "--pairs", "30", "--beam", "1");
  // A copy whose names would run as markup, and in which one run's record is torn.
  const copy = join(results, attack);
  cpSync(join(results, "schemes"), copy, { recursive: true });
  writeFileSync(join(copy, "experiment.yaml"), sweep.replace("which of", `${attack} which of`));
  writeFileSync(join(copy, "runs", first!, "run.json"), `{"id": "${attack}`);
  mkdirSync(join(results, "broken"));
  writeFileSync(join(results, "broken", "manifest.jsonl"), "{{");
  writeVerification();
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  server = await serve();
}, 240_000);

afterAll(async () => {
  if (!present) return;
  await browser.close();
  await stop(server);
  rmSync(root, { recursive: true });
});

/** What `fathom verify` would leave: the seed's question by name behind another, so that its place on the page is the page's doing. */
function writeVerification(): void {
  const folder = verifyFolder(results);
  prepareVerifyFolder(folder);
  const record = (check: string, verdict: "holds" | "fails"): CheckRecord => ({
    check,
    summary: `what ${check} claims`,
    source: "Somebody 2020, Theorem 1",
    conditions: "at initialisation",
    claims: [
      {
        name: check,
        statement: `Statement of ${check} ${attack}`,
        predicted: -0.5,
        measured: -0.4375,
        relativeError: 0.125,
        tolerance: 0.2,
        verdict,
      },
    ],
    figure: {
      kind: "lines",
      title: `finding of ${check}`,
      caption: "How to read it.",
      x: { title: "depth" },
      y: { title: "norm" },
      points: [1, 2, 3].map((x) => ({ series: "a", x, y: x * x, seed: 1 })),
    },
    engine: "onnx",
    made: "2026-11-22T18:03:00.000Z",
    seconds: 1,
    environment: {
      versions: { fathom: "0.1.0" },
      git: null,
      machine: { cpu: "some processor", cores: 2, memoryBytes: 2 ** 33, platform: "linux-x64" },
    },
  });
  const records = [record("another", "fails"), record("seed-q18-product", "holds")];
  for (const one of records) writeCheck(folder, one);
  writeLists(folder, records);
}

const opened: { page: Page; complaints: string[]; requests: string[]; isUndisturbed: boolean }[] = [];

/** Opens a place of the page. What it asks for and complains of is looked at behind each test. */
async function open(place: string, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    reducedMotion: "no-preference",
    ...options,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  opened.push({ page, complaints, requests, isUndisturbed: true });
  await page.goto(`${server.url}${place}`);
  await page.waitForSelector("main > *", { state: "attached" });
  return page;
}

/** For a test that breaks something itself: the browser then logs what could not be fetched. */
function expectComplaints(page: Page): void {
  const at = opened.findIndex((one) => one.page === page);
  opened[at] = { ...opened[at]!, isUndisturbed: false };
}

afterEach(async () => {
  for (const { page, complaints, requests, isUndisturbed } of opened.splice(0)) {
    await page.context().close();
    // Violations of the page's policy are complaints too.
    if (isUndisturbed) expect(complaints).toEqual([]);
    expect(requests.filter((url) => !/^(data|blob):/.test(url) && new URL(url).hostname !== "127.0.0.1")).toEqual([]);
  }
});

const view = (name: string, state = "", experiment = "schemes"): string =>
  `#/x/${encodeURIComponent(experiment)}/${name}${state === "" ? "" : `?${state}`}`;

/** What a function of an element of the page gives; its body is text, since nothing here knows the browser's types. */
const inPage = <T>(element: Locator, body: string): Promise<T> =>
  element.evaluate(new Function("element", body) as (element: unknown) => T);

/** The pixels of a canvas, by way of another, since reading one often makes browsers complain. */
const pixels = `const copy = new OffscreenCanvas(element.width, element.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(element, 0, 0);
  const { data } = context.getImageData(0, 0, element.width, element.height);`;

/** How many pixels of a canvas have been drawn. */
const inkOf = (canvas: Locator): Promise<number> =>
  inPage(canvas, `${pixels} return data.filter((value, i) => i % 4 === 3 && value > 0).length;`);

/** The different colours of a canvas that are no grey. */
const coloursOf = (canvas: Locator): Promise<number> =>
  inPage(
    canvas,
    `${pixels}
    const found = new Set();
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b] = data.slice(i, i + 3);
      if (data[i + 3] > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 40) found.add([r >> 3, g >> 3, b >> 3].join());
    }
    return found.size;`,
  );

const rows = (page: Page): Locator => page.locator("tr.run-row");
const cells = async (page: Page, column: number): Promise<string[]> =>
  (await page.locator(`tr.run-row > :nth-child(${column})`).allInnerTexts()).map((text) => text.trim());

test.skipIf(!present)(
  "experiments stand as cards with question, counts and damage; one click opens, back leads back",
  async () => {
    const page = await open("");
    await page.waitForSelector(".card");
    const names = await page.locator(".card h2").allInnerTexts();
    expect([...names].sort()).toEqual([attack, "broken", "many", "schemes", "vae"].sort());
    const card = page.locator(".card", { has: page.getByRole("link", { name: "schemes", exact: true }) });
    expect(await card.innerText()).toMatch(
      /which of two schemes learns more in five steps\?[\s\S]*4 done[\s\S]*transformer[\s\S]*4 runs/i,
    );
    expect(await page.locator(".card", { hasText: "broken" }).locator(".problem").innerText()).toMatch(
      /manifest\.jsonl/,
    );
    await card.click();
    await page.waitForSelector("table.runs");
    expect(page.url()).toContain("#/x/schemes/runs");
    await page.goBack();
    await page.waitForSelector(".card");
    await page.goForward();
    await page.waitForSelector("table.runs");
  },
);

test.skipIf(!present)(
  "runs are sorted by a click on a head, filtered by text, key and status, and grouped with mean and sd",
  async () => {
    const page = await open(view("runs"));
    await page.waitForSelector("tr.run-row");
    expect(await rows(page).count()).toBe(4);
    const heads = await page.locator("table.runs thead th").allInnerTexts();
    const dev = heads.findIndex((text) => text.trim().startsWith("dev loss")) + 1;
    const byLoss = page.locator("table.runs thead button", { hasText: "dev loss" });
    await byLoss.click();
    const head = page.locator("th[aria-sort=ascending]");
    await head.waitFor();
    const up = (await cells(page, dev)).map(Number);
    expect(up).toEqual(up.toSorted((a, b) => a - b));
    expect(new Set(up).size).toBeGreaterThan(1);
    await byLoss.click();
    await page.locator("th[aria-sort=descending]").waitFor();
    expect((await cells(page, dev)).map(Number)).toEqual(up.toReversed());

    const filter = page.getByRole("searchbox", { name: /Filter runs/ });
    await filter.fill("residual=pre-ln seed=2");
    await expect.poll(() => rows(page).count()).toBe(1);
    expect(await rows(page).innerText()).toMatch(/pre-ln[\s\S]*seed=2/);
    await filter.fill("no such run");
    await page.getByText("No run passes the filter").waitFor();
    await filter.fill("nosuchkey=1");
    await page.getByText("No key is called nosuchkey").waitFor();
    await filter.fill("depth=2"); // shared by all
    await expect.poll(() => rows(page).count()).toBe(4);
    await filter.fill("");
    await expect.poll(() => rows(page).count()).toBe(4);

    await page.getByLabel("Group by").selectOption("configuration");
    const groups = page.locator("tr.group-row");
    await expect.poll(() => groups.count()).toBe(2);
    const text = await groups.first().innerText();
    expect(text).toContain("2 runs");
    const [mean, sd] = /(\d\.\d{3}) ± (\d\.\d{3})/
      .exec((await groups.first().locator("td").allInnerTexts())[dev - 2]!)!
      .slice(1)
      .map(Number) as [number, number];
    const name = text.includes("pre-ln") ? "pre-ln" : "post-ln";
    await groups.first().getByRole("button").click();
    await expect.poll(() => rows(page).count()).toBe(2);
    const two = (await cells(page, dev)).map(Number) as [number, number];
    expect(await rows(page).first().innerText()).toContain(name);
    expect(mean).toBeCloseTo((two[0] + two[1]) / 2, 2);
    expect(sd).toBeCloseTo(Math.abs(two[0] - two[1]) / Math.SQRT2, 2);
  },
);

test.skipIf(!present)("columns are chosen, and selected runs are what the other views show", async () => {
  const page = await open(view("runs"));
  await page.waitForSelector("tr.run-row");
  await page.getByText("Columns", { exact: true }).click();
  await page.getByRole("checkbox", { name: "engine", exact: true }).check();
  await page.getByRole("button", { name: /^engine/ }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("checkbox", { name: /^select .*residual=pre-ln.*seed=1/ }).check();
  await page.getByRole("checkbox", { name: /^select .*residual=post-ln.*seed=1/ }).check();
  await page.getByRole("link", { name: "Differences" }).click();
  await page.waitForSelector("table.configs");
  expect(await page.locator("table.configs tbody th").allInnerTexts()).toEqual(["model.residual", "model.finalNorm"]);
  expect(await page.locator("table.configs tbody td").allInnerTexts()).toEqual(["pre-ln", "post-ln", "true", "false"]);
  await page.getByLabel("all keys").check();
  await expect.poll(() => page.locator("table.configs tbody tr").count()).toBeGreaterThan(20);
  await page.getByRole("link", { name: "Curves", exact: true }).click();
  await page.getByText("2 runs of 4 selected").waitFor();
  await expect.poll(() => page.locator(".chart-legend li").count()).toBe(2);
  await page.getByRole("button", { name: "show all" }).click();
  await page.getByText("2 seeds").first().waitFor();
});

test.skipIf(!present)("curves are drawn, read under the pointer and by keys, and zoomed by dragging", async () => {
  const page = await open(view("curves"));
  const chart = page.locator(".chart").first();
  await chart.waitFor();
  await expect.poll(() => page.locator(".chart").count()).toBe(2); // the gradient norm beneath
  expect(await inkOf(chart.locator("canvas").first())).toBeGreaterThan(2000);
  const box = (await chart.boundingBox())!;
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await chart.locator(".tooltip").waitFor();
  expect(await chart.locator(".tooltip").innerText()).toMatch(/step \d[\s\S]*(pre|post)-ln (train|dev)[\s\S]*\d\.\d/);
  await chart.focus();
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => chart.locator("[aria-live]").innerText()).toMatch(/^step \d: (pre|post)-ln/);
  const asked = page.waitForRequest((request) => /curves\?.*from=\d/.test(request.url()));
  await page.mouse.move(box.x + box.width * 0.45, box.y + 100);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.95, box.y + 100, { steps: 4 });
  await page.mouse.up();
  await asked;
  expect(page.url()).toMatch(/from=\d+/);
  await page.getByRole("button", { name: "all steps" }).click();
  await page.getByRole("button", { name: "each run" }).click();
  await page.getByLabel("log scale").check();
  expect(page.url()).toMatch(/by=runs/);
  expect(page.url()).toMatch(/log=1/);
});

test.skipIf(!present)(
  "many configurations have the colours of one key's values; which key, the reader chooses",
  async () => {
    const page = await open("#/x/many/curves");
    const names = (): Promise<string[]> => page.locator(".chart-legend li").allInnerTexts();
    await page.locator(".chart").first().waitFor();
    expect(await names()).toEqual(["depth 1 4 configurations", "depth 2 4 configurations"]);
    await page.locator(".chooser", { hasText: "Colours" }).locator("select").selectOption({ label: "residual" });
    await expect
      .poll(names)
      .toEqual(["pre-ln", "post-ln", "deepnorm", "rezero"].map((name) => `${name} 2 configurations`));
    expect(page.url()).toMatch(/colours=model.residual/);
    await page
      .locator(".chooser", { hasText: "Colours" })
      .locator("select")
      .selectOption({ label: "each configuration" });
    await expect.poll(async () => (await names()).length).toBe(8);
  },
);

test.skipIf(!present)(
  "layers: a heat map, the profile at the slider's step; space plays, arrow keys step",
  async () => {
    const page = await open(view("layers"));
    await page.waitForSelector(".layers .chart canvas");
    const map = page.getByRole("group", { name: /parameter gradient by layer and step/ });
    await expect.poll(() => coloursOf(map.locator("canvas").first())).toBeGreaterThan(5);
    const step = page.locator(".player output b");
    expect(await step.innerText()).toBe("4");
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => step.innerText()).toBe("2");
    await page.getByRole("heading", { name: "By layer at step 2" }).waitFor();
    await expect.poll(() => page.url()).toContain("step=2");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Space");
    await page
      .getByRole("button", { name: /Pause/ })
      .or(page.locator(".player output b", { hasText: "4" }))
      .first()
      .waitFor();
    await expect.poll(() => step.innerText()).toBe("4");
    await page.getByLabel("Quantity").selectOption("update");
    await page.getByRole("group", { name: /update by layer and step/ }).waitFor();
  },
);

test.skipIf(!present)("until another quantity's answer is there, what is drawn keeps its own name", async () => {
  const page = await open(view("layers"));
  await page.waitForSelector(".layers[aria-busy=false] .chart canvas");
  let release = (): void => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await page.route(/layers\?quantity=update&/, async (route) => {
    await held;
    await route.continue();
  });
  await page.getByLabel("Quantity").selectOption("update");
  await page.waitForSelector(".layers[aria-busy=true]");
  const map = (name: string): Locator => page.getByRole("group", { name: `${name} by layer and step` });
  expect([await map("parameter gradient").count(), await map("update").count()]).toEqual([1, 0]);
  release();
  await map("update").waitFor();
  await page.waitForSelector(".layers[aria-busy=false]");
  expect(await map("parameter gradient").count()).toBe(0);
});

test.skipIf(!present)(
  "windows the wrong way round are put in order; one beyond the last step is said to be empty",
  async () => {
    const page = await open(view("curves", "from=4&to=1"));
    await page.locator(".chart").first().waitFor();
    expect(await page.getByRole("spinbutton", { name: "first step" }).inputValue()).toBe("1");
    expect(await page.getByRole("spinbutton", { name: "last step" }).inputValue()).toBe("4");
    expect(await page.locator(".problem").count()).toBe(0);
    await page.goto(`${server.url}${view("curves", "from=1e20")}`);
    await page.getByText("None of these runs has this metric in this window of steps").first().waitFor();
    expect(await page.locator(".problem").count()).toBe(0);
  },
);

test.skipIf(!present)("the line that stands out is part of the address", async () => {
  const page = await open(view("curves"));
  const legend = page.locator(".chart-legend button");
  await legend.last().click();
  await page.locator(".chart-legend button[aria-pressed=true]").waitFor();
  expect(page.url()).toContain("emphasis=");
  const again = await open(page.url().slice(server.url.length));
  const chosen = again.locator(".chart-legend button[aria-pressed=true]");
  await chosen.waitFor();
  expect(await chosen.innerText()).toBe(await legend.last().innerText());
});

test.skipIf(!present)("compare puts schemes beside each other, profiles above losses", async () => {
  const page = await open(view("compare"));
  await page.waitForSelector(".multiples .chart canvas");
  await expect
    .poll(() => page.getByRole("region", { name: "encoder" }).locator("h4").allInnerTexts())
    .toEqual(["pre-ln", "post-ln"]);
  expect(await page.getByRole("region", { name: "losses" }).locator("h4").allInnerTexts()).toEqual([
    "pre-ln",
    "post-ln",
  ]);
  await page.getByText("the median over the seeds of one configuration").waitFor();
  for (const chart of await page.locator(".multiples .chart").all())
    await expect.poll(() => coloursOf(chart.locator("canvas").first())).toBeGreaterThan(0);
});

test.skipIf(!present)(
  "figures are drawn by Vega under the page's policy, and saved as pictures, JSON and CSV",
  async () => {
    const page = await open(view("figures"));
    const first = page.locator("#figure-gradient-by-layer");
    await first.waitFor();
    await page.getByRole("link", { name: "gradient by layer", exact: true }).click();
    await first.locator("svg.marks .mark-line path").first().waitFor();
    expect(await first.locator("svg.marks path").count()).toBeGreaterThan(10);
    expect(await first.locator("figcaption").innerText()).toMatch(/layer/);
    await first.locator("summary").click();
    for (const format of ["SVG", "PNG"] as const) {
      const download = page.waitForEvent("download");
      await first.getByRole("button", { name: `as ${format}` }).click();
      const file = await download;
      expect(file.suggestedFilename()).toBe(`gradient-by-layer.${format.toLowerCase()}`);
      const bytes = readFileSync(await file.path());
      expect(bytes.length).toBeGreaterThan(5000);
      expect(bytes.subarray(0, 4).toString("latin1")).toBe(format === "SVG" ? "<svg" : "\u0089PNG");
    }
    const saved = async (button: string, name: string): Promise<string> => {
      const download = page.waitForEvent("download");
      await first.getByRole("button", { name: button }).click();
      const file = await download;
      expect(file.suggestedFilename()).toBe(name);
      return readFileSync(await file.path(), "utf8");
    };
    const spec = JSON.parse(await saved("as Vega-Lite JSON", "gradient-by-layer.vl.json")) as { $schema: string };
    expect(spec.$schema).toContain("vega-lite");
    expect((await saved("as CSV", "gradient-by-layer.csv")).split("\n")[0]).toContain("layer");
  },
);

test.skipIf(!present)("samples show pictures at the slider's step", async () => {
  const page = await open(view("samples", "", "vae"));
  const picture = page.locator(".sample img").first();
  await picture.waitFor();
  await expect
    .poll(() => inPage<number>(picture, "return element.complete ? element.naturalWidth : 0"))
    .toBeGreaterThan(8);
  expect(await page.locator(".sample figcaption").first().innerText()).toMatch(/^step \d+, epoch \d/);
});

test.skipIf(!present)(
  "translations of runs stand beside each other, paged, found, with differing words marked",
  async () => {
    const page = await open(view("translations"));
    await page.waitForSelector("table.translations tbody tr");
    expect(await page.locator("table.translations thead th").count()).toBe(4);
    expect(await page.locator("table.translations tbody tr").count()).toBe(25);
    expect(await page.locator("table.translations mark").count()).toBeGreaterThan(5);
    const before = await page.locator("table.translations tbody tr").first().innerText();
    await page.getByRole("button", { name: "next page" }).first().click();
    const lines = readFileSync(
      join(results, "schemes", "runs", runsOf("schemes")[0]!, "samples", "translations-test.jsonl"),
      "utf8",
    );
    await expect
      .poll(() => page.locator("table.translations tbody tr").count())
      .toBe(lines.trim().split("\n").length - 25);
    expect(await page.locator("table.translations tbody tr").first().innerText()).not.toBe(before);
    const word = /[A-Za-z]{5,}/.exec(before.split("\n")[0]!.replace(/^\S+ /, ""))![0];
    await page.getByRole("searchbox").fill(word);
    await expect.poll(() => page.locator("table.translations tbody tr").first().innerText()).toContain(word);
  },
);

test.skipIf(!present)("a run's page has its numbers, its loss and its files as they are", async () => {
  const run = runsOf("schemes")[0]!;
  const page = await open(view("run", `run=${run.slice(-8)}`));
  await page.getByText(run, { exact: true }).waitFor();
  expect(await page.locator("dl.facts").innerText()).toMatch(/steps\s+5 of 5/);
  await expect
    .poll(() => page.locator("pre").innerText())
    .toBe(readFileSync(join(results, "schemes", "runs", run, "config.yaml"), "utf8"));
  await page.getByRole("button", { name: "run.json" }).click();
  await expect.poll(() => page.locator("pre").innerText()).toContain(`"id": "${run}"`);
});

test.skipIf(!present)("a VAE's numbers have its own names and unit", async () => {
  const page = await open(view("run", `run=${runsOf("vae")[0]!.slice(-8)}`, "vae"));
  const facts = page.locator("dl.facts");
  await facts.waitFor();
  expect(await facts.innerText()).toMatch(/best without input\s+[\d.]+ nats an image/i);
  expect(await facts.innerText()).not.toMatch(/unigram/i);
});

test.skipIf(!present)("claims: the seed's question first, filtered by verdict, each with its figure", async () => {
  const page = await open("#/verify");
  await page.waitForSelector(".check");
  expect(await page.locator(".check h2").allInnerTexts()).toEqual(["seed-q18-product", "another"]);
  expect(await page.locator(".check").first().innerText()).toMatch(
    /holds[\s\S]*−0\.5[\s\S]*−0\.4375[\s\S]*12\.5 %[\s\S]*20 %/,
  );
  await page.locator(".check svg.marks path").first().waitFor();
  await page.getByRole("button", { name: /fails/ }).click();
  await expect.poll(() => page.locator(".check h2").allInnerTexts()).toEqual(["another"]);
  expect(page.url()).toContain("verdict=fails");
});

test.skipIf(!present)(
  "markup in names, sentences and reasons is text and runs nothing; a torn run is shown as damaged",
  async () => {
    const page = await open("");
    await page.waitForSelector(".card");
    await page.getByRole("link", { name: attack }).click();
    await page.waitForSelector("tr.run-row");
    expect(await page.locator(".question").innerText()).toContain(attack);
    const torn = rows(page).filter({ hasText: "damaged" });
    expect(await torn.count()).toBe(1);
    expect(await page.locator(".reason").innerText()).toMatch(/run\.json: expected a run's record/);
    expect(await rows(page).filter({ hasText: "done" }).count()).toBe(3);
    await page.goto(`${server.url}#/verify`);
    await page.getByText(`Statement of another ${attack}`).waitFor();
    expect(await page.locator("img[src=x]").count()).toBe(0);
    expect(await page.title()).toBe("Verified claims · fathom");
  },
);

test.skipIf(!present)("a copied address shows the same to another reader", async () => {
  const state = "find=seed%3D1&sort=-dev&group=model.residual&columns=dev,best&status=done";
  const page = await open(view("runs", state));
  await page.waitForSelector("tr.group-row");
  await page.locator("tr.group-row button.opener").first().click();
  await page.waitForSelector("tr.run-row");
  await page
    .getByRole("checkbox", { name: /^select .*residual/ })
    .first()
    .check();
  const words = await page.locator("main").innerText();
  expect(words).toContain("1 selected");
  const again = await open(page.url().slice(server.url.length));
  await again.waitForSelector("tr.run-row");
  expect(await again.locator("main").innerText()).toBe(words);
  expect(await again.locator("th[aria-sort=descending]").innerText()).toContain("dev loss");
});

test.skipIf(!present)("the keyboard alone sorts the table and opens a run, with its focus in sight", async () => {
  const page = await open(view("runs"));
  await page.waitForSelector("tr.run-row");
  const focused = (): Promise<string> =>
    page.evaluate("document.activeElement.closest('th') ? document.activeElement.innerText.trim() : ''");
  const tabTo = async (wanted: (text: string) => boolean): Promise<void> => {
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      if (wanted(await focused())) return;
    }
    throw new Error("not reached by 60 tabs");
  };
  await tabTo((text) => text.startsWith("train loss"));
  const outline = "getComputedStyle(document.activeElement).outlineStyle";
  expect(await page.evaluate(outline)).toBe("solid");
  await page.keyboard.press("Enter");
  await page.locator("th[aria-sort=ascending]", { hasText: "train loss" }).waitFor();
  await tabTo((text) => text.includes("residual="));
  await page.keyboard.press("Enter");
  await page.waitForSelector(".run-page");
});

test.skipIf(!present)("on a phone no view is wider than the screen", async () => {
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
  const places: [place: string, sign: string][] = [
    ["", ".card"],
    [view("runs"), "tr.run-row"],
    [view("runs", "", attack), "tr.run-row"],
    [view("curves"), ".chart canvas"],
    [view("layers"), ".layers .chart canvas"],
    [view("compare"), ".multiples .chart canvas"],
    [view("figures"), "svg.marks .mark-line path"],
    [view("translations"), "table.translations"],
    [view("configs", "keys=all"), "table.configs"],
    [view("run", `run=${runsOf("schemes")[0]!.slice(-8)}`), "pre"],
    [view("samples", "", "vae"), ".sample img"],
    ["#/verify", "svg.marks .mark-line path"],
  ];
  const page = await open("", phone);
  for (const [place, sign] of places) {
    await page.goto(`${server.url}${place}`);
    await page.locator(sign).first().waitFor();
    expect([place, await page.evaluate("document.documentElement.scrollWidth")]).toEqual([place, 390]);
  }
});

test.skipIf(!present)("dark by the system's setting, and as the reader chose the next time", async () => {
  const page = await open(view("curves"), { colorScheme: "dark" });
  const paper = (): Promise<string> => page.evaluate("getComputedStyle(document.body).backgroundColor");
  await page.waitForSelector(".chart canvas");
  expect(await paper()).toBe("rgb(20, 23, 26)");
  await page.getByRole("button", { name: "Light colours" }).click();
  expect(await paper()).toBe("rgb(255, 255, 255)");
  await page.reload();
  await page.waitForSelector(".chart canvas");
  expect(await paper()).toBe("rgb(255, 255, 255)");
});

test.skipIf(!present)(
  "an experiment that begins appears by itself, its run's progress moves, and its curve grows",
  async () => {
    const page = await open("");
    await page.waitForSelector(".card");
    expect(await page.getByRole("link", { name: "live", exact: true }).count()).toBe(0);
    const text = readFileSync(join(root, "transformer.yaml"), "utf8").replace("name: transformer", "name: live");
    writeFileSync(join(root, "live.yaml"), text.replace("steps: 5", "steps: 100000"));
    const child = spawn(process.execPath, [program, "train", join(root, "live.yaml"), "--out", results, "--quiet"], {
      stdio: "ignore",
    });
    const ended = once(child, "exit");
    try {
      await page.getByRole("link", { name: "live", exact: true }).click({ timeout: 60_000 });
      await page.locator("tr.run-row .status.running").waitFor({ timeout: 60_000 });
      const done = page.locator("tr.run-row .progress");
      const first = await done.getAttribute("title");
      expect(first).toMatch(/^step \d+ of 100000/);
      await expect.poll(() => done.getAttribute("title"), { timeout: 60_000 }).not.toBe(first);
      await page.getByRole("link", { name: "Curves", exact: true }).click();
      const last = page.getByRole("spinbutton", { name: "last step" });
      await last.waitFor();
      const step = await last.getAttribute("placeholder");
      await expect.poll(() => last.getAttribute("placeholder"), { timeout: 60_000 }).not.toBe(step);
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
  },
  300_000,
);

test.skipIf(!present)("a lost connection is said, and made again; what is not there is said in words", async () => {
  const page = await open(view("runs", "", "no such experiment"));
  expectComplaints(page);
  await page.locator(".problem").waitFor();
  expect(await page.locator(".problem").innerText()).toContain("no such experiment");
  await page.goto(`${server.url}${view("runs")}`);
  await page.waitForSelector("tr.run-row");
  const port = Number(new URL(server.url).port);
  await stop(server);
  await page.locator(".banner").waitFor({ timeout: 20_000 });
  expect(await rows(page).count()).toBe(4); // what was there stays
  server = await serve(port);
  await page.locator(".banner").waitFor({ state: "detached", timeout: 30_000 });
});

test.skipIf(!present)("a page out of sight holds no connection; in sight again it connects and asks anew", async () => {
  const page = await open(view("runs"));
  await page.waitForSelector("tr.run-row");
  await page.locator(".connection.open").waitFor();
  let ended = 0;
  const isStream = (url: string): boolean => new URL(url).pathname === "/api/events";
  for (const event of ["requestfailed", "requestfinished"] as const)
    page.on(event as "requestfailed", (request) => void (isStream(request.url()) && ended++));
  const become = (state: "hidden" | "visible"): Promise<void> =>
    page.evaluate(`Object.defineProperty(document, "visibilityState", { value: "${state}", configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));`);
  await become("hidden");
  await expect.poll(() => ended).toBe(1);
  const connects = page.waitForRequest((request) => isStream(request.url()));
  const asks = page.waitForRequest((request) => new URL(request.url()).pathname === "/api/experiments/schemes");
  await become("visible");
  await connects;
  await asks; // whatever changed meanwhile was not told
  await page.locator(".connection.open").waitFor();
});

test.skipIf(!present)("a stray % in the address is text; a view that fails says so, and leads elsewhere", async () => {
  const page = await open(view("runs", "group=configuration&open=%25"));
  await page.waitForSelector("tr.group-row");
  expectComplaints(page);
  await page.route(/api\/experiments\/many$/, (route) => route.fulfill({ json: { question: "", notes: [] } }));
  await page.goto(`${server.url}#/x/many/curves`);
  await page.getByText("This view cannot be shown").waitFor();
  await page.locator("main").getByRole("link", { name: "all experiments" }).click();
  await page.waitForSelector(".card");
  await page.getByRole("link", { name: "schemes", exact: true }).click();
  await page.waitForSelector("tr.run-row");
});
