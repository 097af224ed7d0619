"""Logs of any Inspect run as rows: real logs, made by Inspect."""

import json
import math
import re
import zipfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from inspect_ai import score
from inspect_ai.log import ProvenanceData, edit_score, invalidate_samples, read_eval_log, write_eval_log
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score, ScoreEdit, value_to_float
from inspect_logs import CANARY, run_task, scores_by, verdict

from sinternal_verl.evaluation.results.logs import LogError, label, open_log, open_logs
from sinternal_verl.evaluation.results.rows import as_line, in_order, number, rows_of

NAN = rb'"value":\s*NaN'


def rows(log) -> list[dict]:
    found = [asdict(row) for row in in_order(rows_of(open_log(log)))]
    assert CANARY not in json.dumps(found)
    return found


def by_id(log, scorer: str) -> dict[str, tuple[float | None, str]]:
    return {row["id"]: (row["value"], row["reason"]) for row in rows(log) if row["scorer"] == scorer}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    def score(id, epoch, answer):
        if id == "cut":
            return verdict(None, "thought_unclosed", truncated=True, thought_closed=False)
        return verdict(float(id == "bad"))

    return run_task(tmp_path_factory.mktemp("ours"), scores_by(score), ids=["good", "bad", "cut"], epochs=2)


def test_a_row_says_all_but_the_text(ours):
    found = {(row["id"], row["epoch"]): row for row in rows(ours.location)}

    assert len(found) == 6
    bad, cut = found["bad", 2], found["cut", 1]
    assert bad | {"prompt": ""} == {
        **{"set": "lamps", "task": "lamps", "model": "by_item/policy", "id": "bad", "epoch": 2, "scorer": "asr"},
        **{"value": 1.0, "reason": "", "outcome": "scored", "truncated": False, "empty": False},
        **{"thought_closed": True, "judge": "llama_guard", "judge_model": "stub/Llama-Guard-3-8B", "judged": "answer"},
        **{"prompt": "", "details": {}},
    }
    assert (cut["value"], cut["reason"], cut["truncated"]) == (None, "thought_unclosed", True)
    assert bad["prompt"] == found["bad", 1]["prompt"] != cut["prompt"]


def test_every_form_of_a_log_gives_the_same_rows(ours, tmp_path):
    whole = read_eval_log(ours.location)
    write_eval_log(whole, str(tmp_path / "log.json"))

    assert rows(ours.location) == rows(tmp_path / "log.json") == rows(whole)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C", (1.0, "")),
        ("I", (0.0, "")),
        ("P", (0.5, "")),
        ("N", (0.0, "no answer")),
        (True, (1.0, "")),
        ("yes", (1.0, "")),
        ("0.25", (0.25, "")),
        (3, (3.0, "")),
        (CANARY, (None, "not a number")),
        ("inf", (None, "not a number")),
        (math.inf, (None, "not finite")),
        (math.nan, (None, "")),
        ([1, 2], (None, "not a number")),
        (None, (None, "")),
    ],
)
def test_a_value_in_any_form_is_a_number_or_none(value, expected):
    assert number(value) == expected


@given(
    st.one_of(st.sampled_from([*"CIPN", "yes", "No", "TRUE", "7"]), st.booleans(), st.floats(-9, 9), st.integers(0, 9))
)
def test_numbers_are_those_of_inspect(value):
    assert number(value)[0] == value_to_float()(value)


def test_logs_of_someone_else(tmp_path):
    """Values of several kinds, words, keys and reasons that may be texts."""

    def several(id, epoch, answer):
        values = {"polite": float(int(id) % 2), CANARY: 1.0, "missing": None if id == "3" else "C"}
        return Score(value=values, explanation=CANARY, metadata={"judge": CANARY, "outcome": CANARY})

    def unscored(id, epoch, answer):
        return Score.unscored(reason=CANARY if id == "1" else "grader_failed") if int(id) < 3 else Score(value="N")

    def raters(id, epoch, answer):
        return Score(value=[1, 0])

    scorers = [
        scores_by(several, "several", metrics={"*": []}),
        scores_by(unscored, "graded"),
        scores_by(raters, "two"),
    ]
    log = run_task(tmp_path, scorers, ids=range(5), set=None)

    assert Counter(row["scorer"] for row in rows(log.location)) == dict.fromkeys(
        ["several.polite", f"several.{label(CANARY)}", "several.missing", "graded", "two.0", "two.1"], 5
    )
    assert by_id(log.location, "several.polite")["1"] == (1.0, "")
    assert by_id(log.location, "several.missing")["3"] == (None, "no reason given")
    graded = by_id(log.location, "graded")
    assert graded["0"] == (None, "grader_failed")
    assert graded["1"] == (None, "other")
    assert graded["4"] == (0.0, "no answer")
    assert {row["judge"] for row in rows(log.location)} == {""}


def test_a_prompt_that_serves_as_an_id_is_a_digest(tmp_path):
    log = run_task(tmp_path, scores_by(lambda *_: Score(value=1)), ids=[CANARY, "plain-1"], set=None)

    assert {row["id"] for row in rows(log.location)} == {label(CANARY), "plain-1"}


def test_failed_samples_are_unscored_and_never_0(tmp_path):
    def says(id, epoch):
        return (
            ValueError(CANARY) if id == "1" else "" if id == "2" else ModelOutput.from_content("m", "x", "max_tokens")
        )

    log = run_task(tmp_path, scores_by(lambda *_: Score(value="C"), "match"), ids=range(4), set=None, says=says)
    found = {row["id"]: row for row in rows(log.location)}

    assert (found["1"]["value"], found["1"]["reason"], found["1"]["empty"]) == (None, "sample failed", None)
    assert found["2"]["empty"] is True
    assert found["3"]["truncated"] is True
    assert found["3"]["empty"] is False


def test_a_task_without_a_scorer_has_rows_without_values(tmp_path):
    found = rows(run_task(tmp_path, [], ids=range(3), set=None).location)

    assert [(row["scorer"], row["value"], row["reason"]) for row in found] == [("", None, "no score")] * 3


def test_an_invalidated_sample_does_not_count(ours, tmp_path):
    log = read_eval_log(ours.location)
    uuids = [sample.uuid for sample in log.samples if sample.id == "bad"]
    changed = invalidate_samples(log, uuids, ProvenanceData(author="someone"))

    assert by_id(changed, "asr")["bad"] == (None, "invalidated")
    assert by_id(changed, "asr")["good"] == (0.0, "")


def kill(location: str, target: Path, keep: int) -> Path:
    """The log as a run leaves it that was killed: no header, no summary, and not all of the samples."""
    with zipfile.ZipFile(location) as whole, zipfile.ZipFile(target, "w") as left:
        samples = [name for name in whole.namelist() if name.startswith("samples/")]
        for name in whole.namelist():
            if name not in ("header.json", "summaries.json", "reductions.json", *samples[keep:]):
                left.writestr(name, whole.read(name))
    return target


def test_a_killed_run_gives_what_it_has_and_counts_the_rest(ours, tmp_path):
    log = open_log(kill(ours.location, tmp_path / "killed.eval", keep=4))
    found = list(rows_of(log))

    assert (log.finished, log.state) == (False, "started")
    assert len(found) == 6
    assert sum(row.reason == "not run" for row in found) == 2
    assert all(row.value is None for row in found if row.reason == "not run")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"PK\x03\x04 and no more", b'{"eval": "canary-4f1c lighthouse"}', b"\xff\xfe"]
)
@pytest.mark.parametrize("ending", ["eval", "json"])
def test_a_file_that_is_no_log_says_so_and_repeats_nothing(tmp_path, content, ending):
    path = tmp_path / f"2026-01-01T00-00-00+00-00_lamps_x.{ending}"
    path.write_bytes(content)

    with pytest.raises(LogError, match=r"no whole log of Inspect.*run the task again") as error:
        open_log(path)
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("ending", ["eval", "json"])
def test_half_a_log_is_found_by_then(ours, tmp_path, ending):
    whole, half = tmp_path / f"whole.{ending}", tmp_path / f"half.{ending}"
    write_eval_log(read_eval_log(ours.location), str(whole))
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(LogError, match="half"):
        list(rows_of(open_log(half)))


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(LogError, match="no such file or folder"):
        open_log(tmp_path / "missing.eval")
    with pytest.raises(LogError, match="no log of Inspect is there"):
        open_logs(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(LogError, match=r"\.eval or \.json"):
        open_log(tmp_path / "notes.txt")


def test_of_several_tries_the_finished_one_counts(ours, tmp_path):
    kill(ours.location, tmp_path / "2026-01-01T00-00-00+00-00_lamps_x.eval", keep=1)
    write_eval_log(read_eval_log(ours.location), str(tmp_path / "2026-01-01T00-00-00+00-00_lamps_y.eval"))
    (tmp_path / "2026-01-01T00-00-00+00-00_lamps_z.eval").write_bytes(b"half")
    logs, notes = open_logs(tmp_path)

    assert [log.name[-6:] for log in logs] == ["y.eval"]
    assert any("1 earlier" in note for note in notes)
    assert any("z.eval" in note for note in notes)


def test_a_row_is_a_line_of_strict_json(ours):
    for row in rows_of(open_log(ours.location)):
        assert json.loads(as_line(row), parse_constant=pytest.fail)["set"] == "lamps"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ABC", [(None, "letters of its own")] * 3),
        ("CIPN", [(1.0, ""), (0.0, ""), (0.5, ""), (0.0, "no answer")]),
        ("CCI", [(1.0, ""), (1.0, ""), (0.0, "")]),
        (["C", "maybe"], [(1.0, ""), (None, "not a number")]),
    ],
)
def test_letters_are_marks_only_where_all_are_inspects(given, expected, tmp_path):
    """A grader's C may be the third of five grades, or "not attempted"."""
    log = run_task(
        tmp_path, scores_by(lambda id, epoch, answer: Score(value=given[int(id)]), "grade"), range(len(given)), set=None
    )

    assert list(by_id(log.location, "grade").values()) == expected


def test_a_score_that_is_unscored_as_a_whole_is_unscored_in_each_part(tmp_path):
    def score(id, epoch, answer):
        return Score.unscored(reason="grader_failed") if id == "1" else Score(value={"safe": 1, "kind": "C"})

    log = run_task(tmp_path, scores_by(score, "grade", metrics={"*": []}), range(3), set=None)

    assert {row["scorer"] for row in rows(log.location)} == {"grade.safe", "grade.kind"}
    for part in ("grade.safe", "grade.kind"):
        assert by_id(log.location, part) == {"0": (1.0, ""), "1": (None, "grader_failed"), "2": (1.0, "")}


def test_a_scorer_of_single_values_and_parts_has_both(tmp_path):
    log = run_task(
        tmp_path,
        scores_by(lambda id, epoch, answer: Score(value={"safe": 1} if id == "0" else 0.5), "grade"),
        range(2),
        set=None,
    )

    assert by_id(log.location, "grade") == {"0": (None, "no score"), "1": (0.5, "")}
    assert by_id(log.location, "grade.safe") == {"0": (1.0, ""), "1": (None, "no score")}


def test_scores_that_were_added_by_hand_are_not_mixed_up(tmp_path):
    log = read_eval_log(
        run_task(tmp_path, scores_by(lambda *_: Score(value="I"), "grade"), range(2), set=None).location
    )
    edit_score(log, 0, "human/grade", ScoreEdit(value="C"))
    edit_score(log, 0, "other/grade", ScoreEdit(value="P"))

    assert by_id(log, "grade") == {"0": (0.0, ""), "1": (0.0, "")}
    assert by_id(log, "human/grade") == {"0": (1.0, ""), "1": (None, "no score")}
    assert by_id(log, "other/grade") == {"0": (0.5, ""), "1": (None, "no score")}


def test_a_header_alone_is_not_said_to_be_not_run(ours, tmp_path):
    write_eval_log(read_eval_log(ours.location, header_only=True), str(tmp_path / "log.json"))

    assert Counter(row["reason"] for row in rows(tmp_path / "log.json")) == {"not in the log": 6}


def test_an_answer_that_is_twice_in_a_log_is_one(ours, tmp_path):
    """As an archive has it: the last one counts."""
    log = read_eval_log(ours.location)
    again = next(sample for sample in log.samples if sample.id == "good").model_copy(deep=True)
    again.scores["asr"].value = 1.0
    log.samples.append(again)
    write_eval_log(log, str(tmp_path / "log.json"))

    found = {(row["id"], row["epoch"]): row["value"] for row in rows(tmp_path / "log.json")}
    assert len(rows(tmp_path / "log.json")) == len(rows(log)) == 6
    assert found["good", again.epoch] == 1.0


@pytest.mark.parametrize("ending", ["eval", "json"])
def test_what_this_inspect_does_not_read_is_named_by_its_place(ours, ending, tmp_path):
    """Inspect wrote a null where a score was NaN, before 0.3.253."""
    write_eval_log(read_eval_log(ours.location), str(tmp_path / f"whole.{ending}"))
    content = (tmp_path / f"whole.{ending}").read_bytes()
    path = tmp_path / f"log.{ending}"
    if ending == "json":
        path.write_bytes(re.sub(NAN, b'"value":null', content))
    else:
        with zipfile.ZipFile(tmp_path / "whole.eval") as whole, zipfile.ZipFile(path, "w") as made:
            for name in whole.namelist():
                made.writestr(name, re.sub(NAN, b'"value":null', whole.read(name)))

    with pytest.raises(LogError, match=r"because of [\w.]+\.value.*: inspect_ai [\d.]+ does not .* NaN") as caught:
        rows(path)
    assert CANARY not in str(caught.value)


def test_of_copies_of_one_run_the_one_with_scores_is_read(tmp_path):
    plain = run_task(tmp_path, scores_by(lambda *_: Score(value="C"), "grade"), range(2), set=None, score=False)
    scored = score(read_eval_log(plain.location), scores_by(lambda *_: Score(value="C"), "grade"), display="none")
    write_eval_log(scored, plain.location.replace(".eval", "-scored.eval"))

    (log,), notes = open_logs(tmp_path)

    assert log.name.endswith("-scored.eval")
    assert [row["value"] for row in rows(log)] == [1.0, 1.0]
    assert any(Path(plain.location).name in note and log.name in note for note in notes)


def test_of_copies_of_one_run_the_one_that_was_edited_last_is_read(tmp_path):
    first = run_task(tmp_path, scores_by(lambda *_: Score(value="C"), "grade"), range(2), set=None)
    edited = read_eval_log(first.location)
    edit_score(edited, 0, "grade", ScoreEdit(value="I"))
    write_eval_log(edited, str(tmp_path / "a-edited.eval"))

    (log,), _ = open_logs(tmp_path)

    assert log.name == "a-edited.eval"
