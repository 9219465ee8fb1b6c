// Filter and sort.

const STATUSES = [["", "all"], ["ok", "good"], ["failed", "failed"], ["warned", "with warnings"]];
const SORTS = [["order", study ? "worst first" : "as in the results"], ["name", "name"], ["high", "highest score first"], ["low", "lowest score first"], ["long", "longest first"]];
if (isTagged) SORTS.push(["events", "most events first"]);
if (data.reference) {
  STATUSES.push(["mistaken", "with mistakes"], ["right", "without mistakes"]);
  SORTS.push(["mistakes", "most mistakes first"]);
}
const options = (list) => list.map(([value, text]) => element("option", { value }, text));

let shown = []; // Indices of rows, in the order of the page.
let least = 0; // Score.
let pair = null; // The true and the said label of a cell of the confusion matrix.

/** Whether some of a file is `truth` and some is said to be `said`; what has no events of its own is anywhere. */
function isConfused(row) {
  if (row[STATE] === FAILED || !row[TRUTH]) return false;
  const [truth, said] = pair.map((name) => labels.indexOf(name));
  if (row[STATE] === LABELS) return row[TRUTH][0] === truth && row[ITEMS][0] === said;
  const has = (things, label) => label < 0 || [...things].some((thing) => thing[0] === label);
  return has(truths(row), truth) && has(items(row), said);
}

function passes(index, text, matching, label, status) {
  const row = rows[index];
  const isFailed = row[STATE] === FAILED;
  if (status === "ok" && isFailed || status === "failed" && !isFailed) return false;
  if (pair && !isConfused(row)) return false;
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
  if (pair) $("count").textContent += ` · true ${pair[0]}, said ${pair[1]} (Reset shows all)`;
  current = -1;
  list.begin();
}
