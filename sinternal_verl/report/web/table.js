// The table of rollouts: only the rows on the screen are in the document, so that 50,000 scroll as well as 50.

const ROW_HEIGHT = 30;
const ROWS_AROUND = 10;

class RolloutTable {
  // `open(number)` shows a rollout.
  constructor(open) {
    this.open = open;
    this.order = new Uint32Array();
    this.columns = [];
    this.current = 0;
    this.head = el("thead");
    this.body = el("tbody");
    this.above = el("tr", { "aria-hidden": "true", class: "space" }, el("td"));
    this.below = el("tr", { "aria-hidden": "true", class: "space" }, el("td"));
    this.sizes = el("colgroup");
    this.table = el("table", { class: "rollouts", "aria-label": "Rollouts" }, this.sizes, this.head, this.body);
    this.element = el(
      "div",
      { class: "scroller", tabindex: "0", role: "region", "aria-label": "Rollouts; arrow keys choose one, Enter opens it" },
      this.table,
    );
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  fill(columns, order) {
    this.columns = columns;
    this.order = order;
    this.current = Math.min(this.current, Math.max(order.length - 1, 0));
    this.sizes.replaceChildren(...columns.map(({ width }) => Object.assign(el("col"), { width })));
    this.table.style.width = `${columns.reduce((sum, { width }) => sum + width, 0)}px`;
    this.table.setAttribute("aria-rowcount", order.length + 1);
    const [sorted, downwards] = sortOf();
    const cells = columns.map(({ key, label, numeric }) => {
      const direction = key !== sorted ? null : downwards ? "descending" : "ascending";
      const arrow = el("span", { "aria-hidden": "true" }, direction ? (downwards ? " ▼" : " ▲") : "");
      const button = el("button", { type: "button", click: () => this.sort(key) }, label, arrow);
      return el("th", { scope: "col", class: numeric && "number", "aria-sort": direction }, button);
    });
    this.head.replaceChildren(el("tr", { "aria-rowindex": "1" }, ...cells));
    this.draw();
  }

  // First upwards, then downwards, then as they came.
  sort(key) {
    const [sorted, downwards] = sortOf();
    State.set({ sort: sorted !== key ? key : downwards ? null : `-${key}` });
  }

  draw() {
    const visible = Math.ceil(this.element.clientHeight / ROW_HEIGHT);
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_HEIGHT) - ROWS_AROUND);
    const last = Math.min(this.order.length, first + visible + 2 * ROWS_AROUND);
    const rows = [];
    for (let at = first; at < last; at++) rows.push(this.row(at));
    this.above.firstChild.style.height = `${first * ROW_HEIGHT}px`;
    this.below.firstChild.style.height = `${(this.order.length - last) * ROW_HEIGHT}px`;
    this.body.replaceChildren(this.above, ...rows, this.below);
  }

  row(at) {
    const number = this.order[at];
    const cells = this.columns.map((column) => {
      const text = column.text(number);
      return el("td", { class: column.numeric && "number", title: text.length > 16 && text }, text);
    });
    const choose = () => {
      this.current = at;
      this.open(number);
    };
    const current = at === this.current;
    return el("tr", { "aria-rowindex": at + 2, "aria-selected": String(current), class: current && "current", click: choose }, ...cells);
  }

  onKey(event) {
    if (event.target !== this.element) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_HEIGHT) - 2);
    const last = this.order.length - 1;
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -last - 1, End: last + 1 };
    if (event.key === "Enter" && this.order.length) this.open(this.order[this.current]);
    else if (event.key in moves) this.go(this.current + moves[event.key]);
    else return;
    event.preventDefault();
  }

  go(at) {
    this.current = Math.min(Math.max(at, 0), Math.max(this.order.length - 1, 0));
    const top = this.current * ROW_HEIGHT;
    const room = this.element.clientHeight - 2 * ROW_HEIGHT;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (top > this.element.scrollTop + room) this.element.scrollTop = top - room;
    this.draw();
  }

  // The rollout `away` rows from one, in the table's order; undefined past its ends.
  beside(number, away) {
    const at = this.order.indexOf(number);
    return at < 0 ? undefined : this.order[at + away];
  }
}

function sortOf() {
  const value = State.get("sort") ?? "";
  return value.startsWith("-") ? [value.slice(1), true] : [value, false];
}
