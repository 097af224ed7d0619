"""Dumps, ours and verl's, become columns; whole groups have their texts."""

import gzip
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import HARMFUL, make_grpo, make_plain

from sinternal_verl.report import dumps, rollouts
from sinternal_verl.report.lines import Skipped
from sinternal_verl.report.read import read_run
from sinternal_verl.report.rollouts import read_rollouts, read_texts
from sinternal_verl.report.run import UNKNOWN


def read(folder, skipped=None, **options):
    options = {"last": None, "text_bytes": 10**7, "seed": 1} | options
    return read_rollouts(folder, None, skipped or Skipped(), **options)


def write(folder, step, *lines):
    folder.mkdir(exist_ok=True)
    (folder / f"{step}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def dumped(folder) -> list[dict]:
    files = sorted(folder.glob("*.jsonl"), key=lambda file: int(file.stem))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_our_dumps_are_columns_as_they_stand_in_the_files(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=3, unscored=0.3)
    found = read_run(folder).rollouts
    rows = dumped(folder / "rollouts") + dumped(folder / "validation")

    assert len(found) == len(rows)
    assert found.held_out.tolist() == [False] * 72 + [True] * 72
    assert found.step.tolist() == [row["step"] for row in rows]
    for column, key in {"source": "data_source", "outcome": "outcome", "row": "index"}.items():
        assert [found.names[column][number] for number in getattr(found, column)] == [row[key] for row in rows]
    for column, key in {"scored": "scored", "truncated": "truncated", "length": "response_length"}.items():
        assert getattr(found, column).tolist() == [row[key] for row in rows]
    for column in ("score", "advantage", "safe_probability"):
        values = [math.nan if row[column] is None else row[column] for row in rows]
        np.testing.assert_allclose(getattr(found, column), values, rtol=1e-6)
    np.testing.assert_array_equal(found.extra["words"], [row["extra"]["words"] for row in rows])
    told = [None if number == UNKNOWN else found.names["reason"][number] for number in found.reason]
    assert told == [row["reason"] or None for row in rows]
    assert set(found.cut.tolist()) == {0} and found.set_aside.sum() > 0
    assert found.place.tolist() == [0, 1, 2, 3] * 36 and (np.diff(found.group) >= 0).all()
    assert [file.name for file in found.files] == [f"{step}.jsonl" for step in (1, 2, 3, 0, 2, 3)]


@pytest.mark.parametrize("uids", [True, False])
def test_plain_verls_dumps_have_what_it_writes(tmp_path, uids):
    run = read_run(make_plain(tmp_path / "run", steps=2, uids=uids))
    found = run.rollouts

    assert len(found) == 96 and found.held_out.sum() == 48
    assert {tuple(found.place[found.group == group]) for group in range(24)} == {(0, 1, 2, 3)}
    assert set(found.source) == set(found.length) == set(found.scored) == {UNKNOWN}
    assert np.isnan(found.advantage).all() and np.isfinite(found.score).all()
    assert np.isfinite(found.extra["words"]).sum() == (48 if uids else 96)
    assert found.texts[95].extra == {"note": "counted"}
    assert any("no data sources" in said for said in run.lacks)


def test_our_managers_scores_under_a_trainer_of_verls_are_read(tmp_path):
    """A line as such a validation has dumped it."""
    details = json.dumps({"index": "7", "reason": "why", "extra": {"why": "so"}})
    line = {"input": "?", "output": "x", "score": 0.0, "step": 2, "uid": "u_0_0", "outcome": 9.0, "scored": 0.0}
    line |= {"response_length": 12.0, "details": details, "words": 3.0}
    found = read(write(tmp_path / "d", 2, line, {**line, "details": "broken"}, {**line, "outcome": 0.5}))

    assert found.names["outcome"] == ["failed", "0.5"] and found.length.tolist() == [12] * 3
    assert (found.names["row"], found.names["reason"]) == (["7"], ["why"])
    assert found.texts[0].extra == {"why": "so"} and found.extra["words"].tolist() == [3] * 3


def test_a_thought_and_an_answer_are_split_where_a_user_sees_the_answer(tmp_path):
    made = {"a": "x</think>y</think>z", "b": "cut", "c": "plain"}
    write(tmp_path / "d", 1, *({"input": f"{name}?", "output": text, "gts": None} for name, text in made.items()))
    opened = {"input": "d?<think>\n", "output": "open", "gts": 7, "uid": "u", "outcome": "mismatch"}
    write(tmp_path / "d", 2, opened, {"input": "e?", "output": "open", "outcome": "thought_unclosed"})
    texts = list(read(tmp_path / "d").texts.values())

    assert [(text.thought, text.answer) for text in texts] == [
        ("x", "y</think>z"),
        ("", "cut"),
        ("", "plain"),
        ("open", None),
        ("open", None),
    ]
    assert [text.truth for text in texts] == [None, None, None, "7", None]


@pytest.mark.parametrize(
    ("uids", "groups"),
    [
        (["a_0_0", "b_0_0", "a_1_0", "b_1_0"], [0, 0, 1, 1]),
        (["a", "b", "a", "b"], [0, 0, 1, 1]),
        (["a", "b", "c", "d"], [0, 0, 1, 1]),
        ([None, None, None, None], [0, 0, 1, 1]),
        (["x_y_0_0", "x_z_0_0", "x_y_1_0", "x_z_1_0"], [0, 0, 1, 1]),
        ([7, 8, 7, 8], [0, 0, 1, 1]),
    ],
    ids=["verl's", "of the prompt", "of the response", "none", "underscores", "numbers"],
)
def test_responses_to_one_prompt_are_a_group(tmp_path, uids, groups):
    """The prompts are asked in turns."""
    lines = [{"input": f"{n % 2}?", "output": f"{n}", "uid": uid, "score": n} for n, uid in enumerate(uids)]
    found = read(write(tmp_path / "d", 1, *lines))

    assert found.group.tolist() == groups and found.place.tolist() == [0, 1, 0, 1]
    assert found.score.tolist() == [0, 2, 1, 3]
    assert [found.texts[number].answer for number in range(4)] == ["0", "2", "1", "3"]


def test_odd_values_are_read_as_far_as_they_say_something(tmp_path):
    odd = {"input": [{"role": "user", "content": "hé"}], "output": 5, "gts": {"a": 1}, "score": "0.5", "uid": ["x"]}
    odd |= {"data_source": 3, "index": {"file": "a", "row": 1}, "outcome": None, "scored": "false", "truncated": 1.0}
    odd |= {"response_length": "12", "cut": 40, "extra": [1, 2], "advantage": {}, "safe_probability": "high"}
    odd |= {"big": 10**30, "flag": True, "none": None, "nested": {"a": [1]}, "reason": "r" * 500}
    found = read(write(tmp_path / "d", 1, odd, {"output": "x"}))
    text = found.texts[0]

    assert found.score[0] == 0.5 and found.scored[0] == 0 and found.truncated[0] == 1 and found.length[0] == 12
    assert (
        found.cut.tolist() == [1, UNKNOWN]
        and np.isnan(found.advantage).all()
        and np.isnan(found.safe_probability).all()
    )
    assert found.names["source"] == ["3"] and found.names["row"] == ['{"file": "a", "row": 1}']
    assert found.names["outcome"] == [] and len(found.names["reason"][0]) == 301
    assert found.extra["big"][0] == pytest.approx(1e30) and found.extra["flag"][0] == 1
    assert (text.prompt, text.answer, text.truth) == ('[{"role": "user", "content": "hé"}]', "5", '{"a": 1}')
    assert text.extra == {"reason": "r" * 500, "extra": "[1, 2]", "nested": '{"a": [1]}'}
    assert found.texts[1].answer == "x"


def test_odd_files_are_passed_over_or_told(tmp_path):
    folder = write(tmp_path / "d", 1, {"input": "1?", "output": "1", "score": 1})
    write(folder, 2)
    (folder / "3.jsonl").mkdir()
    (folder / "4.jsonl.gz").write_bytes(gzip.compress(b'{"input": "4?", "output": "4", "score": 4}\n'))
    (folder / "5.jsonl").write_text('{"input": "5?", "output": "5", "score": 5}\n{"input": "half')
    (folder / "6.jsonl").write_text('{"step": 6, "data": {}}\n')
    (folder / "notes.jsonl").write_text("no dump\n")
    (folder / "7.jsonl.part").write_text("half\n")
    (folder / "8.jsonl").symlink_to(folder / "1.jsonl")
    (folder / "9.jsonl").symlink_to(folder / "gone")
    skipped = Skipped()
    found = read(folder, skipped)

    assert found.step.tolist() == [1, 4, 5, 8] and found.score.tolist() == [1, 4, 5, 1]
    assert [found.texts[number].answer for number in range(4)] == ["1", "4", "5", "1"]
    assert [said.partition(f"{folder}/")[2] for said in skipped.words()] == [
        "5.jsonl, line 2: its end is not written yet",
        "6.jsonl, line 1: it is no rollout: it has neither input nor output",
    ]


def test_a_folder_that_is_closed_to_us_is_told(tmp_path, monkeypatch):
    def closed(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(rollouts, "dump_files", closed)
    skipped = Skipped()

    assert read(tmp_path, skipped) is None and "Permission denied" in skipped.words()[0]


def test_dumps_of_steps_that_an_earlier_start_went_beyond_are_left_out(tmp_path):
    """The first start came to step 6; the second one went on from 3, and is at 4."""
    folder = make_grpo(tmp_path / "run", steps=6)
    metrics = folder / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:5]))
    run = read_run(folder)

    assert sorted(set(run.rollouts.step.tolist())) == [0, 1, 2, 3, 4]
    assert len([said for said in run.skipped if "an earlier start's, or not logged yet" in said]) == 3


def test_names_and_numbers_of_a_scorer_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(rollouts, "MAX_NAMES", rollouts.MAX_NAMES | {"reason": 2})
    monkeypatch.setattr(rollouts, "MAX_EXTRA", 2)
    lines = [{"input": "?", "output": "", "reason": f"r{n}", "extra": {f"x{n}": n}} for n in range(4)]
    skipped = Skipped()
    found = read(write(tmp_path / "d", 1, *lines), skipped)

    assert [found.names["reason"][number] for number in found.reason] == ["r0", "r1", "(others)", "(others)"]
    assert list(found.extra) == ["x0", "x1"]
    assert [said for said in skipped.words() if "'x2' is left out" in said]


def test_a_text_of_megabytes_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(dumps, "MAX_TEXT", 1000)
    found = read(write(tmp_path / "d", 1, {"input": "?", "output": "x" * 5000}))

    assert found.texts[0].answer == "x" * 1000 + "… (4,000 more characters)"


class TestSample:
    def test_it_has_whole_groups_and_keeps_to_its_bytes(self, tmp_path):
        folder = make_grpo(tmp_path / "run", steps=10, prompts=9)
        found = read(folder / "rollouts", text_bytes=60_000)
        chosen = sorted({int(found.group[number]) for number in found.texts})
        sizes = [len(line) for file in found.files for line in file.read_bytes().splitlines(keepends=True)]

        assert set(np.flatnonzero(np.isin(found.group, chosen))) == set(found.texts)
        assert 57_000 < sum(sizes[number] for number in found.texts) <= 60_000

    def test_failures_come_first_and_leave_half_of_it_to_the_others(self, tmp_path):
        folder = make_grpo(tmp_path / "run", steps=20, prompts=9, sources=(HARMFUL,), unscored=0.05)
        found = read(folder / "rollouts", text_bytes=100_000)
        failed = set(found.group[found.scored == 0])
        chosen = {int(found.group[number]) for number in found.texts}

        assert len(chosen & failed) / len(failed) > 2 * len(chosen - failed) / (180 - len(failed)) > 0

    def test_it_is_spread_over_steps_and_sources(self, tmp_path):
        folder = make_grpo(tmp_path / "run", steps=10, prompts=9)
        found = read(folder / "rollouts", text_bytes=100_000)
        strata = {(int(found.step[number]), int(found.source[number])) for number in found.texts}

        assert len(strata) == 30

    def test_a_seed_makes_it_again_and_another_one_another(self, tmp_path):
        folder = make_grpo(tmp_path / "run", steps=10)
        one, again, other = (set(read(folder / "rollouts", text_bytes=30_000, seed=n).texts) for n in (1, 1, 2))

        assert one == again != other

    def test_a_group_beyond_the_bytes_is_left_out(self, tmp_path):
        lines = [{"input": "big", "output": "x" * 5000}, {"input": "small", "output": "y"}]
        found = read(write(tmp_path / "d", 1, *lines), text_bytes=1000)

        assert [text.prompt for text in found.texts.values()] == ["small"]

    def test_it_may_be_empty(self, tmp_path):
        assert read(write(tmp_path / "d", 1, {"input": "?", "output": "x"}), text_bytes=0).texts == {}


class TestTextsOfAStep:
    def test_they_are_those_of_the_file_with_their_rollouts_numbers(self, tmp_path):
        run = read_run(make_grpo(tmp_path / "run", steps=4))
        for held_out, step in ((False, 1), (False, 4), (True, 0), (True, 4)):
            texts = dict(read_texts(run, held_out=held_out, step=step))
            own = np.flatnonzero((run.rollouts.step == step) & (run.rollouts.held_out == held_out))

            assert list(texts) == own.tolist()
            assert all(texts[number] == run.rollouts.texts[number] for number in own)

    def test_lines_of_groups_in_turns_come_in_the_groups_order(self, tmp_path):
        lines = [{"input": f"{n % 3}?", "output": f"{n}", "score": n} for n in range(12)]
        run = read_run(write(tmp_path / "d", 1, *lines))

        assert dict(read_texts(run, held_out=False, step=1)) == run.rollouts.texts

    def test_a_file_that_was_written_anew_gives_none_of_another_rollout(self, tmp_path):
        lines = [{"input": f"{n}?", "output": f"{n}", "score": n} for n in range(4)]
        run = read_run(write(tmp_path / "d", 1, *lines))
        write(tmp_path / "d", 1, lines[0], *({**line, "score": 9} for line in lines[1:]))

        assert [number for number, _ in read_texts(run, held_out=False, step=1)] == [0]

    def test_a_file_that_is_gone_and_a_step_without_one_give_none(self, tmp_path):
        run = read_run(write(tmp_path / "d", 1, {"input": "?", "output": "x"}))
        os.remove(tmp_path / "d" / "1.jsonl")

        assert list(read_texts(run, held_out=False, step=1)) == list(read_texts(run, held_out=True, step=7)) == []


def test_a_file_that_grows_while_it_is_read_is_read_as_far_as_it_was(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=2)
    file: Path = folder / "rollouts" / "2.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    before = read_run(folder)
    file.write_bytes(whole)
    after = read_run(folder)

    assert len(before.rollouts) < len(after.rollouts) and "its end is not written yet" in before.skipped[0]
    assert after.skipped == ()


def test_a_run_is_read_again_and_again_while_it_writes(tmp_path):
    """Another process trains, and is resumed twice."""
    code = (
        "import sys, made_runs, pathlib; made_runs.make_grpo(pathlib.Path(sys.argv[1]), steps=150, resumes=(50, 100))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], env=environment)
    metrics, last, reads = tmp_path / "run" / "metrics.jsonl", [], 0
    try:
        while writer.poll() is None:
            # Before a step is logged, the dumps alone say which steps there are, and their folders are listed in turn.
            if metrics.exists() and metrics.stat().st_size:
                run = read_run(tmp_path / "run", text_bytes=100_000)
                steps = run.steps.numbers.tolist()
                assert steps == list(range(len(steps))) and run.record is not None
                assert run.rollouts is None or run.rollouts.step.max() <= max(steps)
                reads, last = reads + 1, steps
    finally:
        writer.kill()
        writer.wait()

    assert writer.returncode == 0 and reads > 3 and last
    assert len(read_run(tmp_path / "run").steps.numbers) == 151
