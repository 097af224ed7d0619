// One rollout to read: its figures, its texts, which are folded, and the other responses to its prompt beside it.

const WHY_FOLDED = "Texts are folded, because a prompt or a response may be harmful to read.";
const UNFOLDED = "A prompt or a response may be harmful to read.";
const IN_TITLE = new Set(["step", "held_out", "source", "hasText"]);

class Reader {
  constructor(dialog, table) {
    this.dialog = dialog;
    this.table = table;
    this.blocks = new Map();
    this.unfolded = Boolean(State.kept().unfolded);
    this.shown = null;
    dialog.addEventListener("close", () => this.closed());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => this.onKey(event));
  }

  close() {
    this.shown = null;
    if (this.dialog.open) this.dialog.close();
  }

  closed() {
    if (this.shown === null) return;
    this.shown = null;
    State.set({ rollout: null });
    this.table.element.focus({ preventScroll: true });
  }

  onKey(event) {
    const away = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (away && !event.altKey && !event.ctrlKey && !event.metaKey && event.target.tagName !== "PRE") this.go(away);
  }

  go(away) {
    const next = this.table.beside(this.shown, away);
    if (next !== undefined) State.set({ rollout: addressOf(this.all, next) });
  }

  async show(all, number) {
    this.all = all;
    this.shown = number;
    const group = groupOf(all, number);
    const texts = await this.textsOf(group);
    if (this.shown !== number) return; // another one was asked for meanwhile
    const title = el("h2", { id: "reader-title" }, `Step ${all.step[number]}, ${HELD_OUT[all.held_out[number]]}, ${all.names.source[all.source[number]] ?? "no source"}`);
    const before = this.button("← Previous", () => this.go(-1), this.table.beside(number, -1) === undefined);
    const after = this.button("Next →", () => this.go(1), this.table.beside(number, 1) === undefined);
    const close = this.button("Close", () => this.dialog.close());
    const body = [figures(all, number), ...this.own(number, texts), ...this.beside(number, group, texts)];
    const kept = this.dialog.open ? this.dialog.scrollTop : 0;
    this.dialog.replaceChildren(el("header", {}, title, el("div", { class: "buttons" }, before, after, close)), ...body);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = kept;
    const [strip, ownMember] = [this.dialog.querySelector(".group"), this.dialog.querySelector(".own")];
    if (ownMember) strip.scrollLeft = ownMember.offsetLeft - strip.offsetLeft - (strip.clientWidth - ownMember.clientWidth) / 2;
  }

  button(words, click, disabled = false) {
    return el("button", { type: "button", click, disabled }, words);
  }

  // Texts by the rollout's number, of those that the page holds.
  async textsOf(numbers) {
    const made = new Map();
    for (const number of numbers) {
      const place = this.all.text.get(number);
      if (place === undefined) continue;
      const name = `texts-${this.all.run.number}-${place}`;
      if (!this.blocks.has(name)) this.blocks.set(name, unpackJson(name));
      made.set(number, (await this.blocks.get(name))[number]);
    }
    return made;
  }

  own(number, texts) {
    const all = this.all;
    if (!texts.has(number)) return [absent(all, number)];
    const [prompt, thought, answer, truth, extra] = texts.get(number);
    const fold = this.button(this.unfolded ? "Fold all texts" : "Unfold all texts", () => {
      this.unfolded = !this.unfolded;
      State.keep({ unfolded: this.unfolded });
      this.show(all, number);
    });
    return [
      el("p", { class: "why" }, this.unfolded ? UNFOLDED : WHY_FOLDED, " ", fold),
      ...(all.run.textFolder ? [beside(all, number)] : []),
      this.text("Prompt", prompt),
      this.text("Thought", thought, "The model did not think."),
      this.text("Answer", answer, answer === null ? "The thought was never closed, so there is no answer." : "The answer is empty."),
      ...(truth === null ? [] : [this.text("Truth", truth, "The truth is empty.")]),
      ...Object.entries(extra).map(([name, text]) => this.text(el("bdi", {}, inert(name)), text, "empty")),
    ];
  }

  text(name, text, none = "empty") {
    if (!text) return el("p", { class: "none" }, el("strong", {}, name), ` ${none}`);
    const size = el("span", { class: "dim" }, count([...text].length, "character"));
    const made = el("details", { class: "text", open: this.unfolded }, el("summary", {}, el("strong", {}, name), " ", size));
    const fill = () => made.open && made.childElementCount === 1 && made.append(reading(text));
    made.addEventListener("toggle", fill);
    fill();
    return made;
  }

  // The group side by side.
  beside(number, group, texts) {
    if (group.length < 2) return [];
    const columns = group.map((each) => this.member(each, each === number, texts.get(each)));
    return [
      el("h3", {}, `The ${group.length} responses to this prompt`),
      el("div", { class: "group", tabindex: "0", role: "group", "aria-label": "Responses side by side" }, ...columns),
    ];
  }

  member(number, isOwn, text) {
    const all = this.all;
    const name = `Response ${all.place[number] + 1}${isOwn ? ", this one" : ""}`;
    const go = () => State.set({ rollout: addressOf(all, number) });
    const title = isOwn ? el("strong", {}, name) : el("button", { type: "button", class: "link", click: go }, name);
    const rows = ["outcome", "score", "advantage", "length", "safe_probability"]
      .map((key) => columnsOf(all).find((each) => each.key === key))
      .filter((each) => each && each.text(number))
      .map((each) => el("div", {}, el("dt", {}, each.label), el("dd", {}, each.text(number))));
    const parts = text
      ? [this.text("Thought", text[1], "none"), this.text("Answer", text[2], "none")]
      : [el("p", { class: "none" }, "Its texts are not on this page.")];
    return el("section", { class: isOwn ? "member own" : "member" }, title, el("dl", {}, ...rows), ...parts);
  }
}

// What the table says of a rollout.
function figures(all, number) {
  const rows = columnsOf(all)
    .filter((each) => !IN_TITLE.has(each.key) && each.text(number) !== "")
    .map((each) => el("div", {}, el("dt", {}, each.label), el("dd", {}, each.text(number))));
  return el("dl", { class: "figures" }, ...rows);
}

function absent(all, number) {
  if (all.run.textFolder) return beside(all, number);
  return el("p", { class: "why" }, "This page holds the texts of some groups only, and not of this one. Make it with --texts all to have every text in files beside it.");
}

// The link to the step's file beside the page.
function beside(all, number) {
  const kind = all.held_out[number] ? "held_out" : "training";
  const href = `${all.run.textFolder}/${kind}_${all.step[number]}.html#rollout-${all.within[number]}`;
  return el("p", { class: "why" }, "All texts of this step are ", el("a", { href }, "in a file beside this page"), ".");
}
