"""Runs side by side, over real logs: pairs, flips, what is unscored, and what is no pair."""

import csv
import json
import math
import re
from pathlib import Path

import pytest

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from hypothesis import given
from hypothesis import strategies as st
from inspect_ai import Epochs
from inspect_ai.log import read_eval_log, write_eval_log
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText
from inspect_ai.scorer import Score
from inspect_logs import CANARY, figures, run_task, scores_by, verdict
from PIL import Image

from sinternal_verl.evaluation.results import picture
from sinternal_verl.evaluation.results.compare import CompareError, compare
from sinternal_verl.evaluation.results.logs import LogError, open_log
from sinternal_verl.evaluation.results.pairs import Scored, pair, scored_in
from sinternal_verl.evaluation.results.rows import Row
from sinternal_verl.evaluation.results.summary import Tally
from sinternal_verl.evaluation.results.table import write_tables

BEFORE = {"0": 1, "1": 1, "2": 1, "3": 1, "4": 0, "5": 0, "6": None, "7": None, "8": 1, "9": 1, "10": 1}
AFTER = {"0": 0, "1": 0, "2": 1, "3": 0, "4": 1, "5": 0, "6": 1, "7": None, "8": None, "9": 0, "10": 0}


def run(folder: Path, values: dict[str, float | None], **options):
    def score(id, epoch, answer):
        value = values[id]
        return verdict(None, "grader_failed") if value is None else verdict(float(value))

    return run_task(folder, scores_by(score), **({"ids": list(values), "model": folder.name} | options))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run(folder / "before", BEFORE)
    run(folder / "after", AFTER)
    return folder / "before", folder / "after"


@pytest.fixture(scope="module")
def compared(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared")
    return compare(runs, out), out


def only(folder: Path):
    return scored_in(open_log(next(folder.glob("*.eval"))))[0]


def test_items_are_paired_and_the_unscored_stand_apart(runs):
    found = pair(*map(only, runs))

    assert (found.pairs, found.scored) == (11, 8)
    assert found.unscored == {"first": 1, "other": 1, "both": 1}
    assert [id for id, _ in found.up] == ["4"]
    assert [id for id, _ in found.down] == ["0", "1", "3", "9", "10"]
    assert (found.first, found.other) == (6 / 8, 2 / 8)
    assert found.difference.value == pytest.approx(-4 / 8)
    # Two-sided, of 1 against 5: 2 (1 + 6) / 64.
    assert found.p == pytest.approx(14 / 64)
    # Item 6 was 0 or 1, item 8 is 0 or 1, item 7 may have changed either way.
    assert found.bounds == pytest.approx(((-4 + 0 - 1 - 1) / 11, (-4 + 1 + 0 + 1) / 11))


def test_the_text_names_items_by_set_and_id(compared):
    text, _ = compared

    assert "lamps ASR, A to B: became unsafe: 4\n" in text
    assert text.endswith("lamps ASR, A to B: became safe: 0, 1, 3, 9, 10")
    assert re.search(r"lamps +ASR ↓ +A to B +8 of 11 +75\.0 +25\.0 +-50\.0 ", text)
    assert "only A 1, only B 1, both 1" in text
    assert text.startswith("A: by_item/before (")


def test_the_picture_shows_each_difference_with_its_interval(runs, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(picture, "draw", lambda points, path, axis, **told: drawn.append((points, told)))
    compare(runs, tmp_path)
    (((point,), told),) = drawn
    found = pair(*map(only, runs))

    assert (point.line, point.series, point.value) == ("lamps\nASR ↓", "A to B", pytest.approx(-50))
    assert point.interval == pytest.approx((100 * found.difference.low, 100 * found.difference.high))
    assert point.bounds == pytest.approx((-600 / 11, -200 / 11))
    assert point.note == "n=8, 3 unscored, 1 up, 5 down"
    assert told["limits"] == (-80, 80) and re.match(r"A: .*/before\)\nB: .*/after\)$", told["title"])


def test_the_picture_is_one_and_the_same_each_time(compared, runs, tmp_path):
    compare(runs, tmp_path)
    picture = Image.open(tmp_path / "compare.png")

    assert picture.width > 800 and len(picture.convert("L").getcolors()) > 20
    assert (tmp_path / "compare.png").read_bytes() == (compared[1] / "compare.png").read_bytes()


def test_every_flip_is_in_a_file(compared):
    flips = [json.loads(line) for line in (compared[1] / "flips.jsonl").read_text().splitlines()]

    assert len(flips) == 6
    assert flips[0] == {
        **{"set": "lamps", "scorer": "asr", "metric": "ASR", "first": "A", "other": "B"},
        **{"id": "4", "epoch": 1, "change": "became unsafe"},
    }


def test_every_form_is_there_and_holds_no_text(compared):
    text, out = compared

    assert sorted(path.name for path in out.iterdir()) == [
        *("compare.csv", "compare.html", "compare.md", "compare.png", "compare.txt", "flips.jsonl")
    ]
    assert (out / "compare.txt").read_text() == text + "\n"
    assert all(CANARY.encode() not in path.read_bytes() for path in out.iterdir())
    (row,) = csv.DictReader((out / "compare.csv").open())
    assert (row["up"], row["down"], row["unscored_both"], row["interval"]) == ("1", "5", "1", "Newcombe")


def test_each_run_is_set_against_the_first(runs, tmp_path):
    text = compare([*runs, runs[0]], tmp_path)

    assert "A to B" in text and "A to C" in text and "B to C" not in text


def test_a_run_that_is_there_twice_is_told(runs, compared, tmp_path):
    text = compare([*runs, runs[0]], tmp_path)

    assert "A and C share logs, 1 of them" in text and "A and B share" not in text
    assert "share logs" not in compared[0]


def test_logs_of_someone_else_are_compared(tmp_path):
    for name, wrong in (("first", "3"), ("second", "5")):
        scorer = scores_by(lambda id, epoch, answer, wrong=wrong: Score(value="I" if id == wrong else "C"), "match")
        run_task(tmp_path / name, scorer, set=None)
    text = compare([tmp_path / "first", tmp_path / "second"], tmp_path / "out")

    assert "lamps match, A to B: rose: 3" in text
    assert "lamps match, A to B: fell: 5" in text


def test_epochs_are_paired_and_the_interval_is_by_item(tmp_path):
    for name, shift in (("first", 0), ("second", 1)):
        scorer = scores_by(lambda id, epoch, answer, shift=shift: verdict(float((int(id) + epoch * shift) % 3 == 0)))
        run_task(tmp_path / name, scorer, ids=range(9), epochs=2)
    found = pair(only(tmp_path / "first"), only(tmp_path / "second"))

    assert found.scored == 18
    assert (found.difference.items, found.difference.method) == (9, "bootstrap by item")
    assert ("0", 1) in found.down


def test_pass_at_k_is_compared_by_item_beside_pass_at_1(tmp_path):
    """Of 3 tries: an item is solved where one of them is right."""
    right = {"before": {"0": 1, "1": 0, "2": 3, "3": 2, "4": 0}, "after": {"0": 2, "1": 1, "2": 1, "3": 0, "4": 0}}
    told = {"figures": figures("pass@3", "higher", "accuracy")}
    for name, hits in right.items():
        scorer = scores_by(lambda id, epoch, _, hits=hits: verdict(float(epoch <= hits[id])), "accuracy")
        epochs = Epochs(3, ["mean", "pass_at_3"])
        run_task(tmp_path / name, scorer, list(hits), name="sums", set="sums", metadata=told, epochs=epochs)
    text = compare([tmp_path / name for name in right], tmp_path / "out")

    assert re.search(r"sums +pass@1 ↑ +A to B +15 +40\.0 +26\.7 +-13\.3 ", text)
    assert re.search(r"sums +pass@3 ↑ +A to B +5 +60\.0 +60\.0 +\+0\.0 .* 1 became right +1 became wrong", text)
    assert "sums pass@3, A to B: became right: 1\n" in text and "sums pass@3, A to B: became wrong: 3" in text
    flips = [json.loads(line) for line in (tmp_path / "out" / "flips.jsonl").read_text().splitlines()]
    assert sum(flip["metric"] == "pass@3" for flip in flips) == 2


def test_values_between_0_and_1_do_not_become_safe(tmp_path):
    for name, value in (("first", 0.2), ("second", 0.3)):
        run_task(tmp_path / name, scores_by(lambda id, e, a, value=value: verdict(value + int(id) / 50)), ids=range(5))
    text = compare([tmp_path / "first", tmp_path / "second"], tmp_path / "out")

    assert "rose: 0, 1, 2, 3, 4" in text
    assert "became" not in text


def test_runs_without_a_common_item_are_refused_with_what_differs(runs, tmp_path):
    run(tmp_path / "other", {str(id): 1 for id in range(50, 60)}, metadata={"origin": {"sha256": "f" * 64}})

    with pytest.raises(CompareError, match="no item is in two of the runs") as error:
        compare([runs[0], tmp_path / "other"], tmp_path / "out")
    assert "A has 11 answers of its own, B 10" in str(error.value)
    assert "origin, sha256: 000" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_same_ids_with_other_prompts_are_no_pairs(runs, tmp_path):
    run(tmp_path / "other", AFTER, prompt="another lamp")

    with pytest.raises(CompareError, match="11 have the same id and another prompt"):
        compare([runs[0], tmp_path / "other"], tmp_path / "out")


@pytest.mark.parametrize(
    "name", [lambda id: f"test/{id}", lambda id: str((int(id) + 4) % 11)], ids=["other", "shifted"]
)
def test_the_same_prompts_with_other_ids_are_pairs_that_the_first_run_names(runs, tmp_path, name):
    log = read_eval_log(str(next(runs[1].glob("*.eval"))))
    for sample in log.samples:
        sample.id = name(sample.id)
        sample.input = f" {sample.input}\n"
    log.eval.dataset.sample_ids = [name(id) for id in log.eval.dataset.sample_ids]
    for part in (log.reductions or [])[:1]:
        part.samples.clear()
    write_eval_log(log, str(tmp_path / "2026-01-01T00-00-00_lamps_other.eval"))
    same, found = pair(only(runs[0]), only(runs[1])), pair(only(runs[0]), only(tmp_path))

    assert found.pairs == 11 and found.alone == {"first": 0, "other": 0} and not found.other_prompt
    assert (set(found.up), set(found.down)) == (set(same.up), set(same.down))
    assert (found.unscored, found.p, found.bounds) == (same.unscored, same.p, pytest.approx(same.bounds))
    assert found.difference.value == pytest.approx(same.difference.value)


def made_rows(answers):
    found = Tally()
    for (id, prompt, epoch), value in answers.items():
        found.add(Row("lamps", "lamps", "model", id, epoch, "asr", value, prompt=prompt))
    return Scored(None, "asr", found)


@given(
    first=st.dictionaries(st.integers(0, 9), st.sampled_from([0.0, 1.0, None]), min_size=1),
    other=st.dictionaries(st.integers(0, 9), st.sampled_from([0.0, 1.0, None]), min_size=1),
    order=st.permutations(range(10)),
)
def test_whatever_the_ids_are_the_same_prompts_are_pairs(first, other, order):
    """Prompts are told apart, so the ids of the other run mean nothing."""
    one = made_rows({(str(n), f"prompt {n}", 1): value for n, value in first.items()})
    by_id = made_rows({(str(n), f"prompt {n}", 1): value for n, value in other.items()})
    by_prompt = made_rows({(str(order[n]), f"prompt {n}", 1): value for n, value in other.items()})
    wanted, found = pair(one, by_id), pair(one, by_prompt)

    assert wanted.pairs == found.pairs == len(first.keys() & other.keys())
    assert (set(wanted.up), set(wanted.down), wanted.p) == (set(found.up), set(found.down), found.p)
    assert wanted.unscored == found.unscored
    assert found.alone["first"] + found.other_prompt == len(first.keys() - other.keys())
    assert found.alone["other"] + found.other_prompt == len(other.keys() - first.keys())


def test_a_prompt_that_a_run_has_twice_is_a_pair_by_its_id_alone():
    twice = made_rows({("0", "May I?", 1): 1.0, ("1", "May I?", 1): 0.0})
    renamed = made_rows({("a", "May I?", 1): 0.0, ("b", "May I?", 1): 0.0})

    assert pair(twice, twice).scored == 2
    assert pair(twice, renamed).pairs == 0 and pair(twice, renamed).alone == {"first": 2, "other": 2}


def test_sets_that_only_one_run_has_are_named(runs, tmp_path):
    run(tmp_path / "both", AFTER)
    run(tmp_path / "both", {"0": 1}, set="buoys", name="buoys")
    text = compare([runs[0], tmp_path / "both"], tmp_path / "out")

    assert "buoys asr: only in B, not in A" in text
    with pytest.raises(CompareError, match="lamps asr: only in A, not in B"):
        (tmp_path / "single").mkdir()
        run(tmp_path / "single", {"0": 1}, set="buoys", name="buoys")
        compare([runs[0], tmp_path / "single"], tmp_path / "out")


def test_what_differs_beside_the_model_is_named(runs, tmp_path):
    def score(id, epoch, answer):
        return verdict(0.0, judge="qwen3guard", judge_model="Qwen/Qwen3Guard-Gen-8B")

    told = {"origin": {"file": "lamps.jsonl", "sha256": "f" * 64}, "decoding": {"temperature": 1, "note": CANARY}}
    run_task(tmp_path / "other", scores_by(score), ids=list(BEFORE), metadata=told)
    text = compare([runs[0], tmp_path / "other"], tmp_path / "out")

    assert "not alike in judge: llama_guard / qwen3guard; judge model: stub/Llama-Guard-3-8B / Qwen/Qwen3Guard" in text
    assert f"origin, sha256: {'0' * 64} / {'f' * 64}" in text
    assert "decoding, temperature: 0 / 1" in text
    assert "a change may be the judge's" in text
    assert CANARY not in text


def test_a_set_that_is_twice_in_a_run_is_left_out_by_name(runs, tmp_path):
    for model in ("one", "two"):
        run(tmp_path / "twice", AFTER, model=model)

    with pytest.raises(
        CompareError, match=r"lamps asr is in 2 logs and left out; name one of them: .*\.eval, .*\.eval"
    ):
        compare([runs[0], tmp_path / "twice"], tmp_path / "out")
    one, _ = sorted((tmp_path / "twice").glob("*.eval"))
    assert "became safe" in compare([runs[0], one], tmp_path / "out")


def test_nothing_scored_in_common_is_no_difference_of_0(tmp_path):
    run(tmp_path / "first", {"0": 1, "1": None})
    run(tmp_path / "second", {"0": None, "1": 1})
    text = compare([tmp_path / "first", tmp_path / "second"], tmp_path / "out")
    found = pair(only(tmp_path / "first"), only(tmp_path / "second"))

    assert "nan (no pair is scored)" in text
    assert math.isnan(found.difference.value) and math.isnan(found.first)
    assert found.bounds == (-0.5, 0.5)


def test_one_run_is_not_enough_and_half_a_log_is_named(runs, tmp_path):
    with pytest.raises(CompareError, match="two runs or more"):
        compare([runs[0]], tmp_path)
    half, whole = tmp_path / "half.json", tmp_path / "whole.json"
    write_eval_log(read_eval_log(str(next(runs[0].glob("*.eval")))), str(whole))
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(LogError, match=r"half\.json: its samples cannot be read"):
        compare([runs[0], half], tmp_path / "out")


def test_why_answers_are_unscored_is_said_of_each_run(runs, tmp_path):
    text = compare(runs, tmp_path)

    assert "A: lamps asr: 2 of 11 unscored: grader_failed 2" in text
    assert "B: lamps asr: 2 of 11 unscored: grader_failed 2" in text


def test_what_differs_in_the_code_of_someone_elses_tasks_is_named(tmp_path):
    log = run_task(tmp_path / "one", scores_by(lambda *_: Score(value="C"), "grade"), set=None)
    other = read_eval_log(log.location)
    other.eval.task_version = 2
    other.eval.packages = {"inspect_ai": "0.3.58"}
    other.eval.scorers[0].options = {"model": "openai/gpt-4o"}
    other.plan.steps[0].solver = "chain_of_thought"
    write_eval_log(other, str(tmp_path / "other.eval"))

    text = compare([tmp_path / "one", tmp_path / "other.eval"], tmp_path / "out")

    (line,) = [line for line in text.splitlines() if "not alike in" in line]
    assert "made by, version: 0 / 2" in line
    assert f"made by, inspect_ai: {log.eval.packages['inspect_ai']} / 0.3.58" in line
    assert "made by, solvers: generate / chain_of_thought" in line
    assert "made by, scorer.model: not said / openai/gpt-4o" in line


@pytest.mark.parametrize(
    ("reducers", "said"),
    [
        (["max"], "the log's own figure is the max of an item's tries; here it is their mean"),
        (["mean", "at_least_2"], "the log's own figure is the at_least_2 of an item's tries; here it is their mean"),
        (["mean", "pass_at_2"], None),
    ],
)
def test_a_log_whose_own_figure_is_no_mean_says_so(reducers, said, tmp_path):
    def score(id, epoch, answer):
        return Score(value=float(epoch == 1))

    run_task(tmp_path / "run", scores_by(score, "grade"), epochs=Epochs(3, reducers), set=None)

    texts = [compare([tmp_path / "run"] * 2, tmp_path / "out"), write_tables(tmp_path / "run", tmp_path / "table")]

    assert [text.count(f"lamps (lamps): {said}" if said else "the log's own figure") for text in texts] == (
        [2, 1] if said else [0, 0]
    )


def test_a_log_without_items_says_so(tmp_path):
    log = run_task(tmp_path / "run", scores_by(lambda *_: Score(value="C"), "grade"), set=None)
    empty = read_eval_log(log.location)
    empty.samples, empty.eval.dataset.samples, empty.eval.dataset.sample_ids = [], 0, []
    write_eval_log(empty, str(tmp_path / "empty.eval"))

    with pytest.raises(CompareError, match=r"B: lamps \(lamps\): the log holds no item"):
        compare([tmp_path / "run", tmp_path / "empty.eval"], tmp_path / "out")


def test_the_same_words_with_another_picture_are_another_prompt(tmp_path):
    log = read_eval_log(run_task(tmp_path / "run", scores_by(lambda *_: Score(value="C"), "grade"), set=None).location)
    for name, picture_ in (("one", "AAAA"), ("two", "BBBB")):
        for sample in log.samples:
            shown = ContentImage(image=f"data:image/png;base64,{picture_}")
            sample.input = [ChatMessageUser(content=[ContentText(text=f"{CANARY} {sample.id}"), shown])]
        write_eval_log(log, str(tmp_path / f"{name}.json"))

    with pytest.raises(CompareError, match="8 have the same id and another prompt"):
        compare([tmp_path / "one.json", tmp_path / "two.json"], tmp_path / "out")


def test_a_log_without_a_scorer_is_called_so(tmp_path):
    log = run_task(tmp_path / "run", scores_by(lambda *_: Score(value="C"), "grade"), set=None)
    bare = read_eval_log(log.location)
    bare.results, bare.eval.scorers = None, None
    for sample in bare.samples:
        sample.scores = None
    write_eval_log(bare, str(tmp_path / "bare.eval"))

    with pytest.raises(CompareError, match="B: lamps no scorer: 8 of 8 unscored: no score 8"):
        compare([tmp_path / "run", tmp_path / "bare.eval"], tmp_path / "out")
