// From the lines of a drawing to what uPlot draws: one list of steps, and a value or null for each.

function joined(runs) {
  const steps = [...new Set(runs.flatMap((run) => Array.from(run.steps)))].sort((a, b) => a - b);
  const place = new Map(steps.map((step, i) => [step, i]));
  const aligned = (run, values) => {
    const made = new Array(steps.length).fill(null);
    run.steps.forEach((step, i) => {
      if (Number.isFinite(values[i])) made[place.get(step)] = values[i];
    });
    return made;
  };
  return { steps, aligned };
}

// The mean of the last `width` values that were logged.
function smoothed(values, width) {
  const window = [];
  return values.map((value) => {
    if (value === null) return null;
    window.push(value);
    if (window.length > width) window.shift();
    return window.reduce((sum, each) => sum + each, 0) / window.length;
  });
}

// Lines on one another, the first at the bottom; `parts` are their own values.
function stacked(parts) {
  const sums = new Array(parts[0]?.length ?? 0).fill(0);
  const some = sums.map((_, i) => parts.some((part) => part[i] !== null));
  return parts.map((part) => part.map((value, i) => (some[i] ? (sums[i] += value ?? 0) : null)));
}

// Each of a drawing's curves: its line, what it is (line, faint, points), its own values and the heights drawn.
function curvesOf(drawing, runs, smoothing, isOff) {
  const used = [...new Set(drawing.lines.map((line) => line.run))].map((number) => runs[number]);
  const { steps, aligned } = joined(used);
  const curves = [];
  for (const line of drawing.lines.filter((line) => !isOff(line))) {
    const run = runs[line.run];
    if (line.values) {
      const values = aligned(run, run.column(line.values));
      const smooth = smoothing > 1 && !drawing.stacked;
      if (smooth) curves.push({ line, kind: "faint", values, heights: values });
      const shown = smooth ? smoothed(values, smoothing) : values;
      curves.push({ line, kind: "line", values: shown, heights: shown });
    }
    if (line.held_out) {
      const values = aligned(run, run.column(line.held_out));
      curves.push({ line, kind: "points", values, heights: values });
    }
  }
  if (drawing.stacked) stacked(curves.map((curve) => curve.values)).forEach((heights, i) => (curves[i].heights = heights));
  return { steps, curves, runs: used };
}
