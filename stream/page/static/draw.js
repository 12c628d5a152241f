// Tracks on a canvas. Places are px of the camera's picture, from its top left corner, times `scale`.

/** Neighbouring ids get hues far apart, as in overlay videos. */
export function colourOf(id, dim = false) {
  return hsv((id * 0.618034) % 1, dim ? 0.3 : 0.72, dim ? 0.72 : 1);
}

function hsv(h, s, v) {
  const part = (n) => {
    const k = (n + h * 6) % 6;
    return Math.round(255 * (v - v * s * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return `rgb(${part(5)} ${part(3)} ${part(1)})`;
}

export const LAYERS = [
  // name, key, what it is called, shown at first
  ["skeleton", "s", "Skeletons", true],
  ["boxes", "b", "Boxes", false],
  ["names", "n", "Names", true],
  ["scores", "c", "Scores", false],
  ["ellipses", "e", "Ellipses", false],
  ["velocities", "v", "Velocities", false],
  ["predicted", "p", "Predicted", false],
  ["raw", "r", "Raw", false],
  ["keypoints", "k", "Keypoint names", false],
];

const AHEAD = 0.15; // s of a velocity's arrow

/** Draw all tracks of a message. `layers` is a set of names of LAYERS. */
export function drawTracks(context, message, scale, layers, unit) {
  const categories = new Map(message.categories.map((category) => [category.id, category]));
  context.save();
  context.lineCap = context.lineJoin = "round";
  for (const track of message.tracks) drawTrack(context, track, categories.get(track.category), scale, layers, unit);
  context.restore();
}

function drawTrack(context, track, category, scale, layers, unit) {
  const dim = track.status === "coasting";
  const colour = colourOf(track.id, dim);
  const points = scaled(track.keypoints, scale);
  if (layers.has("ellipses")) drawEllipses(context, points, track.covariances, scale, colour, unit);
  if (layers.has("boxes")) drawBox(context, track.box, scale, colour, unit, dim);
  if (layers.has("predicted") && track.predicted) {
    context.setLineDash([4 * unit, 4 * unit]);
    drawLimbs(context, scaled(track.predicted, scale), category.edges, colour, unit, true);
    context.setLineDash([]);
  }
  if (layers.has("skeleton")) {
    drawLimbs(context, points, category.edges, colour, unit, dim);
    drawPoints(context, points, track.keypoint_status, colour, unit);
  }
  if (layers.has("velocities")) drawArrows(context, points, track.velocities, scale, unit);
  if (layers.has("raw")) drawCrosses(context, scaled(track.measured, scale), unit);
  if (layers.has("keypoints")) drawWords(context, points, category.keypoints, unit);
  const words = [layers.has("names") && `${category.name} ${track.id}`, layers.has("scores") && track.score.toFixed(2)];
  const text = words.filter(Boolean).join("  ");
  if (text) drawLabel(context, text, topOf(track, points, scale), colour, unit);
}

const scaled = (points, scale) => points.map((point) => point && [point[0] * scale, point[1] * scale]);

/** Where a label stands: above the middle of the box. */
function topOf(track, points, scale) {
  const [x0, y0, x1] = track.box;
  return [((x0 + x1) / 2) * scale, y0 * scale];
}

export function drawLimbs(context, points, edges, colour, unit, thin = false) {
  context.beginPath();
  for (const [a, b] of edges) {
    if (!points[a] || !points[b]) continue;
    context.moveTo(...points[a]);
    context.lineTo(...points[b]);
  }
  context.strokeStyle = "rgb(0 0 0 / 0.45)";
  context.lineWidth = (thin ? 2.5 : 5) * unit;
  context.stroke();
  context.strokeStyle = colour;
  context.lineWidth = (thin ? 1.2 : 2.6) * unit;
  context.stroke();
}

function drawPoints(context, points, status, colour, unit) {
  points.forEach((point, i) => {
    if (!point) return;
    const sure = status[i] === "measured";
    context.beginPath();
    context.arc(...point, (sure ? 3.2 : 2.6) * unit, 0, 2 * Math.PI);
    context.fillStyle = sure ? "#fff" : "rgb(0 0 0 / 0.55)";
    context.fill();
    context.lineWidth = 1.6 * unit;
    context.strokeStyle = status[i] === "rejected" ? "#ff5c5c" : colour;
    context.stroke();
  });
}

/** One and two standard deviations. */
function drawEllipses(context, points, covariances, scale, colour, unit) {
  context.lineWidth = 1 * unit;
  points.forEach((point, i) => {
    const covariance = covariances[i];
    if (!point || !covariance) return;
    const [xx, xy, yy] = covariance;
    const middle = (xx + yy) / 2;
    const half = Math.hypot((xx - yy) / 2, xy);
    const long = Math.sqrt(Math.max(middle + half, 0)) * scale;
    const short = Math.sqrt(Math.max(middle - half, 0)) * scale;
    const turn = Math.atan2(2 * xy, xx - yy) / 2;
    for (const [sigmas, fill, line] of [[2, 0.1, 0.3], [1, 0.14, 0.55]]) {
      context.beginPath();
      context.ellipse(...point, long * sigmas, short * sigmas, turn, 0, 2 * Math.PI);
      context.fillStyle = context.strokeStyle = colour;
      context.globalAlpha = fill;
      context.fill();
      context.globalAlpha = line;
      context.stroke();
    }
    context.globalAlpha = 1;
  });
}

export function drawBox(context, box, scale, colour, unit, dashed = false) {
  const [x0, y0, x1, y1] = box.map((value) => value * scale);
  if (dashed) context.setLineDash([6 * unit, 5 * unit]);
  for (const [style, width] of [["rgb(0 0 0 / 0.45)", 3], [colour, 1.4]]) {
    context.strokeStyle = style;
    context.lineWidth = width * unit;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
  context.setLineDash([]);
}

function drawArrows(context, points, velocities, scale, unit) {
  context.strokeStyle = "#fff";
  context.lineWidth = 1.4 * unit;
  context.beginPath();
  points.forEach((point, i) => {
    if (!point || !velocities[i]) return;
    const [dx, dy] = velocities[i].map((speed) => speed * AHEAD * scale);
    const length = Math.hypot(dx, dy);
    if (length < 3 * unit) return;
    const [x, y] = [point[0] + dx, point[1] + dy];
    const turn = Math.atan2(dy, dx);
    context.moveTo(...point);
    context.lineTo(x, y);
    for (const side of [2.6, -2.6]) {
      context.moveTo(x, y);
      context.lineTo(x + 5 * unit * Math.cos(turn + side), y + 5 * unit * Math.sin(turn + side));
    }
  });
  context.stroke();
}

function drawCrosses(context, points, unit) {
  context.beginPath();
  for (const point of points) {
    if (!point) continue;
    const [x, y] = point;
    const r = 3.5 * unit;
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x - r, y + r);
    context.lineTo(x + r, y - r);
  }
  context.strokeStyle = "#ffe066";
  context.lineWidth = 1.6 * unit;
  context.stroke();
}

function drawWords(context, points, names, unit) {
  context.font = `${10 * unit}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineWidth = 2.5 * unit;
  context.strokeStyle = "rgb(0 0 0 / 0.7)";
  context.fillStyle = "#fff";
  points.forEach((point, i) => {
    if (!point) return;
    const place = [point[0] + 6 * unit, point[1]];
    context.strokeText(names[i].replaceAll("_", " "), ...place);
    context.fillText(names[i].replaceAll("_", " "), ...place);
  });
}

export function drawLabel(context, text, [x, y], colour, unit) {
  context.font = `600 ${12 * unit}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const width = context.measureText(text).width + 14 * unit;
  const height = 19 * unit;
  const left = Math.max(2, Math.min(x - width / 2, context.canvas.width - width - 2));
  const top = Math.max(2, y - height - 4 * unit);
  context.beginPath();
  context.roundRect(left, top, width, height, height / 2);
  context.fillStyle = colour;
  context.fill();
  context.fillStyle = "#0b0f13";
  context.fillText(text, left + width / 2, top + height / 2 + 0.5 * unit);
}
