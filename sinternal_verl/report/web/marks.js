// Resumes on a curve: an upright line at the step from which a start went on.

function resumeMarks(runs, single) {
  return (plot) => {
    const context = plot.ctx;
    const { left, top, width, height } = plot.bbox;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.lineWidth = devicePixelRatio;
    context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    for (const run of runs) {
      context.strokeStyle = single ? css("--mark") : colour(run.number);
      for (const { step } of run.starts.filter((start) => start.step > 0)) {
        const x = Math.round(plot.valToPos(step, "x", true));
        context.beginPath();
        context.moveTo(x, top);
        context.lineTo(x, top + height);
        context.stroke();
      }
    }
    context.restore();
  };
}
