"""The default on machines that it does not fit, and the table of what trains and what the guard holds."""

import pytest

from sinternal_verl.commands.doctor import doctor
from sinternal_verl.config import compose_config
from sinternal_verl.doctor import resources
from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.placement import check_placement, placement_table
from sinternal_verl.doctor.problem import Note

GPU_KEYS = ("trainer.device", "hardware", "trainer.n_gpus_per_node", "sinternal.", "ray_kwargs.", "trainer.nnodes")


@pytest.fixture
def about_gpus(world, tmp_path, monkeypatch):
    """A function from the GPUs of this machine and the words to all problems that GPUs, guard and CPUs have there."""

    def found(gpus: int, *words: str) -> dict[str, str]:
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        monkeypatch.setattr(resources, "_devices_here", lambda: gpus)
        if gpus:
            monkeypatch.setattr("verl.utils.device.get_device_name", lambda: "cuda")
        config = compose_config(
            [
                *("+recipe=sinternal_grpo", f"actor_rollout_ref.model.path={world['policy']}"),
                *(f"data.train_files={world['train']}", f"data.val_files={world['held_out']}"),
                *("data.max_prompt_length=32", "data.max_response_length=48"),
                *("actor_rollout_ref.rollout.max_model_len=128", f"trainer.default_local_dir={tmp_path / 'run'}"),
                *words,
            ]
        )
        problems = [problem for problem in find_problems(config) if problem.key.startswith(GPU_KEYS)]
        assert len(problems) == len({problem.key for problem in problems})
        return {problem.key: str(problem) for problem in problems}

    return found


def test_without_a_gpu_one_problem_names_the_words(about_gpus):
    found = about_gpus(0)

    assert found.keys() == {"trainer.device"}
    assert "this machine has none" in found["trainer.device"]
    assert "hardware=cpu guard=none" in found["trainer.device"]
    assert "+recipe=sinternal_grpo_cpu" in found["trainer.device"]


def test_the_words_for_a_cpu_are_enough(about_gpus):
    assert about_gpus(0, "hardware=cpu", "guard=none") == {}


@pytest.mark.parametrize("size", ["7b", "8b", "14b"])
def test_with_one_gpu_one_problem_names_the_words(about_gpus, size):
    found = about_gpus(1, f"hardware=8gpu_{size}")

    assert found.keys() == {"hardware"}
    word = f"add hardware=1gpu_{size} guard=openai_endpoint sinternal.guard.url=http://host:port/v1"
    assert f"8gpu_{size}" in found["hardware"] and word in found["hardware"]


ENOUGH_CPUS = "ray_kwargs.ray_init.num_cpus=64"


def test_the_words_for_one_gpu_are_enough(about_gpus):
    url = "sinternal.guard.url=http://127.0.0.1:9/v1"
    found = about_gpus(1, "hardware=1gpu_7b", "guard=openai_endpoint", url, ENOUGH_CPUS)

    assert found.keys() == {"sinternal.guard.url"}  # nobody answers there
    assert about_gpus(1, "hardware=1gpu_7b", "guard=none", ENOUGH_CPUS) == {}


def test_one_gpu_has_no_place_for_a_guard_of_its_own(about_gpus):
    found = about_gpus(1, "hardware=1gpu_7b", ENOUGH_CPUS)

    assert found.keys() == {"sinternal.guard.replicas"}
    assert "guard=openai_endpoint sinternal.guard.url=" in found["sinternal.guard.replicas"]


def test_with_four_gpus_one_word_shares_them_anew(about_gpus):
    found = about_gpus(4)

    assert "add sinternal.hardware.n_gpus_per_node=4" in found["hardware"]
    assert about_gpus(4, "sinternal.hardware.n_gpus_per_node=4", ENOUGH_CPUS) == {}


def test_eight_gpus_fit(about_gpus):
    assert about_gpus(8, ENOUGH_CPUS) == {}
    assert about_gpus(8, ENOUGH_CPUS, "guard=none") == {}


def test_gpus_that_the_hardware_file_does_not_know_are_a_note(about_gpus):
    assert about_gpus(8, "hardware=1gpu_7b", "guard=none", ENOUGH_CPUS) == {}
    config = compose_config(["+recipe=sinternal_grpo", "hardware=1gpu_7b", "guard=none", ENOUGH_CPUS])

    (note,) = resources.check_resources(config)
    assert isinstance(note, Note)
    assert "this machine has 8" in note.reason and "sinternal.hardware.n_gpus_per_node=8" in note.next_step


def test_more_than_the_hardware_file_states_is_the_users_own(about_gpus):
    found = about_gpus(8, ENOUGH_CPUS, "trainer.n_gpus_per_node=8", "sinternal.guard.n_gpus=4")

    assert "either follows from the other" in found["trainer.n_gpus_per_node"]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            [],
            [
                "GPUs of each node, hardware=8gpu_7b guard=ray_actor trainer.nnodes=1",
                "train   4  4 x vLLM on 1, in turn with training",
                "guard   4  4 x vLLM on 1, in all",
                "idle    0  of 8",
            ],
        ),
        (
            ["hardware=8gpu_14b", "guard=verl_router", "trainer.nnodes=2", "sinternal.guard.n_gpus=4"],
            [
                "GPUs of each node, hardware=8gpu_14b guard=verl_router trainer.nnodes=2",
                "train   4  2 x vLLM on 2, in turn with training",
                "guard   2  verl's own servers",
                "idle    2  of 8",
            ],
        ),
        (
            ["hardware=1gpu_7b", "guard=openai_endpoint", "sinternal.guard.url=http://host/v1"],
            [
                "GPUs of each node, hardware=1gpu_7b guard=openai_endpoint trainer.nnodes=1",
                "train   1  1 x vLLM on 1, in turn with training",
                "guard   0  asked at http://host/v1",
                "idle    0  of 1",
            ],
        ),
        (
            ["hardware=cpu", "guard=ray_actor"],
            [
                "processes of each node, hardware=cpu guard=ray_actor trainer.nnodes=1",
                "train   1  1 x vLLM on 1, in turn with training",
                "guard   1  1 x vLLM on the CPU",
            ],
        ),
        (
            ["hardware=cpu", "guard=none"],
            [
                "processes of each node, hardware=cpu guard=none trainer.nnodes=1",
                "train   1  1 x vLLM on 1, in turn with training",
                "guard   0  math alone",
            ],
        ),
    ],
)
def test_the_table_shows_every_gpu_of_a_node(words, lines):
    table = placement_table(compose_config(["+recipe=sinternal_grpo", *words]))

    assert table.splitlines() == [f"sinternal_verl: {lines[0]}", *(f"  {line}" for line in lines[1:])]


@pytest.mark.parametrize("key", ["trainer.n_gpus_per_node", "sinternal.guard.n_gpus"])
def test_a_word_for_a_number_is_a_problem(about_gpus, key):
    assert "no number of GPUs" in about_gpus(8, f"{key}=all")[key]


@pytest.mark.parametrize(
    "words",
    [["+recipe=sinternal_grpo", "trainer.n_gpus_per_node=all"], ["+recipe=sinternal_sft"], []],
    ids=["a word for a number", "SFT", "no recipe"],
)
def test_where_there_is_nothing_to_show_there_is_no_table(words):
    assert placement_table(compose_config(words)) == ""


def test_doctor_shows_the_table_beside_the_problems(capsys):
    assert doctor(["+recipe=sinternal_grpo", "guard=none"]) == 2

    printed = capsys.readouterr()
    assert "train   8  8 x vLLM on 1" in printed.out
    assert "actor_rollout_ref.model.path" in printed.err


@pytest.mark.parametrize(
    ("words", "says", "step"),
    [
        (["sinternal.guard.n_gpus=1"], "3 of them are idle", "leave sinternal.guard.n_gpus out"),
        (["sinternal.guard.n_gpus=1"], "4 train", "data.train_batch_size=63"),
        (["sinternal.guard.replicas=2"], "2 of them are idle", "leave sinternal.guard.replicas out"),
        (["guard=none", "trainer.n_gpus_per_node=4"], "4 of them are idle", "leave trainer.n_gpus_per_node out"),
        (["guard=none", "data.train_batch_size=7", "actor_rollout_ref.rollout.n=1"], "1 of them", None),
    ],
)
def test_idle_gpus_are_a_note_with_their_use(words, says, step):
    (note,) = check_placement(compose_config(["+recipe=sinternal_grpo", *words]))

    assert says in note.reason
    assert step is None or step in note.next_step
