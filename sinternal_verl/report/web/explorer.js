// The part of the page that shows rollouts: what is asked of them, the table, and the reader of one.

const NO_FILTER = Object.fromEntries([...CHOICES, ...RANGES].map(({ key }) => [key, null]));

class Explorer {
  constructor(runs, body) {
    this.runs = runs.filter((run) => run.rollouts);
    this.loading = new Map();
    this.table = new RolloutTable((number) => State.set({ rollout: addressOf(this.all, number) }, true));
    this.reader = new Reader(document.getElementById("reader"), this.table);
    this.filters = el("form", { class: "filters", submit: (event) => event.preventDefault() });
    this.said = el("p", { class: "count", "aria-live": "polite" });
    body.append(this.filters, this.said, this.table.element);
    State.onChange((changed) => this.changed(changed));
  }

  get run() {
    return this.runs.find((run) => run.name === State.get("run")) ?? this.runs[0];
  }

  load(run) {
    if (!this.loading.has(run)) this.loading.set(run, loadRollouts(run));
    return this.loading.get(run);
  }

  async start() {
    this.all = await this.load(this.run);
    this.fillFilters();
    this.fill();
    this.read();
  }

  async changed(changed) {
    if (!this.all) return; // `start` reads the address once the rollouts are unpacked
    if (changed.has("run")) return this.start();
    if ([...CHOICES, ...RANGES, { key: "sort" }].some(({ key }) => changed.has(key))) {
      this.syncFilters();
      this.fill();
    }
    if (changed.has("rollout")) this.read();
  }

  fill() {
    const order = chosen(this.all);
    const [key, downwards] = sortOf();
    const by = this.all.shown.find((each) => each.key === key);
    this.table.fill(this.all.shown, by ? sortBy(order, by.values, downwards) : order);
    const all = count(this.all.size, "rollout");
    this.said.textContent = order.length === this.all.size ? `${all}.` : `${order.length.toLocaleString("en")} of ${all}.`;
    if (this.all.total > this.all.size) this.said.textContent += ` This page holds a sample of the run's ${count(this.all.total, "rollout")}.`;
    if (!order.length) this.said.textContent += " None fits; take a filter away.";
  }

  // The rollout that the address names.
  read() {
    const address = State.get("rollout");
    const number = address === null ? -1 : rolloutAt(this.all, address);
    if (number >= 0) this.reader.show(this.all, number);
    else this.reader.close();
  }

  // Controls stay in the document while the address changes, so that none loses the focus.
  fillFilters() {
    const parts = this.runs.length > 1 ? [choice("run", "run", this.runs.map((run) => run.name), () => this.run.name)] : [];
    for (const { key, label, options, column: of } of CHOICES) {
      if (isSaid(of(this.all))) parts.push(choice(key, label, ["", ...options(this.all)], () => State.get(key) ?? ""));
    }
    for (const { key, label, column: of } of RANGES) if (isSaid(of(this.all))) parts.push(range(key, label));
    const clear = el("button", { type: "button", click: () => State.set(NO_FILTER) }, "Show all");
    parts.push({ element: clear, sync: () => (clear.disabled = Object.keys(NO_FILTER).every((key) => State.get(key) === null)) });
    this.controls = parts;
    this.filters.replaceChildren(...parts.map(({ element }) => element));
    this.syncFilters();
  }

  syncFilters() {
    this.controls.forEach(({ sync }) => sync());
  }

  // What a point of a curve stands on.
  pick(curve, step) {
    const { filter } = curve.line;
    const run = this.runs.find((each) => each.number === curve.line.run);
    if (!filter || !run) return;
    const named = Object.fromEntries(Object.entries(filter).map(([name, place]) => [name, run.rollouts.names[name][place] ?? "no such"]));
    const held = HELD_OUT[Number(curve.kind === "points")];
    State.set({ ...NO_FILTER, ...named, step: String(step), held, run: this.runs.length > 1 ? run.name : null }, true);
    document.getElementById("rollouts").scrollIntoView();
    this.table.element.focus({ preventScroll: true });
  }
}

function choice(key, label, options, value) {
  const made = options.map((option) => el("option", { value: option }, option || "all"));
  const select = el("select", { name: key, change: () => State.set({ [key]: select.value || null }) }, ...made);
  return { element: el("label", {}, el("span", {}, label), select), sync: () => (select.value = value()) };
}

function range(key, label) {
  const input = (name) =>
    el("input", { type: "number", name: `${key}-${name}`, placeholder: name, "aria-label": `${label}, ${name}`, change });
  const [from, to] = [input("from"), input("to")];
  function change() {
    State.set({ [key]: from.value === to.value ? from.value : `${from.value}~${to.value}` });
  }
  const sync = () => rangeOf(key).forEach((end, i) => ([from, to][i].value = end ?? ""));
  return { element: el("fieldset", {}, el("legend", {}, label), from, " – ", to), sync };
}
