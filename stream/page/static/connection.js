// What the page says to the server and hears from it.

export class Connection extends EventTarget {
  /** Emits "open", "closed", "hello", "status", "log", "found", "frame", "held", "moment"; `detail` is what came. */
  constructor() {
    super();
    this.offset = 0; // s by which the server's clock is ahead
    this.open = false;
    this._answers = new Map();
    this._next = 1;
    this._worker = new Worker("/static/receiver.js", { type: "module" });
    this._worker.onmessage = ({ data }) => this._heard(data);
  }

  /** Unix s on the server's clock. */
  now() {
    return (performance.timeOrigin + performance.now()) / 1000 + this.offset;
  }

  /** An order without an answer. */
  say(order) {
    this._worker.postMessage({ type: "say", order });
  }

  /** An order with one; rejects with the server's sentence. */
  ask(order) {
    const id = this._next++;
    this.say({ ...order, id });
    return new Promise((resolve, reject) => {
      if (!this.open) return reject(new Error("There is no connection to the stream."));
      this._answers.set(id, { resolve, reject });
    });
  }

  /** A frame was painted, or a newer one will be in its place. */
  painted(camera) {
    this._worker.postMessage({ type: "painted", camera });
  }

  _heard(data) {
    if (data.type === "clock") this.offset = data.offset;
    else if (data.type === "answer") {
      const { resolve, reject } = this._answers.get(data.id) ?? {};
      this._answers.delete(data.id);
      if (data.error) reject?.(new Error(data.error));
      else resolve?.(data);
      return;
    } else if (data.type === "open") this.open = true;
    else if (data.type === "closed") {
      this.open = false;
      for (const { reject } of this._answers.values()) reject(new Error("The connection to the stream was lost."));
      this._answers.clear();
    }
    this.dispatchEvent(new CustomEvent(data.type, { detail: data }));
  }
}
