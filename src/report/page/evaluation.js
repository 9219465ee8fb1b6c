// How good a model is, where the page is of an evaluation or a training.

const study = document.getElementById("evaluation-data") ? json("evaluation-data") : null;
const MATRIX_LABELS = 40; // More would be read by nobody.
const CONFUSIONS = 12;

const share = (value) => (value === null ? "–" : percent(value));
const plain = (value) => String(value);
const whole = { from: 0, to: 1, text: (value) => `${Math.round(100 * value)} %` };
const section = (title, ...content) => element("section", {}, element("h3", {}, title), content.flat());
const scrolling = (name, table) => element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": name }, table);
const tableRow = (cells, heads = 0) => element("tr", {}, cells.map((cell, i) => (cell instanceof HTMLTableCellElement ? cell : element(i < heads ? "th" : "td", i < heads ? { scope: "row" } : { class: "number" }, cell))));
const tableHead = (names, heads = 1) => element("thead", {}, element("tr", {}, names.map((name, i) => element("th", { scope: "col", class: i < heads ? null : "number" }, name))));

function figures() {
  const list = element("dl", { class: "figures" }, study.figures.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  return section(study.part, list, study.said.map((text) => element("p", { class: "said" }, text)));
}

function learning() {
  const { history } = study;
  const epochs = { from: history[0][0], to: history.at(-1)[0], name: "epoch", text: plain, least: 1 };
  const losses = history.flatMap(([, a, b]) => [a, b]).filter((value) => value !== null);
  const top = Math.max(...losses, 1e-9);
  const lines = (first, tell) => [["training", first, "s0"], ["validation", first + 1, "s1"]].map(([name, at, className]) => ({
    name, className, points: history.map((epoch) => [epoch[0], epoch[at]]), tell: ([epoch, value]) => `${name}, epoch ${epoch}: ${tell(value)}`,
  })).filter(({ points }) => points.some(([, value]) => value !== null));
  const last = history.at(-1);
  const kept = `the kept epoch is ${study.bestEpoch} of ${history.length}`;
  return section("Learning", element("div", { class: "charts" },
    chart({ title: "Loss (nats)", x: epochs, y: { from: 0, to: top, text: plain }, marks: [study.bestEpoch], lines: lines(1, (value) => value.toFixed(4)), said: `Loss by epoch: in the last ${last[1].toFixed(3)} in training${last[2] === null ? "" : `, ${last[2].toFixed(3)} in validation`}; ${kept}` }),
    chart({ title: "Right (%)", x: epochs, y: whole, marks: [study.bestEpoch], lines: lines(3, percent), said: `Share that is right by epoch: in the last ${percent(last[3])} in training${last[4] === null ? "" : `, ${percent(last[4])} in validation`}; ${kept}` })),
  element("p", { class: "said" }, `The dashed line is the epoch that was kept, ${study.bestEpoch} of ${history.length}. Training is measured as it is learned, with augmentation and dropout where they are on.`));
}

/** Shows the files of one cell. */
function choosePair(truth, said) {
  pair = [truth, said];
  filter();
  $("count").scrollIntoView({ block: "center" });
}

function confusion() {
  const { confusion: cells, labels: names, unit } = study;
  const sums = names.map(() => 0);
  for (const [truth, , count] of cells) sums[truth] += count;
  const wrong = cells.filter(([truth, said]) => truth !== said).sort((a, b) => b[2] - a[2] || b[2] / sums[b[0]] - a[2] / sums[a[0]]);
  const button = ([truth, said, count]) => element("button", { type: "button", "aria-label": `${count}: true ${names[truth]}, said ${names[said]}`, click: () => choosePair(truth, said) }, count.toLocaleString("en"));
  const parts = [];
  if (names.length <= MATRIX_LABELS) {
    const counts = new Map(cells.map((cell) => [cell[0] * names.length + cell[1], cell]));
    const columns = names.map((name) => element("th", { scope: "col", title: name }, element("span", {}, name)));
    const lines = names.map((name, truth) => element("tr", {}, element("th", { scope: "row", title: name }, name), names.map((other, said) => {
      const found = counts.get(truth * names.length + said);
      const title = `true ${name}, said ${other}: ${found?.[2] ?? 0} of ${sums[truth]}`;
      const cell = element("td", { class: truth === said ? "right" : "wrong", title }, found ? button(found) : "");
      cell.style.setProperty("--heat", `${found ? Math.round((40 * found[2]) / sums[truth]) : 0}%`);
      return cell;
    })));
    const table = element("table", { class: "confusion" }, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "true \\ said"), columns)), element("tbody", {}, lines));
    const box = scrolling("Confusion matrix", table);
    box.classList.add("whole");
    parts.push(box);
  } else parts.push(element("p", { class: "said" }, `A matrix of ${names.length} labels would show nothing: only the most frequent confusions are listed.`));
  const body = wrong.slice(0, CONFUSIONS).map((cell) => tableRow([names[cell[0]], names[cell[1]], button(cell), percent(cell[2] / sums[cell[0]])], 2));
  if (body.length) {
    const table = element("table", {}, tableHead(["True", "Said", unit, "Share"], 2), element("tbody", {}, body));
    parts.push(element("p", { class: "said" }, "Most frequent confusions:"), scrolling("Most frequent confusions", table));
  } else parts.push(element("p", { class: "said" }, "Nothing was taken for something else."));
  return section(`Confusion (${unit})`, parts);
}

function curvesOf(index) {
  const [area, points, bins] = study.table.curves[index];
  const positives = study.table.rows[index][0];
  const name = study.labels[index];
  const first = points.length ? [[0, points[0][1]], ...points] : [];
  const precision = chart({
    title: `Precision and recall: ${name}`, x: { ...whole, name: "recall" }, y: whole,
    lines: [{ className: "s0", points: first, tell: ([recall, value, threshold]) => `${threshold === undefined ? "" : `threshold ${threshold}: `}precision ${percent(value)}, recall ${percent(recall)}` }],
    said: positives ? `Precision over recall of ${name}: average precision ${share(area)}` : `Nothing has the label ${name}`,
  });
  return [precision, reliabilityChart(`Scores of ${name}`, bins, `the label is true of ${name}`)];
}

/** Bars of how often a score is right; the line is where score and share would be one. */
function reliabilityChart(title, bins, what) {
  const known = bins.map((bin, i) => [i, ...bin]).filter(([, mean]) => mean !== null);
  const bars = known.map(([i, mean, right, count]) => [i / 10, (i + 1) / 10, right, `scores of ${i * 10} to ${i * 10 + 10} %: mean ${percent(mean)}, true ${percent(right)}, ${count.toLocaleString("en")} in all`]);
  const said = known.map(([i, , right]) => `${i * 10} to ${i * 10 + 10} %: ${percent(right)}`).join(", ");
  return chart({
    title: `Reliability. ${title}`, x: { ...whole, name: "score" }, y: whole, bars,
    lines: [{ className: "s9", points: [[0, 0], [1, 1]] }], said: `How often scores are right (${what}). ${said || "There are none"}`,
  });
}

function figuresOfLabels() {
  const { labels: names, table: { columns, rows: figures, curves } } = study;
  // By average precision, or the last figure; what nothing is known of comes last.
  const quality = (index) => (curves ? curves[index][0] : figures[index].at(-1)) ?? 2;
  const order = names.map((_, i) => i).sort((a, b) => quality(a) - quality(b));
  const charts = element("div", { class: "charts", "aria-live": "polite" });
  const choose = (index) => {
    charts.replaceChildren(...curvesOf(index));
    for (const button of body.querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.label === String(index));
  };
  const name = (index) => (curves
    ? element("th", { scope: "row" }, element("button", { type: "button", "data-label": index, "aria-pressed": "false", click: () => choose(index) }, element("span", {}, names[index])))
    : element("th", { scope: "row" }, names[index]));
  const body = element("tbody", {}, order.map((index) => {
    const [count, ...shares] = figures[index];
    return tableRow([name(index), (count ?? 0).toLocaleString("en"), ...shares.map(share), ...(curves ? [share(curves[index][0])] : [])]);
  }));
  const table = element("table", {}, tableHead(["Label", ...columns, ...(curves ? ["average precision"] : [])]), body);
  if (curves) choose(order[0]);
  return section("Labels, the weakest first", scrolling("Figures of each label", table), charts);
}

function setting() {
  const { about, counts, labels: names, config } = study;
  const parts = [element("dl", { class: "about" }, about.map(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]).flat())];
  if (counts) {
    const table = element("table", {}, tableHead(["Label", "Training", "Validation", "Test"]), element("tbody", {}, names.map((name, i) => [name, ...counts.map((part) => part[i])]).filter(([, ...clips]) => clips.some(Boolean)).map((line) => tableRow(line.map((cell) => cell.toLocaleString("en")), 1))));
    parts.push(scrolling("Clips of each label", table));
  }
  if (config) parts.push(element("details", {}, element("summary", {}, "Every setting"), element("pre", { class: "scrolls", tabindex: "0" }, config)));
  return section("Data and settings", parts);
}

function evaluation() {
  if (!study) return;
  const content = $("evaluation-content");
  content.append(figures());
  if (study.history) content.append(learning());
  if (study.confusion) content.append(confusion());
  if (study.table) content.append(figuresOfLabels());
  if (study.reliability) content.append(section("All answers", element("div", { class: "charts" }, reliabilityChart(study.reliability[0], study.reliability[1], "all labels"))));
  content.append(setting());
  $("evaluation").hidden = false;
  if (!rows.length) for (const part of ["overview", "filters", "files-section"]) $(part).hidden = true;
}
