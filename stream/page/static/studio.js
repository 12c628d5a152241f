// Prompt by clicking: freeze a frame, draw a box, click keypoints, try, use and save.
import { Bench } from "./bench.js";
import { drawTracks } from "./draw.js";
import { pointColour, SKIPPED, Sketch } from "./sketch.js";

const get = (id) => document.getElementById(id);
const key = (camera, frame) => `${camera}/${frame}`;

export class Studio extends EventTarget {
  /** Emits "opened", "closed", and "used" when the stream looks for the prompt. */
  constructor(connection) {
    super();
    this.open = false;
    this._connection = connection;
    this._skeletons = {};
    this._known = [];
    this._pictures = new Map(); // full ones, by camera and frame
    this._thumbs = new Map();
    this._found = new Map();
    this._moment = null; // {camera, frame}
    this.sketch = new Sketch();
    this.bench = new Bench(get("frozen"), get("loupe"), this.sketch);
    this.sketch.addEventListener("changed", () => this._show());
    this.bench.addEventListener("boxed", () => this.mode("place"));
    this.bench.addEventListener("placed", ({ detail }) => this._name(detail));
    connection.addEventListener("held", ({ detail }) => this._held(detail));
    connection.addEventListener("found", ({ detail }) => this._find(detail.message));
    get("thaw").onclick = () => this.close();
    get("skip").onclick = () => this.sketch.skip();
    get("undo").onclick = () => this.sketch.undo();
    get("category").oninput = ({ target }) => {
      this.sketch.category = target.value;
      this._words();
    };
    get("skeleton").onchange = ({ target }) => this.sketch.take(this._skeletons[target.value], target.value);
    for (const verb of ["try", "use", "save"]) get(verb).onclick = () => this._do(verb);
    for (const button of document.querySelectorAll("[data-mode]")) button.onclick = () => this.mode(button.dataset.mode);
    for (const button of document.querySelectorAll("[data-zoom]")) {
      button.onclick = () => (Number(button.dataset.zoom) ? this.bench.zoom(Number(button.dataset.zoom)) : this.bench.fit());
    }
  }

  /** Skeleton files and categories that the weights know. */
  know(skeletons, known) {
    [this._skeletons, this._known] = [skeletons, known];
    const own = new Option("my own, named as I click", "");
    get("skeleton").replaceChildren(own, ...Object.keys(skeletons).map((name) => new Option(name, name)));
  }

  /** Freeze a camera's frame. */
  async freeze(camera, frame) {
    const fresh = !this.open;
    this._say("");
    try {
      const keep = this.sketch.examples.map((example) => [example.camera, example.frame]).slice(0, 8);
      const answer = await this._connection.ask({ do: "freeze", camera, frame, keep });
      this._moment = { camera, frame: answer.frame };
      this._strip = answer.strip;
    } catch (error) {
      if (this.open) this._say(error.message);
      return error.message;
    }
    if (fresh) {
      this.open = true;
      this._found.clear();
      this.sketch.clear();
      get("skeleton").value = "";
      get("studio-said").textContent = "";
      this.mode("box");
      this.dispatchEvent(new Event("opened"));
    }
    if (!this.sketch.examples.length) this.sketch.add(camera, this._moment.frame);
    this._showMoment();
    get("frozen").focus({ preventScroll: true });
    return "";
  }

  close() {
    if (!this.open) return;
    this.open = false;
    this._connection.say({ do: "thaw" });
    for (const held of [this._pictures, this._thumbs]) held.clear();
    this.dispatchEvent(new Event("closed"));
  }

  /** What a click does: box, place or edges. */
  mode(name) {
    this.bench.mode = name;
    for (const button of document.querySelectorAll("[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === name));
    }
    this.sketch.tell();
  }

  /** Keys while it is open; true where one was taken. */
  key(event) {
    const modes = { b: "box", k: "place", e: "edges" };
    if (event.key === "Escape") this.close();
    else if (event.key === "u" || (event.key === "z" && (event.ctrlKey || event.metaKey))) this.sketch.undo();
    else if (event.key === "x") this.sketch.skip();
    else if (event.key === "t") this._do("try");
    else if (modes[event.key]) this.mode(modes[event.key]);
    else return false;
    return true;
  }

  _held({ header, bitmap }) {
    const place = key(header.camera, header.frame);
    (header.small ? this._thumbs : this._pictures).set(place, bitmap);
    while (this._pictures.size > 8) this._pictures.delete(this._pictures.keys().next().value);
    if (this.open) this._showMoment();
  }

  _find(message) {
    this._found.set(key(message.camera, message.frame), message);
    this._showMoment();
  }

  /** Another moment of the strip: for a new example, where this one is begun. */
  async _go(camera, frame) {
    const example = this.sketch.example;
    const begun = example && (example.box || example.points.some(Boolean));
    this._moment = { camera, frame };
    const there = this.sketch.examples.findIndex((one) => one.camera === camera && one.frame === frame);
    if (there >= 0) this.sketch.at = there;
    else if (!begun) Object.assign(example, { camera, frame });
    if (!this._pictures.has(key(camera, frame))) {
      try {
        await this._connection.ask({ do: "picture", camera, frame });
      } catch (error) {
        this._say(error.message);
      }
    }
    this._showMoment();
    this.sketch.tell();
  }

  _showMoment() {
    if (!this._moment) return;
    const place = key(this._moment.camera, this._moment.frame);
    const picture = this._pictures.get(place);
    if (picture) this.bench.show(picture);
    this.bench.find(this._found.get(place) ?? null);
    this._showStrip();
  }

  _showStrip() {
    const strip = get("strip");
    const focused = strip.contains(document.activeElement) && document.activeElement.dataset.frame;
    strip.replaceChildren(
      ...(this._strip ?? []).map(({ frame, ago }) => {
        const button = document.createElement("button");
        button.role = "option";
        button.dataset.frame = frame;
        button.setAttribute("aria-selected", String(frame === this._moment.frame));
        button.setAttribute("aria-label", Math.abs(ago) < 0.01 ? "the frozen frame" : `${Math.abs(ago).toFixed(1)} s ${ago > 0 ? "before" : "after"}`);
        const found = this._found.get(key(this._moment.camera, frame));
        button.append(thumb(this._thumbs.get(key(this._moment.camera, frame)), found));
        const words = Math.abs(ago) < 0.01 ? "frozen" : `${ago > 0 ? "−" : "+"}${Math.abs(ago).toFixed(1)} s`;
        button.append(Object.assign(document.createElement("span"), { textContent: found ? `${found.tracks.length} found` : words }));
        button.onclick = () => this._go(this._moment.camera, frame);
        return button;
      }),
    );
    const chosen = strip.querySelector('[aria-selected="true"]');
    if (chosen) strip.scrollLeft = chosen.offsetLeft - strip.clientWidth / 2;
    if (focused) strip.querySelector(`[data-frame="${focused}"]`)?.focus();
  }

  /** The keypoint was just made: let it be named at once. */
  _name(i) {
    if (this.sketch.fixed || this.sketch.at > 0) return;
    const field = get("points").querySelectorAll("input")[i];
    if (!matchMedia("(pointer: coarse)").matches) {
      field?.focus({ preventScroll: true });
      field?.select();
    }
  }

  _show() {
    const { sketch, bench } = this;
    const { example, next, names } = sketch;
    get("category").value = sketch.category;
    if (!sketch.fixed) get("skeleton").value = "";
    this._words();
    const place = next === null ? "All keypoints are set. Drag to correct, then Try." : next === names.length ? "Click where a keypoint is." : `Click the ${names[next].replaceAll("_", " ")} (${next + 1} of ${names.length}), or skip it.`;
    const hints = { box: "Drag a box around one thing.", place, edges: "Drag from one keypoint to another to join them." };
    get("hint").textContent = example ? hints[bench.mode] : "";
    get("skip").disabled = next === null || next === names.length;
    this._showPoints();
    this._showExamples();
  }

  _words() {
    const known = this._known.includes(this.sketch.category.trim().toLowerCase());
    get("also").hidden = !known;
    if (!known) get("also-words").checked = false;
  }

  _showPoints() {
    const { sketch } = this;
    const list = get("points");
    if (document.activeElement?.matches("#points input") && list.children.length === sketch.names.length && this._stays(list)) return;
    list.replaceChildren(...sketch.names.map((name, i) => this._pointRow(name, i)));
  }

  /** While a name is being typed only the marks change. */
  _stays(list) {
    [...list.children].forEach((item, i) => this._mark(item, i));
    return [...list.querySelectorAll("input")].every((field, i) => field.value === this.sketch.names[i]);
  }

  _mark(item, i) {
    const point = this.sketch.example?.points[i];
    item.dataset.state = Array.isArray(point) ? "set" : point === SKIPPED ? "skipped" : "todo";
    item.toggleAttribute("aria-current", i === this.sketch.next);
    item.querySelector(".state").textContent = { set: "✓", skipped: "hidden", todo: "" }[item.dataset.state];
  }

  _pointRow(name, i) {
    const { sketch } = this;
    const item = document.createElement("li");
    const arm = document.createElement("button");
    arm.className = "swatch";
    arm.style.background = pointColour(i);
    arm.title = "set this one next";
    arm.setAttribute("aria-label", `Set ${name} next`);
    arm.onclick = () => {
      sketch.armed = i;
      this.mode("place");
    };
    let label;
    if (sketch.fixed) label = Object.assign(document.createElement("span"), { textContent: name.replaceAll("_", " ") });
    else {
      label = Object.assign(document.createElement("input"), { value: name, maxLength: 60, spellcheck: false });
      label.setAttribute("aria-label", `Name of keypoint ${i + 1}`);
      label.oninput = () => (sketch.names[i] = label.value);
      label.addEventListener("keydown", (event) => event.key === "Enter" && get("frozen").focus());
    }
    item.append(arm, label, Object.assign(document.createElement("span"), { className: "state" }));
    this._mark(item, i);
    return item;
  }

  _showExamples() {
    const { sketch } = this;
    const chips = sketch.examples.map((example, i) => {
      const button = document.createElement("button");
      button.className = "chip";
      const set = example.points.filter(Array.isArray).length;
      button.textContent = `example ${i + 1} · ${set}`;
      button.setAttribute("aria-pressed", String(i === sketch.at));
      button.onclick = () => {
        sketch.at = i;
        this._go(example.camera, example.frame);
      };
      return button;
    });
    const more = Object.assign(document.createElement("button"), { className: "chip", textContent: "+ another", id: "another" });
    more.disabled = sketch.examples.length >= 8 || !sketch.example?.box;
    more.onclick = () => {
      sketch.add(this._moment.camera, this._moment.frame);
      this.mode("box");
    };
    get("examples").replaceChildren(...chips, more);
  }

  async _do(verb) {
    this._say("");
    get("studio-said").textContent = "";
    try {
      const prompt = this.sketch.order(get("also-words").checked);
      get("studio").classList.add("busy");
      if (verb === "try") this._found.clear();
      const answer = await this._connection.ask({ do: verb, prompt });
      const { found, frames, file, version } = answer;
      const told = { try: `${found} found on ${frames} frames.`, use: `The stream looks for it: version ${version}.`, save: `Saved as ${file}` };
      get("studio-said").textContent = told[verb];
      if (verb === "use") {
        this.dispatchEvent(new Event("used"));
        this.close();
      }
    } catch (error) {
      this._say(error.message);
    }
    get("studio").classList.remove("busy");
  }

  _say(text) {
    get("studio-error").textContent = text;
    get("studio-error").hidden = !text;
  }
}

/** A small picture with what was found on it. */
function thumb(bitmap, found) {
  const canvas = document.createElement("canvas");
  if (!bitmap) return canvas;
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  if (found) drawTracks(context, found, bitmap.width / found.width, new Set(["skeleton", "boxes"]), 0.7);
  return canvas;
}
