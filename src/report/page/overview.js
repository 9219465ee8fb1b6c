// Overview.

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
  const notices = [...data.messages, ...tail.notes];
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
