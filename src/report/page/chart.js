// Charts.

const CHART = { width: 360, height: 230, left: 46, right: 22, top: 10, bottom: 38 };

/** Round numbers from `low` to `high`, about `count` of them. */
function ticks(low, high, count = 5) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => +((first + i) * step).toPrecision(6));
}

/**
 * Lines over two axes, each `{ from, to, name, text }`; of `lines` each is `{ points, className, name, tell }`, its points
 * `[x, y]` with `null` for what is not known. `bars` are `[x from, x to, y, title]`; `said` is read aloud.
 */
function chart({ title, x, y, lines, bars = [], marks = [], said }) {
  const [right, bottom] = [CHART.width - CHART.right, CHART.height - CHART.bottom];
  const across = (value) => CHART.left + ((value - x.from) / (x.to - x.from || 1)) * (right - CHART.left);
  const up = (value) => bottom - ((value - y.from) / (y.to - y.from || 1)) * (bottom - CHART.top);
  const nodes = [];
  for (const value of ticks(y.from, y.to)) {
    nodes.push(svg("line", { class: "grid", x1: CHART.left, x2: right, y1: up(value), y2: up(value) }));
    nodes.push(svg("text", { x: CHART.left - 6, y: up(value) + 4, "text-anchor": "end" }, y.text(value)));
  }
  for (const value of ticks(x.from, x.to)) {
    nodes.push(svg("line", { class: "grid", x1: across(value), x2: across(value), y1: bottom, y2: bottom + 4 }));
    nodes.push(svg("text", { x: across(value), y: bottom + 16, "text-anchor": "middle" }, x.text(value)));
  }
  nodes.push(svg("text", { x: (CHART.left + right) / 2, y: CHART.height - 6, "text-anchor": "middle" }, x.name));
  for (const [from, to, height, about] of bars) {
    const place = { x: across(from), width: Math.max(0, across(to) - across(from) - 1), y: up(height), height: bottom - up(height) };
    nodes.push(svg("rect", { ...place, class: "column" }, svg("title", {}, about)));
  }
  for (const value of marks) nodes.push(svg("line", { class: "mark", x1: across(value), x2: across(value), y1: CHART.top, y2: bottom }));
  for (const { points, className, tell } of lines) {
    const known = points.filter(([, value]) => value !== null);
    const path = known.map(([a, b], i) => `${i ? "L" : "M"}${across(a).toFixed(1)} ${up(b).toFixed(1)}`).join("");
    nodes.push(svg("path", { d: path || "M0 0", class: `curve ${className}` }));
    if (tell) nodes.push(...known.map((point) => svg("circle", { cx: across(point[0]), cy: up(point[1]), r: 5, class: "spot" }, svg("title", {}, tell(point)))));
    if (known.length === 1) nodes.push(svg("circle", { cx: across(known[0][0]), cy: up(known[0][1]), r: 3, class: `dot ${className}` }));
  }
  const picture = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": said }, nodes);
  const legend = lines.filter((line) => line.name).map((line) => element("span", {}, svg("svg", { viewBox: "0 0 24 8", "aria-hidden": "true" }, svg("path", { d: "M0 4H24", class: `curve ${line.className}` })), line.name));
  return element("figure", { class: "chart" }, element("figcaption", {}, title), picture, legend.length ? element("p", { class: "legend" }, legend) : null);
}
