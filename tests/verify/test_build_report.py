"""What the card of a build says: counted by hand on small files."""

import pytest
from verification_rows import ROW

from sinternal_verl.verify import report
from sinternal_verl.verify.report import CARD, write_report
from sinternal_verl.verify.select import write_rows


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A function from rows and counts to the card's text; the picture takes its time and is drawn elsewhere."""
    monkeypatch.setattr(report, "_draw", lambda *_: None)

    def make(rows, counts=None, agrees=None, seed=1) -> str:
        write_rows(rows, tmp_path / "train.parquet", {"made": "by hand"})
        write_report(tmp_path / "train.parquet", seed, counts or {"prompts/harmful/kept": 1}, agrees)
        return (tmp_path / CARD).read_text()

    return make


def table(text: str, heading: str) -> list[list[str]]:
    """The cells of the table below a heading, its first two lines left out."""
    lines = text.partition(f"## {heading}\n\n")[2].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[: lines.index("") if "" in lines else None]]
    return rows[2:]


def test_a_guard_that_is_unsure_agrees_with_unsafe_and_one_that_says_nothing_is_left_out(card):
    agrees = {
        ("safe", "Safe"): 3,
        ("safe", "Controversial"): 1,
        ("unsafe", "Controversial"): 2,
        ("unsafe", "Unsafe"): 1,
        ("unsafe", "Safe"): 1,
        ("unsafe", "no verdict"): 1200,
    }
    text = card([ROW], agrees=agrees)

    assert "|  | guard: Controversial | guard: Safe | guard: Unsafe | guard: no verdict |" in text
    assert table(text, "The expert and the guard") == [
        ["expert: safe", "1", "3", "0", "0"],
        ["expert: unsafe", "2", "1", "1", "1,200"],
    ]
    assert "They agree on 75.0% of 8, Controversial taken for unsafe." in text


def test_a_guard_without_any_verdict_agrees_with_nobody(card):
    text = card([ROW], agrees={("safe", "no verdict"): 2})

    assert "## The expert and the guard" in text and "They agree" not in text


def test_without_a_guard_nothing_is_said_of_one(card):
    assert "guard" not in card([ROW])


def test_counts_are_in_the_order_of_their_names(card):
    text = card([ROW], {"prompts/harmful/kept": 1, "answers/whole": 12_345})

    assert table(text, "What became of it") == [["answers/whole", "12,345"], ["prompts/harmful/kept", "1"]]


def test_lengths_of_critiques_are_in_words_and_by_verdict(card):
    words = {"unsafe": (1, 2, 9), "safe": (4,)}
    rows = [
        ROW | {"verdict": verdict, "critique": " ".join(["word"] * count)}
        for verdict, counts in words.items()
        for count in counts
    ]

    assert table(card(rows), "Critiques") == [["safe", "1", "4", "4", "4"], ["unsafe", "3", "2", "1", "9"]]


def test_verdicts_of_one_kind_have_one_line(card):
    assert [row[0] for row in table(card([ROW]), "Critiques")] == ["unsafe"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines  and a | bar", "two lines and a \\| bar"),
        ("<think> \\frac", "&lt;think> \\\\frac"),
        ("x" * 160, "x" * 160),
        ("x" * 161, "x" * 159 + "…"),
    ],
)
def test_a_text_is_one_line_of_the_table_whatever_it_holds(card, text, shown):
    ((harm, request, answer, critique, verdict),) = table(card([ROW | {"answer": text}]), "10 rows, at random")

    assert (harm, request, answer, verdict) == ("harmful", "Lend it?", shown, "unsafe")
    assert critique == "It lends the lamp."


def test_ten_rows_are_shown_by_the_seed(card):
    rows = [ROW | {"request": f"Lend lamp {number}?"} for number in range(30)]

    def shown(seed):
        return [row[1] for row in table(card(rows, seed=seed), "10 rows, at random")]

    assert len(set(shown(1))) == 10 and shown(1) == shown(1) != shown(2)


@pytest.mark.parametrize(("rows", "size"), [(1, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (10_000, "10K<n<100K")])
def test_the_card_names_the_size_and_what_the_rows_are_made_of(card, rows, size):
    text = card([ROW] * rows)

    assert text.startswith("---\n") and f"size_categories: [{size}]\n" in text
    assert '"made": "by hand"' in text and "an expert's critique and verdict" in text
