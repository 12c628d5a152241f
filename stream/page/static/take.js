// Recordings that are started and stopped here.
import { clock } from "./lanes.js";

const get = (id) => document.getElementById(id);

export class Take {
  constructor(connection) {
    this._connection = connection;
    this._running = false;
    get("record").onclick = () => this.press();
  }

  /** Whether there is a folder for recordings. */
  know(there) {
    get("taking").hidden = !there;
  }

  /** How a recording goes, null when there is none. */
  tell(take, now) {
    this._running = Boolean(take);
    get("record").setAttribute("aria-pressed", String(this._running));
    get("record").classList.toggle("recording", this._running);
    get("record-text").textContent = take ? `Stop ${clock(Math.max(now - take.since, 0), 0)}` : "Record";
    get("with-video").disabled = this._running;
    if (!take) return;
    get("with-video").checked = take.video;
    this._say(take.lost ? [...take.errors, `${take.lost} frames are missing`] : take.errors);
  }

  /** Start or stop. */
  async press() {
    if (get("taking").hidden || get("record").disabled) return;
    const running = this._running;
    get("record").disabled = true;
    get("take-said").textContent = running ? "Finishing the files…" : "";
    try {
      const answer = await this._connection.ask(running ? { do: "stop" } : { do: "record", video: get("with-video").checked });
      if (running) get("take-said").textContent = "Recorded: see Recordings.";
      this._say(answer.errors ?? []);
    } catch (error) {
      get("take-said").textContent = "";
      this._say([error.message]);
    }
    get("record").disabled = false;
  }

  _say(errors) {
    get("take-error").textContent = errors.join(" ");
    get("take-error").hidden = !errors.length;
  }
}
