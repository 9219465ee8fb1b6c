// Time lines.

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
