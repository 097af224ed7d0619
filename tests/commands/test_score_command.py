"""`sinternal-verl score`: one result a row, in order, continued after a kill."""

import copy
import json
from datetime import datetime
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from sinternal_verl.cli import main
from sinternal_verl.commands import score as command
from sinternal_verl.commands.results import Results, ResultsError
from sinternal_verl.commands.running_guard import compose_guard
from sinternal_verl.scoring import registry
from sinternal_verl.scoring.score import GUARD_TIMES, Outcome, Sample, Score

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


def run(tmp_path, *more, of=None, out="scored.jsonl"):
    source = write(tmp_path / "rows.jsonl", rows() if of is None else of)
    return main(["score", "--in", str(source), "--out", str(tmp_path / out), *more])


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


def test_an_empty_cell_takes_the_default(tmp_path):
    (tmp_path / "rows.csv").write_text(
        f"prompt,response,data_source,ground_truth\n1+1?,{RIGHT},,\n1+1?,{RIGHT},math,3\n"
    )
    options = ["--in", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "scored.jsonl")]

    assert main(["score", *options, "--data-source", "math", "--ground-truth", "2"]) == 0
    assert [result["outcome"] for result in results(tmp_path)] == ["correct", "mismatch"]


def test_an_empty_ground_truth_without_a_default_is_named(tmp_path, capsys):
    assert run(tmp_path, of=[rows(1)[0] | {"ground_truth": " "}]) == 2
    assert "the ground truth is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "wrong"), [("response", "respnse"), ("response", "response "), ("data_source", "data_sorce")]
)
def test_a_column_with_nearly_the_name_is_to_be_renamed(tmp_path, capsys, column, wrong):
    row = rows(1)[0]
    row[wrong] = row.pop(column)

    assert run(tmp_path, of=[row]) == 2
    assert f"it has no {column}" in (said := capsys.readouterr().err) and f"the file has {wrong!r}: rename it" in said


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
    assert "nobody there" in said and "give the same command again to go on" in said
    switch.touch()
    assert run(tmp_path, judge) == 0
    assert [result["score"] for result in results(tmp_path)] == [1.0] * 5


@pytest.fixture
def scored_by(tmp_path, monkeypatch):
    """A function from a function's body, which has ``sample``, to the words for such a scorer of data source math."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))

    def make(body: str) -> str:
        (tmp_path / "mine.py").write_text(
            "from sinternal_verl.scoring.registry import scorer\n"
            "from sinternal_verl.scoring.score import GUARD_TIMES, Outcome, Sample, Score\n"
            f"@scorer('mine')\ndef mine(sample):\n    {body}\n"
        )
        return f"+sinternal.scorers.mine={{path: {tmp_path / 'mine.py'}, sources: [math]}}"

    return make


def test_failures_with_a_score_between_them_are_no_row_of_failures(tmp_path, monkeypatch, scored_by):
    monkeypatch.setattr(command, "FAILURES_IN_A_ROW", 3)
    judge = scored_by("return Score(0.0, Outcome.CORRECT if sample.response == 'x' else Outcome.TIMED_OUT)")
    made = [rows(1)[0] | {"response": letter} for letter in "..x..x..x.."]

    assert run(tmp_path, judge, of=made) == 0
    assert [result["scored"] for result in results(tmp_path)] == [letter == "x" for letter in "..x..x..x.."]


def test_as_many_rows_at_a_time_as_is_said(tmp_path, scored_by):
    body = (
        "import time; most = mine.__dict__.setdefault('most', set()); me = object(); most.add(me);"
        " at_once = len(most); time.sleep(0.03); most.discard(me);"
        " return Score(0.0, Outcome.SCORED, {'at_once': float(at_once)})"
    )

    assert run(tmp_path, scored_by(body), "--concurrency", "2", of=rows(8)) == 0
    assert max(result["at_once"] for result in results(tmp_path)) == 2


def test_a_scorer_gets_all_that_its_row_holds(tmp_path, scored_by):
    judge = scored_by(
        "return Score(1.0, Outcome.SCORED, {'turns': float(len(sample.prompt)), 'n': float(sample.extra['n'])},"
        " reason=f'{sample.source}/{sample.response}/{sample.ground_truth}/{sample.prompt[-1]}')",
    )
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "1+1?"}]
    row = {"response": "2", "data_source": "math", "extra_info": {"n": 5}}
    of = [
        row | {"prompt": "1+1?", "ground_truth": "first", "reward_model": {"ground_truth": "second"}},
        row | {"prompt": messages, "reward_model": {"ground_truth": "second"}},
        row | {"prompt": messages},
    ]

    assert run(tmp_path, judge, "--ground-truth", "third", "--data-source", "elsewhere", of=of) == 0
    found = results(tmp_path)
    said = "{'role': 'user', 'content': '1+1?'}"
    assert [result["reason"] for result in found] == [f"math/2/{n}/{said}" for n in ("first", "second", "third")]
    assert [(result["turns"], result["n"]) for result in found] == [(1.0, 5.0), (2.0, 5.0), (2.0, 5.0)]
    assert found[0]["data_source"] == "math" and found[0]["score"] == 1.0


def test_a_scorers_file_that_has_changed_is_another_scorer(tmp_path, capsys, scored_by):
    assert run(tmp_path, scored_by("return Score(1.0, Outcome.SCORED)")) == 0
    assert run(tmp_path, scored_by("return Score(0.0, Outcome.SCORED)")) == 2
    assert "was made with scorers" in capsys.readouterr().err


def test_where_a_guard_stands_decides_nothing_and_which_it_is_does(tmp_path):
    def made_of(**changes):
        config = copy.deepcopy(composed("guard=openai_endpoint", "sinternal.guard.url=http://a/v1"))
        for key, value in changes.items():
            OmegaConf.update(config, f"sinternal.guard.{key.replace('__', '.')}", value)
        return command._made_of(command.open_source(str(write(tmp_path / "rows.jsonl", rows()))), config, {})

    assert made_of() == made_of(url="http://b/v1", request_timeout_s=5)
    others = {"engine__model": "another", "engine__max_model_len": 100, "mode": "decode", "served_as": "another"}
    for key, value in others.items():
        assert made_of() != made_of(**{key: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_source": "chat"}, "no scorer takes the data source 'chat'; they take "),
        ({"ground_truth": ""}, "the ground truth is empty"),
        ({"prompt": 5}, "prompt must be a string or messages with role and content"),
        ({"response": 5}, "response = 5: it must be text"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(tmp_path, capsys, change, words):
    assert run(tmp_path, "sinternal.scorers.boxed_math.sources=[math]", of=[rows(1)[0] | change]) == 2

    said = capsys.readouterr().err
    assert f"line 1: {words}" in said and "nothing was scored (bad rows: 1)" in said


@pytest.mark.parametrize(("of", "more"), [([], []), (None, ["--concurrency", "0"])])
def test_nothing_to_do_and_nobody_to_do_it_end_with_two(tmp_path, capsys, of, more):
    assert run(tmp_path, *more, of=of) == 2
    said = capsys.readouterr().err
    assert "there is no row" in said or "--concurrency 0: give a positive number" in said


def test_models_that_do_not_think_are_told_the_setting_and_results_are_strict_json(tmp_path, capsys):
    unthinking = [row | {"response": r"\boxed{2}"} for row in rows(4)] + rows(2)
    assert run(tmp_path, of=unthinking) == 0
    said = capsys.readouterr().err

    assert "4 of 6 responses of 'math' never end their thought" in said
    assert "sinternal.scorers.boxed_math.thought=none" in said
    assert run(tmp_path, "sinternal.scorers.boxed_math.thought=none", out="other.jsonl") == 0
    assert "never end" not in capsys.readouterr().err


def test_whatever_a_scorer_returns_beside_its_score_is_in_its_result(tmp_path, scored_by):
    extra = "{'why': 'so', 'marks': {1, 2}, 'sure': float('nan'), 'score': 5, 'made': lambda: 1}"
    assert run(tmp_path, scored_by(f"return Score(1.0, Outcome.SCORED, {extra})")) == 0
    lines = (tmp_path / "scored.jsonl").read_text().splitlines()
    found = json.loads(lines[0], parse_constant=pytest.fail)

    assert found.items() >= {"why": "so", "marks": [1, 2], "sure": None, "score": 1.0}.items()


def test_two_runs_with_equal_verdicts_make_equal_files_whatever_time_the_guard_took(tmp_path, scored_by):
    body = (
        "import time; times = dict(guard_wait_s=time.time(), guard_s=time.time(), guard_at=time.time());"
        " return Score(1.0, Outcome.SAFE, {'safe_probability': 0.5, **times})"
    )
    written = []
    for name in ("first.jsonl", "second.jsonl"):
        assert run(tmp_path, scored_by(body), out=name) == 0
        written.append((tmp_path / name).read_text())

    assert written[0] == written[1]
    first = json.loads(written[0].splitlines()[0])
    assert first["safe_probability"] == 0.5 and not first.keys() & GUARD_TIMES.keys()


@pytest.mark.parametrize(("extra", "shown"), [("'why'", "why"), ("[1, 2]", [1, 2]), ("None", None)])
def test_an_extra_that_has_no_names_is_named_so(tmp_path, scored_by, extra, shown):
    assert run(tmp_path, scored_by(f"return Score(1.0, Outcome.SCORED, {extra})")) == 0
    assert [result["extra"] for result in results(tmp_path)] == [shown] * 5


def test_a_result_keeps_the_rows_own_columns_whole(tmp_path, capsys):
    long = "x" * 20_000
    own = {"id": "q7", "tags": ["a", {"b": None}], "note": long, "share": float("nan")}
    assert run(tmp_path, of=[row | own for row in rows(2)]) == 0

    lines = (tmp_path / "scored.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    for result, row in zip(found, rows(2), strict=True):
        assert result.items() >= (row | own | {"share": None}).items()
    assert [result["score"] for result in found] == [0.0, 1.0]
    assert "replace yours" not in capsys.readouterr().err


def test_columns_that_results_have_themselves_are_replaced_and_named(tmp_path, capsys):
    assert run(tmp_path, of=[row | {"score": 5, "reason": "mine", "row": 9} for row in rows(2)]) == 0

    assert "the results have row, score, reason of their own, and replace yours" in capsys.readouterr().err
    assert [(result["row"], result["score"], result["reason"]) for result in results(tmp_path)] == [
        (0, 0.0, ""),
        (1, 1.0, ""),
    ]


def test_a_scored_file_can_be_scored_again(tmp_path):
    assert run(tmp_path) == 0
    again = tmp_path / "again.jsonl"

    assert main(["score", "--in", str(tmp_path / "scored.jsonl"), "--out", str(again)]) == 0
    assert again.read_text() == (tmp_path / "scored.jsonl").read_text()


def test_columns_of_a_parquet_file_are_kept_too(tmp_path):
    made = pa.Table.from_pylist([row | {"when": datetime(2026, 1, 2), "raw": b"5"} for row in rows(1)])
    pq.write_table(made, tmp_path / "rows.parquet")

    assert main(["score", "--in", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "scored.jsonl")]) == 0
    assert results(tmp_path)[0].items() >= {"when": "2026-01-02 00:00:00", "raw": "b'5'", "score": 0.0}.items()


def test_the_prefix_of_a_message_stands_once(tmp_path, capsys):
    assert run(tmp_path, "guard=openai_endpoint", "sinternal.guard.url=null") == 2
    assert capsys.readouterr().err.count("sinternal_verl: ") == 1
