// All charts of the page: each is drawn when it comes near the screen, and all share steps, smoothing and hidden curves.

function startCharts(head, runs, pick) {
  const views = new Map();
  const several = runs.length > 1;

  for (const drawing of head.drawings) {
    const labels = new Set(drawing.lines.map((line) => line.label));
    const overRuns = new Set(drawing.lines.map((line) => line.run)).size > 1 || (several && !drawing.stacked);
    for (const line of drawing.lines) {
      const run = runs[line.run].name;
      line.name = !overRuns ? line.label : labels.size > 1 ? `${run}: ${line.label}` : run;
      line.keys = [`${drawing.id}|${line.name}`, ...(several ? [`run|${run}`] : [])];
    }
  }

  const hooks = {
    pick,
    smoothing: () => Number(State.get("smooth") ?? 1),
    range: () => State.get("x")?.split("~").map(Number),
    isOff: (line) => line.keys.some((key) => State.all("off").includes(key)),
    toggle: (line) => flip(line.keys.find((key) => State.all("off").includes(key)) ?? line.keys[0]),
    zoom(range) {
      const ends = range && [Math.ceil(range[0]), Math.floor(range[1])];
      if (!ends || ends[0] < ends[1]) State.set({ x: ends && ends.join("~") });
    },
  };

  function flip(key) {
    const off = State.all("off");
    State.set({ off: off.includes(key) ? off.filter((each) => each !== key) : [...off, key] });
  }

  function draw(figureElement) {
    if (views.has(figureElement)) return;
    const view = new ChartView(figureElement, head.drawings[figureElement.dataset.number], runs, hooks);
    views.set(figureElement, view);
    view.draw();
  }

  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && draw(entry.target)), {
    rootMargin: "400px",
  });
  const figures = document.querySelectorAll("figure.chart");
  figures.forEach((figureElement) => seen.observe(figureElement));
  addEventListener("beforeprint", () => figures.forEach(draw));

  const again = () => views.forEach((view) => view.draw());
  onColours(again);
  State.onChange((changed) => {
    if (changed.has("off")) fillRunLegend();
    if (changed.has("off") || changed.has("smooth")) again();
    else if (changed.has("x")) views.forEach((view) => view.range());
  });

  function fillRunLegend() {
    if (!several) return;
    const buttons = runs.map((run) => {
      const on = String(!State.all("off").includes(`run|${run.name}`));
      const name = el("span", {}, run.name);
      return el("button", { type: "button", class: "key", "aria-pressed": on, click: () => flip(`run|${run.name}`) }, swatch(run.number, 0), name);
    });
    document.getElementById("legend").replaceChildren(...buttons);
  }

  fillRunLegend();
  drawSparks(head.sparks);
  return { show: (number) => draw(document.getElementById(`chart-${number}`)) };
}

// The small lines of the tiles.
function drawSparks(sparks) {
  const hosts = document.querySelectorAll("[data-spark]");
  const made = new Map();
  const draw = (host) => {
    const values = sparks[host.dataset.spark];
    made.get(host)?.destroy();
    if (values.filter((value) => value !== null).length < 2) return;
    const hidden = { show: false };
    const options = {
      width: host.clientWidth || 120,
      height: 30,
      padding: [3, 3, 3, 3],
      legend: hidden,
      cursor: hidden,
      axes: [hidden, hidden],
      scales: { x: { time: false }, y: { range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) } },
      series: [{}, { stroke: css("--accent"), width: 1.5, points: hidden, spanGaps: true }],
    };
    made.set(host, new uPlot(options, [values.map((_, i) => i), values], host));
  };
  const seen = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && !made.has(entry.target) && draw(entry.target)));
  hosts.forEach((host) => seen.observe(host));
  addEventListener("beforeprint", () => hosts.forEach((host) => made.has(host) || draw(host)));
  onColours(() => [...made.keys()].forEach(draw));
}
