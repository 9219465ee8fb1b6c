// Light and dark.

const THEMES = ["system", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");
// A browser may keep nothing for a page from disk.
const remembered = { get: () => { try { return localStorage.getItem("percept-theme"); } catch { return null; } }, set: (theme) => { try { localStorage.setItem("percept-theme", theme); } catch { /* Then it is forgotten. */ } } };
let theme = THEMES.includes(remembered.get()) ? remembered.get() : "system";
function paint() {
  document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
  $("theme").textContent = `Theme: ${theme}`;
}
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  remembered.set(theme);
  paint();
});
dark.addEventListener("change", paint);

// Begin.

paint();
document.body.append(svg("svg", { width: 0, height: 0, "aria-hidden": "true", style: null },
  svg("defs", {}, svg("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { width: 1.5, height: 5, class: "hatching" })))));
evaluation();
overview();
$("label").append(...labels.map((name, i) => [name, i]).sort((a, b) => a[0].localeCompare(b[0])).map(([name, i]) => element("option", { value: i }, name.length > 60 ? `${name.slice(0, 57)}…` : name)));
$("status").append(...options(STATUSES));
$("sort").append(...options(SORTS));
if (data.reference && isTagged) {
  const sample = (className, text) => element("span", {}, svg("svg", { "aria-hidden": "true", class: "time" }, svg("rect", { x: 1, y: 2, width: 29, height: 9, rx: 2, class: className })), text);
  $("legend").append(sample("f0", "found"), sample("f0 false", "false alarm"), sample("truth f0 s0", "true, and found"), sample("missed", "true, but missed"));
  $("legend").hidden = false;
}
let waiting = 0;
$("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
$("score").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 60); $("score-text").textContent = `${Math.round(100 * Number($("score").value))} %`; });
for (const id of ["label", "status", "sort"]) $(id).addEventListener("change", filter);
$("reset").addEventListener("click", () => {
  for (const id of ["text", "label", "status"]) $(id).value = "";
  $("score").value = 0;
  pair = null;
  $("sort").value = "order";
  filter();
});
$("help-open").addEventListener("click", () => $("help").showModal());
for (const id of ["overview", "evaluation"]) $(id).addEventListener("toggle", () => list.render());
filter();
document.documentElement.dataset.ready = "true";
