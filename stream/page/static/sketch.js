// A prompt while it is being clicked together: what it is called, its keypoints and edges, and its examples.

export const TODO = null;
export const SKIPPED = false;

export class Sketch extends EventTarget {
  /** Emits "changed". Points are [x, y] in px of the full picture, TODO, or SKIPPED for one that is hidden. */
  constructor() {
    super();
    this.clear();
  }

  clear() {
    this.category = "";
    this.fixed = false; // keypoints are those of a skeleton file
    this.names = [];
    this.edges = [];
    this.examples = [];
    this.at = 0;
    this.armed = null; // the keypoint that the next click sets, where it is not the first to do
    this._past = [];
  }

  get example() {
    return this.examples[this.at];
  }

  /** The keypoint that a click would set; names.length: a new one. */
  get next() {
    if (this.armed !== null) return this.armed;
    const i = this.example?.points.indexOf(TODO) ?? -1;
    return i >= 0 ? i : this.fixed ? null : this.names.length;
  }

  /** Change something so that it can be undone. */
  change(what) {
    this._past.push(this._state());
    if (this._past.length > 200) this._past.shift();
    what();
    this.tell();
  }

  undo() {
    const past = this._past.pop();
    if (past) Object.assign(this, JSON.parse(past));
    this.tell();
    return Boolean(past);
  }

  tell() {
    this.dispatchEvent(new Event("changed"));
  }

  _state() {
    const { category, fixed, names, edges, examples, at, armed } = this;
    return JSON.stringify({ category, fixed, names, edges, examples, at, armed });
  }

  /** Keypoints of a skeleton file; null: named by clicking. */
  take(skeleton, category) {
    this.change(() => {
      this.fixed = Boolean(skeleton);
      this.names = skeleton ? [...skeleton.keypoints] : [];
      this.edges = skeleton ? skeleton.edges.map((edge) => [...edge]) : [];
      this.armed = null;
      for (const example of this.examples) example.points = this.names.map(() => TODO);
      if (skeleton && !this.category) this.category = category;
    });
  }

  /** One more example, on a frame. */
  add(camera, frame) {
    this.examples.push({ camera, frame, box: null, points: this.names.map(() => TODO) });
    this.at = this.examples.length - 1;
    this.armed = null;
    this.tell();
  }

  /** Set the next keypoint, or make one; its number, null where all are set. */
  place(point) {
    const i = this.next;
    if (i === null || !this.example) return null;
    this.change(() => {
      if (i === this.names.length) {
        this.names.push(this._newName());
        for (const example of this.examples) example.points.push(TODO);
      }
      this.example.points[i] = point;
      this.armed = null;
    });
    return i;
  }

  _newName() {
    let number = this.names.length + 1;
    while (this.names.includes(`point ${number}`)) number += 1;
    return `point ${number}`;
  }

  /** Leave the next keypoint out: it is hidden. */
  skip() {
    const i = this.next;
    if (i === null || i === this.names.length) return;
    this.change(() => {
      this.example.points[i] = SKIPPED;
      this.armed = null;
    });
  }

  /** Join two keypoints, or part them. */
  join(a, b) {
    if (a === b) return;
    this.change(() => {
      const same = ([c, d]) => (c === a && d === b) || (c === b && d === a);
      this.edges = this.edges.some(same) ? this.edges.filter((edge) => !same(edge)) : [...this.edges, [a, b]];
    });
  }

  /** As the server takes it; throws a sentence where something is missing. */
  order(words) {
    const category = this.category.trim();
    if (!category) throw new Error("Say what it is.");
    const examples = this.examples.filter((example) => example.box || example.points.some(Array.isArray));
    if (!examples.some((example) => example.points.some(Array.isArray))) throw new Error("Click at least one keypoint.");
    for (const [i, example] of examples.entries()) {
      if (!example.box) throw new Error(`Draw a box around example ${i + 1}.`);
    }
    if (new Set(this.names.map((name) => name.trim())).size < this.names.length) {
      throw new Error("Two keypoints have the same name.");
    }
    return {
      category,
      keypoints: this.names.map((name) => name.trim()),
      edges: this.edges,
      words,
      examples: examples.map(({ camera, frame, box, points }) => ({
        camera, frame, box, keypoints: points.map((point) => (Array.isArray(point) ? point : null)),
      })),
    };
  }
}

/** A colour for every keypoint. */
export const pointColour = (i) => `hsl(${(i * 137.5) % 360} 85% 62%)`;
