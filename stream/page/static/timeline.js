// Latency by stage over the last minutes.

const KEPT = 240; // s
const STAGES = [
  ["total", "#4fd6b8"], ["engine", "#ffb454"], ["wait", "#8aa4ff"], ["decode", "#c792ea"], ["track", "#f07178"],
];

export class Timeline {
  constructor(element) {
    this._element = element;
    this._data = new Map(); // camera -> columns
    this.camera = null;
  }

  /** How the stages of a camera were in the last second. */
  add(camera, time, stages) {
    const columns = this._data.get(camera) ?? [[], ...STAGES.map(() => [])];
    this._data.set(camera, columns);
    columns[0].push(time);
    STAGES.forEach(([name], i) => columns[i + 1].push(stages[name] ?? null));
    if (columns[0].length > KEPT) columns.forEach((column) => column.shift());
    if (camera === this.camera) this.draw();
  }

  /** Show this camera's. */
  of(camera) {
    this.camera = camera;
    this.draw();
  }

  draw() {
    const columns = this._data.get(this.camera);
    const width = this._element.clientWidth;
    if (!columns || columns[0].length < 2 || !width) return;
    if (!this._plot) {
      const ink = getComputedStyle(this._element).color;
      const line = { stroke: ink, grid: { stroke: "rgb(128 128 128 / 0.18)", width: 1 }, ticks: { show: false } };
      const series = STAGES.map(([label, stroke]) => ({ label, stroke, width: 1.5, points: { show: false } }));
      const font = "11px system-ui, sans-serif";
      this._plot = new uPlot(
        {
          width, height: 130, legend: { show: false }, cursor: { show: false },
          series: [{}, ...series],
          axes: [{ ...line, font, size: 24, space: 70, values: ago }, { ...line, font, size: 34 }],
          scales: { y: { range: (_, __, most) => [0, Math.max(most * 1.1, 10)] } },
        },
        columns, this._element,
      );
      const legend = document.createElement("p");
      legend.className = "legend";
      for (const [name, colour] of STAGES) {
        const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
        swatch.style.background = colour;
        const item = document.createElement("span");
        item.append(swatch, name);
        legend.append(item);
      }
      this._element.append(legend);
    }
    if (this._plot.width !== width) this._plot.setSize({ width, height: 130 });
    this._plot.setData(columns);
  }
}

const ago = (plot, splits) => {
  const last = plot.data[0].at(-1);
  return splits.map((at) => (last - at < 1 ? "now" : `−${Math.round(last - at)} s`));
};
