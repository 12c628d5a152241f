// Beside the pictures: cameras, tracks of the large one, what was asked for, and the log.
import { colourOf } from "./draw.js";

const LINES = 100;
const get = (id) => document.getElementById(id);

/** A table of how the cameras are; a click chooses one. */
export function showCameras(cameras, now, grid) {
  const table = document.createElement("table");
  table.innerHTML = "<thead><tr><th>camera<th>fps<th>age<th>drops<th>back</tr></thead>";
  table.tHead.rows[0].cells[4].title = "times it was lost and came back";
  const body = table.createTBody();
  for (const camera of cameras) {
    const row = body.insertRow();
    const view = grid.views.get(camera.camera);
    const shown = view?.message && view.lastArrived ? Math.max(0, now - view.lastArrived) : null;
    const dropped = Object.values(camera.dropped).reduce((sum, count) => sum + count, 0);
    const name = document.createElement("button");
    name.className = "link";
    name.textContent = camera.camera;
    name.onclick = () => grid.choose(camera.camera);
    const dot = Object.assign(document.createElement("span"), { className: "dot" });
    dot.dataset.state = camera.state;
    dot.title = camera.state;
    row.insertCell().append(dot, name);
    const age = shown === null ? "–" : shown < 10 ? `${Math.round(shown * 1000)} ms` : `${Math.round(shown)} s`;
    for (const text of [camera.fps.toFixed(1), age, dropped, camera.reconnects]) row.insertCell().textContent = text;
  }
  const focus = document.activeElement?.closest("#cameras") && document.activeElement.textContent;
  get("cameras").replaceChildren(table);
  if (focus) [...table.querySelectorAll("button")].find((button) => button.textContent === focus)?.focus();
}

/** Who is tracked in the large picture. */
export function showTracks(view) {
  const message = view?.message;
  get("tracks-of").textContent = message ? `${message.tracks.length} on ${view.name}` : "";
  const names = new Map((message?.categories ?? []).map((category) => [category.id, category.name]));
  get("tracks").replaceChildren(
    ...(message?.tracks ?? []).map((track) => {
      const item = document.createElement("li");
      item.dataset.status = track.status;
      const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
      swatch.style.background = colourOf(track.id, track.status === "coasting");
      const name = Object.assign(document.createElement("span"), { textContent: `${names.get(track.category)} ${track.id}` });
      const score = document.createElement("meter");
      Object.assign(score, { min: 0, max: 1, value: track.score, title: `score ${track.score.toFixed(2)}` });
      score.setAttribute("aria-label", `score ${track.score.toFixed(2)}`);
      const age = Object.assign(document.createElement("span"), { className: "age", textContent: `${track.age.toFixed(0)} s` });
      item.append(swatch, name, score, age);
      return item;
    }),
  );
}

/** What was asked for, newest first; a click goes back to it. */
export function showAsked(asked, current, again) {
  const told = JSON.stringify([asked, current]);
  const list = get("asked");
  if (list.dataset.told === told) return;
  list.dataset.told = told;
  list.replaceChildren(
    ...[...asked].reverse().map(({ version, text }) => {
      const item = document.createElement("li");
      item.value = version;
      const button = Object.assign(document.createElement("button"), { className: "link", textContent: text });
      if (version === current) item.setAttribute("aria-current", "true");
      else button.onclick = () => again(version);
      button.disabled = version === current;
      const coming = version > current && version === asked.at(-1).version; // its engine is being built
      const number = Object.assign(document.createElement("small"), { textContent: coming ? `v${version}, coming` : `v${version}` });
      item.append(number, button);
      return item;
    }),
  );
}

/** More lines of the log, newest first. */
export function logLines(lines) {
  const list = get("log");
  for (const { time, level, text } of lines) {
    const item = document.createElement("li");
    item.dataset.level = level;
    const at = Object.assign(document.createElement("time"), { textContent: new Date(time * 1000).toLocaleTimeString() });
    item.append(at, ` ${text}`);
    list.prepend(item);
  }
  while (list.children.length > LINES) list.lastChild.remove();
}
