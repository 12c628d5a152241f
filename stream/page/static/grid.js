// The cameras: one large and the others beside it, or all equally large.
import { View } from "./view.js";

export class Grid extends EventTarget {
  /** Emits "chosen" when another camera is the large one and "painted" for each frame, with its view and header. */
  constructor(element, layers, connection) {
    super();
    this.views = new Map();
    this.chosen = null;
    this.even = false;
    this._element = element;
    this._layers = layers;
    this._connection = connection;
    this._told = "";
    this.paused = false;
    new ResizeObserver(() => this.watch()).observe(element);
    document.addEventListener("visibilitychange", () => this.watch());
  }

  /** Show exactly these cameras. */
  have(names) {
    for (const [name, view] of this.views) {
      if (names.includes(name)) continue;
      view.element.remove();
      this.views.delete(name);
    }
    for (const name of names) {
      if (this.views.has(name)) continue;
      const view = new View(name, this._layers, (painted, header) => {
        this._connection.painted(name);
        if (header) this.dispatchEvent(new CustomEvent("painted", { detail: { view: painted, header } }));
      });
      view.face.addEventListener("click", () => (this.chosen === name && names.length > 1 ? this.toggle() : this.choose(name)));
      this.views.set(name, view);
      this._element.append(view.element);
    }
    if (!this.views.has(this.chosen)) this.choose(names[0] ?? null);
    this.lay();
  }

  /** Make a camera the large one. */
  choose(name) {
    this.chosen = name;
    if (name) this.even = false;
    this.lay();
    this.dispatchEvent(new CustomEvent("chosen", { detail: name }));
  }

  /** All equally large, or one large. */
  toggle() {
    this.even = !this.even;
    this.lay();
  }

  lay() {
    const count = this.views.size;
    const even = this.even && count > 1;
    this._element.classList.toggle("one", count === 1);
    this._element.classList.toggle("even", even);
    this._element.style.setProperty("--columns", Math.ceil(Math.sqrt(count)));
    for (const [name, view] of this.views) {
      const large = !even && name === this.chosen;
      view.element.classList.toggle("large", large);
      view.face.setAttribute("aria-pressed", String(large));
    }
    this.watch();
  }

  /** Tell the server how wide each camera is shown; nothing is sent while nobody sees the page. */
  watch(again = false) {
    if (again) this._told = "";
    clearTimeout(this._later);
    this._later = setTimeout(() => {
      const cameras = {};
      if (!document.hidden && !this.paused) {
        for (const [name, view] of this.views) {
          const dense = Math.min(devicePixelRatio || 1, 2);
          cameras[name] = view.width || Math.max(160, Math.round(view.face.clientWidth * dense));
        }
      }
      const told = JSON.stringify(cameras);
      if (told !== this._told) this._connection.say({ do: "watch", cameras });
      this._told = told;
    }, 60);
  }

  redraw() {
    for (const view of this.views.values()) view.redraw();
  }
}
