// Unpacks what the page holds, draws it, and keeps the reader's place when the page loads itself again.

const SMOOTHINGS = [1, 5, 10, 20, 50];

async function start() {
  const head = await unpackJson("head");
  const runs = await Promise.all(head.runs.map(makeRun));
  for (const made of document.querySelectorAll("[data-colour]")) made.style.borderTopColor = `var(--line-${made.dataset.colour % COLOURS})`;
  const body = document.getElementById("rollouts-body");
  const explorer = body && new Explorer(runs, body);
  const charts = startCharts(head, runs, (drawing, curve, step) => explorer?.pick(drawing, curve, step));
  startControls(head, runs);
  startLinks(charts);
  await explorer?.start();
  keepPlace();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

async function makeRun(run, number) {
  const block = await unpack(`steps-${number}`);
  const columns = new Map();
  const read = (place) => {
    const key = place.join();
    if (!columns.has(key)) columns.set(key, column(block, place));
    return columns.get(key);
  };
  return { ...run, number, steps: read(run.steps), column: read };
}

// A link to a chart goes there and leaves the address alone, which has the view in it.
function startLinks(charts) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#']");
    if (!link) return;
    event.preventDefault();
    if (link.dataset.chart) charts.show(link.dataset.chart);
    goTo(document.getElementById(link.getAttribute("href").slice(1)));
  });
}

function goTo(place) {
  if (!place) return;
  for (let fold = place.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  place.scrollIntoView({ block: place.tagName === "FIGURE" ? "center" : "start" });
  (place.matches("figure") ? place.querySelector(".plot") : place.querySelector("summary"))?.focus({ preventScroll: true });
  place.classList.remove("pointed");
  requestAnimationFrame(() => place.classList.add("pointed"));
}

function startControls(head, runs) {
  const controls = document.getElementById("controls");
  const most = Math.max(0, ...runs.map((run) => run.steps.length));
  const widths = SMOOTHINGS.filter((width) => width < most);
  if (widths.length > 1) {
    const now = State.get("smooth") ?? "1";
    const options = widths.map((width) => el("option", { value: width, selected: String(width) === now }, width === 1 ? "none" : `${width} steps`));
    const change = (event) => State.set({ smooth: event.target.value === "1" ? null : event.target.value });
    const select = el("select", { change, title: "A curve is the mean of so many of its last values; the values themselves stay as a faint line." }, ...options);
    controls.append(el("label", {}, el("span", {}, "smoothing"), select));
  }
  if (head.reloadSeconds) startReload(head.reloadSeconds, controls);
}

// The file is made again while the run goes on; the page loads the new one and keeps its view.
function startReload(seconds, controls) {
  const said = el("span", {}, `loads itself every ${seconds} s`);
  const box = el("input", { type: "checkbox", checked: State.kept().paused !== true });
  box.addEventListener("change", () => State.keep({ paused: !box.checked }));
  controls.append(el("label", { class: "reload" }, box, said));
  setInterval(() => {
    if (!box.checked) return;
    keepNow();
    location.reload();
  }, 1000 * seconds);
}

function keepNow() {
  State.keep({ y: scrollY, tableY: document.querySelector(".scroller")?.scrollTop });
}

function keepPlace() {
  history.scrollRestoration = "manual";
  const scroller = document.querySelector(".scroller");
  const { y, tableY } = State.kept();
  if (y !== undefined) scrollTo(0, y);
  if (scroller && tableY !== undefined) scroller.scrollTop = tableY;
  const named = /^#[\w-]+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
  if (named) named.scrollIntoView();
  addEventListener("scrollend", keepNow);
  scroller?.addEventListener("scrollend", keepNow);
}

function trouble(error) {
  const place = document.getElementById("trouble");
  const old = typeof DecompressionStream === "undefined" ? "This browser is too old to unpack it: Chrome 80, Firefox 113 and Safari 16.4 can." : "";
  place.textContent = `The page could not be drawn: ${error}. ${old}`;
  place.hidden = false;
}

start().catch((error) => {
  trouble(error);
  throw error;
});
