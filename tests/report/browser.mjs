// A folder, a browser, and what tests of its pages share.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

export const PERCEPT = process.env.PERCEPT ?? fileURLToPath(new URL("../../target/release/percept", import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const isThere = existsSync(PERCEPT) && existsSync(CHROMIUM);
export const skip = isThere ? false : `${existsSync(PERCEPT) ? CHROMIUM : PERCEPT} is not there`;

export const NASTY = [
  `<script>window.ran = 1</script>.wav`,
  `<img src=x onerror="window.ran = 2">.wav`,
  `"quoted" 'twice' & </script><script>window.ran = 3</script><!--.wav`,
  `javascript:window.ran=4.wav`,
  `bell\u0007 escape\u001b[31m line\nbreak \u202egnp.wav`,
  `${"long".repeat(125)}.wav`,
];

export let browser;
/** What a test writes; it is gone when the tests of its file are over. */
export let folder;

before(async () => {
  if (!isThere) return;
  folder = mkdtempSync(join(tmpdir(), "percept-report-"));
  const options = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  browser = await chromium.launch({ executablePath: CHROMIUM, args: [...options, "--autoplay-policy=no-user-gesture-required"] });
});
after(async () => {
  await browser?.close();
  if (folder) rmSync(folder, { recursive: true });
});

/** A tone in noise, 16 bits at 8 kHz. */
export function wav(path, seconds) {
  const count = Math.round(8000 * seconds);
  const bytes = Buffer.alloc(44 + 2 * count);
  bytes.write("RIFF", 0); bytes.writeUInt32LE(36 + 2 * count, 4); bytes.write("WAVEfmt ", 8);
  [[16, 4], [1, 2], [1, 2], [8000, 4], [16000, 4], [2, 2], [16, 2]].reduce((at, [value, size]) => { bytes.writeUIntLE(value, at, size); return at + size; }, 16);
  bytes.write("data", 36); bytes.writeUInt32LE(2 * count, 40);
  let state = 1;
  for (let i = 0; i < count; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const noise = state / 2 ** 32 - 0.5;
    bytes.writeInt16LE(Math.round(9000 * Math.sin(i * 0.3) * (i % 4000 < 2000) + 4000 * noise), 44 + 2 * i);
  }
  writeFileSync(path, bytes);
}

/** Opens a page; at its end nothing may have gone wrong in it. */
export async function open(path, use, options = {}) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  const wrong = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) wrong.push(message.text()); });
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("request", (request) => { if (!/^(file|data):/.test(request.url())) wrong.push(`asked for ${request.url()}`); });
  const begin = Date.now();
  await page.goto(pathToFileURL(path).href);
  await page.waitForSelector("html[data-ready]", { state: "attached" });
  const milliseconds = Date.now() - begin;
  const result = await use(page, milliseconds);
  assert.deepEqual(wrong, []);
  await page.close();
  return result;
}
export const names = (page) => page.$$eval("article .row-name", (all) => all.map((name) => name.textContent));
export const said = (page) => page.textContent("#count");

/** What axe finds that keeps people out. */
export async function barriers(page) {
  // Playwright's own world is not under the page's policy.
  await page.evaluate(readFileSync(AXE, "utf8"));
  const { violations } = await page.evaluate(() => window.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
}
