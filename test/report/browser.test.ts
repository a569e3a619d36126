// The report as a browser shows it. Needs Chromium at /usr/bin/chromium (or where CHROMIUM says); skipped without.

import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { reportPage } from "../../src/report/page.ts";
import { syntheticExperiment } from "../plots/synthetic.ts";
import { recordsOf } from "./records.ts";

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const present = existsSync(executablePath);
if (!present) console.warn(`skipped: the report was not opened in a browser, there is none at ${executablePath}`);

let browser: Browser;
let url = "";
beforeAll(async () => {
  if (!present) return;
  const data = syntheticExperiment({ depths: [2, 6], steps: 12 });
  const input = {
    data,
    records: recordsOf(data),
    configs: new Map(),
    source: undefined,
    folder: "results/x",
    files: [],
  };
  const file = path.join(mkdtempSync(path.join(tmpdir(), "fathom-browser-")), "report.html");
  writeFileSync(file, await reportPage(input));
  url = pathToFileURL(file).href;
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
afterAll(async () => {
  if (present) await browser.close();
});

/** Opens the report without a network; what it asked for and complained of. */
async function open(options: BrowserContextOptions): Promise<{ page: Page; requests: string[]; complaints: string[] }> {
  const context = await browser.newContext(options);
  const requests: string[] = [];
  const complaints: string[] = [];
  await context.setOffline(true);
  const page = await context.newPage();
  page.on("request", (request) => requests.push(request.url()));
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.message));
  await page.goto(url);
  return { page, requests, complaints };
}

const charts = ".chart[data-plot]";

test.skipIf(!present)(
  "opens from disk offline, draws every chart live, fetches nothing, complains of nothing",
  async () => {
    const { page, requests, complaints } = await open({ viewport: { width: 1200, height: 900 } });
    await page.waitForFunction(`[...document.querySelectorAll("${charts}")].every((chart) => chart.dataset.live)`);
    expect(await page.locator(charts).count()).toBe(8);
    expect(await page.locator(`${charts}[data-live=yes] svg.marks path`).count()).toBeGreaterThan(100);
    // The pointer on a mark shows its values: the chart is live, not a picture.
    await page.locator("#gradient-by-layer .mark-symbol path").nth(5).hover({ force: true });
    await page.waitForSelector("#vg-tooltip-element.visible");
    expect(await page.locator("#vg-tooltip-element").innerText()).toContain("median");
    expect(requests).toEqual([url]);
    expect(complaints).toEqual([]);
    await page.context().close();
  },
);

test.skipIf(!present)("takes the reader's dark setting, in charts too", async () => {
  const colours = async (colorScheme: "light" | "dark"): Promise<unknown[]> => {
    const { page } = await open({ colorScheme });
    await page.waitForSelector(`${charts}[data-live=yes]`);
    const found = await page.evaluate(`[document.body, document.querySelector(".chart svg text")].map((element, i) =>
      getComputedStyle(element)[i === 0 ? "backgroundColor" : "fill"])`);
    await page.context().close();
    return found as unknown[];
  };
  expect(await colours("light")).toEqual(["rgb(255, 255, 255)", "rgb(27, 31, 36)"]);
  expect(await colours("dark")).toEqual(["rgb(20, 23, 26)", "rgb(230, 233, 236)"]);
});

test.skipIf(!present)(
  "without scripts shows the pictures; on a narrow screen the page does not scroll sideways",
  async () => {
    const { page } = await open({ javaScriptEnabled: false, viewport: { width: 360, height: 700 } });
    expect(await page.locator(`${charts} > svg`).count()).toBe(8);
    expect(await page.locator(`${charts} > svg`).first().isVisible()).toBe(true);
    expect(await page.locator(".interactive").isVisible()).toBe(false);
    const box = await page.locator("body").boundingBox();
    expect(box!.width).toBeLessThanOrEqual(360);
    const figure = await page.locator("figure").first().boundingBox();
    expect(figure!.width).toBeLessThanOrEqual(360);
    await page.context().close();
  },
);
