// One chart: its curves, its legend, its points by mouse and by keyboard, and its numbers as a table.

const HEIGHT = 210;
const ZERO_BASED = new Set(["share", "tokens", "seconds"]);

function yRange(drawing) {
  return (_, low, high) => {
    if (low === null || low === undefined) return [0, 1];
    const span = high - low || Math.abs(high) || 1;
    const fromZero = low >= 0 && (drawing.stacked || ZERO_BASED.has(drawing.unit) || low < high / 2);
    return [fromZero ? 0 : low - 0.06 * span, high + 0.06 * span];
  };
}

function xRange(_, low, high) {
  if (low === null || low === undefined) return [0, 1];
  return low === high ? [low - 1, high + 1] : [low, high];
}

function yAxisSize(plot, values) {
  const longest = Math.max(0, ...(values ?? []).map((value) => value.length));
  return Math.max(44, 16 + 7 * longest);
}

function seriesOf(drawing, curve) {
  const stroke = colour(curve.line.colour);
  const common = { stroke, label: curve.line.name, spanGaps: true };
  if (curve.kind === "points") {
    return { ...common, paths: () => null, points: { show: true, size: 8, width: 2, stroke, fill: css("--paper") } };
  }
  if (curve.kind === "faint") return { ...common, width: 1, alpha: 0.3, points: { show: false } };
  const dashes = dash(curve.line.colour, curve.line.dash);
  if (drawing.stacked) return { ...common, width: 1, fill: mixed(stroke), points: { show: false } };
  return { ...common, width: 2, dash: dashes };
}

function mixed(stroke) {
  return `color-mix(in srgb, ${stroke} 55%, ${css("--paper")})`;
}

function optionsOf(drawing, curves, runs, width, hooks) {
  const axis = { stroke: css("--dim"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1 } };
  const font = `11px ${css("--font")}`;
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    scales: { x: { time: false, range: xRange }, y: { range: yRange(drawing) } },
    axes: [
      { ...axis, font, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000, 1e6] },
      { ...axis, font, size: yAxisSize, values: (_, ticks) => ticks.map((tick) => axisFigure(tick, drawing.unit)) },
    ],
    series: [{}, ...curves.map((curve) => seriesOf(drawing, curve))],
    bands: drawing.stacked ? curves.slice(1).map((_, i) => ({ series: [i + 2, i + 1], fill: mixed(colour(curves[i + 1].line.colour)) })) : [],
    cursor: {
      drag: { x: true, y: false, setScale: false },
      points: { size: 7, width: 0, fill: (_, series) => colour(curves[series - 1].line.colour) },
      dataIdx: nearest,
      bind: { dblclick: () => () => hooks.zoom(null) },
      sync: { key: "steps", setSeries: false, filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
    },
    hooks: {
      draw: [resumeMarks(runs, new Set(drawing.lines.map((line) => line.run)).size === 1)],
      setCursor: [hooks.moved],
      setSelect: [(plot) => plot.select.width > 4 && hooks.zoom([plot.select.left, plot.select.left + plot.select.width])],
    },
  };
}

// The place of the value that is nearest to the cursor: not every step has one.
function nearest(plot, series, place) {
  const values = plot.data[series];
  if (values[place] !== null) return place;
  for (let away = 1; away < values.length; away++) {
    if (values[place - away] !== null && values[place - away] !== undefined) return place - away;
    if (values[place + away] !== null && values[place + away] !== undefined) return place + away;
  }
  return place;
}

class ChartView {
  // `hooks`: zoom(range), toggle(line), isOff(line), smoothing(), range(), pick(curve, step).
  constructor(figureElement, drawing, runs, hooks) {
    this.figure = figureElement;
    this.drawing = drawing;
    this.runs = runs;
    this.hooks = hooks;
    this.canPick = drawing.lines.some((line) => line.filter);
    this.host = el("div", { class: "plot", tabindex: "0", role: "group", keydown: (event) => this.onKey(event) });
    this.host.classList.toggle("pickable", this.canPick);
    this.legend = el("div", { class: "legend" });
    this.said = el("p", { class: "said", "aria-live": "polite" });
    this.numbers = el("details", { class: "numbers", toggle: () => this.fillNumbers() }, el("summary", {}, "Numbers"));
    this.figure.append(this.legend, this.host, this.said, this.numbers);
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  draw() {
    this.plot?.destroy();
    const { steps, curves, runs } = curvesOf(this.drawing, this.runs, this.hooks.smoothing(), this.hooks.isOff);
    this.steps = steps;
    this.curves = curves;
    this.fillLegend();
    this.numbers.open = false;
    const empty = !steps.length || !this.drawing.lines.some((line) => line.values || line.held_out);
    this.host.replaceChildren(...(empty ? [el("p", { class: "dim" }, "The run logged none of this.")] : []));
    this.plot = null;
    if (empty) return;
    const hooks = { zoom: (pixels) => this.zoom(pixels), moved: () => this.moved() };
    const options = optionsOf(this.drawing, curves, runs, this.host.clientWidth || 320, hooks);
    this.plot = new uPlot(options, [steps, ...curves.map((curve) => curve.heights)], this.host);
    this.range();
    this.host.setAttribute("aria-label", this.spoken());
    this.bindClicks();
  }

  // The part of the steps that all charts show.
  range() {
    const [low, high] = this.hooks.range() ?? [this.steps[0], this.steps.at(-1)];
    this.plot?.setScale("x", { min: low, max: high });
  }

  zoom(pixels) {
    this.plot.setSelect({ left: 0, width: 0 }, false);
    this.hooks.zoom(pixels?.map((pixel) => this.plot.posToVal(pixel, "x")) ?? null);
  }

  resize() {
    const width = this.host.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  fillLegend() {
    this.values = new Map();
    const buttons = this.drawing.lines.map((line) => {
      const value = el("span", { class: "figure" });
      this.values.set(line, value);
      const button = el(
        "button",
        { type: "button", class: "key", "aria-pressed": String(!this.hooks.isOff(line)), click: () => this.hooks.toggle(line) },
        swatch(line.colour, line.dash, this.drawing.stacked),
        el("span", {}, line.name),
        value,
      );
      button.title = "Show or hide this curve";
      return button;
    });
    this.at = el("span", { class: "at" });
    this.legend.replaceChildren(...buttons, this.at);
    this.fillValues(null);
  }

  // Values at the cursor, or the last ones.
  fillValues(places) {
    for (const [line, value] of this.values) {
      const parts = this.curves
        .map((curve, i) => ({ curve, place: places ? places[i + 1] : lastPlace(curve.values) }))
        .filter(({ curve }) => curve.line === line && curve.kind !== "faint")
        .map(({ curve, place }) => {
          const words = figure(curve.values[place], this.drawing.unit);
          return curve.kind === "points" ? `○ ${words}` : words;
        });
      value.textContent = parts.filter((part) => !part.endsWith("–")).join("  ");
    }
    const step = places ? this.steps[this.plot.cursor.idx] : undefined;
    this.at.textContent = step === undefined ? "" : `step ${step}`;
  }

  moved() {
    if (!this.plot) return;
    this.fillValues(this.plot.cursor.idx === null || this.plot.cursor.idx === undefined ? null : this.plot.cursor.idxs);
  }

  bindClicks() {
    let pressed = null;
    this.plot.over.addEventListener("mousedown", (event) => (pressed = event.clientX));
    this.plot.over.addEventListener("click", (event) => {
      if (pressed !== null && Math.abs(event.clientX - pressed) < 4) this.pick(this.plot.cursor.top);
    });
  }

  // The rollouts of the value that is nearest to the cursor, or of the part that it is in.
  pick(top) {
    if (!this.canPick || this.plot.cursor.idx === null || this.plot.cursor.idx === undefined) return;
    const near = this.curves
      .map((curve, i) => ({ curve, place: this.plot.cursor.idxs[i + 1] }))
      .filter(({ curve, place }) => place !== null && place !== undefined && curve.values[place] !== null)
      .map(({ curve, place }) => {
        const down = this.plot.valToPos(curve.heights[place], "y") - top;
        const across = Math.abs(this.plot.valToPos(this.steps[place], "x") - this.plot.cursor.left);
        const outside = this.drawing.stacked && (down > 0 || curve.values[place] === 0);
        return { curve, step: this.steps[place], distance: Math.abs(down) + across + (outside ? 1e6 : 0) };
      });
    near.sort((a, b) => a.distance - b.distance);
    if (near.length) this.hooks.pick(near[0].curve, near[0].step);
  }

  // Left and right go from step to step, up and down from curve to curve.
  onKey(event) {
    if (!this.plot || event.target !== this.host) return;
    const last = this.steps.length - 1;
    const from = this.plot.cursor.idx ?? (event.key === "ArrowLeft" ? last + 1 : -1);
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, ArrowUp: from, ArrowDown: from, Home: 0, End: last }[event.key];
    if (event.key === "Enter") this.pick(this.plot.cursor.top);
    else if (event.key === "Escape") this.hooks.zoom(null);
    else if (to === undefined) return;
    else this.go(Math.min(Math.max(to, 0), last), { ArrowUp: -1, ArrowDown: 1 }[event.key] ?? 0);
    event.preventDefault();
  }

  go(place, turn) {
    const here = this.curves.filter((curve) => curve.kind !== "faint" && curve.values[place] !== null);
    this.chosen = here[(here.indexOf(this.chosen) + turn + here.length) % here.length] ?? here[0];
    const top = this.chosen ? this.plot.valToPos(this.chosen.heights[place], "y") : 0;
    this.plot.setCursor({ left: this.plot.valToPos(this.steps[place], "x"), top });
    const parts = here.map((curve) => `${curve.line.name}${curve.kind === "points" ? ", held out" : ""} ${figure(curve.values[place], this.drawing.unit)}`);
    if (this.chosen) parts.unshift(`on ${this.chosen.line.name}`);
    this.said.textContent = `Step ${this.steps[place]}: ${parts.join("; ") || "nothing"}.`;
  }

  spoken() {
    const parts = this.curves
      .filter((curve) => curve.kind !== "faint")
      .map((curve) => `${curve.line.name}${curve.kind === "points" ? ", held out" : ""}: ${figure(curve.values[lastPlace(curve.values)], this.drawing.unit)}`);
    return `${this.drawing.title}, ${count(this.steps.length, "step")}. Last values: ${parts.join("; ") || "none"}.`;
  }

  fillNumbers() {
    if (!this.numbers.open) return;
    this.numbers.querySelector("div")?.remove();
    const shown = this.curves.filter((curve) => curve.kind !== "faint");
    const names = shown.map((curve) => curve.line.name + (curve.kind === "points" ? ", held out" : ""));
    const head = el("tr", {}, ...["step", ...names].map((name) => el("th", { scope: "col" }, name)));
    const rows = this.steps.map((step, i) =>
      el("tr", {}, el("th", { scope: "row" }, String(step)), ...shown.map((curve) => el("td", {}, figure(curve.values[i], this.drawing.unit)))),
    );
    const table = el("table", { class: "plain" }, el("thead", {}, head), el("tbody", {}, ...rows));
    this.numbers.append(el("div", { class: "wide", tabindex: "0" }, table));
  }
}

function lastPlace(values) {
  return values.findLastIndex((value) => value !== null);
}

function swatch(number, of, filled) {
  const made = el("span", { class: filled ? "swatch filled" : "swatch", "aria-hidden": "true" });
  made.style.borderTopColor = `var(--line-${number % COLOURS})`;
  made.style.borderTopStyle = ["solid", "dashed", "dotted", "double"][(of + Math.floor(number / COLOURS)) % DASHES.length];
  return made;
}
