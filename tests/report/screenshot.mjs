// A picture of a page: node screenshot.mjs PAGE PNG WIDTH HEIGHT

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page, picture, width, height] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const tab = await browser.newPage({ viewport: { width: Number(width), height: Number(height) }, colorScheme: "light" });
await tab.goto(pathToFileURL(resolve(page)).href);
await tab.waitForSelector("html[data-ready]", { state: "attached" });
// Decoded pictures are drawn with the next frame.
await tab.waitForTimeout(300);
await tab.screenshot({ path: picture });
await browser.close();
