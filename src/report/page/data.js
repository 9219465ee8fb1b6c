// What Rust wrote.

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

// Small helpers.

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

// Facts of each row.

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
