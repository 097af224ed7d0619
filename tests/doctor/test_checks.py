"""Each check finds what it is for, names the value and the next step, and lets a sound run pass."""

import json
import shutil

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sinternal_verl.commands.doctor import doctor
from sinternal_verl.doctor import resources
from sinternal_verl.doctor.checks import find_problems
from sinternal_verl.doctor.problem import Note, Problem, report


def problems_of(config) -> dict[str, Problem]:
    return {problem.key: problem for problem in find_problems(config)}


def test_a_sound_configuration_of_either_main_passes(grpo_config, sft_config):
    assert find_problems(grpo_config()) == []
    assert find_problems(sft_config()) == []


STOCK = "reward.reward_manager.source=register"
OURS = "reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.boxed_math"


def test_all_problems_are_listed_together(grpo_config):
    found = problems_of(
        grpo_config("data.train_files=/nowhere.parquet", "trainer.use_v1=false", "sinternal.failures.policy=skip")
    )

    assert found.keys() == {"data.train_files", "trainer.use_v1", "sinternal.failures"}


@pytest.mark.parametrize(
    ("override", "key", "text"),
    [
        ("data.train_files=null", "data.train_files", "no default"),
        ("actor_rollout_ref.model.path=null", "actor_rollout_ref.model.path", "no default"),
        ("actor_rollout_ref.model.path=/nowhere", "actor_rollout_ref.model.path", "no such folder"),
        (
            "trainer.rollout_data_dir=/dumps trainer.validation_data_dir=/dumps",
            "trainer.validation_data_dir",
            "a folder of its own",
        ),
        ("custom_reward_function.path=x.py", "custom_reward_function.path", "use reward.custom_reward_function"),
        ("reward_model.enable=true", "reward_model.enable", "use reward.reward_model"),
        ("reward.custom_reward_function.path=/no.py", "reward.custom_reward_function.path", "FileNotFoundError"),
        (f"{STOCK} reward.reward_manager.name=naive", "reward.custom_reward_function.path", "default_compute_score"),
        (
            "reward.custom_reward_function.reward_kwargs.mode=literal",
            "reward.custom_reward_function.reward_kwargs",
            "sinternal.scorers",
        ),
        (
            f"{OURS} reward.custom_reward_function.reward_kwargs.mode=x",
            "reward.custom_reward_function.reward_kwargs",
            "literal",
        ),
        (
            "reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.mixed",
            "reward.custom_reward_function.reward_kwargs",
            "no guard is configured",
        ),
        (
            "reward.custom_reward_function.path=pkg://sinternal_verl.reward_fns.safety "
            "reward.custom_reward_function.reward_kwargs.guard.backend=openai_endpoint "
            "reward.custom_reward_function.reward_kwargs.thought=maybe",
            "reward.custom_reward_function.reward_kwargs",
            "correct it",
        ),
        ("data.train_files=/nowhere.jsonl", "data.train_files", "does not exist"),
        ("data.train_files=rows.pq", "data.train_files", "kind of file"),
        (f"{OURS} reward.custom_reward_function.name=scor", "reward.custom_reward_function.name", "compute_score"),
        ("reward.reward_manager.module.path=null", "reward.reward_manager.module.path", "pkg://"),
        ("reward.reward_manager.name=SInternal", "reward.reward_manager.name", "SInternalRewardManager"),
        (f"{STOCK} {OURS} reward.reward_manager.name=naiv", "reward.reward_manager.name", "naive"),
        ("data.train_batch_size=100000", "data.train_batch_size", "less than one batch"),
        ("data.max_response_length=600", "data.max_response_length", "context is 512"),
        ("actor_rollout_ref.rollout.max_model_len=64", "actor_rollout_ref.rollout.max_model_len", "at least 80"),
        ("actor_rollout_ref.rollout.max_model_len=900", "actor_rollout_ref.rollout.max_model_len", "at most 512"),
        ("actor_rollout_ref.actor.ppo_mini_batch_size=48", "actor_rollout_ref.actor.ppo_mini_batch_size", "divisor"),
        ("trainer.n_gpus_per_node=7 ray_kwargs.ray_init.num_cpus=64", "trainer.n_gpus_per_node", "3584"),
        ("trainer.n_gpus_per_node=0", "trainer.n_gpus_per_node", "nothing is left to train on"),
        ("trainer.nnodes=2", "trainer.nnodes", "no Ray cluster to join"),
        ("sinternal.guard.n_gpus=3", "trainer.n_gpus_per_node", "and the guard 3"),
        ("trainer.total_training_steps=100", "trainer.total_training_steps", "ends after step"),
        ("trainer.device=cuda", "trainer.device", "no such device"),
    ],
)
def test_grpo(grpo_config, override, key, text):
    found = problems_of(grpo_config(*override.split()))

    assert list(found) == [key]
    assert text in str(found[key])


@pytest.mark.parametrize(
    ("override", "key", "text"),
    [
        ("model.path=/nowhere", "model.path", "no such folder"),
        ("data.max_length=1000", "data.max_length", "at most 512"),
        ("data.max_token_len_per_gpu=64", "data.max_token_len_per_gpu", "at least 128"),
        ("data.train_batch_size=100000", "data.train_batch_size", "less than one batch"),
        ("data.train_files=null", "data.train_files", "no default"),
        ("data.custom_cls.name=PromptCompletion", "data.custom_cls.name", "PromptCompletionDataset"),
        ("data.max_length=24", "data.max_length", "rows are too long"),
        ("data.truncation=left", "data.train_files", "left would cut the prompt"),
        ("trainer.total_training_steps=1000", "trainer.total_training_steps", "verl would save no checkpoint there"),
        ("engine.strategy=fsdp", "engine.strategy", "takes no model on a CPU"),
    ],
)
def test_sft(sft_config, override, key, text):
    found = problems_of(sft_config(override))

    assert list(found) == [key]
    assert text in str(found[key])


def test_fsdp1_on_a_cpu_is_left_to_a_library_that_brings_an_engine(sft_config, grpo_config):
    assert find_problems(sft_config("engine.strategy=fsdp", "model.external_lib=mine")) == []
    assert "actor_rollout_ref.actor.strategy" in problems_of(grpo_config("actor_rollout_ref.actor.strategy=fsdp"))


def test_sft_batch_must_divide_by_the_processes_of_torchrun(sft_config, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")

    assert "3 processes" in str(problems_of(sft_config())["data.train_batch_size"])


def test_without_dynamic_batches_the_micro_batch_must_divide(grpo_config):
    micro = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"
    fixed = "actor_rollout_ref.actor.use_dynamic_bsz=false"
    log_prob = "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu"

    assert "512" in str(problems_of(grpo_config(fixed))[micro])
    assert log_prob in problems_of(grpo_config(fixed, f"{micro}=4"))
    assert problems_of(grpo_config(fixed, f"{micro}=4", f"{log_prob}=4")) == {}
    assert "divide" in str(problems_of(grpo_config(fixed, f"{micro}=3"))[micro])
    assert micro not in problems_of(grpo_config(fixed, f"{micro}=4"))


def test_a_value_no_check_can_work_with_does_not_hide_the_others(grpo_config):
    found = problems_of(grpo_config("actor_rollout_ref.actor.ppo_max_token_len_per_gpu=abc", "trainer.use_v1=false"))

    assert "TypeError" in str(found["check_model"])
    assert "trainer.use_v1" in found


def test_a_recipe_taken_as_a_plain_key_is_found(grpo_config):
    config = grpo_config()
    config.recipe = "sinternal_grpo"

    assert "plain key" in str(problems_of(config)["recipe"])


@pytest.mark.parametrize(("variable", "value"), [("VERL_USE_EXTERNAL_PLUGINS", "none"), ("VLLM_PLUGINS", "some_other")])
def test_a_policy_that_shuts_the_plugin_out_is_found(grpo_config, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)

    assert "shuts out" in str(problems_of(grpo_config())[variable])


class TestData:
    ROW = {  # noqa: RUF012
        "data_source": "math",
        "prompt": [{"role": "user", "content": "1+1"}],
        "reward_model": {"style": "rule", "ground_truth": "2"},
    }

    def config(self, grpo_config, tmp_path, rows):
        file = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows), file)
        return grpo_config(f"data.train_files={file}", "data.train_batch_size=1"), str(file)

    def test_sound_rows_pass(self, grpo_config, tmp_path):
        config, _ = self.config(grpo_config, tmp_path, [self.ROW])
        assert find_problems(config) == []

    def test_a_corrupt_file_is_named(self, grpo_config, tmp_path):
        file = tmp_path / "broken.parquet"
        file.write_bytes(b"PAR1 not really")
        found = problems_of(grpo_config(f"data.train_files={file}"))
        assert str(file) in str(found["data.train_files"]) and "no complete parquet" in str(found["data.train_files"])

    def test_a_missing_column_is_named_with_those_there(self, grpo_config, tmp_path):
        row = {key: value for key, value in self.ROW.items() if key != "data_source"}
        config, file = self.config(grpo_config, tmp_path, [row])
        assert "has 'prompt', 'reward_model'" in str(problems_of(config)[file])

    @pytest.mark.parametrize(
        "change",
        [{"prompt": "1+1"}, {"reward_model": {"style": "rule", "ground_truth": 2.0}}, {"reward_model": "2"}],
        ids=["prompt is a string", "ground truth is a number", "reward_model is no struct"],
    )
    def test_a_wrong_type_is_named(self, grpo_config, tmp_path, change):
        config, file = self.config(grpo_config, tmp_path, [self.ROW | change])
        assert file in problems_of(config)

    def test_a_null_ground_truth_is_named_by_its_row(self, grpo_config, tmp_path):
        null = self.ROW | {"reward_model": {"style": "rule", "ground_truth": None}}
        config, file = self.config(grpo_config, tmp_path, [self.ROW, self.ROW, null])
        assert "row 2 holds no value" in str(problems_of(config)[file])

    def test_two_files_of_different_types_are_found(self, grpo_config, tmp_path):
        paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
        other = self.ROW | {"prompt": [{"role": "user", "content": "1+1", "name": "x"}]}
        for path, row in zip(paths, (self.ROW, other), strict=True):
            pq.write_table(pa.Table.from_pylist([row]), path)
        config = grpo_config(f"data.train_files=[{paths[0]},{paths[1]}]", "data.train_batch_size=1")
        assert "one schema" in str(problems_of(config)[str(paths[1])])


class TestModel:
    def test_a_folder_without_weights_tokenizer_or_template_is_found(self, grpo_config, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
        found = [str(p) for p in find_problems(grpo_config(f"actor_rollout_ref.model.path={tmp_path}"))]
        assert any("no weights" in p for p in found) and any("tokenizer_config.json" in p for p in found)

    def test_a_tokenizer_without_chat_template_is_found(self, grpo_config, world, tmp_path):
        for file in world["policy"].iterdir():
            if file.name != "chat_template.jinja":
                (tmp_path / file.name).symlink_to(file)
        found = problems_of(grpo_config(f"actor_rollout_ref.model.path={tmp_path}"))
        assert "no chat template" in str(found["actor_rollout_ref.model.path"])


class TestExistingCluster:
    """The cluster's answer is the one faked seam; `tests/e2e/test_cluster.py` asks a real one."""

    JOIN = ("ray_kwargs.ray_init.address=10.0.0.1:6379", "ray_kwargs.ray_init.num_cpus=null")

    def found(self, grpo_config, monkeypatch, gpus, *overrides, cpus=64.0):
        monkeypatch.setattr(resources, "_nodes", lambda address: [(number, cpus) for number in gpus])
        return problems_of(grpo_config(*self.JOIN, "ray_kwargs.ray_init.num_gpus=null", *overrides))

    def test_enough_gpus_pass(self, grpo_config, monkeypatch):
        assert self.found(grpo_config, monkeypatch, [8.0, 8.0]) == {}

    def test_too_few_nodes_are_named(self, grpo_config, monkeypatch):
        found = self.found(grpo_config, monkeypatch, [8.0], "trainer.nnodes=2", "trainer.n_gpus_per_node=8")
        assert "1 nodes with 8 GPUs" in str(found["trainer.nnodes"])

    def test_nodes_that_are_too_small_are_told_the_word(self, grpo_config, monkeypatch):
        found = self.found(grpo_config, monkeypatch, [4.0, 2.0], "trainer.nnodes=2", "trainer.n_gpus_per_node=4")
        assert "add sinternal.hardware.n_gpus_per_node=2" in str(found["trainer.nnodes"])

    def test_the_guard_needs_its_share(self, grpo_config, monkeypatch):
        found = self.found(grpo_config, monkeypatch, [1.0], "sinternal.guard.n_gpus=1")
        assert list(found) == ["sinternal.guard.n_gpus"]

    def test_cpus_that_ray_would_wait_for_are_named(self, grpo_config, monkeypatch):
        # 3 of the training process, one storage and its controller.
        assert self.found(grpo_config, monkeypatch, [1.0], cpus=5.0) == {}
        found = self.found(grpo_config, monkeypatch, [1.0], cpus=4.0)
        assert "5 CPUs: 3 on each of 1 nodes" in str(found["ray_kwargs.ray_init.address"])

    def test_resources_must_be_left_to_the_cluster(self, grpo_config, monkeypatch):
        found = self.found(grpo_config, monkeypatch, [1.0], "ray_kwargs.ray_init.num_gpus=1")
        assert "ray.init refuses" in str(found["ray_kwargs.ray_init.num_gpus"])

    def test_a_relative_checkpoint_folder_is_refused(self, grpo_config, monkeypatch):
        found = self.found(grpo_config, monkeypatch, [1.0], "trainer.default_local_dir=checkpoints")
        assert "absolute path" in str(found["trainer.default_local_dir"])


def test_report_numbers_the_problems_and_says_what_to_do():
    text = report([Problem("a.b", 3, "is wrong", "do this"), Problem("c", None, "is missing", "do that")])

    assert text.splitlines() == [
        "sinternal_verl: 2 problems in the configuration; no model was loaded.",
        "  1. a.b = 3",
        "     is wrong",
        "     -> do this",
        "  2. c",
        "     is missing",
        "     -> do that",
    ]


def test_report_shows_notes_behind_the_problems():
    note, problem = Note("c", 1, "is doubtful", "look at it"), Problem("a.b", 3, "is wrong", "do this")

    assert report([note]).splitlines() == [
        "sinternal_verl: all checks passed",
        "sinternal_verl: 1 warning, the run still starts.",
        "  *  c = 1",
        "     is doubtful",
        "     -> look at it",
    ]
    lines = report([note, problem]).splitlines()
    assert lines[1] == "  1. a.b = 3" and lines[4].startswith("sinternal_verl: 1 warning, which would")


@pytest.mark.parametrize(
    "word", ["trainer.n_gpus_per_node=eight", "sinternal.hardware.n_gpus_per_node=eight", "trainer.nnodes=many"]
)
def test_doctor_reports_whatever_its_tables_cannot_show(word, capsys):
    assert doctor(["+recipe=sinternal_grpo", word]) == 2

    said = capsys.readouterr()
    assert "problems in the configuration" in said.err and "data.train_files" in said.err


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.train_batch_size", 0),
        ("data.train_batch_size", "many"),
        ("data.train_batch_size", "null"),
        ("actor_rollout_ref.rollout.n", 1),
        ("actor_rollout_ref.rollout.n", "abc"),
        ("actor_rollout_ref.actor.optim.lr", "fast"),
        ("actor_rollout_ref.rollout.gpu_memory_utilization", 1.5),
        ("algorithm.adv_estimator", "gpro"),
        ("actor_rollout_ref.rollout.name", "sglang"),
        ("trainer.total_epochs", 0),
    ],
)
def test_values_of_the_wrong_kind_are_named_by_their_key_alone(grpo_config, key, value):
    problems = find_problems(grpo_config(f"{key}={value}"))

    assert key in {problem.key for problem in problems}
    assert not [problem for problem in problems if "stopped with" in problem.reason]


@pytest.mark.parametrize(("key", "value"), [("optim.lr", "fast"), ("data.max_length", "long"), ("data.max_length", 0)])
def test_the_same_of_the_sft_main(sft_config, key, value):
    problems = find_problems(sft_config(f"{key}={value}"))

    assert key in {problem.key for problem in problems}
    assert not [problem for problem in problems if "stopped with" in problem.reason]


def test_a_part_that_does_not_fit_verl_is_refused_and_breaks_no_import(grpo_config, monkeypatch, capsys):
    from sinternal_verl import plugin

    monkeypatch.setattr(plugin, "UNFIT", {})
    plugin._importer("sinternal_verl.no_such_module")(json)

    assert "does not fit this verl" in capsys.readouterr().err
    assert "sinternal_verl.no_such_module" in {problem.key for problem in find_problems(grpo_config())}


@pytest.mark.parametrize("key", ["trainer.default_local_dir", "actor_rollout_ref.model.path", "data.train_files"])
def test_a_path_that_hydra_reads_as_a_number_is_shown_with_quotes(grpo_config, key):
    found = find_problems(grpo_config(f"{key}=20251125"))

    assert {problem.key for problem in found} == {key}
    assert any(f"""'{key}="20251125"'""" in problem.next_step for problem in found)


@pytest.mark.parametrize("name", ["a[1]", "a::b"])
def test_a_path_that_verl_takes_for_a_pattern_is_named(grpo_config, world, tmp_path, name):
    file = tmp_path / name / "train.parquet"
    file.parent.mkdir()
    shutil.copy(world["train"], file)

    (problem,) = find_problems(grpo_config(f"data.train_files={file}"))
    assert problem.key == "data.train_files" and "rename" in problem.next_step
    with pytest.raises((ValueError, FileNotFoundError)):
        datasets.load_dataset("parquet", data_files=str(file), cache_dir=str(tmp_path / "cache"))
