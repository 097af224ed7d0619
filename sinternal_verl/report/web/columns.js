// The columns of the table of rollouts: what a cell says, and what it is sorted by.

function columnsOf(all) {
  const number = (key, label, width, values, unit) => ({
    ...{ key, label, width, values, numeric: true },
    text: (i) => (Number.isNaN(values[i]) ? "" : figure(values[i], unit)),
  });
  const whole = (key, label, width, values) => ({
    ...{ key, label, width, values, numeric: true },
    text: (i) => (values[i] === UNKNOWN ? "" : values[i].toLocaleString("en")),
  });
  const named = (key, label, width) => ({
    ...{ key, label, width, values: ranks(all[key], all.names[key]) },
    text: (i) => all.names[key][all[key][i]] ?? "",
  });
  const listed = (key, label, width, values, words) => ({ key, label, width, values, text: (i) => words[values[i]] ?? "" });
  const made = [
    whole("step", "step", 70, all.step),
    listed("held_out", "kind", 84, all.held_out, HELD_OUT),
    named("outcome", "outcome", 130),
    number("score", "score", 84, all.score, ""),
    number("advantage", "advantage", 116, all.advantage, ""),
    whole("length", "tokens", 86, all.length),
    number("safe_probability", "safe probability", 162, all.safe_probability, "share"),
    listed("truncated", "truncated", 112, all.truncated, YES_NO),
    named("source", "source", 200),
    named("row", "prompt", 160),
    { ...whole("place", "response", 112, all.place), text: (i) => String(all.place[i] + 1) },
    listed("hasText", "text here", 106, all.hasText, YES_NO),
    named("reason", "reason", 260),
    ...Object.entries(all.extra).map(([name, values]) => number(`extra|${name}`, name, 110, values, "")),
  ];
  return made.filter((each) => isSaid(each.values));
}

// A column in which no rollout says anything is not shown.
function isSaid(values) {
  return values.some((value) => value !== UNKNOWN && !Number.isNaN(value));
}

// Names are sorted by their letters, not by their numbers.
function ranks(values, names) {
  const order = names.map((_, i) => i).sort((a, b) => names[a].localeCompare(names[b], "en", { numeric: true }));
  const rank = new Int32Array(names.length);
  order.forEach((name, place) => (rank[name] = place));
  return values.map((value) => (value === UNKNOWN ? UNKNOWN : rank[value]));
}

// Sorts in place; what is not known comes last either way.
function sortBy(numbers, values, downwards) {
  const sign = downwards ? -1 : 1;
  const real = values instanceof Float32Array || values instanceof Float64Array;
  const unknown = (value) => (real ? Number.isNaN(value) : value === UNKNOWN);
  return numbers.sort((a, b) => {
    const [left, right] = [values[a], values[b]];
    if (unknown(left) || unknown(right)) return unknown(left) - unknown(right) || a - b;
    return sign * (left - right) || a - b;
  });
}
