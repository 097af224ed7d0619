"""`sinternal-verl score`: one result a row, in order, continued after a kill."""

import copy
import json
from functools import cache

import pytest

from sinternal_verl.cli import main
from sinternal_verl.commands import score as command
from sinternal_verl.commands.results import Results, ResultsError
from sinternal_verl.commands.running_guard import compose_guard
from sinternal_verl.scoring.score import Outcome, Sample, Score

RIGHT, WRONG = r"1+1=2.</think> \boxed{2}", r"1+1=3.</think> \boxed{3}"


@cache
def composed(*overrides):
    return compose_guard(overrides)


@pytest.fixture(autouse=True)
def composed_once(monkeypatch):
    """Composing takes a second; the same words make the same configuration."""
    monkeypatch.setattr(command, "compose_guard", lambda overrides: copy.deepcopy(composed(*overrides)))


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def rows(count=5):
    return [
        {"prompt": "1+1?", "response": RIGHT if n % 2 else WRONG, "data_source": "math", "ground_truth": "2"}
        for n in range(count)
    ]


def run(tmp_path, *more, of=None):
    source = write(tmp_path / "rows.jsonl", rows() if of is None else of)
    return main(["score", "--in", str(source), "--out", str(tmp_path / "scored.jsonl"), *more])


def results(tmp_path):
    return [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]


def test_one_result_a_row_in_their_order(tmp_path, capsys):
    assert run(tmp_path) == 0

    found = results(tmp_path)
    assert [result["row"] for result in found] == list(range(5))
    assert [result["score"] for result in found] == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert {result["outcome"] for result in found} == {"correct", "mismatch"}
    assert "math, correct: 2" in capsys.readouterr().out


@pytest.mark.parametrize("left", [0, 3])
def test_an_unfinished_file_is_continued_and_half_a_line_made_again(tmp_path, capsys, left):
    assert run(tmp_path) == 0
    whole = (tmp_path / "scored.jsonl").read_text()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "scored.jsonl").write_text("".join(lines[:left]) + lines[left][:9])

    assert run(tmp_path, "--concurrency", "2") == 0
    assert (tmp_path / "scored.jsonl").read_text() == whole
    assert (f"{left} of 5 rows are in" in capsys.readouterr().out) == bool(left)


def test_failures_at_the_end_are_made_again_and_those_before_stay(tmp_path):
    math, made_of = Sample("math", ""), {"source": 1}
    target = tmp_path / "scored.jsonl"
    outcomes = [Outcome.FAILED, Outcome.CORRECT, Outcome.FAILED, Outcome.TIMED_OUT]
    with Results(target, made_of) as kept:
        for number, outcome in enumerate(outcomes):
            kept.add(number, math, Score(0.0, outcome, reason="no replica"))

    assert Results(target, made_of).done == 2
    assert [result["outcome"] for result in results(tmp_path)] == ["failed", "correct"]
    assert results(tmp_path)[0] | {"score": None, "scored": False, "reason": "no replica"} == results(tmp_path)[0]


def test_results_of_other_rows_or_settings_are_not_continued(tmp_path, capsys):
    assert run(tmp_path) == 0
    assert run(tmp_path, of=rows(6)) == 2
    assert run(tmp_path, "sinternal.scorers.boxed_math.mode=literal") == 2

    said = capsys.readouterr().err
    assert "was made with source" in said and "was made with scorers" in said and "remove" in said
    assert len(results(tmp_path)) == 5


def test_a_file_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "scored.jsonl").write_text("mine\n")
    with pytest.raises(ResultsError, match="cannot be read"):
        Results(tmp_path / "scored.jsonl", {})
    assert (tmp_path / "scored.jsonl").read_text() == "mine\n"


def test_all_bad_rows_are_named_before_anything_is_scored(tmp_path, capsys):
    good = rows(1)[0]
    bad = [
        good | {"response": None},
        good | {"data_source": None},
        good | {"data_source": "safety/harmful/x", "ground_truth": "harmful"},
        good | {"ground_truth": None},
        good | {"prompt": [{"role": "user"}]},
    ]
    assert run(tmp_path, of=[good, *bad]) == 2

    said = capsys.readouterr().err
    assert all(f"line {line}" in said for line in range(2, 7)) and "line 1:" not in said
    assert "guard=openai_endpoint" in said and "--data-source" in said and "bad rows: 5" in said
    assert not (tmp_path / "scored.jsonl").exists()


def test_a_guard_that_cannot_start_is_found_before_ray_starts(tmp_path, capsys, untaught_guard):
    """Its context is above its model's 2,048 tokens: the same command could never go on."""
    guard = ["guard=ray_actor", "hardware=cpu", f"sinternal.guard.engine.model={untaught_guard}"]
    assert run(tmp_path, *guard) == 2

    said = capsys.readouterr().err
    assert "context of 2048" in said and "sinternal.guard.engine.max_model_len=2048" in said
    assert "goes on" not in said


def test_defaults_for_rows_that_lack_them(tmp_path):
    bare = [{"prompt": "1+1?", "response": RIGHT}]
    assert run(tmp_path, "--data-source", "math", "--ground-truth", "2", of=bare) == 0
    assert results(tmp_path)[0]["outcome"] == "correct"


def test_it_stops_when_there_is_no_judge_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "FAILURES_IN_A_ROW", 3)
    switch = tmp_path / "judge_is_back"
    (tmp_path / "judge.py").write_text(
        "from pathlib import Path\n"
        "def compute_score(data_source, solution_str, ground_truth, extra_info):\n"
        f"    if not Path({str(switch)!r}).exists(): raise ConnectionError('nobody there')\n"
        "    return 1.0\n"
        "from sinternal_verl.scoring.function import FunctionScorer\n"
        "from sinternal_verl.scoring.registry import scorer\n"
        "@scorer('flaky_judge')\n"
        "class Judge(FunctionScorer):\n"
        "    def __init__(self): super().__init__(compute_score)\n"
    )
    judge = f"+sinternal.scorers.flaky_judge={{path: {tmp_path / 'judge.py'}, sources: [math]}}"

    assert run(tmp_path, judge) == 1
    said = capsys.readouterr().err
    assert "nobody there" in said and "when the cause is mended, the same command goes on" in said
    switch.touch()
    assert run(tmp_path, judge) == 0
    assert [result["score"] for result in results(tmp_path)] == [1.0] * 5
