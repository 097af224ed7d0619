"""The table of a run, over real logs: figures, what is not in them, the paper beside them, and every form."""

import csv
import html.parser
import io
import math
import re

import numpy as np
import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from benchmark_sets import SHARED
from inspect_ai import Epochs
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score
from inspect_logs import CANARY, figures, run_task, scores_by, verdict
from PIL import Image

from sinternal_verl.evaluation.results.compare import compare
from sinternal_verl.evaluation.results.logs import LogError, label, open_log
from sinternal_verl.evaluation.results.published import beside, published
from sinternal_verl.evaluation.results.rejudge import rejudge
from sinternal_verl.evaluation.results.rows import rows_of
from sinternal_verl.evaluation.results.summary import Result, results_of
from sinternal_verl.evaluation.results.table import write_tables


def results(log) -> dict[str, Result]:
    opened = open_log(log)
    return {found.metric: found for found in results_of(opened, rows_of(opened))}


def test_a_figure_leaves_out_what_is_unscored_and_says_what_it_could_change(tmp_path):
    def score(id, epoch, answer):
        return verdict(None, "grader_failed") if int(id) < 2 else verdict(float(int(id) < 5))

    found = results(run_task(tmp_path, scores_by(score), ids=range(10)))["ASR"]

    assert found.name == "ASR ↓"
    assert found.estimate.value == pytest.approx(3 / 8)
    assert (found.estimate.items, found.items, found.estimate.method) == (8, 10, "Wilson")
    assert found.bounds == pytest.approx((3 / 10, 5 / 10))
    assert found.unscored == {"grader_failed": 2}


def test_the_value_is_inspects_own(tmp_path):
    """With epochs, unscored tries and values between 0 and 1."""

    def score(id, epoch, answer):
        return verdict(None, "empty") if (int(id), epoch) in ((0, 1), (3, 2)) else verdict((int(id) * epoch % 5) / 4)

    log = run_task(tmp_path, scores_by(score), ids=range(7), epochs=3)
    found = results(log)["ASR"]

    assert found.estimate.value == pytest.approx(log.results.scores[0].metrics["mean"].value)
    assert found.estimate.method == "bootstrap by item"


def test_pass_at_k_is_inspects_own_and_stands_beside_pass_at_1(tmp_path):
    told = {"figures": figures("pass@4", "higher", "accuracy")}
    scorer = scores_by(lambda id, epoch, answer: verdict(float(epoch <= int(id))), "accuracy")
    log = run_task(tmp_path, scorer, ids=range(6), epochs=Epochs(6, ["mean", "pass_at_4"]), metadata=told)
    by_reducer = {score.reducer: score.metrics["mean"].value for score in log.results.scores}
    found = results(log)

    assert list(found) == ["pass@1", "pass@4"]
    assert found["pass@1"].estimate.value == pytest.approx(by_reducer["mean"])
    assert found["pass@4"].estimate.value == pytest.approx(by_reducer["pass_at_4"])


def test_pass_at_k_of_fewer_tries_is_undefined(tmp_path):
    def score(id, epoch, answer):
        return verdict(None, "failed") if id == "0" and epoch == 1 else verdict(1.0)

    told = {"figures": figures("pass@3", "higher", "accuracy")}
    scorer = scores_by(score, "accuracy")
    found = results(run_task(tmp_path, scorer, ids=[0, 1], epochs=Epochs(3, ["mean", "pass_at_3"]), metadata=told))

    assert found["pass@3"].estimate.items == 1
    assert found["pass@3"].bounds == (1.0, 1.0)


VERDICTS = [("unsafe", "unsafe")] * 5 + [("safe", "unsafe")] * 3 + [("unsafe", "safe")] * 4 + [("safe", "safe")] * 8


def test_f1_of_a_models_own_verdicts(tmp_path):
    """As scikit-learn defines it, and bootstrapped by hand."""
    pairs = [*VERDICTS, ("unsafe", None), (None, None)]

    def score(id, epoch, answer):
        expert, said = pairs[int(id)]
        if expert is None:
            return verdict(None, "refused", expert=None, verdict=None)
        return verdict(float(expert == said), expert=expert, verdict=said, verdict_reason="" if said else "cut")

    told = {"figures": figures("agreement with the judge", "higher", "self_verification")}
    scorer = scores_by(score, "self_verification")
    found = results(run_task(tmp_path, scorer, ids=range(len(pairs)), metadata=told))
    strict = found["F1, no verdict counted as wrong"]

    assert found["F1"].estimate.value == pytest.approx(2 * 5 / (2 * 5 + 3 + 4))
    assert strict.estimate.value == pytest.approx(2 * 5 / (2 * 5 + 3 + 5))
    assert (found["F1"].estimate.items, strict.estimate.items) == (20, 21)
    assert found["F1"].unscored == {"refused": 1, "no verdict of the model's": 1}
    assert strict.bounds == pytest.approx((10 / (10 + 3 + 6), 12 / (12 + 3 + 5)))
    rng, draws = np.random.default_rng(9), []
    for _ in range(3000):
        drawn = [VERDICTS[place] for place in rng.integers(20, size=20)]
        tp, wrong = drawn.count(("unsafe", "unsafe")), sum(one != two for one, two in drawn)
        draws.append(2 * tp / (2 * tp + wrong) if tp or wrong else math.nan)
    low, high = np.nanpercentile(draws, (2.5, 97.5))
    assert (found["F1"].estimate.low, found["F1"].estimate.high) == pytest.approx((low, high), abs=0.04)


def test_safety_is_shown_where_thoughts_check_and_where_not(tmp_path):
    def score(id, epoch, answer):
        safe = None if id == "0" else float(int(id) < 6)
        notes = {"safe": safe, "safety_judge": "llama_guard", "safety_judge_model": "stub/Llama-Guard-3-8B"}
        return verdict(float(int(id) < 4), judge="proactive", **notes)

    told = {"figures": figures("proactive verification", "higher", "proactive")}
    found = results(run_task(tmp_path, scores_by(score, "proactive"), ids=range(10), metadata=told))
    checks, others = found["safe where it checks"], found["safe where it does not check"]

    assert found["proactive verification"].estimate.value == 0.4
    assert (checks.estimate.value, checks.estimate.items, checks.answers) == (1.0, 3, 4)
    assert checks.bounds == (0.75, 1.0)
    assert (checks.judge, found["proactive verification"].judge) == ("llama_guard", "proactive")
    assert others.estimate.value == pytest.approx(2 / 6)


def safe(id, epoch, answer):
    return verdict(0.0)


def test_the_papers_rows_stand_beside_the_same_figure_only(tmp_path):
    log = run_task(tmp_path, scores_by(safe), ids=range(50), set="hcot")
    same = beside(results(log)["ASR"])

    assert same.values == next(entry["values"] for entry in published()["figures"] if entry["set"] == "hcot")
    assert same.differs == ()
    other = {"judge": "qwen3guard", "judge_model": "Qwen/Qwen3Guard-Gen-8B"}
    for changed, said in (
        ({"ids": range(20)}, "20 items, the paper has 50"),
        ({"scorers": scores_by(lambda *_: verdict(0.0, **other))}, "judge qwen3guard, the paper's llama_guard"),
        ({"scorers": scores_by(lambda *_: verdict(0.0, judged="both"))}, "judged both, the paper's answer"),
        ({"metadata": {"origin": {"differs": "another subset"}}}, "the set: another subset"),
    ):
        log = run_task(tmp_path, **({"scorers": scores_by(safe), "ids": range(50), "set": "hcot"} | changed))
        found = beside(results(log)["ASR"])
        assert not found.values
        assert said in found.differs
    assert beside(results(run_task(tmp_path, scores_by(safe)))["ASR"]) is None


def test_the_papers_ablations_stand_beside_it_too(tmp_path):
    log = run_task(tmp_path / "logs", scores_by(safe), ids=range(313), set="strongreject")
    text = write_tables(log, tmp_path)
    entry = next(entry for entry in published()["figures"] if entry["set"] == "strongreject")
    below = text.partition("beside the paper's ablations of SInternal SFT")[2]
    cells = "".join(rf" +{value:.1f}" for value in entry["ablations"].values())

    assert len(entry["ablations"]) == 4
    assert re.search(rf"strongreject +ASR ↓ +0\.0%{cells}\n", below)
    assert "beside the paper's ablations" in (tmp_path / "table.md").read_text()
    assert "beside the paper&#39;s ablations" in (tmp_path / "table.html").read_text()
    row = next(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert {name: row[f"paper: {name}"] for name in entry["ablations"]} == {
        name: str(value) for name, value in entry["ablations"].items()
    }


@pytest.mark.parametrize(
    ("decoding", "parameters", "said"),
    [
        ({"max_tokens": 48}, {}, ("max_tokens 48, the group's 8000",)),
        ({}, {"instruction": "boxed"}, ("instruction boxed, the group's none",)),
        ({}, {}, ()),
    ],
)
def test_mathematics_that_was_asked_otherwise_is_said_beside_the_papers_rows(tmp_path, decoding, parameters, said):
    told = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 8000}
    metadata = {
        "decoding": told | decoding,
        "parameters": {"instruction": "none", **parameters},
        "figures": figures("pass@16", "higher", "accuracy"),
    }
    log = run_task(tmp_path, scores_by(safe, "accuracy"), range(30), set="aime2024", metadata=metadata, epochs=16)
    found = beside(results(log)["pass@16"])

    assert found.values and found.differs == said


def test_another_decoding_is_named_beside_the_papers_rows(tmp_path):
    told = {"decoding": {"temperature": 0.6, "max_tokens": 8000, "extra_body": {"repetition_penalty": 1.0}}}
    found = beside(results(run_task(tmp_path, scores_by(safe), ids=range(50), set="hcot", metadata=told))["ASR"])

    assert found.values
    assert found.differs == ("temperature 0.6, the group's 0", "repetition_penalty 1.0, the group's 1.2")


@pytest.mark.parametrize(
    ("provider", "body", "penalty"),
    [
        ("vllm", {"repetition_penalty": 1.2}, 1.2),
        ("vllm", {}, 1.0),
        ("vllm", None, 1.2),
        ("hf", {"repetition_penalty": 1.2}, 1.0),
        ("sinternal_replay", {"repetition_penalty": 1.2}, None),
    ],
)
def test_the_penalty_that_is_told_is_the_one_that_reached_the_server(tmp_path, provider, body, penalty):
    """A task says 1.2 whatever becomes of it: some providers drop it, and --extra-body replaces it."""
    told = {"decoding": {"temperature": 0.0, "max_tokens": 8000, "repetition_penalty": 1.2}}
    made = run_task(tmp_path, scores_by(safe), metadata=told)
    made.eval.model, made.plan.config.extra_body = f"{provider}/lamp", body

    assert open_log(made).decoding.get("repetition_penalty") == penalty


def test_what_is_published_names_sets_and_figures_that_there_are():
    from sinternal_verl.evaluation.sets.catalog import SETS
    from sinternal_verl.evaluation.tasks import figures as known

    scorers = {value.scorer: value.metric for value in vars(known).values() if isinstance(value, known.Figure)}
    for entry in published()["figures"]:
        assert entry["set"] in SETS
        assert entry["scorer"] in scorers
        assert entry["metric"] in (scorers[entry["scorer"]], "pass@16", "safe where it checks")
        assert all(0 <= value <= 100 for value in entry["values"].values())


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A folder of logs with every trouble, and its tables."""
    folder = tmp_path_factory.mktemp("suite")

    def score(id, epoch, answer):
        return (
            verdict(None, "thought_unclosed", truncated=True) if int(id) % 9 == 0 else verdict(float(int(id) % 3 == 0))
        )

    run_task(folder, scores_by(score), ids=range(50), name="hcot", set="hcot")
    run_task(folder, scores_by(lambda *_: verdict(None, "grader_failed")), ids=range(4), name="dark", set="dark")
    text = scores_by(lambda *_: Score(value={CANARY: 3.5, "b": "C"}, explanation=CANARY, metadata={"judge": CANARY}))
    cut = ModelOutput.from_content("m", f"{CANARY} cut", "max_tokens")
    run_task(folder, text, ids=[CANARY, "2"], name="theirs", set=None, says=lambda *_: cut)
    (folder / "2026-01-01T00-00-00+00-00_half_x.eval").write_bytes(b"half")
    out = tmp_path_factory.mktemp("tables")
    return write_tables(folder, out), out


def test_the_text_has_every_figure_and_every_reserve(suite):
    text, out = suite

    assert re.search(r"hcot +ASR ↓ +44 of 50 +25\.0% +14\.6 to 39\.4 +6 +22\.0 to 34\.0 +0 +6 +llama_guard", text)
    assert re.search(r"dark +ASR ↓ +0 of 4 +nan \(nothing scored\) +4 +0\.0 to 100\.0", text)
    assert "dark ASR: 4 of 4 unscored: grader_failed 4" in text
    assert re.search(r"theirs +asr\.b +2 +100\.0%", text)
    assert "half_x.eval" in text
    assert re.search(r"hcot +ASR ↓ +25\.0% +100\.0 +100\.0 +100\.0 +90\.0 +98\.0 +62\.0", text)
    assert (out / "table.txt").read_text() == text + "\n"


def test_the_csv_has_the_numbers(suite):
    rows = list(csv.DictReader(io.StringIO((suite[1] / "table.csv").read_text())))
    hcot = next(row for row in rows if row["set"] == "hcot")
    dark = next(row for row in rows if row["set"] == "dark")

    assert float(hcot["value"]) == 0.25
    assert (hcot["direction"], hcot["unscored"], hcot["reasons"]) == ("lower", "6", "thought_unclosed 6")
    assert hcot["paper: SInternal + GRPO"] == "62.0"
    assert (dark["value"], dark["lowest"], dark["highest"]) == ("nan", "0.0", "1.0")


class Page(html.parser.HTMLParser):
    """Counts what a page opens and closes, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.loads, self.cells = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "line", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_needs_no_other_file_and_fits_every_screen(suite):
    text = (suite[1] / "table.html").read_text()
    page = Page(text)

    assert page.open == []
    assert page.loads == []
    assert "prefers-color-scheme: dark" in text
    assert "max-width" in text and 'name="viewport"' in text
    assert text.count("<svg") == 2  # of the two shares that have a value
    assert "Holds no prompts and no answers" in text


def test_the_markdown_has_a_row_for_each_figure(suite):
    lines = (suite[1] / "table.md").read_text().splitlines()
    first = lines[lines.index("") + 3 :]
    rows = first[: first.index("")]

    assert any(line.startswith("| hcot | ASR ↓ | 44 of 50 | 25.0% |") for line in rows)
    assert len(rows) == 6 and len({line.count(" | ") for line in rows}) == 1


def test_the_picture_is_one(suite):
    picture = Image.open(suite[1] / "table.png")

    assert picture.width > 800
    assert len(picture.convert("L").getcolors()) > 20


def test_no_form_holds_a_text(suite):
    out = suite[1]
    names = sorted(path.name for path in out.iterdir())

    assert names == ["rows.jsonl", "table.csv", "table.html", "table.md", "table.png", "table.txt"]
    for path in out.iterdir():
        assert CANARY.encode() not in path.read_bytes()
    assert label(CANARY) in (out / "rows.jsonl").read_text()


def test_the_same_logs_give_the_same_files(suite, tmp_path):
    text, out = suite
    folder = next(line for line in text.splitlines() if "half_x.eval" in line).split(": ")[1]
    write_tables(folder.rpartition("/")[0], tmp_path)

    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_two_models_have_a_row_each(tmp_path):
    for model in ("first", "second"):
        run_task(tmp_path, scores_by(safe), ids=range(5), model=model)
    text = write_tables(tmp_path, tmp_path / "out")

    assert "by_item/first" in text and "by_item/second" in text
    assert text.count("lamps") == 2


def test_headers_without_samples_are_read_from_their_files(tmp_path):
    """As ``eval_set`` returns them."""
    log = run_task(tmp_path, scores_by(safe), ids=range(5))
    log.samples = None

    assert "0.0%" in write_tables([log], tmp_path / "out")


def test_a_model_that_is_a_formula_is_none_in_a_spreadsheet(tmp_path):
    run_task(tmp_path, scores_by(safe), ids=range(2), set="=1+1")

    assert ",'=1+1," in (write_tables(tmp_path, tmp_path / "out") and (tmp_path / "out/table.csv").read_text())


def test_a_folder_without_logs_says_so(tmp_path):
    with pytest.raises(LogError, match="no log of Inspect is there"):
        write_tables(tmp_path, tmp_path / "out")


@pytest.mark.skipif(not (SHARED / "eval").is_dir(), reason="the real sets are not here")
def test_no_text_of_a_real_set_is_in_any_file(tmp_path):
    """The tasks of this package on real prompts, an answer that repeats its prompt, and all three commands."""
    from inspect_ai import eval
    from inspect_ai.model import get_model

    from sinternal_verl.evaluation.sets.loading import load
    from sinternal_verl.evaluation.tasks.safety_tasks import strongreject, xstest

    texts = [item.prompt for name in ("strongreject", "xstest") for item in load(name, str(SHARED / "eval")).items]
    tasks = [made(source=str(SHARED / "eval"), judge="refusal_strings") for made in (strongreject, xstest)]
    model = get_model("judging/echo", memoize=False, says=lambda text: f"{text}</think>I cannot help. {text}")
    eval(tasks, model=model, limit=30, display="none", log_dir=str(tmp_path / "logs"))
    said = [
        write_tables(tmp_path / "logs", tmp_path / "out/table"),
        compare([tmp_path / "logs"] * 2, tmp_path / "out/compared"),
        rejudge(tmp_path / "logs", ["refusal_strings"], tmp_path / "out/judged").text,
    ]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".eval"]
    content = "\n".join([*said, *(path.read_bytes().decode(errors="replace") for path in files)])

    assert re.search(r"strongreject +refusal rate ↑ +30 +100\.0%", said[0])
    assert len(files) == 17
    # No part of a prompt, wherever it was cut.
    assert not [text for text in texts for start in range(0, len(text) - 25, 25) if text[start : start + 25] in content]
