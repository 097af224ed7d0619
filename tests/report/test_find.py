"""A run is found by its folder, by a file of it, and after it was moved; what is no run says what was looked for."""

import gzip
import json
import shutil

import numpy as np
import pytest
from made_runs import make_grpo, make_plain, make_sft

from sinternal_verl.report import folders
from sinternal_verl.report.find import NoRun
from sinternal_verl.report.read import read_run
from sinternal_verl.runs.record import read_record, update_record


@pytest.mark.parametrize(
    "place", ["", "sinternal_run.json", "metrics.jsonl", "../run/", "../link"], ids=lambda place: place or "folder"
)
def test_our_run_is_found_by_its_folder_and_by_its_files(tmp_path, place):
    folder = make_grpo(tmp_path / "run", steps=2)
    (tmp_path / "link").symlink_to(folder)
    run = read_run(folder / place)

    assert run.steps.numbers.tolist() == [0, 1, 2] and run.kind == "grpo"


def test_the_one_run_below_a_folder_is_found(tmp_path):
    make_grpo(tmp_path / "work" / "checkpoints" / "run", steps=2)

    assert read_run(tmp_path / "work").folder == tmp_path / "work" / "checkpoints" / "run"


def test_several_runs_below_a_folder_are_named(tmp_path):
    make_grpo(tmp_path / "seed_1" / "grpo", steps=1)
    make_sft(tmp_path / "seed_1" / "sft", steps=1)
    with pytest.raises(NoRun, match=r"holds 2 runs: give one of them, or several: .*grpo, .*sft"):
        read_run(tmp_path / "seed_1")


@pytest.mark.parametrize(
    "place",
    [
        "",
        "lighthouse/run.jsonl",
        "checkpoints/lighthouse/run",
        "outputs/2026-11-26/12-00-00",
    ],
    ids=["directory", "metrics file", "checkpoints", "Hydra's folder"],
)
def test_plain_verls_run_is_found_from_wherever_its_user_looks(tmp_path, place):
    folder = make_plain(tmp_path / "run", steps=2)
    (folder / "checkpoints" / "lighthouse" / "run" / "global_step_2").mkdir(parents=True)
    run = read_run(folder / place)

    assert run.steps.numbers.tolist() == [0, 1, 2] and run.name == "run" and run.config is not None
    assert len(run.rollouts) == 96
    assert run.starts[0].time is not None and not run.starts[0].resumed


def test_plain_verls_starts_in_files_of_their_own_are_one_run(tmp_path):
    folder = make_plain(tmp_path / "run", steps=6, resumes=(3,))
    for place in (folder, next(iter(sorted(folder.glob("metrics_*"))))):
        run = read_run(place)

        assert run.steps.numbers.tolist() == list(range(7))
        assert [start.step for start in run.starts] == [0, 3] and all(start.time for start in run.starts)


def test_experiments_of_plain_verl_in_one_directory_are_named(tmp_path):
    folder = make_plain(tmp_path / "run", steps=1)
    shutil.copy(folder / "lighthouse" / "run.jsonl", folder / "lighthouse" / "other.jsonl")
    with pytest.raises(NoRun, match=r"the metrics of 2 runs: give one of .*other.jsonl, .*run.jsonl"):
        read_run(folder)

    assert read_run(folder / "lighthouse" / "run.jsonl").config is not None
    assert read_run(folder / "lighthouse" / "other.jsonl").config is None


def test_dumps_alone_give_a_curve_of_their_scores(tmp_path):
    folder = make_plain(tmp_path / "run", steps=3)
    told = read_run(folder)
    run = read_run(folder / "rollouts")

    assert run.steps.numbers.tolist() == [1, 2, 3] and run.starts == ()
    assert run.steps.values["critic/score/mean"].tolist() == pytest.approx(
        told.steps.values["critic/score/mean"][1:].tolist()
    )
    assert any(said.startswith("no metrics: there is no metrics file yet") for said in run.lacks)


@pytest.mark.parametrize("given", [True, False])
def test_dumps_are_found_where_they_have_been_moved(tmp_path, given):
    folder = make_grpo(tmp_path / "run", steps=2)
    moved = tmp_path / "elsewhere" / "copy"
    shutil.move(folder, moved)
    if given:
        (moved / "rollouts").rename(tmp_path / "dumps")
        run = read_run(moved, rollouts=tmp_path / "dumps")
    else:
        run = read_run(moved)

    assert len(run.rollouts) == 96 and run.skipped == ()


def test_a_copy_is_read_with_its_own_dumps(tmp_path):
    """Where the first run was, another one has been started."""
    folder = make_grpo(tmp_path / "run", steps=4)
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    make_grpo(folder, steps=2, seed=2)

    assert {file.parents[1].name for file in read_run(tmp_path / "copy").rollouts.files} == {"copy"}


def test_dumps_that_are_nowhere_are_told(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=2)
    shutil.rmtree(folder / "rollouts")
    run = read_run(folder)

    (said,) = run.lacks
    assert said.startswith(f"no rollouts: trainer.rollout_data_dir={folder}/rollouts has none; where they were moved,")
    with pytest.raises(NoRun, match="no such folder of dumps"):
        read_run(folder, rollouts=tmp_path / "gone")


def test_a_run_that_dumped_nothing_is_told_how(tmp_path):
    """A run that never validated lacks no rollouts of validations."""
    run = read_run(make_grpo(tmp_path / "run", steps=2, dumped=False))
    never = read_run(make_grpo(tmp_path / "never", steps=2, validate_every=0))

    assert run.lacks == tuple(
        f"no {what}: trainer.{key}_data_dir=/abs/folder writes them"
        for what, key in (("rollouts", "rollout"), ("rollouts of validations", "validation"))
    )
    assert never.lacks == never.skipped == ()


@pytest.mark.parametrize("named", ["x" * 5000, "a\0b", "~nobody_of_this_name/dumps", "\ud800", "."], ids=range(5))
def test_names_of_a_broken_record_and_configuration_are_no_files(tmp_path, named):
    folder = make_sft(tmp_path / "sft", steps=2)
    update_record(folder, metrics=named)
    config = (("trainer.rollout_data_dir", named),) if named.isprintable() else ()

    assert read_run(folder).steps.numbers.tolist() == [1, 2]
    assert read_run(make_plain(tmp_path / "plain", steps=1, dumped=False, config=config)).rollouts is None


def test_relative_dumps_are_found_from_the_directory_of_the_start(tmp_path):
    folder = make_grpo(tmp_path / "work" / "checkpoints" / "run", steps=1)
    (folder / "rollouts").rename(tmp_path / "work" / "dumps")
    config = next(folder.glob("config_*.yaml"))
    config.write_text(config.read_text().replace(str(folder / "rollouts"), "dumps"))

    assert len(read_run(folder).rollouts) == 72


def test_an_sft_run_has_a_metrics_file_for_each_start(tmp_path):
    run = read_run(make_sft(tmp_path / "sft", steps=8, resumes=(4,)))

    assert run.kind == "sft" and run.rollouts is None and run.finished
    assert run.steps.numbers.tolist() == list(range(1, 9)) and [start.step for start in run.starts] == [0, 4]
    assert not any("rollouts" in said for said in run.lacks)


def test_a_metrics_file_outside_of_the_folder_is_found_by_the_record(tmp_path):
    folder = make_sft(tmp_path / "work" / "sft", steps=2)
    (metrics,) = folder.glob("metrics_*")
    metrics.rename(tmp_path / "work" / "sft.jsonl")
    update_record(folder, metrics=str(tmp_path / "work" / "sft.jsonl"))
    shutil.move(tmp_path / "work", tmp_path / "moved")

    assert read_run(tmp_path / "moved" / "sft").steps.numbers.tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["nothing", "other files", "gone", "a file", "broken metrics"])
def test_what_is_no_run_says_what_was_looked_for_and_found(tmp_path, kind):
    place = tmp_path / "place"
    if kind != "gone":
        place.mkdir()
    if kind == "other files":
        (place / "a.txt").touch()
        (place / "b").mkdir()
        (place / "rows.jsonl").write_text('{"problem": "47+38?"}\n')
    if kind == "a file":
        place = place / "a.txt"
        place.write_text("text")
    if kind == "broken metrics":
        (place / "metrics_20261126_120000.jsonl").write_text("broken\n")
    with pytest.raises(NoRun) as found:
        read_run(place)
    said = str(found.value)

    assert str(place) in said
    if kind in ("nothing", "other files", "broken metrics"):
        assert "sinternal_run.json" in said and "<step>.jsonl" in said and "trainer.default_local_dir" in said
    assert {"nothing": "It holds nothing", "other files": "'a.txt', 'b/', 'rows.jsonl'"}.get(kind, "") in said


def test_dumps_of_steps_whose_metrics_are_lost_are_part_of_the_run(tmp_path):
    """verl's file logger has emptied its file at the second start; a file of dumps was deleted."""
    folder = make_plain(tmp_path / "run", steps=6)
    metrics = folder / "lighthouse" / "run.jsonl"
    means = read_run(folder).steps.values["critic/score/mean"]
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[4:]))
    (folder / "rollouts" / "5.jsonl").unlink()
    run = read_run(folder)

    assert run.steps.numbers.tolist() == list(range(7)) and [start.step for start in run.starts] == [3]
    np.testing.assert_allclose(run.steps.values["critic/score/mean"], means, rtol=1e-6)
    assert np.isfinite(run.steps.values["actor/entropy"]).tolist() == [False] * 4 + [True] * 3
    assert sorted(set(run.rollouts.step[~run.rollouts.held_out].tolist())) == [1, 2, 3, 4, 6]
    assert run.lacks[0].startswith("no metrics of the steps up to 3: verl's file logger empties its file")
    assert run.lacks[1] == "no rollouts of step 5: their files are not there, or empty"


def test_a_step_that_was_saved_and_not_logged_is_told(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=6)
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:4] + lines[5:]))

    assert read_run(folder).lacks == (
        "no metrics of step 4: verl saves a step before it logs it, and was ended in between",
    )


def test_a_run_that_has_just_begun_is_one(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=1)
    for file in folder.glob("*/*.jsonl"):
        file.unlink()
    (folder / "metrics.jsonl").write_text("")
    run = read_run(folder)

    assert len(run.steps.numbers) == 0 and run.rollouts is None and run.finished is False
    assert any("has no step yet" in said for said in run.lacks)
    (folder / "metrics.jsonl").unlink()
    assert len(read_run(folder).steps.numbers) == 0


@pytest.mark.parametrize("broken", ["[1]", "{", '"text"', ""])
def test_a_broken_record_or_configuration_is_told_and_the_run_is_read(tmp_path, broken):
    folder = make_grpo(tmp_path / "run", steps=2)
    (folder / "sinternal_run.json").write_text(broken)
    next(folder.glob("config_*.yaml")).write_text("a: [" if broken == "{" else broken)
    run = read_run(folder)

    assert run.steps.numbers.tolist() == [0, 1, 2] and run.record == {} and not run.config
    assert "sinternal_run.json" in run.skipped[0] and len(run.rollouts) == 96


def test_starts_of_the_record_are_those_of_the_runs_course(tmp_path):
    """A start at 4 and a later one at 2: what the first one trained beyond 2 is gone."""
    folder = make_grpo(tmp_path / "run", steps=6, resumes=(4,))
    starts = read_record(folder)["starts"]
    odd = [{"time": None, "from_step": 2}, {"from_step": 3, "trains": False}, "text", {"from_step": "5", "time": 7}]
    update_record(folder, starts=[*starts, *odd])

    assert [(start.step, start.time is None) for start in read_run(folder).starts] == [(0, False), (2, True), (5, True)]


def test_a_record_of_an_earlier_version_has_its_start_from_the_configuration(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=2)
    record = json.loads((folder / "sinternal_run.json").read_text())
    del record["starts"]
    (folder / "sinternal_run.json").write_text(json.dumps(record))

    assert [start.step for start in read_run(folder).starts] == [0] and read_run(folder).starts[0].time


def test_secrets_of_a_configuration_are_left_out(tmp_path):
    folder = make_plain(tmp_path / "run", steps=1, config=(("trainer.wandb_api_key", "abcdefgh12345678"),))

    assert "abcdefgh12345678" not in json.dumps(read_run(folder).config)


@pytest.mark.parametrize(
    ("steps", "last", "finished"), [(6, None, True), (4, 10, False)], ids=["finished", "under way"]
)
def test_a_run_is_finished_when_it_has_its_last_step(tmp_path, steps, last, finished):
    run = read_run(make_grpo(tmp_path / "run", steps=steps, last_step=last))

    assert run.finished is finished and run.updated.endswith("+00:00")
    assert read_run(make_plain(tmp_path / "plain", steps=2)).finished is None
    planned = (("trainer.total_training_steps", 3),)
    assert read_run(make_plain(tmp_path / "planned", steps=2, config=planned)).finished is False


def test_a_folder_with_very_many_entries_is_passed_over_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_ENTRIES", 50)
    for number in range(200):
        (tmp_path / f"{number}").mkdir()
    with pytest.raises(NoRun):
        read_run(tmp_path)


def test_a_large_file_of_another_kind_is_not_read_whole(tmp_path):
    """A hole of 100 GB."""
    with (tmp_path / "other.jsonl").open("wb") as file:
        file.truncate(100 * 2**30)
    with pytest.raises(NoRun):
        read_run(tmp_path)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_metrics_behind_a_broken_line_are_found(tmp_path, ending):
    lines = b'\xef\xbb\xbfhalf\n{"step": 1, "data": {"a": 1}}\r\n'
    file = tmp_path / f"mine.jsonl{ending}"
    file.write_bytes(gzip.compress(lines) if ending else lines)
    run = read_run(tmp_path)

    assert run.steps.numbers.tolist() == [1] and run.skipped == (f"{file}, line 1: it is no JSON",)


def test_a_read_only_run_is_read_and_left_as_it_was(tmp_path):
    folder = make_grpo(tmp_path / "run", steps=1)
    before = sorted((file, file.stat().st_mtime_ns) for file in folder.rglob("*"))
    read_run(folder)

    assert sorted((file, file.stat().st_mtime_ns) for file in folder.rglob("*")) == before
