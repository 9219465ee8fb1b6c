"use strict";
(() => {
  // ---- What Rust wrote -------------------------------------------------------------------------------------------

  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = json("rows");
  const tail = json("tail");
  const { rows } = data;
  const { labels } = tail;

  /** Elements of a row. */
  const [NAME, MEDIUM, KIND, START, END, MODEL, STATE, ITEMS, MORE, TRUTH, WARNINGS, RECORDED] = Array(12).keys();
  /** STATE */
  const [FAILED, LABELS, EVENTS] = [0, 1, 2];
  /** KIND */
  const VIDEO = 1;
  /** Marks of a found event: the reference says no, or yes, or nothing of its file. */
  const FALSE_ALARM = 0;

  const SHOWN_TRACKS = 12;
  const SHOWN_EVENTS = 500;
  const PRINTED_ROWS = 300;
  const PICTURE = 72, CURVES = 44, TRACK = 18, TRUTH_TRACK = 11, AXIS = 18, GAP = 4;
  const NARROWEST = 0.02; // Seconds of the deepest zoom.

  /** `[label, score]` or `[label, onset, offset, score, mark]` of each thing that was found. */
  function* items(row) {
    const size = row[STATE] === LABELS ? 2 : 5;
    if (row[STATE] === FAILED) return;
    for (let i = 0; i < row[ITEMS].length; i += size) yield row[ITEMS].slice(i, i + size);
  }
  /** `[label, onset, offset, found]` of each true event. */
  function* truths(row) {
    if (row[STATE] !== EVENTS || !row[TRUTH]) return;
    for (let i = 0; i < row[TRUTH].length; i += 4) yield row[TRUTH].slice(i, i + 4);
  }
  const scoreOf = (row, item) => (row[STATE] === LABELS ? item[1] : item[3]);

  /** Pictures and curves of a row; parsed when they are needed, a block of rows at a time. */
  const blocks = new Map();
  function drawingOf(index) {
    const number = Math.floor(index / data.rowsOfBlock);
    if (!blocks.has(number)) {
      if (blocks.size > 12) blocks.delete(blocks.keys().next().value);
      blocks.set(number, json(`block-${number}`));
    }
    return blocks.get(number)[index % data.rowsOfBlock];
  }

  // ---- Small helpers ---------------------------------------------------------------------------------------------

  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";
  function element(tag, attributes = {}, ...children) {
    return filled(document.createElement(tag), attributes, children);
  }
  function svg(tag, attributes = {}, ...children) {
    return filled(document.createElementNS(SVG, tag), attributes, children);
  }
  /** Strings become text, never HTML. */
  function filled(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child != null));
    return node;
  }
  const many = (count, one, several = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : several}`;
  const percent = (score) => `${(100 * score).toFixed(score > 0.9995 || score === 0 ? 0 : 1)} %`;
  function clock(seconds, digits = 2) {
    const sign = seconds < 0 ? "-" : "";
    const hundredths = Math.round(Math.abs(seconds) * 10 ** digits) / 10 ** digits;
    const [hours, minutes] = [Math.floor(hundredths / 3600), Math.floor(hundredths / 60) % 60];
    const rest = (hundredths % 60).toFixed(digits);
    if (hundredths < 60) return `${sign}${rest} s`;
    const two = (text) => (text.split(".")[0].length < 2 ? `0${text}` : text);
    return sign + (hours ? `${hours}:${two(String(minutes))}` : minutes) + `:${two(rest)}`;
  }
  function length(seconds) {
    if (seconds >= 7200) return `${(seconds / 3600).toFixed(1)} h`;
    if (seconds >= 120) return `${(seconds / 60).toFixed(1)} min`;
    return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  }
  /** Labels that are only ever a curve (the background, most likely) are grey: the others have the colours. */
  const colours = (() => {
    const seen = new Set(rows.flatMap((row) => [...items(row), ...truths(row)].map((item) => item[0])));
    let next = 0;
    return labels.map((_, label) => (seen.has(label) ? next++ % 9 : 9));
  })();
  const colour = (label) => colours[label];

  // ---- Facts of each row -----------------------------------------------------------------------------------------

  const facts = rows.map((row) => {
    const fact = { score: -1, events: 0, misses: 0, falseAlarms: 0, hits: 0 };
    for (const item of items(row)) {
      fact.score = Math.max(fact.score, scoreOf(row, item));
      fact.events += 1;
      if (row[STATE] === EVENTS && item[4] === FALSE_ALARM) fact.falseAlarms += 1;
      if (row[STATE] === EVENTS && item[4] === 1) fact.hits += 1;
    }
    for (const truth of truths(row)) fact.misses += truth[3] ? 0 : 1;
    if (row[STATE] === LABELS && row[TRUTH]) {
      const right = row[ITEMS][0] === row[TRUTH][0];
      fact.hits = right ? 1 : 0;
      fact.misses = right ? 0 : 1;
    }
    fact.mistakes = fact.misses + fact.falseAlarms;
    return fact;
  });
  const isTagged = rows.some((row) => row[STATE] === EVENTS);
  const sum = (number) => facts.reduce((total, fact) => total + number(fact), 0);

  // ---- Overview --------------------------------------------------------------------------------------------------

  const BINS = 20;
  const bin = (score) => Math.min(BINS - 1, Math.max(0, Math.floor(score * BINS)));

  function countLabels() {
    const counts = labels.map((_, label) => ({ label, files: 0, events: 0, seconds: 0, scores: Array(BINS).fill(0) }));
    const all = Array(BINS).fill(0);
    for (const row of rows) {
      const seen = new Set();
      for (const item of items(row)) {
        // Of a whole recording the best label counts; the others are there to be seen in its row.
        if (row[STATE] === LABELS && seen.size) break;
        const count = counts[item[0]];
        if (!seen.has(item[0])) count.files += 1;
        seen.add(item[0]);
        count.events += 1;
        if (row[STATE] === EVENTS) count.seconds += item[2] - item[1];
        count.scores[bin(scoreOf(row, item))] += 1;
        all[bin(scoreOf(row, item))] += 1;
      }
    }
    return { all, counts: counts.filter((count) => count.events).sort((a, b) => b.files - a.files || b.events - a.events) };
  }

  function histogram(bins, height, className, width = 20) {
    const most = Math.max(1, ...bins);
    const bars = bins.map((count, i) => {
      const size = count ? Math.max(0.04, count / most) * height : 0;
      const title = svg("title", {}, `${i * 5} to ${i * 5 + 5} %: ${count.toLocaleString("en")}`);
      const place = { x: (i * width) / BINS + 0.08 * (width / BINS), width: (0.84 * width) / BINS };
      return svg("rect", { ...place, y: height - size, height: size, class: className }, title);
    });
    const said = bins.map((count, i) => (count ? `${i * 5} to ${i * 5 + 5} %: ${count}` : "")).filter(Boolean).join(", ");
    return svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `Histogram of scores: ${said || "none"}` }, bars);
  }

  function labelTable(counts) {
    const most = Math.max(1, ...counts.map((count) => count.files));
    const head = ["Label", "Files", ...(isTagged ? ["Events", "Time"] : [])].map((name, i) =>
      element("th", { scope: "col", class: i ? "number" : null }, name));
    head.push(element("th", { scope: "col", class: "bar" }, "Share"), element("th", { scope: "col", class: "spark" }, "Scores"));
    const body = counts.map((count) => {
      const name = labels[count.label];
      const choose = () => { $("label").value = count.label; filter(); $("files").scrollIntoView({ block: "nearest" }); };
      const share = svg("svg", { viewBox: "0 0 100 10", height: 10, preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { width: (100 * count.files) / most, height: 10, class: `f${colour(count.label)}` }));
      const spark = histogram(count.scores, 10, `f${colour(count.label)}`, 40);
      spark.setAttribute("height", 18);
      const cells = [count.files.toLocaleString("en"), ...(isTagged ? [count.events.toLocaleString("en"), length(count.seconds)] : [])];
      return element("tr", {},
        element("th", { scope: "row" }, element("div", { class: "label" }, element("span", { class: `swatch b${colour(count.label)}`, "aria-hidden": "true" }),
          element("button", { type: "button", click: choose, title: `Show only ${name}` }, element("span", {}, name)))),
        cells.map((text) => element("td", { class: "number" }, text)),
        element("td", { class: "bar" }, share), element("td", { class: "spark" }, spark));
    });
    const table = element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, body));
    const box = element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Labels" }, table);
    return element("section", {}, element("h3", {}, isTagged ? "Labels" : "Best labels"), box);
  }

  function errorTable() {
    const reasons = new Map();
    rows.forEach((row) => {
      if (row[STATE] !== FAILED) return;
      const key = row[ITEMS].join("\n");
      reasons.set(key, { kind: row[ITEMS][0], message: row[ITEMS][1], files: (reasons.get(key)?.files ?? 0) + 1 });
    });
    if (!reasons.size) return null;
    const sorted = [...reasons.values()].sort((a, b) => b.files - a.files);
    const body = sorted.slice(0, 200).map((reason) => {
      const show = () => { $("status").value = "failed"; $("text").value = reason.message; filter(); };
      return element("tr", {},
        element("td", { class: "number" }, reason.files.toLocaleString("en")),
        element("td", { class: "reason" }, `${reason.message} (${reason.kind})`),
        element("td", {}, element("button", { type: "button", click: show, "aria-label": `Show files with: ${reason.message}` }, "Show")));
    });
    if (sorted.length > 200) body.push(element("tr", {}, element("td", { colspan: 3 }, `and ${many(sorted.length - 200, "other reason")}`)));
    const head = element("tr", {}, element("th", { scope: "col", class: "number" }, "Files"), element("th", { scope: "col" }, "Reason"), element("th", { scope: "col" }, element("span", { class: "hidden" }, "Filter")));
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, body));
    const box = element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Errors" }, table);
    return element("section", {}, element("h3", {}, "Errors"), box);
  }

  function overview() {
    const failed = rows.filter((row) => row[STATE] === FAILED).length;
    const seconds = rows.reduce((total, row) => total + (row[END] - row[START]), 0);
    const parts = [many(rows.length, "file")];
    if (failed) parts.push(`${many(failed, "failed", "failed")}`);
    if (seconds) parts.push(`${length(seconds)} of recordings`);
    if (isTagged) parts.push(many(sum((fact) => fact.events), "event"));
    parts.push(data.models.map(([name, sha, task]) => `model ${name} (${task}, ${sha.slice(0, 8)})`).join(", "));
    if (data.reference) {
      const [hits, misses, falses] = [sum((f) => f.hits), sum((f) => f.misses), sum((f) => f.falseAlarms)];
      parts.push(isTagged
        ? `beside ${data.reference[0]}: ${hits} right, ${many(misses, "miss", "misses")}, ${many(falses, "false alarm")} (collar ${data.reference[1]} s)`
        : `beside ${data.reference[0]}: ${hits} of ${hits + misses} right`);
    }
    $("title").textContent = data.title;
    document.title = `${data.title} – percept report`;
    $("summary").textContent = parts.filter(Boolean).join(" · ");
    const notices = [...data.messages.map((message) => `Results: ${message}`), ...tail.notes];
    $("notices").append(...notices.map((notice) => element("li", {}, notice)));
    $("notices").hidden = !notices.length;

    const { all, counts } = countLabels();
    const content = $("overview-content");
    const side = element("div");
    if (counts.length) {
      content.append(labelTable(counts));
      const scores = element("section", { class: "histogram" }, element("h3", {}, isTagged ? "Scores of events" : "Scores of best labels"));
      const axis = element("p", { class: "ticks", "aria-hidden": "true" }, [0, 25, 50, 75, 100].map((p) => element("span", {}, `${p} %`)));
      scores.append(histogram(all, 36, "plain", 100), axis);
      side.append(scores);
    }
    const errors = errorTable();
    if (errors) side.append(errors);
    if (side.childElementCount) content.append(side);
    if (!rows.length) content.append(element("p", {}, "The results are empty: there is no file to show."));
  }

  // ---- Filter and sort -------------------------------------------------------------------------------------------

  const STATUSES = [["", "all"], ["ok", "good"], ["failed", "failed"], ["warned", "with warnings"]];
  const SORTS = [["order", "as in the results"], ["name", "name"], ["high", "highest score first"], ["low", "lowest score first"], ["long", "longest first"]];
  if (isTagged) SORTS.push(["events", "most events first"]);
  if (data.reference) {
    STATUSES.push(["mistaken", "with mistakes"], ["right", "without mistakes"]);
    SORTS.push(["mistakes", "most mistakes first"]);
  }
  const options = (list) => list.map(([value, text]) => element("option", { value }, text));

  let shown = []; // Indices of rows, in the order of the page.
  let least = 0; // Score.

  function passes(index, text, matching, label, status) {
    const row = rows[index];
    const isFailed = row[STATE] === FAILED;
    if (status === "ok" && isFailed || status === "failed" && !isFailed) return false;
    if (status === "warned" && !row[WARNINGS].length) return false;
    if (status === "mistaken" && !facts[index].mistakes) return false;
    if (status === "right" && (facts[index].mistakes || isFailed || !row[TRUTH])) return false;
    if (text) {
      const inName = row[NAME].toLowerCase().includes(text) || isFailed && row[ITEMS][1].toLowerCase().includes(text);
      if (!inName && ![...items(row)].some((item) => matching.has(item[0]))) return false;
    }
    if (label === null && least === 0) return true;
    for (const item of items(row)) {
      if ((label === null || item[0] === label) && scoreOf(row, item) >= least) return true;
      // What a person looks for is what a file is, not what else it might be.
      if (row[STATE] === LABELS) return false;
    }
    return least === 0 && [...truths(row)].some((truth) => truth[0] === label);
  }

  function filter() {
    const text = $("text").value.trim().toLowerCase();
    const matching = new Set(labels.flatMap((label, i) => (text && label.toLowerCase().includes(text) ? [i] : [])));
    const label = $("label").value === "" ? null : Number($("label").value);
    const status = $("status").value;
    least = Number($("score").value);
    $("score-text").textContent = `${Math.round(100 * least)} %`;
    shown = [];
    for (let i = 0; i < rows.length; i += 1) if (passes(i, text, matching, label, status)) shown.push(i);
    const by = (number) => shown.sort((a, b) => number(b) - number(a) || a - b);
    switch ($("sort").value) {
      case "name": {
        const { compare } = new Intl.Collator("en", { numeric: true });
        shown.sort((a, b) => compare(rows[a][NAME], rows[b][NAME]) || a - b);
        break;
      }
      case "high": by((i) => facts[i].score); break;
      case "low": shown.sort((a, b) => (facts[a].score < 0) - (facts[b].score < 0) || facts[a].score - facts[b].score || a - b); break;
      case "long": by((i) => rows[i][END] - rows[i][START]); break;
      case "events": by((i) => facts[i].events); break;
      case "mistakes": by((i) => facts[i].mistakes); break;
    }
    $("count").textContent = shown.length === rows.length ? `${many(rows.length, "file")}` : `${shown.length.toLocaleString("en")} of ${many(rows.length, "file")}`;
    current = -1;
    list.begin();
  }

  // ---- A row -----------------------------------------------------------------------------------------------------

  /** What of the time of a row is in view, where it is not all: `[start, end]` in seconds, by index. */
  const views = new Map();
  const opened = new Set();
  const view = (index) => views.get(index) ?? [rows[index][START], rows[index][END]];
  const hasTime = (row) => row[STATE] !== FAILED && row[END] > row[START];
  const isPlayable = (row) => row[MEDIUM] !== null && row[MEDIUM] !== 0;

  function tracksOf(row) {
    const tracks = new Map();
    const track = (label) => tracks.get(label) ?? tracks.set(label, { label, found: [], truths: [] }).get(label);
    if (row[STATE] === EVENTS) for (const item of items(row)) track(item[0]).found.push(item);
    for (const truth of truths(row)) track(truth[0]).truths.push(truth);
    const all = [...tracks.values()];
    const kept = all.length > SHOWN_TRACKS
      ? [...all].sort((a, b) => b.found.length + b.truths.length - a.found.length - a.truths.length).slice(0, SHOWN_TRACKS)
      : all;
    return { tracks: kept.sort((a, b) => a.label - b.label), more: all.length - kept.length };
  }

  /** Where what stands, from top to bottom. */
  function layout(index) {
    const row = rows[index];
    const [picture, curves] = drawingOf(index);
    const { tracks, more } = tracksOf(row);
    const parts = { picture: Array.isArray(picture) ? picture : null, why: typeof picture === "string" ? picture : null, curves, tracks, more };
    let y = 0;
    if (parts.picture) { parts.pictureY = y; y += PICTURE + GAP; }
    if (curves) { parts.curvesY = y; y += CURVES + GAP; }
    parts.trackY = tracks.map(() => { const at = y; y += TRACK + (row[TRUTH] && row[STATE] === EVENTS ? TRUTH_TRACK : 0) + 2; return at; });
    parts.axisY = y;
    parts.height = y + AXIS;
    // A bare axis is worth its place where it can be clicked.
    parts.isEmpty = !hasTime(row) || y === 0 && !isPlayable(row);
    return parts;
  }

  function estimate(index) {
    const row = rows[index];
    if (row[STATE] === FAILED) return 90;
    if (row[STATE] === LABELS) return 190 + 21 * (row[ITEMS].length / 2);
    return 190 + 22 * Math.min(SHOWN_TRACKS, new Set(row[ITEMS].filter((_, i) => i % 5 === 0)).size);
  }

  /** An article, and what changes in it. */
  function build(position) {
    const index = shown[position];
    const row = rows[index];
    const fact = facts[index];
    const name = row[NAME];
    const cut = name.lastIndexOf("/") + 1;
    const heading = element("h3", { class: "row-name", id: `name-${index}`, title: name },
      element("span", { class: "folder" }, name.slice(0, cut)), element("span", { class: "file" }, name.slice(cut)));
    const badges = [];
    if (row[STATE] === FAILED) badges.push(element("span", { class: "badge bad" }, `failed: ${row[ITEMS][0]}`));
    if (row[STATE] === LABELS && row[TRUTH]) {
      const right = fact.hits === 1;
      badges.push(element("span", { class: `badge ${right ? "good" : "bad"}` }, right ? "right" : `wrong: is ${labels[row[TRUTH][0]].slice(0, 40)}`));
    }
    if (row[STATE] === EVENTS && row[TRUTH]) {
      if (!fact.mistakes) badges.push(element("span", { class: "badge good" }, "all right"));
      if (fact.misses) badges.push(element("span", { class: "badge bad" }, many(fact.misses, "miss", "misses")));
      if (fact.falseAlarms) badges.push(element("span", { class: "badge bad" }, many(fact.falseAlarms, "false alarm")));
    }
    if (row[WARNINGS].length) badges.push(element("span", { class: "badge warn" }, many(row[WARNINGS].length, "warning")));
    const about = [];
    if (row[STATE] === EVENTS) about.push(many(fact.events + row[MORE], "event"));
    if (hasTime(row)) about.push(length(row[END] - row[START]));
    if (row[MEDIUM] === null) about.push("file not found");

    const parts = layout(index);
    const tool = (text, said, act, disabled) => element("button", { type: "button", "aria-label": `${said} ${name.slice(cut)}`, title: said, click: act, disabled }, text);
    const tools = element("span", { class: "tools" });
    if (row[STATE] !== FAILED) {
      tools.append(tool("▶", "Play", () => play(index, view(index)[0]), !isPlayable(row)));
      if (!parts.isEmpty) tools.append(tool("+", "Zoom in", () => zoom(index, 0.5)), tool("−", "Zoom out", () => zoom(index, 2)));
    }
    const article = element("article", { tabindex: "0", "aria-labelledby": `name-${index}`, "aria-posinset": position + 1, "aria-setsize": shown.length, "data-row": index },
      element("div", { class: "row-head" }, heading, badges, element("span", { class: "facts" }, about.join(" · ")), tools));
    const entry = { index, position, article, parts };
    if (row[STATE] === FAILED) article.append(element("p", { class: "problem" }, row[ITEMS][1]));
    if (!parts.isEmpty) article.append(timeLines(entry));
    if (row[STATE] === LABELS) article.append(predictions(row));
    if (parts.why) article.append(element("p", { class: "said" }, `No picture: ${parts.why}`));
    if (parts.more) article.append(element("p", { class: "said" }, `and ${many(parts.more, "label")} with fewer events`));
    article.append(details(entry));
    article.addEventListener("focusin", () => { current = entry.position; mark(); });
    return entry;
  }

  function predictions(row) {
    return element("ul", { class: "predictions" }, [...items(row)].map(([label, score]) => {
      const bar = element("i", { class: `b${colour(label)}` });
      bar.style.width = `${100 * score}%`;
      return element("li", {}, element("span", { class: "label", title: labels[label] }, labels[label]),
        element("span", { class: "bar", "aria-hidden": "true" }, bar), element("span", { class: "score" }, percent(score)));
    }));
  }

  function details(entry) {
    const row = rows[entry.index];
    const summary = element("summary", {}, row[STATE] === EVENTS && row[ITEMS].length ? "Events and details" : "Details");
    const box = element("details", { open: opened.has(entry.index) }, summary);
    const fill = () => { if (box.childElementCount === 1) box.append(detailed(entry)); };
    if (box.open) fill();
    box.addEventListener("toggle", () => {
      if (box.open) { opened.add(entry.index); fill(); } else opened.delete(entry.index);
      list.measure();
    });
    return box;
  }

  function detailed({ index }) {
    const row = rows[index];
    const box = element("div", {}, element("p", { class: "full-name" }, row[NAME]));
    const model = data.models[row[MODEL]];
    box.append(element("p", {}, [`Model ${model[0]}`, row[RECORDED] && `recorded at ${row[RECORDED]}`].filter(Boolean).join(" · ")));
    row[WARNINGS].forEach((warning) => box.append(element("p", { class: "notice" }, `Warning: ${warning}`)));
    if (row[STATE] !== EVENTS) return box;
    const happened = [...items(row)].map(([label, onset, offset, score, mark]) =>
      [onset, offset, label, percent(score), mark === FALSE_ALARM ? "false alarm" : mark === 1 ? "right" : ""]);
    for (const [label, onset, offset, found] of truths(row)) if (!found) happened.push([onset, offset, label, "", "missed"]);
    happened.sort((a, b) => a[0] - b[0]);
    if (!happened.length) return box;
    const body = happened.slice(0, SHOWN_EVENTS).map(([onset, offset, label, score, verdict]) => element("tr", {},
      element("td", {}, element("button", { type: "button", disabled: !isPlayable(row), click: () => show(index, onset, offset), "aria-label": `Play ${labels[label]} at ${clock(onset)}` }, "▶")),
      element("td", { class: "number" }, clock(onset)), element("td", { class: "number" }, clock(offset)),
      element("td", {}, element("span", { class: `swatch b${colour(label)}`, "aria-hidden": "true" }), ` ${labels[label]}`),
      element("td", { class: "number" }, score), data.reference ? element("td", {}, verdict) : null));
    const head = [element("span", { class: "hidden" }, "Play"), "From", "To", "Label", "Score", ...(data.reference ? ["Reference"] : [])];
    const table = element("table", {}, element("thead", {}, element("tr", {}, head.map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, body));
    box.append(element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": `Events of ${row[NAME]}` }, table));
    const left = happened.length - SHOWN_EVENTS;
    if (left > 0 || row[MORE]) box.append(element("p", { class: "said" }, `and ${many(Math.max(0, left) + row[MORE], "more event")}`));
    return box;
  }

  // ---- Time lines ------------------------------------------------------------------------------------------------

  function timeLines(entry) {
    const { parts, index } = entry;
    const names = element("div", { class: "names", "aria-hidden": "true" });
    const name = (text, y, size) => {
      const node = element("div", { title: text }, text);
      node.style.top = `${y + (size - 13) / 2}px`;
      names.append(node);
    };
    if (parts.picture?.[0] === 0) {
      name(frequency(parts.picture[3]), parts.pictureY, 13);
      name("0 Hz", parts.pictureY + PICTURE - 13, 13);
    }
    if (parts.curves) { name("100 %", parts.curvesY, 13); name("scores", parts.curvesY, CURVES); }
    parts.tracks.forEach((track, i) => name(labels[track.label], parts.trackY[i], TRACK));
    entry.time = svg("svg", { class: isPlayable(rows[index]) ? "time" : "time still", height: parts.height, role: "img" });
    listen(entry);
    return element("div", { class: "lines" }, names, entry.time);
  }
  const frequency = (hz) => (hz >= 1000 ? `${+(hz / 1000).toFixed(1)} kHz` : `${Math.round(hz)} Hz`);

  function draw(entry) {
    if (!entry.time) return;
    const { index, parts, time } = entry;
    const row = rows[index];
    const width = list.timeWidth(time);
    const [from, to] = view(index);
    const x = (seconds) => ((seconds - from) / (to - from)) * width;
    const nodes = [];
    if (parts.picture) nodes.push(...drawPicture(parts.picture, parts.pictureY, x, width));
    if (parts.curves) nodes.push(...drawCurves(parts.curves, parts.curvesY, x, width));
    parts.tracks.forEach((track, i) => nodes.push(...drawTrack(row, track, parts.trackY[i], x, width)));
    nodes.push(...drawAxis(from, to, parts.axisY, x, width));
    entry.hover = svg("line", { class: "hover", y1: 0, y2: parts.axisY, visibility: "hidden" });
    entry.head = svg("line", { class: "head", y1: 0, y2: parts.axisY, visibility: "hidden" });
    time.replaceChildren(...nodes, entry.hover, entry.head);
    time.setAttribute("viewBox", `0 0 ${width} ${parts.height}`);
    const happened = [...items(row)].slice(0, 12).filter(() => row[STATE] === EVENTS).map((item) => `${labels[item[0]]} at ${clock(item[1])}`);
    const rest = Math.max(0, facts[index].events + row[MORE] - 12);
    if (rest && happened.length) happened.push(`${rest} more`);
    time.setAttribute("aria-label", `Time from ${clock(from)} to ${clock(to)}${happened.length ? `: ${happened.join(", ")}` : ""}`);
    moveHead();
  }

  function drawPicture([kind, start, end, detail, bytes, aspect], y, x, width) {
    const back = svg("rect", { class: "back", x: 0, y, width, height: PICTURE });
    const href = `data:image/${kind === 0 ? "png" : "jpeg"};base64,${bytes}`;
    const [left, right] = [x(start), x(Math.max(end, start + 1e-3))];
    if (kind === 0) {
      return [back, svg("image", { href, x: left, y, width: right - left, height: PICTURE, preserveAspectRatio: "none" })];
    }
    const size = Math.min(width, PICTURE * aspect);
    const place = (right - left) / detail;
    const step = Math.max(1, Math.ceil((size + 2) / place));
    const cells = [];
    for (let cell = Math.floor((step - 1) / 2); cell < detail; cell += step) {
      const middle = left + (cell + 0.5) * place;
      const at = Math.min(Math.max(middle - size / 2, left), Math.max(left, right - size));
      if (at + size < 0 || at > width) continue;
      const image = svg("image", { href, width: detail, height: 1, preserveAspectRatio: "none" });
      cells.push(svg("svg", { x: at, y, width: size, height: PICTURE, viewBox: `${cell} 0 1 1`, preserveAspectRatio: "none" }, image));
    }
    return [back, ...cells];
  }

  function drawCurves([start, step, ...lines], y, x, width) {
    const height = CURVES - 2;
    const nodes = [svg("rect", { class: "back", x: 0, y, width, height: CURVES })];
    nodes.push(svg("line", { class: "grid", x1: 0, x2: width, y1: y + CURVES / 2, y2: y + CURVES / 2 }));
    for (const [label, text] of lines) {
      const points = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      let path = "";
      points.forEach((value, i) => {
        const at = x(start + (i + 0.5) * step);
        if (at > -2 * width && at < 3 * width) path += `${path ? "L" : "M"}${at.toFixed(1)} ${(y + 1 + height * (1 - value / 255)).toFixed(1)}`;
      });
      nodes.push(svg("path", { d: path, class: `curve s${colour(label)}` }, svg("title", {}, labels[label])));
    }
    return nodes;
  }

  function drawTrack(row, { label, found, truths }, y, x, width) {
    const withTruth = row[TRUTH] !== null;
    const nodes = [svg("rect", { class: "back", x: 0, y, width, height: TRACK + (withTruth ? TRUTH_TRACK : 0) })];
    const bar = (onset, offset, top, height, className, text) => {
      const [left, right] = [x(onset), x(offset)];
      if (right < 0 || left > width) return;
      const [from, to] = [Math.max(left, -4), Math.min(right, width + 4)];
      nodes.push(svg("rect", { x: from, y: top, width: Math.max(2, to - from), height, rx: 2, class: className }, svg("title", {}, text)));
    };
    for (const [, onset, offset, score, mark] of found) {
      const low = score < least ? " low" : "";
      const verdict = mark === FALSE_ALARM ? ", false alarm" : "";
      bar(onset, offset, y + 2, TRACK - 4, `f${colour(label)}${low}${mark === FALSE_ALARM ? " false" : ""}`, `${labels[label]}, ${clock(onset)} to ${clock(offset)}, ${percent(score)}${verdict}`);
    }
    for (const [, onset, offset, isFound] of truths) {
      const className = isFound ? `truth f${colour(label)} s${colour(label)}` : "missed";
      bar(onset, offset, y + TRACK, TRUTH_TRACK - 2, className, `true: ${labels[label]}, ${clock(onset)} to ${clock(offset)}${isFound ? "" : ", missed"}`);
    }
    return nodes;
  }

  function drawAxis(from, to, y, x, width) {
    const about = ((to - from) * 90) / width;
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200].find((s) => s >= about) ?? 86400;
    const nodes = [];
    for (let i = Math.ceil(from / step - 1e-9); i * step <= to + 1e-9; i += 1) {
      const at = x(i * step);
      const anchor = at < 20 ? "start" : at > width - 20 ? "end" : "middle";
      nodes.push(svg("line", { class: "grid", x1: at, x2: at, y1: y, y2: y + 4 }));
      nodes.push(svg("text", { x: at, y: y + 15, "text-anchor": anchor }, clock(i * step, step < 0.1 ? 2 : step < 1 ? 1 : 0)));
    }
    return nodes;
  }

  function setView(index, from, to) {
    const row = rows[index];
    const whole = row[END] - row[START];
    const span = Math.min(whole, Math.max(Math.min(NARROWEST, whole), to - from));
    const start = Math.min(Math.max(row[START], (from + to - span) / 2), row[END] - span);
    if (span >= whole * (1 - 1e-9)) views.delete(index);
    else views.set(index, [start, start + span]);
    const entry = list.entryOf(index);
    if (entry) draw(entry);
  }
  function zoom(index, factor, around) {
    if (!hasTime(rows[index])) return;
    const [from, to] = view(index);
    const at = around ?? (from + to) / 2;
    setView(index, at + (from - at) * factor, at + (to - at) * factor);
  }
  function pan(index, share) {
    if (!hasTime(rows[index])) return;
    const [from, to] = view(index);
    setView(index, from + share * (to - from), to + share * (to - from));
  }

  function listen(entry) {
    const { time, index } = entry;
    const secondsAt = (event) => {
      const box = time.getBoundingClientRect();
      const [from, to] = view(index);
      return from + ((event.clientX - box.left) / box.width) * (to - from);
    };
    let grip = null;
    time.addEventListener("pointerdown", (event) => {
      if (event.button === 0) grip = { x: event.clientX, view: view(index), moved: false };
    });
    time.addEventListener("pointermove", (event) => {
      const box = time.getBoundingClientRect();
      entry.hover.setAttribute("x1", event.clientX - box.left);
      entry.hover.setAttribute("x2", event.clientX - box.left);
      entry.hover.setAttribute("visibility", "visible");
      time.setAttribute("data-time", clock(secondsAt(event)));
      if (!grip || event.buttons === 0) return;
      const moved = event.clientX - grip.x;
      if (Math.abs(moved) > 4 && !grip.moved) { grip.moved = true; time.setPointerCapture(event.pointerId); }
      if (!grip.moved) return;
      const [from, to] = grip.view;
      const seconds = (moved / box.width) * (to - from);
      setView(index, from - seconds, to - seconds);
    });
    time.addEventListener("pointerup", (event) => {
      if (grip && !grip.moved && event.button === 0) play(index, secondsAt(event));
      grip = null;
    });
    time.addEventListener("pointercancel", () => { grip = null; });
    time.addEventListener("pointerleave", () => entry.hover.setAttribute("visibility", "hidden"));
    time.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(index, Math.exp(event.deltaY / 300), secondsAt(event));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        pan(index, (event.deltaX || event.deltaY) / 800);
      }
    }, { passive: false });
  }

  // ---- Rows that are in view -------------------------------------------------------------------------------------

  const list = (() => {
    const box = $("files");
    const entries = new Map(); // By position.
    let tops = [0];
    let heights = [];
    let width = 0;
    let isPrinting = false;

    function place(from = 0) {
      tops.length = heights.length + 1;
      for (let i = from; i < heights.length; i += 1) tops[i + 1] = tops[i] + heights[i];
      box.style.height = isPrinting ? "" : `${tops[heights.length]}px`;
      for (const entry of entries.values()) entry.article.style.top = `${tops[entry.position]}px`;
    }
    function positionAt(y) {
      let [low, high] = [0, heights.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (tops[middle + 1] <= y) low = middle + 1; else high = middle;
      }
      return low;
    }
    function measure() {
      let first = Infinity;
      for (const { article, position } of entries.values()) {
        const { height } = article.getBoundingClientRect();
        if (Math.abs(height - heights[position]) > 0.5) { heights[position] = height; first = Math.min(first, position); }
      }
      if (first < Infinity) place(first);
      return first < Infinity;
    }
    function render() {
      const top = -box.getBoundingClientRect().top;
      const [from, to] = isPrinting ? [0, Math.min(PRINTED_ROWS, shown.length)]
        : [positionAt(top - 500), Math.min(shown.length, positionAt(top + window.innerHeight + 500) + 1)];
      for (const [position, { article }] of entries) {
        if ((position < from || position >= to) && !article.contains(document.activeElement)) {
          article.remove();
          entries.delete(position);
        }
      }
      const fresh = [];
      for (let position = from; position < to; position += 1) {
        if (!entries.has(position)) {
          const entry = build(position);
          entry.article.style.top = `${tops[position]}px`;
          entries.set(position, entry);
          fresh.push(entry);
        }
      }
      for (const entry of fresh) {
        // In the order of the page, which is that of reading.
        const next = [...entries.keys()].filter((p) => p > entry.position).sort((a, b) => a - b).map((p) => entries.get(p).article).find((a) => a.isConnected);
        box.insertBefore(entry.article, next ?? null);
      }
      fresh.forEach(draw);
      if (fresh.length && measure()) schedule();
      if (fresh.length) mark();
      box.setAttribute("aria-busy", "false");
    }
    let isDue = false;
    function schedule() {
      if (isDue) return;
      isDue = true;
      requestAnimationFrame(() => { isDue = false; render(); });
    }
    function begin() {
      entries.forEach(({ article }) => article.remove());
      entries.clear();
      heights = shown.map(estimate);
      tops = [0];
      place();
      $("more").hidden = shown.length > 0;
      $("more").textContent = rows.length ? "No file is like that: change the filters." : "";
      render();
    }
    addEventListener("scroll", schedule, { passive: true });
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width === width) return;
      width = contentRect.width;
      timeWidth = 0;
      entries.forEach(draw);
      measure();
      schedule();
    }).observe(box);
    addEventListener("beforeprint", () => {
      isPrinting = true;
      // As wide as paper, on which time lines would otherwise shrink beside their names; and light.
      document.documentElement.classList.add("printing");
      document.documentElement.dataset.theme = "light";
      timeWidth = 0;
      entries.forEach(draw);
      render();
      const left = shown.length - PRINTED_ROWS;
      $("more").hidden = left <= 0;
      $("more").textContent = `${many(left, "more file")} not printed`;
      box.style.height = "";
    });
    addEventListener("afterprint", () => {
      isPrinting = false;
      document.documentElement.classList.remove("printing");
      timeWidth = 0;
      paint();
      begin();
    });
    let timeWidth = 0;
    return {
      begin, measure, render,
      entryOf: (index) => [...entries.values()].find((entry) => entry.index === index),
      entryAt: (position) => entries.get(position),
      topOf: (position) => box.getBoundingClientRect().top + scrollY + tops[position],
      heightOf: (position) => heights[position],
      entries,
      timeWidth(time) {
        timeWidth ||= Math.max(50, time.getBoundingClientRect().width);
        return timeWidth;
      },
    };
  })();

  // ---- The row that keys go to -----------------------------------------------------------------------------------

  let current = -1;
  function mark() {
    for (const { position, article } of list.entries.values()) article.classList.toggle("current", position === current);
  }
  function goTo(position) {
    if (!shown.length) return;
    current = Math.min(Math.max(0, position), shown.length - 1);
    const bar = document.querySelector(".filters");
    const above = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
    const [top, height] = [list.topOf(current), list.heightOf(current)];
    if (top < scrollY + above) scrollTo({ top: top - above - 8 });
    else if (top + height > scrollY + innerHeight) scrollTo({ top: Math.min(top - above - 8, top + height - innerHeight + 8) });
    list.render();
    list.entryAt(current)?.article.focus({ preventScroll: true });
    mark();
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const target = event.target;
    const isField = target.matches("input, select, textarea");
    if (event.key === "Escape") {
      if (isField) target.blur(); else closePlayer();
      return;
    }
    if (isField) return;
    const isInRow = target.closest("article") !== null;
    const isControl = target.matches("button, summary, audio, video, a, .scrolls");
    const index = shown[Math.max(0, current)];
    const act = {
      "j": () => goTo(current + 1),
      "k": () => goTo(current - 1),
      "/": () => $("text").focus(),
      "?": () => $("help").showModal(),
      "+": () => zoom(index, 0.5),
      "=": () => zoom(index, 0.5),
      "-": () => zoom(index, 2),
      "0": () => setView(index, rows[index][START], rows[index][END]),
      ...(isInRow && !isControl && {
        "ArrowDown": () => goTo(current + 1),
        "ArrowUp": () => goTo(current - 1),
        "ArrowLeft": () => pan(index, -0.25),
        "ArrowRight": () => pan(index, 0.25),
        " ": () => (playing === index && !player().paused ? player().pause() : play(index, playing === index ? null : view(index)[0])),
      }),
    }[event.key];
    if (!act || index === undefined && !"/?".includes(event.key)) return;
    event.preventDefault();
    act();
  });

  // ---- Playing ---------------------------------------------------------------------------------------------------

  let playing = null; // Index of the row.
  const player = () => (playing !== null && rows[playing][KIND] === VIDEO ? $("video") : $("audio"));

  /** Plays a row from `seconds` on, or where it stands. */
  function play(index, seconds) {
    const row = rows[index];
    if (!isPlayable(row)) return;
    if (playing !== index) {
      closePlayer();
      playing = index;
      const medium = row[MEDIUM];
      player().src = typeof medium === "string" ? medium : `data:${medium[0]};base64,${json(`media-${index}`)}`;
      $("player-name").textContent = row[NAME].slice(row[NAME].lastIndexOf("/") + 1);
      player().hidden = false;
      $("player").hidden = false;
    }
    const media = player();
    $("player-note").textContent = "";
    if (seconds !== null) {
      const seek = () => { media.currentTime = Math.max(0, seconds); moveHead(); };
      if (media.readyState >= 1) seek(); else media.addEventListener("loadedmetadata", seek, { once: true });
    }
    media.play().catch((error) => {
      if (error.name === "NotAllowedError") $("player-note").textContent = "press play";
    });
  }
  /** An event: in view, and heard from its beginning. */
  function show(index, onset, offset) {
    const [from, to] = view(index);
    if (onset < from || offset > to) setView(index, onset - (to - from) / 4, onset + ((to - from) * 3) / 4);
    play(index, onset);
  }
  function closePlayer() {
    if (playing === null) return;
    const media = player();
    media.pause();
    media.removeAttribute("src");
    media.hidden = true;
    $("player").hidden = true;
    const entry = list.entryOf(playing);
    playing = null;
    entry?.head?.setAttribute("visibility", "hidden");
  }
  function moveHead() {
    if (playing === null) return;
    const entry = list.entryOf(playing);
    if (!entry?.head) return;
    const [from, to] = view(playing);
    const at = player().currentTime;
    const x = ((at - from) / (to - from)) * list.timeWidth(entry.time);
    entry.head.setAttribute("x1", x);
    entry.head.setAttribute("x2", x);
    entry.head.setAttribute("visibility", at >= from && at <= to ? "visible" : "hidden");
  }
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  function follow() {
    moveHead();
    if (playing !== null && !player().paused && !calm.matches) requestAnimationFrame(follow);
  }
  for (const media of [$("audio"), $("video")]) {
    media.addEventListener("play", follow);
    media.addEventListener("timeupdate", moveHead);
    media.addEventListener("error", () => {
      if (playing !== null) $("player-note").textContent = "cannot be played: it has moved, or this browser does not know its format";
    });
  }
  $("player-close").addEventListener("click", closePlayer);

  // ---- Light and dark --------------------------------------------------------------------------------------------

  const THEMES = ["system", "light", "dark"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // A browser may keep nothing for a page from disk.
  const remembered = { get: () => { try { return localStorage.getItem("percept-theme"); } catch { return null; } }, set: (theme) => { try { localStorage.setItem("percept-theme", theme); } catch { /* Then it is forgotten. */ } } };
  let theme = THEMES.includes(remembered.get()) ? remembered.get() : "system";
  function paint() {
    document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
    $("theme").textContent = `Theme: ${theme}`;
  }
  $("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remembered.set(theme);
    paint();
  });
  dark.addEventListener("change", paint);

  // ---- Begin -----------------------------------------------------------------------------------------------------

  paint();
  document.body.append(svg("svg", { width: 0, height: 0, "aria-hidden": "true", style: null },
    svg("defs", {}, svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { width: 1.5, height: 5, class: "hatching" })))));
  overview();
  $("label").append(...labels.map((name, i) => [name, i]).sort((a, b) => a[0].localeCompare(b[0])).map(([name, i]) => element("option", { value: i }, name.length > 60 ? `${name.slice(0, 57)}…` : name)));
  $("status").append(...options(STATUSES));
  $("sort").append(...options(SORTS));
  if (data.reference && isTagged) {
    const sample = (className, text) => element("span", {}, svg("svg", { "aria-hidden": "true", class: "time" }, svg("rect", { x: 1, y: 2, width: 29, height: 9, rx: 2, class: className })), text);
    $("legend").append(sample("f0", "found"), sample("f0 false", "false alarm"), sample("truth f0 s0", "true, and found"), sample("missed", "true, but missed"));
    $("legend").hidden = false;
  }
  let waiting = 0;
  $("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  $("score").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 60); $("score-text").textContent = `${Math.round(100 * Number($("score").value))} %`; });
  for (const id of ["label", "status", "sort"]) $(id).addEventListener("change", filter);
  $("reset").addEventListener("click", () => {
    for (const id of ["text", "label", "status"]) $(id).value = "";
    $("score").value = 0;
    $("sort").value = "order";
    filter();
  });
  $("help-open").addEventListener("click", () => $("help").showModal());
  $("overview").addEventListener("toggle", () => list.render());
  filter();
  document.documentElement.dataset.ready = "true";
})();
