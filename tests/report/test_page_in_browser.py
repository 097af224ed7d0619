"""The page in a real browser: what it shows, where a click leads, and that nothing of a run can run in it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from browser import Opened
from made_pages import ATTACKS, attacked, large_page, read_page
from made_runs import make_grpo

from sinternal_verl.report.compose import make_page
from sinternal_verl.report.page import write_page
from sinternal_verl.report.read import read_run
from sinternal_verl.report.run import Texts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return read_page(tmp_path_factory.mktemp("page") / "run", steps=6, resumes=(3,), unscored=0.2)


@pytest.fixture(scope="module")
def file(page, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "report.html"
    write_page(page, out)
    return out


@pytest.fixture
def opened(chromium, file):
    return Opened(chromium, file)


def chart(opened: Opened, title: str):
    found = opened.page.locator("figure.chart", has=opened.page.get_by_text(title, exact=False).first).first
    found.scroll_into_view_if_needed()
    found.locator(".u-over").wait_for()
    return found


def test_it_asks_for_nothing_and_leaves_no_name(opened):
    opened.open_charts()

    assert (opened.foreign, opened.dialogs, opened.errors, opened.globals) == ([], [], [], set())


def test_every_chart_is_drawn_and_none_is_empty(opened, page):
    opened.open_charts()

    assert opened.page.locator("figure.chart canvas").count() == len(page.views[0].charts)
    painted = """() => [...document.querySelectorAll("figure.chart canvas")].filter((canvas) =>
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte)).length"""
    assert opened.page.evaluate(painted) == len(page.views[0].charts)


def test_a_click_on_a_point_shows_the_rollouts_of_its_step(opened, page):
    over = chart(opened, "Reward").locator(".u-over")
    box = over.bounding_box()
    over.click(position={"x": box["width"] / 2, "y": box["height"] / 2})

    step = int(re.search(r"step=(\d+)", opened.hash)[1])
    kind = re.search(r"held=(training|held.out)", opened.hash)[1]
    rollouts = page.views[0].run.rollouts
    expected = ((rollouts.step == step) & (rollouts.held_out == (kind != "training"))).sum()
    assert opened.said == f"{expected} of {len(rollouts)} rollouts."


def test_the_keyboard_goes_from_a_curve_to_a_rollout_and_back(opened):
    plot = chart(opened, "Reward").locator(".plot")
    plot.focus()
    for key in ("End", "ArrowLeft", "Enter"):
        opened.page.keyboard.press(key)
    assert "step=5" in opened.hash
    assert "Step 5: " in chart(opened, "Reward").locator(".said").inner_text()

    for key in ("ArrowDown", "ArrowDown", "Enter"):
        opened.page.keyboard.press(key)
    reader = opened.page.get_by_role("dialog")
    reader.wait_for()
    before = int(re.search(r"rollout=training~5~(\d+)", opened.hash)[1])
    assert reader.get_by_text("The 4 responses to this prompt").count() == 1

    opened.page.keyboard.press("ArrowRight")
    reader.get_by_text("Response 4, this one").wait_for()
    assert f"rollout=training~5~{before + 1}" in opened.hash
    opened.page.keyboard.press("Escape")
    opened.page.wait_for_url(lambda url: "rollout" not in url)
    assert reader.count() == 0
    assert "step=5" in opened.hash


def test_up_and_down_choose_the_curve_whose_rollouts_are_shown(opened, page):
    plot = chart(opened, "Reward").locator(".plot")
    plot.focus()
    for key in ("End", "ArrowDown", "ArrowDown", "Enter"):
        opened.page.keyboard.press(key)
    chosen = re.match(r"Step 6: on (.+?);", chart(opened, "Reward").locator(".said").inner_text())[1]

    assert chosen in page.views[0].run.rollouts.names["source"]
    assert f"source={chosen}&" in opened.hash + "&"
    assert "step=6" in opened.hash


def test_a_click_into_a_part_of_a_stack_shows_what_it_stands_on(opened):
    """The outcomes of sums: the lowest part is the first outcome, whichever it is."""
    found = chart(opened, "Outcomes of world/addition")
    over = found.locator(".u-over")
    box = over.bounding_box()
    over.click(position={"x": box["width"] / 2, "y": box["height"] - 3})

    lowest = found.locator("button.key span:nth-child(2)").all_inner_texts()
    assert "source=world/addition" in opened.hash
    assert re.search(r"outcome=(\w+)", opened.hash)[1] in lowest


def test_a_link_shows_the_same_view(chromium, file, page):
    link = "#source=world%2Faddition&step=2~4&sort=-length&rollout=training~3~9"
    opened = Opened(chromium, file, hash=link)
    reader = opened.page.get_by_role("dialog")
    reader.wait_for()

    assert "Step 3, training, " in reader.inner_text()
    opened.page.keyboard.press("Escape")
    rollouts = page.views[0].run.rollouts
    source = rollouts.names["source"].index("world/addition")
    expected = (rollouts.source == source) & (rollouts.step >= 2) & (rollouts.step <= 4)
    assert opened.said == f"{expected.sum()} of {len(rollouts)} rollouts."
    lengths = [int(row.split("\t")[5]) for row in opened.rows]
    assert lengths == sorted(lengths, reverse=True)


def test_back_undoes_a_click(opened):
    opened.page.locator(".rollouts tbody tr[aria-rowindex='4']").click()
    opened.page.get_by_role("dialog").wait_for()
    opened.page.go_back()

    opened.page.get_by_role("dialog").wait_for(state="hidden")
    assert opened.hash == ""


@pytest.mark.parametrize(
    ("name", "value", "column", "expected"),
    [
        ("source", "world/addition", "source", "world/addition"),
        ("outcome", "unparsable", "outcome", "unparsable"),
        ("held", "held out", "kind", "held out"),
        ("truncated", "yes", "truncated", "yes"),
    ],
)
def test_a_filter_keeps_what_it_names(opened, page, name, value, column, expected):
    opened.page.locator(f"select[name={name}]").select_option(value)
    heads = [head.strip(" ▲▼") for head in opened.page.locator(".rollouts thead th").all_inner_texts()]

    assert opened.rows
    assert {row.split("\t")[heads.index(column)] for row in opened.rows} == {expected}
    opened.page.get_by_role("button", name="Show all").click()
    assert opened.said == f"{len(page.views[0].run.rollouts)} rollouts."


def test_a_range_of_lengths(opened, page):
    opened.page.locator("input[name=length-from]").fill("60")
    opened.page.locator("input[name=length-to]").fill("70")
    opened.page.keyboard.press("Tab")
    length = page.views[0].run.rollouts.length

    assert opened.said.startswith(f"{((length >= 60) & (length <= 70)).sum()} of ")


def test_texts_are_folded_until_they_are_asked_for(opened):
    opened.page.locator(".rollouts tbody tr[aria-rowindex='2']").click()
    reader = opened.page.get_by_role("dialog")
    reader.wait_for()
    assert "Texts are folded, because a prompt or a response may be harmful to read." in reader.inner_text()
    assert reader.locator("pre").count() == 0

    reader.get_by_text("Prompt", exact=True).last.click()
    reader.locator("pre").first.wait_for()  # an unfolded text is made when the browser has told of it
    assert reader.locator("pre").count() == 1
    reader.get_by_role("button", name="Unfold all texts").click()
    assert reader.locator("pre").first.inner_text().startswith("<|begin|>")
    # The next page that is loaded here keeps what is unfolded; a link does not carry it.
    assert "unfold" not in opened.hash


def test_nothing_of_a_run_runs(chromium, page, tmp_path):
    """Attacks in every text: of the model, the scorer, the configuration, names of sources, metrics and files."""
    hostile = attacked(page)
    write_page(hostile, tmp_path / "report.html", texts="sample")
    opened = Opened(chromium, tmp_path / "report.html")
    opened.open_charts()
    rows = opened.page.locator(".rollouts tbody tr[aria-rowindex]")
    for number in range(2, 2 + len(ATTACKS)):
        opened.page.locator(".scroller").evaluate("(table, top) => (table.scrollTop = top)", (number - 2) * 30)
        opened.page.locator(f".rollouts tbody tr[aria-rowindex='{number}']").click()
        reader = opened.page.get_by_role("dialog")
        reader.wait_for()
        if unfold := reader.get_by_role("button", name="Unfold all texts").all():
            unfold[0].click()
        reader.locator("pre").first.wait_for()
        for text in reader.locator("pre").all()[:6]:
            text.hover()
        opened.page.keyboard.press("Escape")
        reader.wait_for(state="hidden")

    assert rows.count() > 10
    assert (opened.foreign, opened.dialogs, opened.errors, opened.globals) == ([], [], [], set())
    assert opened.page.evaluate("window.hacked") is None
    assert opened.page.evaluate("document.querySelectorAll('iframe, object, embed, base, link, img, svg').length") == 0
    assert opened.page.evaluate("document.scripts.length") == opened.page.evaluate(
        "document.querySelectorAll('script[id^=block-]').length + 1"
    )
    links = opened.page.evaluate("[...document.querySelectorAll('a')].map((link) => link.getAttribute('href'))")
    assert links
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize(
    "attack", [*ATTACKS, "x" * 1_000_000, "\u202e\x00" * 50_000, "a\u202e" * 50_000], ids=lambda text: ascii(text[:20])
)
def test_a_text_is_shown_as_it_is(chromium, page, tmp_path, attack):
    run = page.views[0].run
    texts = dict.fromkeys(range(4), Texts(attack, "", attack, None, {}))
    shown = replace(
        page, views=(replace(page.views[0], run=replace(run, rollouts=replace(run.rollouts, texts=texts))),)
    )
    write_page(shown, tmp_path / "report.html")
    opened = Opened(chromium, tmp_path / "report.html", hash="#rollout=training~1~0")
    reader = opened.page.get_by_role("dialog")
    reader.wait_for()
    reader.get_by_role("button", name="Unfold all texts").click()
    more = reader.locator(".reading").first.locator("button")
    while more.is_visible():
        more.click()
    text = reader.locator("pre").first.evaluate("(pre) => pre.textContent")

    hidden = (
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e"
        r"\u2060-\u2069\ufeff\ud800-\udfff\U000e0001-\U000e007f]"
    )
    shown = re.sub(hidden, lambda found: f"U+{ord(found[0]):04X}", attack)
    assert text.replace(" ", "") == shown.replace(" ", "")
    assert opened.errors == []


def test_resumes_and_several_runs(chromium, tmp_path):
    runs = [read_run(make_grpo(tmp_path / name, seed=n, resumes=(2,) if n else ())) for n, name in enumerate("ab")]
    write_page(make_page(runs), tmp_path / "report.html")
    opened = Opened(chromium, tmp_path / "report.html")
    legend = chart(opened, "Reward").locator("button.key")

    assert [key.inner_text().split()[0] for key in legend.all()] == ["a", "b"]
    both = chart(opened, "Reward of world/addition").locator("button.key").all_inner_texts()
    assert [name.split("\n")[0] for name in both] == ["a: reward", "a: accuracy", "b: reward", "b: accuracy"]
    opened.page.locator("#legend button", has_text="a").first.click()
    assert opened.hash == "#off=run|a"
    assert {key.get_attribute("aria-pressed") for key in legend.all()} == {"true", "false"}
    assert opened.errors == []
    opened.page.locator("select[name=run]").select_option("b")
    assert "run=b" in opened.hash


def test_it_loads_itself_again_and_keeps_its_place(chromium, page, tmp_path):
    out = tmp_path / "report.html"
    write_page(page, out, reload_s=2)
    opened = Opened(chromium, out, hash="#outcome=unparsable")
    opened.page.evaluate("scrollTo(0, 700)")
    write_page(replace(page, title="made again"), out, reload_s=2)
    opened.page.locator("h1", has_text="made again").wait_for()
    opened.ready()

    assert opened.page.evaluate("scrollY") == 700
    assert opened.hash == "#outcome=unparsable"
    assert opened.page.locator("select[name=outcome]").input_value() == "unparsable"


def test_many_rollouts_scroll_with_few_rows_in_the_document(chromium, page, tmp_path):
    write_page(large_page(page, 51_200, 100), tmp_path / "report.html")
    opened = Opened(chromium, tmp_path / "report.html")
    scroller = opened.page.locator(".scroller")
    scroller.focus()
    opened.page.keyboard.press("End")

    assert opened.said == "51,200 rollouts."
    assert opened.page.locator(".rollouts tbody tr[aria-rowindex='51201']").is_visible()
    assert len(opened.rows) < 80


def test_a_page_of_a_sample_says_so_and_leads_to_a_rollout_by_its_place_in_the_run(chromium, page, tmp_path):
    many = large_page(page, 20_000, 50, texts=80)
    done = write_page(many, tmp_path / "report.html", max_bytes=500_000)
    opened = Opened(chromium, tmp_path / "report.html", hash="#text=yes")
    opened.page.locator(".rollouts tbody tr[aria-rowindex='2']").click()
    _, step, within = re.search(r"rollout=([^&]+)", opened.hash)[1].replace("%7E", "~").split("~")
    rollouts = many.views[0].run.rollouts
    number = np.flatnonzero((rollouts.step == int(step)) & (rollouts.within == int(within)) & ~rollouts.held_out)[0]

    assert done.rollouts < 20_000
    assert f"of {done.rollouts:,} rollouts. This page holds a sample of the run's 20,000 rollouts." in opened.said
    reader = opened.page.get_by_role("dialog")
    reader.wait_for()
    assert reader.inner_text().count("safe probability") >= 8
    reader.get_by_role("button", name="Unfold all texts").click()
    assert rollouts.texts[number].thought[:40] in reader.inner_text()


def test_it_fits_a_narrow_screen(chromium, file):
    for width in (360, 1440):
        opened = Opened(chromium, file, width=width)
        opened.open_charts()
        assert opened.page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_curves_stand_out_from_the_ground(chromium, file, dark):
    """Contrast by WCAG 2: 4.5 to 1 for words, 3 to 1 for curves."""
    opened = Opened(chromium, file, dark=dark)
    names = [*("--ink", "--dim", "--accent", "--good", "--watch", "--bad"), *(f"--line-{n}" for n in range(12))]
    names += ["--paper", "--back", "--good-back", "--watch-back", "--bad-back", "--chosen"]
    colours = json.loads(
        opened.page.evaluate(
            """(names) => JSON.stringify(Object.fromEntries(names.map((name) =>
            [name, getComputedStyle(document.documentElement).getPropertyValue(name).trim()])))""",
            names,
        )
    )
    for name in names[:6]:
        grounds = ["--paper", "--back", *([f"{name}-back"] if f"{name}-back" in colours else [])]
        grounds += ["--good-back", "--watch-back", "--bad-back", "--chosen"] if name in ("--ink", "--dim") else []
        assert {
            ground: contrast(colours[name], colours[ground])
            for ground in grounds
            if contrast(colours[name], colours[ground]) < 4.5
        } == {}
    assert {name for name in names[6:18] if contrast(colours[name], colours["--paper"]) < 3} == set()


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = colour.lstrip("#")
        parts = "".join(2 * part for part in parts) if len(parts) == 3 else parts
        channels = np.array([int(parts[n : n + 2], 16) / 255 for n in (0, 2, 4)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
