// Playing.

let playing = null; // Index of the row.
const player = () => (playing !== null && rows[playing][KIND] === VIDEO ? $("video") : $("audio"));

/** Plays a row from `seconds` on, or where it stands. */
function play(index, seconds) {
  const row = rows[index];
  if (!isPlayable(row)) return;
  if (playing !== index) {
    closePlayer();
    playing = index;
    const medium = row[MEDIUM];
    player().src = typeof medium === "string" ? medium : `data:${medium[0]};base64,${json(`media-${index}`)}`;
    $("player-name").textContent = row[NAME].slice(row[NAME].lastIndexOf("/") + 1);
    player().hidden = false;
    $("player").hidden = false;
  }
  const media = player();
  $("player-note").textContent = "";
  if (seconds !== null) {
    const seek = () => { media.currentTime = Math.max(0, seconds); moveHead(); };
    if (media.readyState >= 1) seek(); else media.addEventListener("loadedmetadata", seek, { once: true });
  }
  media.play().catch((error) => {
    if (error.name === "NotAllowedError") $("player-note").textContent = "press play";
  });
}
/** An event: in view, and heard from its beginning. */
function show(index, onset, offset) {
  const [from, to] = view(index);
  if (onset < from || offset > to) setView(index, onset - (to - from) / 4, onset + ((to - from) * 3) / 4);
  play(index, onset);
}
function closePlayer() {
  if (playing === null) return;
  const media = player();
  media.pause();
  media.removeAttribute("src");
  media.hidden = true;
  $("player").hidden = true;
  const entry = list.entryOf(playing);
  playing = null;
  entry?.head?.setAttribute("visibility", "hidden");
}
function moveHead() {
  if (playing === null) return;
  const entry = list.entryOf(playing);
  if (!entry?.head) return;
  const [from, to] = view(playing);
  const at = player().currentTime;
  const x = ((at - from) / (to - from)) * list.timeWidth(entry.time);
  entry.head.setAttribute("x1", x);
  entry.head.setAttribute("x2", x);
  entry.head.setAttribute("visibility", at >= from && at <= to ? "visible" : "hidden");
}
const calm = matchMedia("(prefers-reduced-motion: reduce)");
function follow() {
  moveHead();
  if (playing !== null && !player().paused && !calm.matches) requestAnimationFrame(follow);
}
for (const media of [$("audio"), $("video")]) {
  media.addEventListener("play", follow);
  media.addEventListener("timeupdate", moveHead);
  media.addEventListener("error", () => {
    if (playing !== null) $("player-note").textContent = "cannot be played: it has moved, or this browser does not know its format";
  });
}
$("player-close").addEventListener("click", closePlayer);
