// Time from left to right, and the tracks of a recording as lanes in it.
import { colourOf } from "./draw.js";

const LANE = 16; // CSS px
const AXIS = 20;
const MOST = 8; // lanes that are seen at once
const LEAST = 0.2; // s that are seen at least

export class Lanes extends EventTarget {
  /** Emits "sought" with a time, "chosen" with a track's number, and "viewed" when other times are seen. */
  constructor(box) {
    super();
    this._box = box;
    this._canvas = box.querySelector("canvas");
    this.view = [0, 1];
    this._tracks = [];
    this._hand = null;
    this._canvas.addEventListener("pointerdown", (event) => this._down(event));
    this._canvas.addEventListener("pointermove", (event) => this._hand && this._seek(event));
    for (const name of ["pointerup", "pointercancel"]) this._canvas.addEventListener(name, () => (this._hand = null));
    this._canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  /** Tracks {id, name, begin, end} within so many seconds; tracks that do not meet share a lane. */
  show(tracks, seconds) {
    this._seconds = Math.max(seconds, 1e-3);
    const ends = [];
    this._tracks = [...tracks].sort((a, b) => a.begin - b.begin);
    for (const track of this._tracks) {
      let lane = ends.findIndex((end) => end <= track.begin);
      if (lane < 0) lane = ends.push(0) - 1;
      ends[lane] = track.end + this._seconds * 0.002;
      track.lane = lane;
    }
    this._count = Math.max(ends.length, 1);
    this._canvas.style.height = `${AXIS + this._count * LANE}px`;
    this._box.style.maxHeight = `${AXIS + MOST * LANE + 4}px`;
    this._canvas.setAttribute("aria-valuemax", seconds.toFixed(2));
    this.look([0, this._seconds]);
  }

  /** Mark a time and a track. */
  mark(time, chosen) {
    [this._time, this._chosen] = [time, chosen];
    this._canvas.setAttribute("aria-valuenow", time.toFixed(2));
    this._canvas.setAttribute("aria-valuetext", `${time.toFixed(2)} s`);
    this.draw();
  }

  /** See these times. */
  look([begin, end]) {
    const span = Math.min(Math.max(end - begin, LEAST), Math.max(this._seconds, LEAST));
    begin = Math.max(0, Math.min(begin, this._seconds - span));
    this.view = [begin, begin + span];
    this.draw();
    this.dispatchEvent(new Event("viewed"));
  }

  /** See so many times as much; 0: all of it. */
  zoom(factor, about = this._time ?? 0) {
    if (!factor) return this.look([0, this._seconds]);
    const [begin, end] = this.view;
    this.look([about - (about - begin) * factor, about + (end - about) * factor]);
  }

  _at(event) {
    const box = this._canvas.getBoundingClientRect();
    const [begin, end] = this.view;
    const part = Math.max(0, Math.min((event.clientX - box.left) / box.width, 1));
    return [begin + part * (end - begin), Math.floor((event.clientY - box.top - AXIS) / LANE)];
  }

  _down(event) {
    this._canvas.setPointerCapture(event.pointerId);
    this._hand = true;
    const [time, lane] = this._at(event);
    const near = (this.view[1] - this.view[0]) * 0.004;
    const track = this._tracks.find((one) => one.lane === lane && one.begin - near <= time && time <= one.end + near);
    if (track) this.dispatchEvent(new CustomEvent("chosen", { detail: track.id }));
    this._seek(event);
  }

  _seek(event) {
    this.dispatchEvent(new CustomEvent("sought", { detail: this._at(event)[0] }));
  }

  _wheel(event) {
    if (!event.ctrlKey && !event.shiftKey && this._box.scrollHeight > this._box.clientHeight) return; // scrolls
    event.preventDefault();
    this.zoom(Math.exp((event.deltaY || event.deltaX) / 400), this._at(event)[0]);
  }

  draw() {
    if (this._due) return;
    this._due = true;
    requestAnimationFrame(() => {
      this._due = false;
      this._paint();
    });
  }

  _paint() {
    const dense = devicePixelRatio || 1;
    const [width, height] = [this._canvas.clientWidth, this._canvas.clientHeight];
    if (!width || !this._seconds) return;
    [this._canvas.width, this._canvas.height] = [Math.round(width * dense), Math.round(height * dense)];
    const context = this._canvas.getContext("2d");
    context.scale(dense, dense);
    const style = getComputedStyle(this._canvas);
    const [begin, end] = this.view;
    const x = (time) => ((time - begin) / (end - begin)) * width;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    this._paintAxis(context, style.color, x, width, height);
    for (const track of this._tracks) {
      const [left, right] = [Math.max(x(track.begin), -4), Math.min(x(track.end), width + 4)];
      if (right < 0 || left > width) continue;
      const top = AXIS + track.lane * LANE + 2;
      const chosen = track.id === this._chosen;
      context.fillStyle = colourOf(track.id);
      context.globalAlpha = chosen || this._chosen === undefined ? 1 : 0.55;
      context.beginPath();
      context.roundRect(left, top, Math.max(right - left, 3), LANE - 4, 3);
      context.fill();
      context.globalAlpha = 1;
      if (chosen) {
        context.strokeStyle = style.color;
        context.lineWidth = 1.5;
        context.stroke();
      }
      const text = `${track.name} ${track.id}`;
      if (right - left > context.measureText(text).width + 10) {
        context.fillStyle = "#0b0f13";
        context.fillText(text, Math.max(left, 0) + 5, top + LANE / 2 - 2);
      }
    }
    const now = x(this._time ?? 0);
    context.fillStyle = style.getPropertyValue("--warm");
    context.fillRect(now - 1, 0, 2, height);
  }

  _paintAxis(context, ink, x, width, height) {
    const [begin, end] = this.view;
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400];
    const step = steps.find((one) => x(begin + one) > 64) ?? 28800;
    context.fillStyle = ink;
    for (let mark = Math.ceil(begin / step) * step; mark <= end; mark += step) {
      context.globalAlpha = 0.18;
      context.fillRect(x(mark), AXIS - 4, 1, height);
      context.globalAlpha = 1;
      if (x(mark) < width - 40) context.fillText(clock(mark, step < 1 ? 2 : 0), x(mark) + 3, AXIS / 2);
    }
  }
}

/** 1:02:03.5 */
export function clock(seconds, digits = 2) {
  const whole = Math.floor(seconds + 1e-9);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = (seconds - hours * 3600 - minutes * 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
