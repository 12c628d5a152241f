// The connection, in a worker: acknowledges a frame when it has arrived, decodes it, and hands over the newest.
import { decode } from "./vendor/msgpack/decode.mjs";

const MOST_IN_HAND = 2; // decoded frames of a camera that the page has not painted yet
const LONGEST_PAUSE = 5000; // ms between two tries to connect

let socket = null;
let pause = 250;
let best = { trip: Infinity, offset: 0 };
const cameras = new Map(); // name -> {waiting, inHand}

const now = () => (performance.timeOrigin + performance.now()) / 1000; // Unix s

function connect() {
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  opened.binaryType = "arraybuffer";
  opened.onopen = () => {
    pause = 250;
    best = { trip: Infinity, offset: 0 };
    for (const camera of cameras.values()) camera.inHand = 0;
    postMessage({ type: "open" });
    ping();
  };
  opened.onmessage = ({ data }) => (typeof data === "string" ? heard(JSON.parse(data)) : received(data));
  opened.onclose = ({ reason }) => {
    if (socket !== opened) return;
    postMessage({ type: "closed", reason });
    setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  };
  socket = opened;
}

function say(order) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(order));
}

function ping() {
  say({ do: "ping", at: now() });
}
setInterval(ping, 5000);

function heard(message) {
  if (message.type !== "pong") return postMessage(message);
  const trip = now() - message.at;
  if (trip < best.trip) best = { trip, offset: message.time + trip / 2 - now() };
  postMessage({ type: "clock", offset: best.offset });
}

function received(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = decode(new Uint8Array(data, 4, length));
  const jpeg = new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" });
  if (header.kind !== "frame") return show(header, jpeg);
  const { camera, frame } = header.message;
  say({ do: "arrived", camera, frame });
  const state = cameras.get(camera) ?? { waiting: null, inHand: 0 };
  cameras.set(camera, state);
  state.waiting = [header, jpeg];
  next(state);
}

function next(state) {
  if (!state.waiting || state.inHand >= MOST_IN_HAND) return;
  const [header, jpeg] = state.waiting;
  state.waiting = null;
  state.inHand += 1;
  show(header, jpeg, () => (state.inHand -= 1));
}

async function show(header, jpeg, failed = () => {}) {
  if (header.blank) return postMessage({ type: header.kind, header, bitmap: null });
  try {
    const bitmap = await createImageBitmap(jpeg);
    postMessage({ type: header.kind, header, bitmap }, [bitmap]);
  } catch {
    failed();
  }
}

onmessage = ({ data }) => {
  if (data.type !== "painted") return say(data.order);
  const state = cameras.get(data.camera);
  if (!state) return;
  state.inHand = Math.max(0, state.inHand - 1);
  next(state);
};

connect();
