// How good a model is, where the page is of an evaluation or a training.

const study = document.getElementById("evaluation-data") ? json("evaluation-data") : null;
const MATRIX_LABELS = 40; // More would be read by nobody.
const CONFUSIONS = 12;

const share = (value) => (value === null ? "–" : percent(value));
const plain = (value) => String(value);
const whole = { from: 0, to: 1, text: (value) => `${Math.round(100 * value)} %` };
const section = (title, ...content) => element("section", {}, element("h3", {}, title), content.flat());
const scrolling = (name, table) => element("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": name }, table);
const tableRow = (cells, heads = 0) => element("tr", {}, cells.map((cell, i) => (cell instanceof Node ? cell : element(i < heads ? "th" : "td", i < heads ? { scope: "row" } : { class: "number" }, cell))));
const tableHead = (names, heads = 1) => element("thead", {}, element("tr", {}, names.map((name, i) => element("th", { scope: "col", class: i < heads ? null : "number" }, name))));

function partName() {
  if (!study.part) return "No part was held out: nothing was evaluated";
  return study.part === "all" ? "On all of the data" : `On the ${study.part} part`;
}

function figures() {
  const list = element("dl", { class: "figures" }, study.figures.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text))));
  return section(partName(), list, study.said.map((text) => element("p", { class: "said" }, text)));
}

function learning() {
  const { history } = study;
  const epochs = { from: history[0][0], to: history.at(-1)[0], name: "epoch", text: plain };
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
  $("files").scrollIntoView({ block: "nearest" });
}

function confusion() {
  const { confusion: counts, labels: names, unit } = study;
  const pairs = counts.flatMap((line, truth) => line.map((count, said) => ({ count, truth, said, of: line.reduce((a, b) => a + b, 0) })));
  const wrong = pairs.filter(({ count, truth, said }) => count && truth !== said).sort((a, b) => b.count - a.count || b.count / b.of - a.count / a.of);
  const button = ({ truth, said }, text) => element("button", { type: "button", "aria-label": `${text}: true ${names[truth]}, said ${names[said]}`, click: () => choosePair(names[truth], names[said]) }, text);
  const parts = [];
  if (names.length <= MATRIX_LABELS) {
    const columns = names.map((name) => element("th", { scope: "col", title: name }, element("span", {}, name)));
    const lines = counts.map((line, truth) => {
      const of = line.reduce((a, b) => a + b, 0);
      return element("tr", {}, element("th", { scope: "row", title: names[truth] }, names[truth]), line.map((count, said) => {
        const cell = element("td", { class: truth === said ? "right" : "wrong", title: `true ${names[truth]}, said ${names[said]}: ${count} of ${of}` }, count ? button({ truth, said }, count.toLocaleString("en")) : "");
        cell.style.setProperty("--heat", `${of ? Math.round((40 * count) / of) : 0}%`);
        return cell;
      }));
    });
    const table = element("table", { class: "confusion" }, element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "true \\ said"), columns)), element("tbody", {}, lines));
    parts.push(scrolling("Confusion matrix", table));
  }
  const body = wrong.slice(0, CONFUSIONS).map((one) => tableRow([names[one.truth], names[one.said], button(one, one.count.toLocaleString("en")), percent(one.count / one.of)], 2));
  if (body.length) {
    const table = element("table", {}, tableHead(["True", "Said", unit, "Share"], 2), element("tbody", {}, body));
    parts.push(element("p", { class: "said" }, "Most frequent confusions:"), scrolling("Most frequent confusions", table));
  } else parts.push(element("p", { class: "said" }, "Nothing was taken for something else."));
  return section(`Confusion (${unit})`, parts);
}

function curvesOf(index) {
  const [positives, , , , area, points, bins] = study.curves[index];
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

function labelCurves() {
  const { labels: names, curves } = study;
  const order = curves.map((curve, i) => i).sort((a, b) => (curves[a][4] ?? 2) - (curves[b][4] ?? 2));
  const charts = element("div", { class: "charts", "aria-live": "polite" });
  const choose = (index) => {
    charts.replaceChildren(...curvesOf(index));
    for (const button of body.querySelectorAll("button")) button.setAttribute("aria-pressed", button.dataset.label === String(index));
  };
  const body = element("tbody", {}, order.map((index) => {
    const [positives, precision, recall, f1, area] = curves[index];
    const button = element("button", { type: "button", "data-label": index, "aria-pressed": "false", click: () => choose(index) }, element("span", {}, names[index]));
    return tableRow([element("th", { scope: "row" }, button), positives.toLocaleString("en"), share(precision), share(recall), share(f1), share(area)]);
  }));
  const table = element("table", {}, tableHead(["Label", study.unit, "Precision", "Recall", "F1", "Average precision"]), body);
  choose(order[0]);
  return section("Labels, the weakest first", scrolling("Figures of each label", table), charts);
}

function setting() {
  const { about, counts, labels: names, config } = study;
  const parts = [element("dl", { class: "about" }, about.map(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]).flat())];
  if (counts) {
    const table = element("table", {}, tableHead(["Label", "Training", "Validation", "Test"]), element("tbody", {}, names.map((name, i) => tableRow([name, ...counts.map((part) => part[i].toLocaleString("en"))], 1))));
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
  if (study.curves.length) content.append(labelCurves());
  if (study.reliability) content.append(section("All answers", element("div", { class: "charts" }, reliabilityChart(study.reliability[0], study.reliability[1], "all labels"))));
  content.append(setting());
  $("evaluation").hidden = false;
}
