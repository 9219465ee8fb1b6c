// The pages of `percept train --report` and `percept evaluate --report` in a real Chromium, as page.test.mjs has that of
// `percept report`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { barriers, folder, NASTY, names, open, PERCEPT, said, skip, wav } from "./browser.mjs";

const percept = (...args) => {
  const run = spawnSync(PERCEPT, args, { cwd: folder, encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  return run;
};

/** A label that would run, and one that is long: 60 clips of three labels, two of which sound alike. */
const LABELS = ["tone", NASTY[0].replaceAll("/", "|").slice(0, 40), "long".repeat(20)];

before(() => {
  if (skip) return;
  mkdirSync(join(folder, "clips"));
  const rows = ["path,label,split"];
  for (let i = 0; i < 60; i += 1) {
    wav(join(folder, `clips/${i}.wav`), i % 3 === 0 ? 0.6 : 0.4);
    rows.push(`clips/${i}.wav,"${LABELS[i % 3].replaceAll('"', '""')}",${["train", "train", "validation", "test"][Math.floor(i / 3) % 4]}`);
  }
  writeFileSync(join(folder, "clips.csv"), `${rows.join("\n")}\n`);
  const small = ["--hidden-size", "8", "--num-layers", "1", "--epochs", "3"];
  percept("train", "--manifest", "clips.csv", "-o", "m.safetensors", "--report", "train.html", ...small);
  percept("evaluate", "-m", "m.safetensors", "--manifest", "clips.csv", "--split", "all", "--report", "evaluate.html", "--embed");
  writeFileSync(join(folder, "events.csv"), `file,onset,offset,label\n${Array.from({ length: 12 }, (_, i) => `${3 * i}.wav,0.1,0.3,beep\n`).join("")}`);
  writeFileSync(join(folder, "recordings.csv"), `path,split\n${Array.from({ length: 12 }, (_, i) => `clips/${3 * i}.wav,${i % 3 ? "train" : "test"}\n`).join("")}`);
  const timed = ["--manifest", "recordings.csv", "--labels", "events.csv"];
  percept("train", ...timed, "--exclusive", "-o", "tag.safetensors", "--report", "tag.html", ...small);
});

test("a training's page has curves, figures, confusions, settings, and its test clips, the worst first", { skip }, async () => {
  await open(join(folder, "train.html"), async (page) => {
    const text = await page.textContent("#evaluation");
    assert.match(text, /On the test part.*accuracy \[95% interval\].*right\d+ of 15 clips.*without a network/);
    assert.equal(await page.locator("#evaluation figure.chart").count(), 5);
    assert.match(await page.getAttribute("figure.chart svg", "aria-label"), /^Loss by epoch: in the last [\d.]+ in training, [\d.]+ in validation; the kept epoch is \d of 3/);
    assert.equal(await page.locator(".confusion tbody tr").count(), 3);
    assert.equal(await page.locator("#evaluation pre").evaluate((pre) => pre.textContent.includes("hidden_size = 8")), true);
    assert.match(text, /tone1055/);
    assert.equal(await said(page), "15 files");
    const badges = await page.$$eval("article .badge", (all) => all.map((badge) => badge.textContent.slice(0, 5)));
    assert.deepEqual(badges, [...badges].sort().reverse(), "wrong ones come before right ones");
    assert.equal(await page.evaluate(() => window.ran), undefined);
  }, { viewport: { width: 1280, height: 12000 } });
});

test("a cell of the confusion matrix shows its files, and a label its curves", { skip }, async () => {
  await open(join(folder, "evaluate.html"), async (page) => {
    const cell = page.locator(".confusion td button").first();
    const count = Number(await cell.textContent());
    await cell.click();
    assert.match(await said(page), new RegExp(`^${count} of 60 files · true .*, said .* \\(Reset shows all\\)$`));
    assert.equal((await names(page)).length, count);
    await page.click("#reset");
    assert.equal(await said(page), "60 files");
    const label = page.locator("[aria-label='Figures of each label'] button").nth(2);
    await label.click();
    assert.equal(await label.getAttribute("aria-pressed"), "true");
    const name = await label.textContent();
    assert.equal(await page.locator("[aria-live=polite] figcaption").first().textContent(), `Precision and recall: ${name}`);
  }, { viewport: { width: 1280, height: 30000 } });
});

test("what was mistaken can be heard, from the page itself", { skip }, async () => {
  const path = join(folder, "evaluate.html");
  assert.ok(!readFileSync(path, "utf8").includes("./clips/"));
  await open(path, async (page) => {
    await page.locator("article [aria-label^=Play]").first().click();
    await page.waitForFunction(() => document.getElementById("audio").currentTime > 0.05);
  }, { viewport: { width: 1280, height: 6000 } });
});

test("a page of a tagger has frames beside what is true", { skip }, async () => {
  await open(join(folder, "tag.html"), async (page) => {
    const text = await page.textContent("#evaluation");
    assert.match(text, /frames right \[95% interval\].*event F1.*Confusion \(frames\)/);
    assert.equal(await said(page), "4 files");
    assert.ok(await page.locator("article path.curve").count() > 0);
    assert.ok(await page.locator("article rect.truth, article rect.missed").count() > 0);
  }, { viewport: { width: 1280, height: 6000 } });
});

test("axe finds nothing in pages of evaluations, and they are as narrow as a phone", { skip }, async () => {
  for (const name of ["train", "tag"]) {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [1280, 390]) {
        await open(join(folder, `${name}.html`), async (page) => {
          await page.locator("#evaluation summary").last().click();
          assert.deepEqual(await barriers(page), [], `${name}, ${colorScheme}, ${width} pixels`);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          assert.ok(wide <= width, `${wide} pixels`);
        }, { colorScheme, viewport: { width, height: 900 } });
      }
    }
  }
});
