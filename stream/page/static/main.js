// The page: joins its parts, and the keys.
import { Connection } from "./connection.js";
import { LAYERS } from "./draw.js";
import { Grid } from "./grid.js";
import { makeLayers } from "./layers.js";
import { logLines, showAsked, showCameras, showTracks } from "./panel.js";
import { Player } from "./player.js";
import { Studio } from "./studio.js";
import { Take } from "./take.js";
import { Timeline } from "./timeline.js";
import { Words } from "./words.js";

const get = (id) => document.getElementById(id);
const connection = new Connection();
const layers = makeLayers(get("layers"), () => {
  grid.redraw();
  player.redraw();
});
const grid = new Grid(get("grid"), layers.shown, connection);
const words = new Words(connection);
const studio = new Studio(connection);
const player = new Player(connection, layers.shown);
const take = new Take(connection);
const timeline = new Timeline(get("plot"));
let run = null; // of the server
let wanted = new URLSearchParams(location.search).get("camera"); // until it was shown

function chooseWanted() {
  if (!grid.views.has(wanted)) return;
  grid.choose(wanted);
  wanted = null;
}

function say(text) {
  get("gone").textContent = text;
  get("gone").hidden = !text;
}

connection.addEventListener("hello", ({ detail }) => {
  if (run && run !== detail.run) studio.close(); // another run: what was frozen is gone
  run = detail.run;
  pill("playing", "connected");
  say("");
  grid.have(detail.cameras);
  chooseWanted();
  player.know(detail.formats);
  take.know(Boolean(detail.formats && detail.prompt));
  document.body.classList.toggle("recorded", Boolean(detail.opened));
  if (detail.opened) return player.enter(detail.opened);
  words.know(detail.known, detail.prompt);
  studio.know(detail.skeletons, detail.known);
  showAsked(detail.asked, detail.prompt.version, again);
  grid.watch(true);
});

connection.addEventListener("closed", async ({ detail }) => {
  pill("lost", "no connection");
  for (const view of grid.views.values()) view.tell(null, "trying again");
  say(detail.reason || "The stream is not there. Trying again by itself…");
  try {
    const answer = await fetch("/cameras");
    if (answer.status === 401 || answer.status === 403) say(await answer.text());
  } catch {
    // not there: said above
  }
});

connection.addEventListener("status", ({ detail }) => {
  player.tell(detail.recordings?.export);
  if (!detail.prompt) return;
  grid.have(detail.cameras.map((camera) => camera.camera));
  chooseWanted();
  words.show(detail.prompt);
  showAsked(detail.asked, detail.prompt.version, again);
  showCameras(detail.cameras, connection.now(), grid);
  for (const camera of detail.cameras) {
    grid.views.get(camera.camera).tell(camera);
    timeline.add(camera.camera, detail.time, camera.stages);
  }
  take.tell(detail.recordings?.take, detail.time);
  if (!detail.cameras.length) pill("connecting", "making ready");
  else pill("playing", "connected");
});

connection.addEventListener("log", ({ detail }) => logLines(detail.lines));

connection.addEventListener("frame", ({ detail: { header, bitmap } }) => {
  const view = grid.views.get(header.message.camera);
  if (!view || grid.paused) {
    bitmap.close();
    connection.painted(header.message.camera);
  } else view.take(header, bitmap);
});

let lastList = 0;
grid.addEventListener("painted", ({ detail: { view, header } }) => {
  view.lastArrived = header.arrived_at;
  const age = connection.now() - header.arrived_at;
  document.dispatchEvent(new CustomEvent("painted", { detail: { camera: view.name, message: header.message, age } }));
  if (view.name !== grid.chosen || performance.now() - lastList < 250) return;
  lastList = performance.now();
  showTracks(view);
});

grid.addEventListener("chosen", ({ detail }) => {
  timeline.of(detail);
  showTracks(grid.views.get(detail));
});

async function again(version) {
  try {
    await connection.ask({ do: "again", version });
  } catch (error) {
    say(error.message);
  }
}

async function freeze() {
  const view = grid.views.get(grid.chosen);
  if (!view?.message) return say("There is no picture to freeze yet.");
  const error = await studio.freeze(view.name, view.message.frame);
  if (error) say(error);
}

studio.addEventListener("opened", () => {
  say("");
  show("studio");
});
studio.addEventListener("closed", () => {
  show("live");
  get("freeze").focus();
});

player.addEventListener("opened", () => show("player"));
player.addEventListener("closed", () => {
  show("live");
  get("recordings").focus();
});

/** What is seen: "live", "studio" or "player"; live pictures come only while they are seen. */
function show(what) {
  for (const name of ["live", "studio", "player"]) get(name).hidden = name !== what;
  get("freeze").disabled = what !== "live";
  get(what === "player" ? "screen-box" : "grid").after(get("layers"));
  grid.paused = what === "player";
  grid.watch(true);
}

get("recordings").onclick = () => player.enter();
get("freeze").onclick = freeze;
get("help-button").onclick = help;

function pill(state, text) {
  get("connection").dataset.state = state;
  get("connection").textContent = text;
}

const KEYS = [
  ["1 … 9", "show this camera large"], ["G", "all cameras equally large"], ["/", "prompt by words"],
  ["F", "freeze the large picture and prompt by clicking"], ["?", "this help"],
  ...LAYERS.map(([, key, title]) => [key.toUpperCase(), title]),
  ["In a frozen frame", ""], ["B K E", "box, keypoints, edges"], ["arrows, shift", "move the cross by 1 or 10 px"],
  ["Enter", "press there; for boxes and edges again at the other end"], ["X", "skip a keypoint"], ["U", "undo"],
  ["T", "try"], ["+ − 0", "closer, farther, whole picture"], ["Esc", "back to live"],
  ["With --recordings", ""], ["O", "record all cameras, and end it"], ["L", "recordings"], ["Space", "play and pause"],
  ["← →", "a frame back or on, with shift a second"], ["Home, End", "beginning, end"], ["+ − 0", "less time, more, all of it"],
];
get("keys").append(
  ...KEYS.flatMap(([key, what]) => {
    if (!what) return [Object.assign(document.createElement("dt"), { className: "heading", textContent: key }), document.createElement("dd")];
    const name = document.createElement("dt");
    name.append(...key.split(" ").map((part) => (part.length > 1 && !part.endsWith(",") && part !== "Enter" && part !== "Esc" ? `${part} ` : Object.assign(document.createElement("kbd"), { textContent: part.replace(",", "") }))));
    return [name, Object.assign(document.createElement("dd"), { textContent: what })];
  }),
);

function help() {
  get("help").showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("dialog")) return;
  const typing = event.target.matches("input, select, textarea");
  if (typing && event.key !== "Escape") return;
  if (studio.open) {
    if (studio.key(event)) event.preventDefault();
    return;
  }
  if (player.open && !event.ctrlKey && !event.metaKey && !event.altKey && player.key(event)) return event.preventDefault();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const layer = LAYERS.find(([, key]) => key === event.key.toLowerCase());
  const number = Number(event.key);
  if (layer) layers.toggle(layer[0]);
  else if (event.key === "?") help();
  else if (player.open) return;
  else if (event.key === "/") words.focus();
  else if (event.key === "f") freeze();
  else if (event.key === "g") grid.toggle();
  else if (event.key === "o") take.press();
  else if (event.key === "l" && !get("taking").hidden) player.enter();
  else if (number >= 1 && [...grid.views.keys()][number - 1]) grid.choose([...grid.views.keys()][number - 1]);
  else return;
  event.preventDefault();
});
