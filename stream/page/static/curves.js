// What keypoints of one track did: x and y, and how sure they were.
import { pointColour } from "./sketch.js";
import { clock } from "./lanes.js";

const HEIGHT = 110;

export class Curves extends EventTarget {
  /** Emits "sought" with the time that was clicked. */
  constructor(element) {
    super();
    this._element = element;
    this._plots = [];
    this._time = 0;
    new ResizeObserver(() => this._fit()).observe(element);
  }

  /** Curves {keypoint, name, seconds, x, y, score, every} of one track, all with the same times; none: nothing is shown. */
  show(curves, [begin, end]) {
    for (const plot of this._plots) plot.destroy();
    this._plots = [];
    this._element.hidden = !curves.length;
    if (!curves.length) return;
    const columns = [curves[0].seconds, ...curves.flatMap(({ x, y }) => [x, y])];
    const colours = curves.map(({ keypoint }) => pointColour(keypoint));
    const places = colours.flatMap((stroke) => [{ stroke, width: 1.5 }, { stroke, width: 1.5, dash: [5, 4] }]);
    const sure = colours.map((stroke) => ({ stroke, width: 1.5 }));
    this._plots = [
      this._plot("places", "px", columns, places, [begin, end]),
      this._plot("sureness", "score", [curves[0].seconds, ...curves.map(({ score }) => score)], sure, [begin, end], [0, 1]),
    ];
    const said = document.getElementById("curve-said");
    said.replaceChildren(
      ...curves.map(({ name }, i) => {
        const item = document.createElement("span");
        const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
        swatch.style.background = colours[i];
        item.append(swatch, name.replaceAll("_", " "));
        return item;
      }),
      `x —, y - -${curves[0].every > 1 ? `; every ${curves[0].every}th frame: zoom in for all` : ""}`,
    );
    this._fit();
  }

  /** Mark a time. */
  mark(time) {
    this._time = time;
    for (const plot of this._plots) plot.redraw(false, false);
  }

  _plot(id, unit, columns, series, range, limits) {
    const ink = getComputedStyle(this._element).color;
    const font = "11px system-ui, sans-serif";
    const axis = { stroke: ink, font, grid: { stroke: "rgb(128 128 128 / 0.18)", width: 1 }, ticks: { show: false } };
    const box = document.getElementById(id);
    const plot = new uPlot(
      {
        width: box.clientWidth || 300, height: HEIGHT, legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        series: [{}, ...series.map((one) => ({ ...one, points: { show: false } }))],
        axes: [
          { ...axis, size: 22, space: 70, values: (_, splits) => splits.map((at) => clock(at, range[1] - range[0] < 5 ? 2 : 0)) },
          { ...axis, size: 44, label: unit, labelSize: 14, labelFont: font, labelGap: 0 },
        ],
        scales: { x: { time: false, range: () => range }, y: limits ? { range: () => limits } : {} },
        hooks: { draw: [(drawn) => this._paintTime(drawn)] },
      },
      columns, box,
    );
    plot.over.addEventListener("click", (event) => {
      this.dispatchEvent(new CustomEvent("sought", { detail: plot.posToVal(event.offsetX, "x") }));
    });
    return plot;
  }

  _paintTime(plot) {
    const at = plot.valToPos(this._time, "x", true);
    const { left, top, width, height } = plot.bbox;
    if (at < left || at > left + width) return;
    plot.ctx.fillStyle = getComputedStyle(this._element).getPropertyValue("--warm");
    plot.ctx.fillRect(at - 1, top, 2, height);
  }

  _fit() {
    for (const plot of this._plots) {
      const width = plot.root.parentElement.clientWidth;
      if (width && plot.width !== width) plot.setSize({ width, height: HEIGHT });
    }
  }
}
