// A row.

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
