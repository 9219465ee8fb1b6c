// The page of `percept report` in a real Chromium: `npm ci && npm test` here, after `cargo build --release`.
// PERCEPT and CHROMIUM name other programs than target/release/percept and Debian's chromium.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { barriers, browser, folder, NASTY, names, open, PERCEPT, said, skip, wav } from "./browser.mjs";

const base = (path, task, duration) => ({
  schema_version: 1, tool: "percept test", model: { name: "test", sha256: "0123456789abcdef", task, labels: ["background", "bird", "frog"] },
  settings: "", input: duration === null ? { path } : { path, kind: "audio", container: "wav", codec: "pcm_s16le", duration },
});
const event = (label, onset, offset, score) => ({ label, onset, offset, score, peak: score, frame_start: 0, frame_end: 1 });
function tagged(path, events, duration = 4, frames = true) {
  const scores = Array.from({ length: 400 }, (_, i) => [1 - (i % 100) / 100, (i % 100) / 100, i > 300 ? 0.6 : 0]);
  const labels = scores.map(() => "bird");
  return { ...base(path, "tag", duration), status: "ok", warnings: [], events, ...(frames && { frames: { start: 0, hop: duration / 400, labels, scores } }) };
}
const failed = (path, message) => ({ ...base(path, "tag", null), status: "error", error: { kind: "damaged", message } });

/** Writes results and their page; gives what the program said and the page's path. */
function report(name, records, ...options) {
  const text = typeof records === "string" ? records : records.map((record) => `${JSON.stringify(record)}\n`).join("");
  writeFileSync(join(folder, `${name}.jsonl`), text);
  const run = spawnSync(PERCEPT, ["report", `${name}.jsonl`, "-o", `${name}.html`, ...options], { cwd: folder, encoding: "utf8" });
  assert.ok(run.status === 0 || run.status === 1, run.stderr);
  return { ...run, path: join(folder, `${name}.html`) };
}


/** Five files: two with birds, one with a frog, two that failed. */
function usual() {
  mkdirSync(join(folder, "calls"), { recursive: true });
  for (const name of ["a", "b", "c"]) wav(join(folder, `calls/${name}.wav`), 4);
  return [
    tagged("calls/a.wav", [event("bird", 0.5, 1, 0.9), event("bird", 3, 3.5, 0.4)]),
    tagged("calls/b.wav", [event("frog", 1, 2.5, 0.7)]),
    tagged("calls/c.wav", [event("bird", 2, 2.5, 0.6)], 4, false),
    failed("calls/d.wav", "the header is damaged"),
    failed("calls/e.wav", "the header is damaged"),
  ];
}

test("a page loads without an error and says what was found", { skip }, async () => {
  const { path, status } = report("usual", usual());
  assert.equal(status, 0);
  await open(path, async (page) => {
    assert.equal(await page.textContent("h1"), "usual.jsonl");
    assert.match(await page.textContent("#summary"), /^5 files · 2 failed · 12\.0 s of recordings · 4 events · model test/);
    assert.deepEqual(await names(page), ["calls/a.wav", "calls/b.wav", "calls/c.wav", "calls/d.wav", "calls/e.wav"]);
    const bird = await page.textContent("#overview tbody tr:first-child");
    assert.match(bird, /bird.*2.*3.*1\.50 s/);
    const errors = page.locator("[aria-label=Errors] tbody tr");
    assert.deepEqual([await errors.count(), /2the header is damaged \(damaged\)/.test(await errors.textContent())], [1, true]);
    const first = page.locator("article").first();
    // A spectrogram, a curve of each label that has a score, a bar of each event.
    assert.equal(await first.locator("image").count(), 1);
    assert.equal(await first.locator("path.curve").count(), 3);
    assert.equal(await first.locator("rect[rx]").count(), 2);
    const loaded = await first.locator("image").evaluate(async (node) => { const image = new Image(); image.src = node.getAttribute("href"); await image.decode(); return image.naturalHeight; });
    assert.equal(loaded, 64);
  }, { viewport: { width: 1280, height: 3000 } });
});

test("files are filtered by label, score, text and status, and sorted", { skip }, async () => {
  const { path } = report("usual", usual());
  await open(path, async (page) => {
    await page.selectOption("#label", { label: "bird" });
    assert.deepEqual(await names(page), ["calls/a.wav", "calls/c.wav"]);
    await page.fill("#score", "0.8");
    await page.waitForFunction(() => document.getElementById("count").textContent === "1 of 5 files");
    assert.deepEqual(await names(page), ["calls/a.wav"]);
    assert.equal(await page.locator("article rect.low").count(), 1);
    await page.click("#reset");
    assert.equal(await said(page), "5 files");
    await page.fill("#text", "FROG");
    await page.waitForFunction(() => document.getElementById("count").textContent === "1 of 5 files");
    assert.deepEqual(await names(page), ["calls/b.wav"]);
    await page.fill("#text", "no such thing");
    await page.waitForSelector("#more:not([hidden])");
    await page.click("#reset");
    await page.selectOption("#status", "failed");
    assert.deepEqual(await names(page), ["calls/d.wav", "calls/e.wav"]);
    await page.click("#reset");
    await page.selectOption("#sort", "low");
    assert.deepEqual((await names(page)).slice(0, 3), ["calls/c.wav", "calls/b.wav", "calls/a.wav"]);
    await page.click("[aria-label=Errors] button");
    assert.deepEqual([await said(page), await page.inputValue("#text")], ["2 of 5 files", "the header is damaged"]);
    await page.click("#reset");
    await page.getByRole("button", { name: "frog", exact: true }).click();
    assert.deepEqual(await names(page), ["calls/b.wav"]);
  });
});

test("keys go from file to file, zoom, move, and search", { skip }, async () => {
  const { path } = report("usual", usual());
  await open(path, async (page) => {
    const focused = () => page.evaluate(() => document.activeElement.querySelector?.(".row-name")?.textContent);
    const time = () => page.locator("article.current svg.time").getAttribute("aria-label");
    await page.keyboard.press("j");
    assert.equal(await focused(), "calls/a.wav");
    await page.keyboard.press("ArrowDown");
    assert.equal(await focused(), "calls/b.wav");
    await page.keyboard.press("k");
    assert.equal(await focused(), "calls/a.wav");
    assert.match(await time(), /^Time from 0\.00 s to 4\.00 s: bird at 0\.50 s, bird at 3\.00 s/);
    await page.keyboard.press("+");
    assert.match(await time(), /^Time from 1\.00 s to 3\.00 s/);
    await page.keyboard.press("ArrowRight");
    assert.match(await time(), /^Time from 1\.50 s to 3\.50 s/);
    await page.keyboard.press("-");
    assert.match(await time(), /^Time from 0\.00 s to 4\.00 s/);
    for (let i = 0; i < 30; i += 1) await page.keyboard.press("+");
    assert.match(await time(), /^Time from 1\.99 s to 2\.01 s/);
    await page.keyboard.press("0");
    assert.match(await time(), /^Time from 0\.00 s to 4\.00 s/);
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");
    await page.keyboard.type("j");
    assert.equal(await page.inputValue("#text"), "j");
    await page.keyboard.press("Escape");
    assert.notEqual(await page.evaluate(() => document.activeElement.id), "text");
    await page.keyboard.press("?");
    assert.ok(await page.isVisible("#help"));
    await page.keyboard.press("Escape");
    assert.ok(!(await page.isVisible("#help")));
  });
});

test("the wheel zooms around the pointer and a drag moves along the time", { skip }, async () => {
  const { path } = report("usual", usual());
  await open(path, async (page) => {
    const time = page.locator("article svg.time").first();
    await time.scrollIntoViewIfNeeded();
    const box = await time.boundingBox();
    const view = async () => (await time.getAttribute("aria-label")).match(/([\d.]+) s to ([\d.]+) s/).slice(1).map(Number);
    await page.mouse.move(box.x, box.y + 20);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, -300);
    await page.keyboard.up("Control");
    await page.waitForFunction(() => !document.querySelector("article svg.time").getAttribute("aria-label").includes("to 4.00 s"));
    const [from, to] = await view();
    assert.ok(from < 0.05 && to < 2, `${from} ${to}`);
    await page.mouse.move(box.x + box.width / 2, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 4, box.y + 20, { steps: 4 });
    await page.mouse.up();
    const [moved] = await view();
    assert.ok(Math.abs(moved - (from + (to - from) / 4)) < 0.05, `${moved}`);
    assert.ok(await page.isHidden("#player"), "a drag is no click");
  });
});

for (const [how, options] of [["by a link", []], ["from the page itself", ["--embed"]]]) {
  test(`a click plays that moment ${how}`, { skip }, async () => {
    const name = options.length ? "embedded" : "usual";
    const { path } = report(name, usual(), ...options);
    if (options.length) assert.ok(!readFileSync(path, "utf8").includes("./calls/"));
    await open(path, async (page) => {
      const time = page.locator("article svg.time").first();
      await time.scrollIntoViewIfNeeded();
      const box = await time.boundingBox();
      await page.mouse.click(box.x + box.width / 2, box.y + 30);
      await page.waitForFunction(() => document.getElementById("audio").currentTime > 2.05);
      const at = await page.evaluate(() => document.getElementById("audio").currentTime);
      assert.ok(at >= 2 && at < 3.5, `${at}`);
      assert.equal(await page.locator("article line.head").first().getAttribute("visibility"), "visible");
      // Space in the row stops it and goes on; the list of events has each of them.
      await page.keyboard.press("k");
      await page.keyboard.press(" ");
      assert.equal(await page.evaluate(() => document.getElementById("audio").paused), true);
      await page.locator("article").first().locator("summary").click();
      await page.click("[aria-label='Play bird at 3.00 s']");
      await page.waitForFunction(() => document.getElementById("audio").currentTime >= 3);
      await page.keyboard.press("Escape");
      assert.ok(await page.isHidden("#player"));
    });
  });
}

test("names and labels of any kind are text, and nothing in them runs", { skip }, async () => {
  const records = NASTY.map((name) => tagged(`calls/${name}`, [event(name, 0.5, 1, 0.9)], 4, false));
  records.push(failed(NASTY[0], NASTY[2]), { ...tagged(NASTY[1], [], 4, false), warnings: [NASTY[2]] });
  const { path } = report("nasty", records, "--title", NASTY[2]);
  for (const width of [1280, 390]) {
    await open(path, async (page) => {
      const texts = await names(page);
      assert.ok(texts.includes(`calls/${NASTY[0]}`) && texts.includes(`calls/${NASTY[1]}`) && texts.includes(`calls/${NASTY[2]}`));
      assert.ok(texts.includes("calls/bell\\u{7} escape\\u{1b}[31m line\\nbreak \\u{202e}gnp.wav"), texts.join("\n"));
      for (const summary of await page.$$("article summary")) await summary.click();
      assert.equal(await page.evaluate(() => window.ran), undefined);
      // What would run if it came into the page is stopped by the policy of the page, too.
      assert.equal(await page.$("article script, article img, h1 script"), null);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `${wide} pixels`);
      assert.match(await page.textContent("#notices"), /8 of 8 files are no longer where the results say/);
    }, { viewport: { width, height: 6000 } });
  }
});

test("the policy of the page lets no other script run", { skip }, async () => {
  const { path } = report("usual", usual());
  const page = await browser.newPage();
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  await page.goto(pathToFileURL(path).href);
  await page.evaluate(() => {
    document.body.insertAdjacentHTML("beforeend", `<img src="x" onerror="window.ran = 1">`);
    const script = document.createElement("script");
    script.textContent = "window.ran = 2";
    document.body.append(script);
  });
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.ok(said.some((text) => text.includes("Content Security Policy")), said.join("\n"));
  const fetched = await page.evaluate(() => fetch("http://127.0.0.1:9/").then(() => "went", () => "refused"));
  assert.equal(fetched, "refused");
  await page.close();
});

test("what is true stands beside what was found, with misses and false alarms", { skip }, async () => {
  const records = usual();
  writeFileSync(join(folder, "truth.csv"), "file,onset,offset,label\na.wav,0.55,1.05,bird\na.wav,1.5,2,frog\nb.wav,1,2.5,frog\n");
  const { path } = report("truth", records, "--reference", "truth.csv");
  await open(path, async (page) => {
    assert.match(await page.textContent("#summary"), /beside truth\.csv: 2 right, 1 miss, 1 false alarm \(collar 0\.2 s\)/);
    const [a, b, c] = await page.locator("article").all();
    assert.deepEqual([await a.locator("rect.missed").count(), await a.locator("rect.false").count(), await a.locator("rect.truth").count()], [1, 1, 1]);
    assert.match(await a.textContent(), /1 miss1 false alarm/);
    assert.match(await b.textContent(), /all right/);
    assert.ok(!/right|miss/.test(await c.locator(".row-head").textContent()));
    await page.selectOption("#status", "mistaken");
    assert.deepEqual(await names(page), ["calls/a.wav"]);
  });
});

test("a file that is cut off and media that moved are told in the page", { skip }, async () => {
  const lines = [tagged("calls/a.wav", [event("bird", 0.5, 1, 0.9)]), tagged("gone/x.wav", [])].map((record) => JSON.stringify(record));
  const { path, status, stderr } = report("cut", `${lines.join("\n")}\n${lines[0].slice(0, 700)}`);
  assert.equal(status, 1);
  assert.match(stderr, /line 3 is cut off in the middle/);
  await open(path, async (page) => {
    assert.match(await page.textContent("#notices"), /Results: line 3 is cut off in the middle.*1 of 2 files are no longer where/);
    const gone = page.locator("article").nth(1);
    assert.match(await gone.textContent(), /file not found/);
    assert.ok(await gone.locator("[aria-label^=Play]").isDisabled());
  });
});

test("results of nothing are a page that says so", { skip }, async () => {
  const { path, status } = report("empty", "");
  assert.equal(status, 0);
  await open(path, async (page) => assert.match(await page.textContent("#overview"), /The results are empty/));
});

test("light and dark follow the system and the switch", { skip }, async () => {
  const { path } = report("usual", usual());
  for (const [colorScheme, expected] of [["light", "rgb(255, 255, 255)"], ["dark", "rgb(15, 19, 24)"]]) {
    await open(path, async (page) => {
      const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      assert.equal(await paper(), expected);
      await page.click("#theme");
      assert.equal(await paper(), "rgb(255, 255, 255)");
      await page.click("#theme");
      assert.equal(await paper(), "rgb(15, 19, 24)");
    }, { colorScheme });
  }
});

test("axe finds nothing that keeps people out, in light and dark, wide and narrow", { skip }, async () => {
  writeFileSync(join(folder, "truth.csv"), "file,onset,offset,label\na.wav,0.55,1.05,bird\na.wav,1.5,2,frog\n");
  const records = [...usual(), { ...tagged("gone/x.wav", []), warnings: ["cut off"] }];
  const { path } = report("axe", records, "--reference", "truth.csv");
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 390]) {
      await open(path, async (page) => {
        await page.locator("article summary").first().click();
        assert.deepEqual(await barriers(page), [], `${colorScheme}, ${width} pixels`);
      }, { colorScheme, viewport: { width, height: 900 } });
    }
  }
});

test("a print has the files one below the other", { skip }, async () => {
  const { path } = report("print", Array.from({ length: 40 }, (_, i) => tagged(`gone/${i}.wav`, [event("bird", 0.5, 1, 0.9)], 4, false)));
  await open(path, async (page) => {
    assert.ok((await names(page)).length < 40);
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    assert.equal((await names(page)).length, 40);
    await page.emulateMedia({ media: "print" });
    const tops = await page.$$eval("article", (all) => all.map((article) => article.getBoundingClientRect().top));
    assert.ok(tops.every((top, i) => i === 0 || top > tops[i - 1] + 50));
    assert.ok(await page.isHidden("#text"));
    await page.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.ok((await names(page)).length < 40);
  });
});

test("10,000 files open and scroll", { skip }, async () => {
  mkdirSync(join(folder, "many"), { recursive: true });
  for (let i = 0; i < 20; i += 1) wav(join(folder, `many/${i}.wav`), 0.5);
  const lines = [];
  for (let i = 0; i < 10_000; i += 1) {
    const label = ["bird", "frog", "rain"][i % 3];
    lines.push(JSON.stringify({ ...tagged(`many/${i % 20}.wav`, [event(label, 0.1, 0.3, (i % 97) / 97)], 0.5, false), recorded_at: `2024-05-${10 + (i % 20)}` }));
  }
  const { path } = report("many", `${lines.join("\n")}\n`);
  await open(path, async (page, milliseconds) => {
    console.log(`10,000 files: ${(statSync(path).size / 2 ** 20).toFixed(1)} MiB, open in ${(milliseconds / 1000).toFixed(2)} s`);
    assert.equal(await said(page), "10,000 files");
    const worst = await page.evaluate(async () => {
      let worst = 0;
      const frame = () => new Promise((done) => requestAnimationFrame(done));
      for (let i = 0; i < 60; i += 1) {
        const begin = performance.now();
        scrollBy(0, i < 30 ? 300 : 40_000);
        await frame();
        worst = Math.max(worst, performance.now() - begin);
      }
      scrollTo(0, document.documentElement.scrollHeight);
      for (let i = 0; i < 5; i += 1) { await frame(); scrollTo(0, document.documentElement.scrollHeight); }
      return worst;
    });
    console.log(`10,000 files: longest frame of 60 steps ${worst.toFixed(0)} ms`);
    await page.waitForFunction(() => document.querySelector("article[aria-posinset='10000'] image"));
    assert.ok(await page.locator("article").count() < 60);
    await page.selectOption("#label", { label: "frog" });
    assert.equal(await said(page), "3,333 of 10,000 files");
  });
});
