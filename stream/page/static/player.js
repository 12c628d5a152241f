// A recording with its video: any moment of it, its tracks as lanes, curves of keypoints, and exports.
import { Curves } from "./curves.js";
import { colourOf, drawTracks } from "./draw.js";
import { clock, Lanes } from "./lanes.js";
import { pointColour } from "./sketch.js";

const MOST_CURVES = 4;
const MOST_A_SECOND = 30; // moments
const get = (id) => document.getElementById(id);

export class Player extends EventTarget {
  /** Emits "opened" and "closed". */
  constructor(connection, layers) {
    super();
    this.open = false;
    this._connection = connection;
    this._layers = layers;
    this._told = null; // of the recording that is open
    this._plotted = new Set();
    this._last = Promise.resolve();
    this._formats = {};
    this.time = 0;
    this._lanes = new Lanes(get("lanes"));
    this._curves = new Curves(get("curves"));
    connection.addEventListener("moment", ({ detail }) => this._take(detail));
    for (const part of [this._lanes, this._curves]) part.addEventListener("sought", ({ detail }) => this._jump(detail));
    this._lanes.addEventListener("chosen", ({ detail }) => this._choose(detail));
    this._lanes.addEventListener("viewed", () => this._later());
    get("leave").onclick = () => this.close();
    get("play").onclick = () => this.play(!this._playing);
    get("which-camera").onchange = ({ target }) => this._show(this._told.recording, target.value);
    get("speed").onchange = () => this._playing && this.play(true);
    for (const button of document.querySelectorAll("[data-go]")) button.onclick = () => this._step(button.dataset.go);
    for (const button of document.querySelectorAll("[data-span]")) button.onclick = () => this._lanes.zoom(Number(button.dataset.span));
    new ResizeObserver(() => this.redraw()).observe(get("screen-box"));
  }

  /** The formats that there are, by name; null without a folder of recordings. */
  know(formats) {
    this._formats = formats ?? {};
  }

  /** Show the recordings that there are; `opened` is played at once, and all that this page is for. */
  async enter(opened = null) {
    if (this.open) return;
    this.open = true;
    this._alone = Boolean(opened);
    this.dispatchEvent(new Event("opened"));
    this._say("");
    await this._list();
    if (opened) await this._replay(opened);
    else get("shelf").querySelector("button")?.focus();
  }

  async _replay({ recording, start, speed, loop }) {
    const choice = get("speed");
    if (![...choice.options].some((one) => Number(one.value) === speed)) choice.append(new Option(`× ${speed}`, speed));
    choice.value = speed;
    await this._show(recording, "", start);
    if (!this._told) return;
    this._loop = loop;
    this.time = Math.min(start, this._told.seconds);
    this.play(true);
    get("play").focus();
  }

  close() {
    if (!this.open || this._alone) return;
    this.play(false);
    this.open = false;
    this.dispatchEvent(new Event("closed"));
  }

  /** Keys while it is open; true where one was taken. */
  key(event) {
    const steps = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" };
    const held = event.target.matches("button, a");
    if (event.key === "Escape") this.close();
    else if (event.key === " " && !held) this.play(!this._playing);
    else if (steps[event.key] && event.shiftKey) this._jump(this.time + (event.key === "ArrowLeft" ? -1 : 1));
    else if (steps[event.key]) this._step(steps[event.key]);
    else if (["+", "-", "0"].includes(event.key)) this._lanes.zoom({ "+": 0.5, "-": 2, 0: 0 }[event.key]);
    else return false;
    return true;
  }

  /** How an export goes. */
  tell(exported) {
    if (!exported || !this._told || exported.recording !== this._told.recording) return;
    const { format, state, done, total, notes, error } = exported;
    const bar = get("export-bar");
    bar.hidden = state !== "writing";
    bar.value = Math.min(done / total, 1);
    if (state === "done" && !this._told.made.includes(format)) {
      this._told.made.push(format);
      this._showFormats();
    }
    const told = { writing: `Writing ${format}…`, done: [`${format} is ready.`, ...(notes ?? [])].join(" "), failed: error };
    get("export-said").textContent = told[state];
  }

  redraw() {
    if (this._due || !this.open) return;
    this._due = true;
    requestAnimationFrame(() => {
      this._due = false;
      this._paint();
    });
  }

  play(wanted) {
    this._playing = wanted && Boolean(this._told);
    this._again = false;
    get("play").textContent = this._playing ? "❚❚" : "▶";
    get("play").setAttribute("aria-label", this._playing ? "Pause" : "Play");
    if (!this._playing) return;
    if (this.time >= this._told.seconds - 1e-3) this.time = 0;
    [this._from, this._begun] = [this.time, performance.now()];
    cancelAnimationFrame(this._beat);
    this._beat = requestAnimationFrame(() => this._run());
  }

  _run() {
    if (!this._playing) return;
    const due = this._from + ((performance.now() - this._begun) / 1000) * Number(get("speed").value);
    const interval = Number(get("speed").value) * Math.max(1 / MOST_A_SECOND, 0);
    if (!this._busy && due - this.time >= Math.min(interval, 1 / (this._told.rate || 30)) * 0.95) this._go(Math.min(due, this._told.seconds));
    if (due >= this._told.seconds) {
      this._go(this._told.seconds); // also where a picture was under way: it ends at the last one
      this.play(false);
      this._again = this._loop; // when it has come
    } else this._beat = requestAnimationFrame(() => this._run());
  }

  _jump(time) {
    if (!this._told) return;
    this._go(Math.max(0, Math.min(time, this._told.seconds)));
    if (this._playing) [this._from, this._begun] = [time, performance.now()];
  }

  _step(where) {
    if (!this._told) return;
    this.play(false);
    const steps = { first: [0, 0], back: [this.time, -1], on: [this.time, 1], last: [this._told.seconds, 0] };
    const [time, step] = steps[where];
    if (step && this._wanted) this._wanted = [this._wanted[0], this._wanted[1] + step]; // keys are faster than pictures
    else this._go(time, step);
  }

  /** One order after the other: the server does one thing at a time for each page. */
  _ask(order) {
    const asked = this._last.then(() => this._connection.ask({ recording: this._told?.recording, camera: this._told?.camera, ...order }));
    this._last = asked.catch(() => {});
    return asked;
  }

  /** Show a moment; the newest that is wanted wins. */
  async _go(time, step = 0) {
    this._wanted = [time, step];
    if (this._busy) return;
    this._busy = true;
    while (this._wanted && this._told) {
      const [wanted, steps] = this._wanted;
      this._wanted = null;
      const told = this._told;
      try {
        const width = Math.round(get("screen-box").clientWidth * Math.min(devicePixelRatio || 1, 2)) || 640;
        const answer = await this._ask({ do: "moment", time: wanted, step: steps, width: Math.min(width, 8192) });
        if (told === this._told) this._arrive(answer);
      } catch (error) {
        this._say(error.message);
        this.play(false);
        this._wanted = null;
      }
    }
    this._busy = false;
  }

  _arrive({ at, seconds }) {
    this.time = seconds;
    get("clock").textContent = `${clock(seconds)} / ${clock(this._told.seconds)} · ${at + 1} of ${this._told.frames}`;
    this._lanes.mark(seconds, this._chosen);
    this._curves.mark(seconds);
    if (this._again && at === this._told.frames - 1) this.play(true);
  }

  _take({ header, bitmap }) {
    if (!this._told || header.recording !== this._told.recording) return;
    this._bitmap?.close();
    [this._bitmap, this._message, this._header] = [bitmap, header.message, header];
    this.redraw();
  }

  _paint() {
    const message = this._message;
    const canvas = get("screen");
    const { clientWidth: width, clientHeight: height } = get("screen-box");
    if (!message || !width) return;
    const dense = Math.min(devicePixelRatio || 1, 2);
    const fitted = Math.min(width / message.width, height / message.height);
    canvas.style.width = `${message.width * fitted}px`;
    canvas.style.height = `${message.height * fitted}px`;
    canvas.width = Math.round(message.width * fitted * dense);
    canvas.height = Math.round(message.height * fitted * dense);
    const context = canvas.getContext("2d", { alpha: false });
    const scale = canvas.width / message.width;
    if (this._bitmap) context.drawImage(this._bitmap, 0, 0, canvas.width, canvas.height);
    const unit = dense * Math.max(0.6, Math.min(1.35, (message.width * fitted) / 720));
    const drawn = this._told.video === "overlay"; // in the video
    if (!drawn) drawTracks(context, message, scale, this._layers, unit);
    this._mark(context, message.tracks.find((track) => track.id === this._chosen), scale, unit);
    canvas.dataset.frame = message.frame;
    document.dispatchEvent(new CustomEvent("played", { detail: this._header }));
  }

  /** The keypoints whose curves are shown, in their colours. */
  _mark(context, track, scale, unit) {
    for (const keypoint of track ? this._plotted : []) {
      const point = track.keypoints[keypoint];
      if (!point) continue;
      context.beginPath();
      context.arc(point[0] * scale, point[1] * scale, 7 * unit, 0, 2 * Math.PI);
      context.lineWidth = 3 * unit;
      context.strokeStyle = pointColour(keypoint);
      context.stroke();
    }
  }

  async _list() {
    try {
      const { recordings } = await this._ask({ do: "recordings", recording: undefined, camera: undefined });
      const items = recordings.map((one) => this._entry(one));
      const none = Object.assign(document.createElement("li"), { textContent: "None yet: Record makes one of all cameras." });
      get("shelf").replaceChildren(...(items.length ? items : [none]));
    } catch (error) {
      this._say(error.message);
    }
  }

  _entry({ name, bytes, at, video }) {
    const item = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { className: "entry" });
    const title = Object.assign(document.createElement("b"), { textContent: name.replace(/\.parquet$/, "") });
    const size = bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
    const facts = [new Date(at * 1000).toLocaleString(), size, ...(video ? ["video"] : [])].join(" · ");
    button.append(title, Object.assign(document.createElement("small"), { textContent: facts }));
    button.setAttribute("aria-pressed", String(name === this._told?.recording));
    button.dataset.name = name;
    button.onclick = () => this._show(name);
    item.append(button);
    return item;
  }

  async _show(recording, camera = "", start = 0) {
    this.play(false);
    this._say("");
    get("player").classList.add("busy");
    try {
      this._told = await this._ask({ do: "open", recording, camera });
      this._begin(start);
    } catch (error) {
      this._say(error.message);
    }
    get("player").classList.remove("busy");
  }

  _begin(start) {
    const told = this._told;
    for (const button of get("shelf").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.name === told.recording));
    get("opened").hidden = false;
    get("player").classList.add("loaded");
    this._chosen = undefined;
    this._plotted.clear();
    this._bitmap = this._message = null;
    this._tracks = told.lanes.map(([id, category, begin, end, rows]) => ({ id, category, begin, end, rows, name: told.categories[category].name }));
    const started = new Date(told.started_at * 1000).toLocaleString();
    const rate = told.rate ? `${Number(told.rate.toFixed(2))} fps` : "";
    get("about").textContent = [started, clock(told.seconds), `${told.frames} frames`, rate, `${told.size[0]}×${told.size[1]}`, told.dropped ? `${told.dropped} dropped` : ""].filter(Boolean).join(" · ");
    const hints = { source: "", overlay: "The drawn video: layers are as they were recorded.", "": "Without its video, which is not on this machine." };
    get("screen-said").textContent = hints[told.video];
    get("which").hidden = told.cameras.length < 2;
    get("which-camera").replaceChildren(...told.cameras.map((name) => new Option(name, name, false, name === told.camera)));
    get("lanes-more").textContent = told.more ? `and ${told.more} shorter ones` : "";
    get("export-said").textContent = "";
    this._lanes.show(this._tracks, told.seconds);
    this._choose(this._tracks[0]?.id);
    this._showFormats();
    this._go(start);
  }

  /** Another track, with its first keypoints if none of it are shown. */
  _choose(id) {
    const track = this._tracks.find((one) => one.id === id);
    const before = this._tracks.find((one) => one.id === this._chosen);
    this._chosen = id;
    const names = track ? this._told.categories[track.category].keypoints : [];
    if (track?.category !== before?.category) this._plotted = new Set(names.length ? [0] : []);
    const list = get("lane-list");
    const focus = list.contains(document.activeElement);
    list.replaceChildren(
      ...this._tracks.map((one) => {
        const item = document.createElement("li");
        const button = Object.assign(document.createElement("button"), { className: "link" });
        const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
        swatch.style.background = colourOf(one.id);
        button.append(swatch, `${one.name} ${one.id}`);
        button.setAttribute("aria-pressed", String(one.id === id));
        button.onclick = () => {
          this._choose(one.id);
          this._jump(one.begin);
        };
        item.append(button, Object.assign(document.createElement("small"), { textContent: `${clock(one.begin, 1)} – ${clock(one.end, 1)}` }));
        return item;
      }),
    );
    if (focus) list.querySelector('[aria-pressed="true"]')?.focus();
    this._showKeypoints(names);
    this._lanes.mark(this.time, id);
    this._later();
    this.redraw();
  }

  _showKeypoints(names) {
    get("plotted").replaceChildren(
      ...names.map((name, keypoint) => {
        const button = Object.assign(document.createElement("button"), { className: "chip" });
        const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
        swatch.style.background = pointColour(keypoint);
        button.append(swatch, name.replaceAll("_", " "));
        button.setAttribute("aria-pressed", String(this._plotted.has(keypoint)));
        button.onclick = () => {
          if (!this._plotted.delete(keypoint)) this._plotted.add(keypoint);
          if (this._plotted.size > MOST_CURVES) this._plotted.delete(this._plotted.values().next().value);
          [...get("plotted").children].forEach((chip, i) => chip.setAttribute("aria-pressed", String(this._plotted.has(i))));
          this._later();
          this.redraw();
        };
        return button;
      }),
    );
  }

  /** The curves, when hands have come to rest. */
  _later() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this._plot(), 120);
  }

  async _plot() {
    const [told, track, [begin, end]] = [this._told, this._chosen, this._lanes.view];
    const names = this._told?.categories[this._tracks.find((one) => one.id === track)?.category]?.keypoints ?? [];
    const curves = [];
    try {
      for (const keypoint of this._plotted) {
        curves.push({ keypoint, name: names[keypoint], ...(await this._ask({ do: "curve", track, keypoint, begin, end })) });
      }
    } catch (error) {
      this._say(error.message);
    }
    if (told === this._told && track === this._chosen) this._curves.show(curves, [begin, end]);
  }

  _showFormats() {
    const { recording, made } = this._told;
    const keep = (format, text) => {
      const link = Object.assign(document.createElement("a"), { className: "chip", textContent: `↓ ${text}`, download: "" });
      link.href = `/recordings/${encodeURIComponent(recording)}/${format}`;
      return link;
    };
    const buttons = Object.entries(this._formats).map(([format, what]) => {
      if (made.includes(format)) return Object.assign(keep(format, format), { title: what });
      const button = Object.assign(document.createElement("button"), { className: "chip", textContent: format, title: what });
      button.onclick = () => this._export(format);
      return button;
    });
    get("formats").replaceChildren(keep("parquet", "parquet"), ...buttons);
  }

  async _export(format) {
    const metres = Number(get("metres").value) || undefined;
    get("export-said").textContent = "";
    try {
      await this._ask({ do: "export", format, metres_per_pixel: metres, camera: undefined });
    } catch (error) {
      get("export-said").textContent = error.message;
    }
  }

  _say(text) {
    get("player-error").textContent = text;
    get("player-error").hidden = !text;
  }
}
