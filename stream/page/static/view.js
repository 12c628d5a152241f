// One camera: its newest frame with its tracks, and how it is.
import { drawTracks } from "./draw.js";

const SILENT = 3; // s without a frame from which a camera that plays is not shown as alive
const WORDS = {
  connecting: "connecting", playing: "live", stalled: "stalled", lost: "lost", ended: "ended", failed: "failed",
};

export class View {
  /** `layers` is the set that all views share; `painted(view)` is called for each frame that was painted or passed over. */
  constructor(name, layers, painted) {
    this.name = name;
    this.layers = layers;
    this.message = null; // of what is painted
    this.status = null;
    this._painted = painted;
    this._next = null; // {bitmap, header}
    this._shown = null;
    this._due = false;
    this.width = 0; // px of the canvas
    this.element = document.createElement("figure");
    this.element.className = "tile";
    this.element.innerHTML = `<button class="face"><canvas width="4" height="3"></canvas></button>
      <figcaption><span class="dot"></span><b></b><span class="facts"></span></figcaption>
      <div class="away" hidden><strong></strong><span></span></div>`;
    [this.face, this.canvas, this.caption, this.away] = ["button", "canvas", "figcaption", ".away"].map((part) =>
      this.element.querySelector(part),
    );
    this.caption.querySelector("b").textContent = name;
    this.face.setAttribute("aria-label", `Camera ${name}`);
    this.context = this.canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.fit()).observe(this.face);
  }

  /** A decoded frame; it is painted in the next animation frame, unless a newer one comes before. */
  take(header, bitmap) {
    if (this._next) {
      this._next.bitmap.close();
      this._painted(this);
    }
    this._next = { header, bitmap };
    this.fit();
    this._plan();
  }

  /** Paint anew what is shown, with other layers. */
  redraw() {
    this._plan();
  }

  /** The canvas as large as it fits, in the screen's own pixels. */
  fit() {
    const picture = (this._next ?? this._shown)?.header.message;
    const box = this.face.getBoundingClientRect();
    if (!picture || !box.width || !box.height) return;
    const scale = Math.min(box.width / picture.width, box.height / picture.height);
    const [width, height] = [Math.round(picture.width * scale), Math.round(picture.height * scale)];
    const dense = Math.min(devicePixelRatio || 1, 2);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    if (this.canvas.width !== Math.round(width * dense)) {
      this.canvas.width = Math.round(width * dense);
      this.canvas.height = Math.round(height * dense);
      this._plan();
    }
    this.unit = dense * Math.max(0.6, Math.min(1.35, width / 720));
    this.width = this.canvas.width;
  }

  _plan() {
    if (this._due) return;
    this._due = true;
    requestAnimationFrame(() => {
      this._due = false;
      this._paint();
    });
  }

  _paint() {
    const fresh = this._next;
    if (fresh) {
      this._shown?.bitmap.close();
      [this._shown, this._next] = [fresh, null];
    }
    if (!this._shown) return;
    const { bitmap, header } = this._shown;
    this.message = header.message;
    this.context.drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
    drawTracks(this.context, this.message, this.canvas.width / this.message.width, this.layers, this.unit ?? 1);
    if (!fresh) return;
    this.paintedAt = performance.now();
    this.canvas.dataset.frame = this.message.frame;
    this.element.classList.remove("stale");
    this.away.hidden = true;
    this._painted(this, header);
  }

  /** What the server says of the camera; null: there is no server. */
  tell(status, why = "") {
    this.status = status ?? this.status;
    const state = status?.state ?? "lost";
    const silent = this.paintedAt !== undefined && performance.now() - this.paintedAt > SILENT * 1000;
    const alive = status && state === "playing" && !silent && this._shown;
    this.caption.querySelector(".dot").dataset.state = alive ? "playing" : status ? state : "lost";
    this.caption.querySelector(".facts").textContent = status ? facts(status) : "";
    this.element.classList.toggle("stale", !alive);
    this.away.hidden = Boolean(alive);
    if (alive) return;
    const said = !status ? "no connection" : state === "playing" ? (this._shown ? "no frames" : "waiting") : WORDS[state];
    this.away.querySelector("strong").textContent = said;
    this.away.querySelector("span").textContent = [why || status?.error, this._since()].filter(Boolean).join(" · ");
  }

  _since() {
    if (!this._shown) return "no frame yet";
    return `last frame at ${new Date(this._shown.header.arrived_at * 1000).toLocaleTimeString()}`;
  }
}

function facts(status) {
  const dropped = Object.values(status.dropped).reduce((sum, count) => sum + count, 0);
  const parts = [`${status.fps.toFixed(0)} fps`];
  if (status.p50_ms !== null) parts.push(`${status.p50_ms.toFixed(0)} ms`);
  if (dropped) parts.push(`${dropped} dropped`);
  return parts.join(" · ");
}
