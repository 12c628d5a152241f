// The frozen frame under the hand: zoom and pan, boxes, keypoints, edges, and a magnifier.
import { drawBox, drawTracks } from "./draw.js";
import { pointColour } from "./sketch.js";

const REACH = 11; // CSS px from a point or corner at which it is taken hold of
const STILL = 3; // CSS px within which a press that moves is a click
const LOUPE = 6; // times

export class Bench extends EventTarget {
  /** Emits "placed" with the number of the keypoint that was set. */
  constructor(canvas, loupe, sketch) {
    super();
    this.mode = "box";
    this._canvas = canvas;
    this._loupe = loupe;
    this._sketch = sketch;
    this._picture = null;
    this._found = null;
    this._scale = 1; // CSS px per px of the picture
    this._origin = [0, 0]; // of the picture, CSS px
    this._cross = null; // px of the picture, of the keyboard
    this._hand = null; // what is being dragged
    this._fingers = new Map();
    canvas.addEventListener("pointerdown", (event) => this._down(event));
    canvas.addEventListener("pointermove", (event) => this._move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this._up(event));
    canvas.addEventListener("pointerleave", () => this._hideLoupe());
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this._key(event));
    canvas.addEventListener("blur", () => this._draw());
    sketch.addEventListener("changed", () => this._draw());
    new ResizeObserver(() => this._resize()).observe(canvas.parentElement);
  }

  /** A full picture; zoom stays if it is as large as the last one. */
  show(bitmap) {
    const same = this._picture && this._picture.width === bitmap.width && this._picture.height === bitmap.height;
    this._picture = bitmap;
    this._cross = same ? this._cross : null;
    if (!same) this.fit();
    this._draw();
  }

  /** What was found on it, or null. */
  find(message) {
    this._found = message;
    this._draw();
  }

  fit() {
    if (!this._picture) return;
    this._fitted = true;
    const { clientWidth: width, clientHeight: height } = this._canvas;
    this._scale = Math.min(width / this._picture.width, height / this._picture.height) * 0.96;
    this._origin = [(width - this._picture.width * this._scale) / 2, (height - this._picture.height * this._scale) / 2];
    this._draw();
  }

  /** Closer by `factor`, about a place on the screen. */
  zoom(factor, at = [this._canvas.clientWidth / 2, this._canvas.clientHeight / 2]) {
    const scale = Math.max(0.05, Math.min(this._scale * factor, 60));
    this._fitted = false;
    this._origin = this._origin.map((start, i) => at[i] - ((at[i] - start) * scale) / this._scale);
    this._scale = scale;
    this._draw();
  }

  _resize() {
    const dense = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this._canvas;
    this._canvas.width = Math.round(clientWidth * dense);
    this._canvas.height = Math.round(clientHeight * dense);
    if (this._fitted) this.fit();
    this._draw();
  }

  _at(event) {
    const box = this._canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  _inPicture(place) {
    const { width, height } = this._picture;
    const [x, y] = place.map((value, i) => (value - this._origin[i]) / this._scale);
    return [Math.max(0, Math.min(x, width)), Math.max(0, Math.min(y, height))];
  }

  _down(event) {
    if (!this._picture) return;
    this._canvas.focus({ preventScroll: true });
    this._canvas.setPointerCapture(event.pointerId);
    this._cross = null;
    const place = this._at(event);
    this._fingers.set(event.pointerId, place);
    if (this._fingers.size === 2) return this._pinch();
    if (event.button === 1 || event.button === 2 || this._space) this._hand = { pan: place };
    else if (event.button === 0) this._press(this._inPicture(place));
  }

  _pinch() {
    if (this._hand?.undo) this._sketch.undo();
    this._hand = { pinch: true };
  }

  _move(event) {
    if (!this._picture) return;
    const place = this._at(event);
    const before = this._fingers.get(event.pointerId);
    if (this._hand?.pinch && before) {
      const other = [...this._fingers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const distance = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
        this.zoom(distance(place) / distance(before), other);
      }
    } else if (this._hand?.pan) {
      this._origin = this._origin.map((value, i) => value + place[i] - this._hand.pan[i]);
      this._hand.pan = place;
      this._draw();
    } else {
      const point = this._inPicture(place);
      if (this._hand) this._drag(point);
      this._magnify(point, event.pointerType === "touch" ? Boolean(this._hand) : true);
    }
    if (before) this._fingers.set(event.pointerId, place);
  }

  _up(event) {
    this._fingers.delete(event.pointerId);
    if (this._hand?.pinch || this._hand?.pan) this._hand = this._fingers.size ? this._hand : null;
    else if (this._hand) this._release(this._inPicture(this._at(event)));
    if (event.pointerType === "touch") this._hideLoupe();
  }

  _wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), this._at(event));
  }

  /** Press, drag and release: of a mouse, a finger, or the keyboard's cross. */
  _press(point) {
    const example = this._sketch.example;
    if (!example) return;
    const near = this._near(point);
    if (this.mode === "box") {
      const corner = example.box && this._corner(point, example.box);
      this._sketch.change(() => {
        if (!corner) example.box = [...point, ...point];
      });
      this._hand = { box: true, corner: corner ?? [2, 3], undo: true };
    } else if (this.mode === "edges") this._hand = near === null ? null : { edge: near, to: point };
    else if (near !== null) {
      this._sketch.change(() => {});
      this._hand = { point: near, from: point, offset: example.points[near].map((value, i) => value - point[i]), undo: true };
    } else {
      const set = this._sketch.place(point);
      if (set === null) return;
      this._hand = { point: set, offset: [0, 0], fresh: true, undo: true };
    }
  }

  _drag(point) {
    const example = this._sketch.example;
    const hand = this._hand;
    if (hand.box) hand.corner.forEach((place, i) => (example.box[place] = point[i]));
    else if (hand.point !== undefined) {
      const { width, height } = this._picture;
      const limits = [width, height];
      example.points[hand.point] = point.map((value, i) => Math.max(0, Math.min(value + hand.offset[i], limits[i])));
    } else if (hand.edge !== undefined) hand.to = point;
    this._draw();
  }

  _release(point) {
    const hand = this._hand;
    this._drag(point);
    this._hand = null;
    if (hand.box) {
      const box = this._sketch.example.box;
      const [x0, y0, x1, y1] = box;
      this._sketch.example.box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
      if ((x1 - x0) ** 2 < 4 || (y1 - y0) ** 2 < 4) this._sketch.undo(); // a click, not a box
      else this.dispatchEvent(new Event("boxed"));
    } else if (hand.edge !== undefined) {
      const end = this._near(point);
      if (end !== null) this._sketch.join(hand.edge, end);
    } else if (hand.fresh) this.dispatchEvent(new CustomEvent("placed", { detail: hand.point }));
    else if (hand.from) this._clicked(hand, point);
    this._sketch.tell();
  }

  /** A keypoint that was pressed but not dragged: the click sets the next one, as two may be that close. */
  _clicked({ from, offset }, point) {
    const { next, names } = this._sketch;
    const moved = Math.hypot(from[0] - point[0], from[1] - point[1]) * this._scale > STILL;
    const again = Math.hypot(...offset) * this._scale <= STILL; // a double click makes no second one
    if (moved || next === null || (next === names.length && again)) return;
    this._sketch.undo();
    this.dispatchEvent(new CustomEvent("placed", { detail: this._sketch.place(point) }));
  }

  _near(point) {
    let best = null;
    let least = REACH / this._scale;
    this._sketch.example?.points.forEach((other, i) => {
      const far = Array.isArray(other) ? Math.hypot(other[0] - point[0], other[1] - point[1]) : Infinity;
      if (far < least) [best, least] = [i, far];
    });
    return best;
  }

  /** Which coordinates of a box are at a corner near `point`. */
  _corner(point, box) {
    for (const corner of [[0, 1], [2, 1], [0, 3], [2, 3]]) {
      const far = Math.hypot(box[corner[0]] - point[0], box[corner[1]] - point[1]);
      if (far < REACH / this._scale) return corner;
    }
    return null;
  }

  _key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (!this._picture || event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) {
      const size = [this._picture.width, this._picture.height];
      const from = this._cross ?? size.map((value) => value / 2);
      this._cross = from.map((value, i) => Math.max(0, Math.min(value + step[i] * (event.shiftKey ? 10 : 1), size[i])));
      if (this._hand) this._drag(this._cross);
      this._magnify(this._cross, true);
      this._draw();
    } else if (event.key === "Enter") {
      this._cross ??= [this._picture.width / 2, this._picture.height / 2];
      if (this._hand) this._release(this._cross);
      else {
        this._press(this._cross);
        if (this._hand?.point !== undefined) this._release(this._cross);
      }
      this._draw();
    } else if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  _magnify([x, y], wanted) {
    this._loupe.hidden = !wanted || this._scale > LOUPE / 1.5;
    if (this._loupe.hidden) return;
    const context = this._loupe.getContext("2d");
    const size = this._loupe.width;
    const reach = size / LOUPE;
    context.imageSmoothingEnabled = false;
    context.fillStyle = "#000";
    context.fillRect(0, 0, size, size);
    context.drawImage(this._picture, x - reach / 2, y - reach / 2, reach, reach, 0, 0, size, size);
    context.strokeStyle = "rgb(255 255 255 / 0.85)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(size / 2 + dx * 5, size / 2 + dy * 5);
      context.lineTo(size / 2 + dx * 34, size / 2 + dy * 34);
    }
    context.stroke();
    const right = this._origin[0] + x * this._scale > this._canvas.clientWidth / 2;
    this._loupe.classList.toggle("left", right);
  }

  _hideLoupe() {
    this._loupe.hidden = true;
  }

  _draw() {
    if (this._due) return;
    this._due = true;
    requestAnimationFrame(() => {
      this._due = false;
      this._paint();
    });
  }

  _paint() {
    const context = this._canvas.getContext("2d", { alpha: false });
    const dense = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#0b0f13";
    context.fillRect(0, 0, this._canvas.width, this._canvas.height);
    if (!this._picture) return;
    const scale = this._scale * dense;
    context.setTransform(1, 0, 0, 1, this._origin[0] * dense, this._origin[1] * dense);
    context.imageSmoothingEnabled = this._scale < 4;
    context.drawImage(this._picture, 0, 0, this._picture.width * scale, this._picture.height * scale);
    if (this._found) {
      const layers = new Set(["skeleton", "boxes", "names", "scores"]);
      drawTracks(context, this._found, scale, layers, dense);
    }
    this._paintSketch(context, scale, dense);
    Object.assign(this._canvas.dataset, { scale: this._scale, x: this._origin[0], y: this._origin[1], mode: this.mode });
  }

  _paintSketch(context, scale, dense) {
    const { example, edges, next } = this._sketch;
    if (!example) return;
    const points = example.points.map((point) => (Array.isArray(point) ? point.map((value) => value * scale) : null));
    if (example.box) {
      drawBox(context, example.box, scale, "#4fd6b8", dense);
      if (this.mode === "box") this._paintCorners(context, example.box, scale, dense);
    }
    context.lineCap = "round";
    for (const [a, b] of edges) {
      if (points[a] && points[b]) line(context, points[a], points[b], "rgb(255 255 255 / 0.8)", 2 * dense);
    }
    if (this._hand?.edge !== undefined) {
      line(context, points[this._hand.edge], this._hand.to.map((value) => value * scale), "#ffb454", 2 * dense);
    }
    points.forEach((point, i) => {
      if (!point) return;
      dot(context, point, pointColour(i), (i === this._hand?.point ? 7 : 5) * dense, dense);
    });
    if (this._cross && document.activeElement === this._canvas) {
      const colour = this.mode === "place" && next !== null ? pointColour(next) : "#fff";
      cross(context, this._cross.map((value) => value * scale), colour, dense);
    }
  }

  _paintCorners(context, [x0, y0, x1, y1], scale, dense) {
    context.fillStyle = "#4fd6b8";
    for (const [x, y] of [[x0, y0], [x1, y0], [x0, y1], [x1, y1]]) {
      context.fillRect(x * scale - 4 * dense, y * scale - 4 * dense, 8 * dense, 8 * dense);
    }
  }
}

function line(context, a, b, style, width) {
  for (const [colour, wide] of [["rgb(0 0 0 / 0.5)", width * 2], [style, width]]) {
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.stroke();
  }
}

function dot(context, point, colour, radius, dense) {
  context.beginPath();
  context.arc(...point, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 2 * dense;
  context.strokeStyle = "#0b0f13";
  context.stroke();
}

function cross(context, [x, y], colour, dense) {
  const reach = 12 * dense;
  line(context, [x - reach, y], [x + reach, y], colour, 1.5 * dense);
  line(context, [x, y - reach], [x, y + reach], colour, 1.5 * dense);
}
