"""A setting of ``data.verification`` decides what is trained, or the run does not start."""

from pathlib import Path

import pytest
from verification_rows import ROW, write_build

from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.data import check_data
from sinternal_verl.doctor.verification import check_verification
from sinternal_verl.verify.select import write_rows

SFT = ["data.custom_cls.path=pkg://sinternal_verl.data.dataset", "data.custom_cls.name=VerificationDataset"]
GRPO = [SFT[0], "data.custom_cls.name=VerificationRLDataset"]
ASKED = {"specification": "brief", "prompt": "prompt.txt", "target": "judgment", "thinks": "false"}
READ = {"sft": (*ASKED,), "grpo": ("specification", "prompt")}
IMPOSSIBLE = {
    "specification": "nine",
    "prompt": "/no/prompt.txt",
    "target": "verdict",
    "thinks": "soon",
    "taget": "critique",
}


@pytest.fixture(params=["sft", "grpo"])
def main(request):
    return request.param


@pytest.fixture
def built(tmp_path):
    return write_build(tmp_path / "train.parquet", [ROW, ROW | {"sample": 4}])


@pytest.fixture
def found(main, built, sft_config, grpo_config, tmp_path, monkeypatch):
    """A function from overrides to the problems of a run with a build's file: key -> problem."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompt.txt").write_text("{specification} {request} {answer}")

    def problems(*overrides, ours=True):
        compose, dataset = {"sft": (sft_config, SFT), "grpo": (grpo_config, GRPO)}[main]
        file = [f"data.train_files={built}"] if main == "grpo" or ours else []
        words = [*(dataset if ours else ()), *file, "data.train_batch_size=2"]
        return {problem.key: problem for problem in check_verification(compose(*words, *overrides))}

    return problems


@pytest.mark.parametrize("key", ASKED)
def test_what_the_dataset_reads_passes_and_anything_else_is_refused(main, found, key):
    problems = found(f"data.verification.{key}={ASKED[key]}")

    assert problems.keys() == set() if key in READ[main] else {f"data.verification.{key}"}


def test_under_another_dataset_all_are_refused_with_the_words_that_make_them_happen(main, found):
    problems = found(*(f"data.verification.{key}={value}" for key, value in ASKED.items()), ours=False)

    assert problems.keys() == {f"data.verification.{key}" for key in ASKED}
    for key, problem in problems.items():
        assert "does not read it" in problem.reason
        would = key.rpartition(".")[2] in READ[main]
        assert (" ".join({"sft": SFT, "grpo": GRPO}[main]) if would else "leave it out") in problem.next_step


@pytest.mark.parametrize("ours", [True, False])
def test_every_impossible_value_is_named_at_once(found, ours):
    problems = found(*(f"data.verification.{key}={value}" for key, value in IMPOSSIBLE.items()), ours=ours)

    assert problems.keys() == {f"data.verification.{key}" for key in IMPOSSIBLE}


@pytest.mark.parametrize("nothing", ["data.verification=null", "data.verification={}"])
@pytest.mark.parametrize("ours", [True, False])
def test_where_nothing_is_asked_nothing_is_found(found, nothing, ours):
    assert found(nothing, ours=ours) == found(ours=ours) == {}


def test_a_value_in_the_place_of_the_settings_is_named(found):
    assert found("data.verification=judgment").keys() == {"data.verification"}


def test_what_the_file_leaves_open_is_asked_for(found, built):
    write_build(Path(built), [ROW, ROW], specification="brief")
    assert found("data.verification.prompt=prompt.txt") == {}

    write_rows([ROW, ROW], Path(built), {})
    (problem,) = found("data.verification.prompt=prompt.txt").values()
    assert problem.key == "data.verification.specification" and "does not tell" in problem.reason


def test_the_dataset_of_the_other_main_is_named(main, found):
    other = {"sft": "VerificationRLDataset", "grpo": "VerificationDataset"}[main]
    problems = found(f"data.custom_cls.name={other}")

    assert {"sft": "GRPO", "grpo": "SFT"}[main] in problems["data.custom_cls.name"].reason


def test_of_files_that_no_build_wrote_grpo_is_told(grpo_config):
    config = grpo_config(*GRPO, "data.verification.specification=brief")

    (problem,) = check_verification(config)
    assert problem.key == "data.verification.specification" and "no" in problem.reason


OWN = """
from torch.utils.data import Dataset

class Mine(Dataset):
    {}
"""


@pytest.mark.parametrize(("says", "passes"), [("verification_keys = ('target',)", True), ("pass", False)])
def test_a_dataset_of_ones_own_says_what_it_reads(sft_config, tmp_path, says, passes):
    (tmp_path / "mine.py").write_text(OWN.format(says))
    words = [f"data.custom_cls.path={tmp_path / 'mine.py'}", "data.custom_cls.name=Mine"]

    problems = list(check_verification(sft_config(*words, "data.verification.target=judgment")))
    assert (problems == []) == passes


def test_of_a_class_that_cannot_be_imported_nothing_is_said_here(sft_config, tmp_path):
    """`check_data` names it, and nobody can tell what it reads."""
    (tmp_path / "broken.py").write_text("import no_such_package")
    config = sft_config(
        f"data.custom_cls.path={tmp_path}/broken.py", "data.custom_cls.name=Rows", "data.verification.target=judgment"
    )

    assert list(check_verification(config)) == []
    assert any("cannot be imported" in str(problem) for problem in check_data(config))


def test_it_is_one_of_the_checks_of_both_mains(sft_config, grpo_config):
    for compose in (sft_config, grpo_config):
        problems = find_problems(compose("data.verification.specification=nine", "trainer.total_epochs=0"))
        assert {"data.verification.specification", "trainer.total_epochs"} <= {problem.key for problem in problems}
