// The row that keys go to.

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
