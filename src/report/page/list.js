// Rows that are in view.

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
