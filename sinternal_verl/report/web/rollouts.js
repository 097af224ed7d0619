// The rollouts of a run: their columns, where each one stands, and which of them a filter keeps.

const UNKNOWN = -1;
const HELD_OUT = ["training", "held out"];
const YES_NO = ["no", "yes"];

async function loadRollouts(run) {
  const { count: size, total, columns, extra, names } = run.rollouts;
  const block = await unpack(`rollouts-${run.number}`);
  const made = { size, total, names, run, text: new Map() };
  for (const [name, place] of Object.entries(columns)) made[name] = column(block, place);
  made.extra = Object.fromEntries(Object.entries(extra).map(([name, place]) => [name, column(block, place)]));
  run.texts.forEach((numbers, place) => numbers.forEach((number) => made.text.set(number, place)));
  made.hasText = Int8Array.from({ length: size }, (_, i) => (made.text.has(i) ? 1 : 0));
  made.shown = columnsOf(made);
  return made;
}

// A rollout's place in its step stays the same while a run goes on and steps are added.
function addressOf(rollouts, i) {
  return `${rollouts.held_out[i] ? "held_out" : "training"}~${rollouts.step[i]}~${rollouts.within[i]}`;
}

// The rollout at such an address, or -1.
function rolloutAt(rollouts, address) {
  const [kind, step, place] = address.split("~");
  const heldOut = Number(kind === "held_out");
  for (let i = 0; i < rollouts.size; i++) {
    if (rollouts.step[i] === Number(step) && rollouts.held_out[i] === heldOut && rollouts.within[i] === Number(place)) return i;
  }
  return -1;
}

// Rollouts of the same prompt in the same step; they stand together, in the order of their places.
function groupOf({ size, group }, i) {
  let first = i;
  while (first > 0 && group[first - 1] === group[i]) first--;
  const made = [];
  for (let j = first; j < size && group[j] === group[i]; j++) made.push(j);
  return made;
}

// What can be asked of the rollouts; each is a key of the address.
const CHOICES = [
  { key: "held", label: "kind", options: () => HELD_OUT, column: (all) => all.held_out },
  { key: "source", label: "source", options: (all) => all.names.source, column: (all) => all.source },
  { key: "outcome", label: "outcome", options: (all) => all.names.outcome, column: (all) => all.outcome },
  { key: "scored", label: "scored", options: () => YES_NO, column: (all) => all.scored },
  { key: "truncated", label: "truncated", options: () => YES_NO, column: (all) => all.truncated },
  { key: "text", label: "text here", options: () => YES_NO, column: (all) => all.hasText },
];
const RANGES = [
  { key: "step", label: "step", column: (all) => all.step },
  { key: "length", label: "length in tokens", column: (all) => all.length },
];

// Numbers of the rollouts that the address asks for, in its order.
function chosen(all) {
  const tests = [];
  for (const { key, options, column: of } of CHOICES) {
    const value = State.get(key);
    if (value === null) continue;
    const wanted = options(all).indexOf(value);
    const values = of(all);
    tests.push((i) => wanted >= 0 && values[i] === wanted);
  }
  for (const { key, column: of } of RANGES) {
    const [low, high] = rangeOf(key);
    const values = of(all);
    if (low !== null) tests.push((i) => values[i] >= low);
    if (high !== null) tests.push((i) => values[i] <= high && values[i] !== UNKNOWN);
  }
  const kept = [];
  for (let i = 0; i < all.size; i++) if (tests.every((test) => test(i))) kept.push(i);
  return Uint32Array.from(kept);
}

// `step=3~7` in the address; either end may be missing, and `step=3` is one step.
function rangeOf(key) {
  const value = State.get(key);
  if (value === null) return [null, null];
  const ends = value.split("~").map((end) => (end.trim() === "" || Number.isNaN(Number(end)) ? null : Number(end)));
  return ends.length === 1 ? [ends[0], ends[0]] : ends;
}
