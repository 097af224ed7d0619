// Figures in words; sinternal_verl/report/words.py says the same of the tiles.

function significant(value, digits) {
  if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7)) return value.toExponential(digits - 1);
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

function figure(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "share") return `${(100 * value).toFixed(1)}%`;
  if (unit === "tokens") return Math.round(value).toLocaleString("en");
  if (unit === "seconds") return `${significant(value, 3)} s`;
  return significant(value, 3);
}

// The same at an axis, where many stand close together.
function axisFigure(value, unit) {
  return unit === "share" ? `${significant(100 * value, 3)}%` : figure(value, unit);
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
