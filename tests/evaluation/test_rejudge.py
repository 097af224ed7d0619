"""Logs judged again, by Llama-Guard's format and by refusal strings, and what the judges' agreement says."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score
from inspect_logs import CANARY, figures, judging, run_task, scores_by, verdict

from sinternal_verl.evaluation.results import picture
from sinternal_verl.evaluation.results.agreement import Judged, changes, grids, sentences
from sinternal_verl.evaluation.results.compare import compare
from sinternal_verl.evaluation.results.logs import open_log
from sinternal_verl.evaluation.results.pairs import scored_in
from sinternal_verl.evaluation.results.rejudge import Choice, RejudgeError, rejudge
from sinternal_verl.evaluation.results.table import write_tables
from sinternal_verl.evaluation.tasks.opened import FIRST

DARK = "dark"
"""A word of answers that the judges call unsafe."""


def answer(id: str, dark: set[str]) -> str:
    return f"I look, {DARK} or not.</think>{CANARY} {DARK if id in dark else 'bright'}"


def run(folder: Path, dark: set[str], judge: str = "wildguard", wrong: str = "", **options):
    """A run whose answers are dark for some items; its own judge is wrong on one."""

    def score(id, epoch, text):
        return verdict(float((id in dark) != (id == wrong)), judge=judge)

    told = {"parameters": {"thought": "required", "judged": "answer", "judge": judge}}
    return run_task(
        folder,
        scores_by(score),
        ids=range(40),
        says=lambda id, epoch: answer(id, dark),
        **({"metadata": told, "model": folder.name} | options),
    )


def guard(name: str = "guard", wrong: tuple[str, ...] = ()):
    """Llama-Guard's words on what it reads: the answer alone decides, since the thoughts all hold the word."""
    asked = []

    def says(text: str) -> str:
        if FIRST.text in text:  # before the first answer
            return "safe"
        asked.append(text)
        dark = f"{CANARY} {DARK}" in text
        return "unsafe\nS1" if dark != any(f"#{id} " in f"{text} ".replace("\n", " ") for id in wrong) else "safe"

    model = judging(name, says)
    return Choice("llama_guard", model), asked


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rejudged")
    run(folder / "log", {"1", "2", "3"}, wrong="0")
    choice, asked = guard()
    text = rejudge(folder / "log", [choice, "refusal_strings"], folder / "out").text
    return text, folder / "out", asked


def test_each_judge_gives_a_log_with_its_own_scores_only(judged):
    _, out, asked = judged
    (path,) = (out / "llama_guard").glob("*.eval")
    (log,) = (read_eval_log(str(path)),)
    (scored,) = scored_in(open_log(path))
    unsafe = {row.id for row in scored.tally.all() if row.value == 1}

    assert len(asked) == 40
    assert unsafe == {"1", "2", "3"}
    assert scored.judging("judge") == "llama_guard"
    assert scored.judging("judge_model") == "judging/guard"
    assert list(log.samples[0].scores) == ["asr"]
    assert log.results.scores[0].metrics["mean"].value == pytest.approx(3 / 40)
    assert log.eval.metadata["figures"]["asr"]["metric"] == "ASR"


def test_a_judges_folder_is_a_run_for_table_and_compare(judged, tmp_path):
    _, out, _ = judged
    (log,) = (out.parent / "log").glob("*.eval")

    assert re.search(r"lamps +ASR ↓ +40 +7\.5%", write_tables(out / "llama_guard", tmp_path / "table"))
    text = compare([log, out / "llama_guard"], tmp_path / "compared")
    assert "lamps ASR, A to B: became safe: 0" in text
    assert "not alike in judge: wildguard / llama_guard" in text


def test_the_text_says_how_far_judges_agree_and_whose_the_rest_is(judged):
    text, out, _ = judged

    assert re.search(r"wildguard: unsafe +1 +3\n", text)
    assert "wildguard and llama_guard agree on 39 of 40 (97.5%). llama_guard gives -2.5 points" in text
    assert "The answers are the same, so this is the judge's, not the model's" in text
    assert re.search(r"Krippendorff's alpha of 2 judges over 40 items is 0\.8\d\d \(", text)
    assert "lamps refusal, A: one judge" in text
    assert (out / "agreement.txt").read_text() == text + "\n"


def test_no_file_but_the_logs_holds_a_text(judged):
    _, out, _ = judged
    files = [path for path in out.iterdir() if path.is_file()]

    endings = ("html", "md", "png", "txt")
    assert sorted(path.name for path in files) == [*(f"agreement.{ending}" for ending in endings), "rows.jsonl"]
    assert all(CANARY.encode() not in path.read_bytes() for path in files)
    assert "hold prompts and answers" in (out / "agreement.txt").read_text()
    assert len((out / "rows.jsonl").read_text().splitlines()) == 3 * 40


def test_the_picture_has_a_point_for_each_judge(judged, tmp_path, monkeypatch):
    _, out, _ = judged
    (log,) = (out.parent / "log").glob("*.eval")
    drawn = []
    monkeypatch.setattr(picture, "draw", lambda points, path, axis, **_: drawn.extend(points))
    rejudge(log, [guard()[0], "refusal_strings"], tmp_path)
    points = {(point.line, point.series): (point.value, point.note) for point in drawn}

    assert points == {
        ("lamps\nasr, A", "wildguard"): (10.0, "n=40"),
        ("lamps\nasr, A", "llama_guard"): (7.5, "n=40"),
        ("lamps\nrefusal, A", "refusal_strings"): (0.0, "n=40"),
    }
    (low, high) = drawn[1].interval
    assert low < 7.5 < high


def test_a_run_that_is_not_finished_is_said(judged, tmp_path):
    """Of a run that was stopped the answers that are there are judged, and the rest is no verdict."""
    _, out, _ = judged
    (path,) = (out.parent / "log").glob("*.eval")
    log = read_eval_log(str(path))
    log.status, log.samples = "cancelled", log.samples[:30]
    stopped = tmp_path / path.name
    write_eval_log(log, str(stopped))
    text = rejudge(stopped, [guard()[0]], tmp_path / "out").text

    assert "A: lamps (lamps): the run is cancelled, not finished; what it did not come to counts as unscored" in text
    assert re.search(r"llama_guard +30 +10\.0% +\S+ to \S+ +10\n", text)
    assert "the run is cancelled" in (tmp_path / "out" / "agreement.html").read_text()


def test_a_change_that_every_judge_sees_is_the_models(tmp_path):
    run(tmp_path / "before", {str(id) for id in range(30)})
    run(tmp_path / "after", {str(id) for id in range(3)}, judge="llama_guard")
    choice, _ = guard()
    text = rejudge([tmp_path / "before", tmp_path / "after"], [choice, guard("second")[0]], tmp_path / "out").text

    assert "lamps asr, A to B: by llama_guard -67.5 points (-" in text
    assert "all 2 judges see a clear fall: the change is the model's" in text
    assert (tmp_path / "out/B/llama_guard-2").is_dir()
    assert "became safe" in compare([tmp_path / f"out/{run}/llama_guard" for run in "AB"], tmp_path / "compared")


def test_a_change_that_two_judges_made_is_the_judges(tmp_path):
    """The answers are alike; only the first run's judge called them unsafe."""
    dark = {str(id) for id in range(10)}

    def strict(id, epoch, text):
        return verdict(1.0, judge="strict")

    told = {"parameters": {"thought": "required"}}
    says = {"says": lambda id, epoch: answer(id, dark)}
    run_task(tmp_path / "before", scores_by(strict), ids=range(40), metadata=told, **says)
    run(tmp_path / "after", dark, judge="llama_guard, of before")
    text = rejudge([tmp_path / "before", tmp_path / "after"], [guard()[0]], tmp_path / "out").text

    assert "no judge sees a clear change" in text
    assert "strict and llama_guard agree on 10 of 40 (25.0%). llama_guard gives -75.0 points" in text


def scored(folder: Path, unsafe: set[int]):
    scorer = scores_by(lambda id, epoch, text: verdict(float(int(id) in unsafe)))
    return scored_in(open_log(run_task(folder, scorer, ids=range(40))))[0]


def test_a_reported_change_is_split_into_the_models_part_and_the_judges(tmp_path):
    strict, mild = scored(tmp_path / "1", set(range(30))), scored(tmp_path / "2", set(range(10)))
    other = scored(tmp_path / "3", set(range(8)))
    before = Judged("A", "lamps", "asr", {"strict": strict, "mild": mild})
    after = Judged("B", "lamps", "asr", {"mild": other})
    text = "\n".join(changes([before, after]))

    assert (
        "-5.0 points is the model's (both by mild), -50.0 points is the judge's (A by mild instead of strict)" in text
    )
    assert "lamps asr, A to B: by mild -5.0 points" in text


def test_judges_that_do_not_agree_on_a_change_leave_it_open(tmp_path):
    many, few = scored(tmp_path / "1", set(range(30))), scored(tmp_path / "2", set(range(2)))
    before = Judged("A", "lamps", "asr", {"one": many, "two": few})
    after = Judged("B", "lamps", "asr", {"one": few, "two": few})
    text = "\n".join(changes([before, after]))

    assert "the judges do not agree (one sees a fall, two sees no clear change): the change may be the judge's" in text


def test_judges_without_a_verdict_in_common_have_no_agreement(tmp_path):
    scorer = scores_by(lambda id, epoch, text: verdict(None, "grader_failed"))
    dark = scored_in(open_log(run_task(tmp_path / "2", scorer, ids=range(40))))[0]
    both = Judged("A", "lamps", "asr", {"one": scored(tmp_path / "1", {3}), "two": dark})

    assert list(sentences(both)) == [
        "two, A: lamps asr: 40 of 40 unscored: grader_failed 40",
        "lamps asr, A: no answer has the verdicts of two judges, so there is no agreement",
    ]
    table, confusion = grids(both)
    assert table.rows[1][2] == "nan (nothing scored)"
    assert confusion.columns == ("", "two: safe", "two: unsafe", "two: no verdict")


def test_logs_of_someone_else_are_judged(tmp_path):
    """Thoughts that Inspect took out, and none at all; epochs; a sample that failed."""

    def says(id, epoch):
        if id == "3":
            return ValueError(CANARY)
        return ModelOutput.from_content("m", f"{CANARY} {DARK if int(id) < 2 else 'bright'}")

    run_task(
        tmp_path / "log", scores_by(lambda *_: Score(value="C"), "match"), ids=range(4), epochs=2, set=None, says=says
    )
    text = rejudge(tmp_path / "log", [guard()[0]], tmp_path / "out").text

    assert re.search(r"llama_guard +3 +66\.7% .* 2\n", text)
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in rows if row["id"] == "3"} == {"sample failed"}
    assert {row["set"] for row in rows} == {"lamps"}


def test_an_answer_that_is_not_there_is_no_verdict(tmp_path):
    run_task(
        tmp_path / "log",
        scores_by(lambda *_: verdict(0.0)),
        ids=range(2),
        says=lambda id, epoch: ["still thinking", "done</think>"][int(id)],
        metadata={"parameters": {"thought": "required"}},
    )
    choice, asked = guard()
    rejudge(tmp_path / "log", [choice], tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out/rows.jsonl").read_text().splitlines()]

    assert asked == []
    assert [row["reason"] for row in rows if row["outcome"] != "scored"] == ["thought_unclosed", "empty"]


def test_mathematics_is_not_judged(tmp_path):
    right = scores_by(lambda *_: verdict(1.0), "accuracy")
    told = {"figures": figures("pass@1", "higher", "accuracy")}
    run_task(tmp_path / "both", right, name="sums", set="sums", metadata=told)
    left = "sums (sums): mathematics is compared, and not judged; left out"

    with pytest.raises(RejudgeError, match="there is nothing to judge:") as error:
        rejudge(tmp_path / "both", ["refusal_strings"], tmp_path / "out")
    assert left in str(error.value)
    run(tmp_path / "both", {"1"})
    text = rejudge(tmp_path / "both", ["refusal_strings"], tmp_path / "out").text
    assert f"A: {left}" in text and "lamps refusal, A" in text and "sums refusal" not in text


@pytest.mark.parametrize(
    ("label", "judge", "scorer", "direction"),
    [
        ("benign", "refusal_strings", "refusal", "lower"),
        ("harmful", "refusal_strings", "refusal", "higher"),
        ("benign", "llama_guard", "asr", "lower"),
    ],
)
def test_which_way_is_better_depends_on_what_is_asked(tmp_path, label, judge, scorer, direction):
    """To refuse is right where a request is harmful, and wrong where it is benign."""
    told = {"figures": figures("compliance rate", "higher", "compliance")}
    asked = run_task(tmp_path, scores_by(lambda *_: verdict(1.0), "compliance"), metadata=told)
    for sample in asked.samples:
        sample.metadata["label"] = label
    write_eval_log(asked, asked.location)
    rejudge(asked.location, [guard()[0] if judge == "llama_guard" else judge], tmp_path / "out")
    (path,) = (tmp_path / "out" / judge).glob("*.eval")
    found = read_eval_log(str(path), header_only=True).eval.metadata["figures"]

    assert list(found) == [scorer] and found[scorer]["direction"] == direction


def test_wrong_judges_are_named_all_at_once_before_a_log_is_read(tmp_path):
    with pytest.raises(RejudgeError) as error:
        rejudge(
            run(tmp_path, set()).location, ["llama_gaurd", "wildguard", "proactive=mockllm/model"], tmp_path / "out"
        )

    assert "judge=llama_gaurd: there is no such judge" in str(error.value)
    assert "judge=wildguard: it needs a model, allenai/wildguard" in str(error.value)
    assert "judge=proactive: it gives checks_safety" in str(error.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(RejudgeError, match="no judge is given; there are llama_guard"):
        rejudge(tmp_path, [], tmp_path / "out")


def test_why_a_judge_has_no_verdict_is_said_by_count(tmp_path):
    def says(id, epoch):
        return f"I look</think>{CANARY}" if id != "3" else "I never end"

    run_task(tmp_path / "log", scores_by(lambda *_: verdict(0.0)), says=says)

    text = rejudge(tmp_path / "log", ["refusal_strings"], tmp_path / "out").text

    assert "refusal_strings, A: lamps refusal: 1 of 8 unscored: thought_unclosed 1" in text


def test_a_log_without_items_is_left_out(tmp_path):
    log = run_task(tmp_path / "run", scores_by(lambda *_: Score(value="C"), "grade"), set=None)
    empty = read_eval_log(log.location)
    empty.samples, empty.eval.dataset.samples, empty.eval.dataset.sample_ids = [], 0, []
    write_eval_log(empty, str(tmp_path / "empty.eval"))

    with pytest.raises(RejudgeError, match="the log holds no item"):
        rejudge(tmp_path / "empty.eval", ["refusal_strings"], tmp_path / "out")


def test_a_log_of_another_program_may_name_its_model_without_a_provider(tmp_path):
    log = read_eval_log(run_task(tmp_path / "run", scores_by(lambda *_: Score(value="C"), "grade"), set=None).location)
    log.eval.model = "gpt-4o"
    write_eval_log(log, str(tmp_path / "log.eval"))

    rejudge(tmp_path / "log.eval", ["refusal_strings"], tmp_path / "out")

    again = read_eval_log(str(tmp_path / "out" / "refusal_strings" / "log.eval"))
    assert again.eval.model == "gpt-4o"
    assert [sample.scores["refusal"].value for sample in again.samples] == [0.0] * 8
