"""Seconds until a report's page is ready in Chromium, and until it has sorted, filtered and scrolled its table.

The page has the curves of 100 steps and 51,200 rollouts with the texts of 4,000. Beside it stands the plain way: the
same rollouts as one HTML table. Both are loaded in turns, each time in a new context of the browser.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from arguments import ROOT, parser_of

sys.path.insert(0, str(ROOT / "tests" / "report"))
from browser import browser
from made_pages import large_page, read_page

from sinternal_verl.report.page import write_page

LIMIT_S = 2.0
STEPS, ROLLOUTS, TEXTS = 100, 51_200, 4_000

# Until two frames are painted after an action: the page answers again then.
PAINTED = (
    "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
)


def plain_table(page, path: Path) -> None:
    rollouts = page.views[0].run.rollouts
    columns = ("step", "source", "outcome", "score", "advantage", "length", "safe_probability", "truncated", "row")
    rows = zip(*(getattr(rollouts, name).tolist() for name in columns), strict=True)
    cells = ("<tr>" + "".join(f"<td>{value}</td>" for value in row) + "</tr>" for row in rows)
    path.write_text("<!doctype html><table>" + "".join(cells) + "</table>")


def loaded(chromium, path: Path, ready: str | None) -> tuple[float, object]:
    """Seconds from the navigation's start until it is ready and painted."""
    page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(path.as_uri())
    if ready:
        page.wait_for_selector(ready, state="attached")
    return page.evaluate(PAINTED) / 1000, page


def acted(page, script: str) -> float:
    start = page.evaluate("() => performance.now()")
    page.evaluate(script)
    return (page.evaluate(PAINTED) - start) / 1000


ACTIONS = {
    "sort": "() => document.querySelectorAll('.rollouts th button')[4].click()",
    "filter": """() => {
        const source = document.querySelector('select[name=source]');
        source.selectedIndex = 2;
        source.dispatchEvent(new Event('change'));
    }""",
    "scroll": "() => document.querySelector('.scroller').scrollTo(0, 1e9)",
    "open": "() => document.querySelector('.rollouts tbody tr[aria-rowindex]').click()",
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    rounds = parser.parse_args().rounds
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary, browser() as chromium:
        small = read_page(Path(temporary, "run"), steps=STEPS, prompts=12, responses=4)
        page = large_page(small, ROLLOUTS, STEPS, texts=TEXTS, characters=3000)
        files = {"page": Path(temporary, "page.html"), "plain table": Path(temporary, "table.html")}
        start = time.perf_counter()
        written = write_page(page, files["page"])
        print(f"written in {time.perf_counter() - start:.1f} s: {written.bytes / 1e6:.1f} MB, {written.texts} texts")
        plain_table(page, files["plain table"])
        for _ in range(rounds):
            for name, path in files.items():
                took, opened = loaded(chromium, path, "html[data-ready]" if name == "page" else None)
                seconds.setdefault(name, []).append(took)
                for action, script in ACTIONS.items() if name == "page" else ():
                    seconds.setdefault(action, []).append(acted(opened, script))
                opened.context.close()
    plain = statistics.median(seconds["plain table"])
    for name, took in seconds.items():
        middle, worst = statistics.median(took), max(took)
        against = f"   {middle / LIMIT_S:.2f} of the limit   {middle / plain:.2f} of the plain table"
        print(f"{name:12} {middle:6.2f} s   at most {worst:.2f} s{against if name == 'page' else ''}")


if __name__ == "__main__":
    main()
