"""A checkpoint folder belongs to a whole configuration: what may change under a resume, what may not, and how a change
is accepted."""

import json
import shutil

import pytest

from sinternal_verl.config import compose_config
from sinternal_verl.doctor.checkpoints import RECORD, TRACKER, check_checkpoints, write_record
from sinternal_verl.doctor.problem import Note, Problem
from sinternal_verl.runs import identity

REWARD = "def compute_score(data_source, solution_str, ground_truth, extra_info=None):\n    return {}\n"
TEMPERATURE = "actor_rollout_ref.rollout.temperature"
ADDED_TO_GRPO = ("sinternal.guard.mode=first_token", "sinternal.guard.engine.max_model_len=1024")


@pytest.fixture
def started(tmp_path):
    """A function that starts a run of a configuration and saves a checkpoint of step 5."""

    def start(config) -> None:
        assert write_record(config) == []
        (tmp_path / "checkpoints" / TRACKER).write_text("5")

    return start


def found(config) -> str:
    return "\n".join(str(finding) for finding in check_checkpoints(config) if isinstance(finding, Problem))


def notes(config) -> str:
    return "\n".join(str(finding) for finding in check_checkpoints(config) if isinstance(finding, Note))


@pytest.fixture
def record(tmp_path):
    """A function that changes the record of a run."""

    def change(**values) -> dict:
        file = tmp_path / "checkpoints" / RECORD
        kept = {key: value for key, value in (json.loads(file.read_text()) | values).items() if value is not None}
        file.write_text(json.dumps(kept))
        return kept

    return change


def test_the_same_configuration_is_resumed(grpo_config, sft_config, started):
    for config in (grpo_config, sft_config):
        started(config())
        assert list(check_checkpoints(config())) == []


def test_a_start_that_only_validates_leaves_what_a_checkpoint_was_trained_with(grpo_config, started):
    started(grpo_config())
    validates = ("trainer.val_only=true", f"{TEMPERATURE}=0.5", f"sinternal.accept_changes=[{TEMPERATURE}]")
    assert not found(grpo_config(*validates))
    started(grpo_config(*validates))

    assert not found(grpo_config())
    assert TEMPERATURE in found(grpo_config(f"{TEMPERATURE}=0.5"))


def test_a_checkpoint_of_unknown_origin_is_refused(grpo_config, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / TRACKER).write_text("5")

    assert "unknown origin" in found(grpo_config())


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (f"{TEMPERATURE}=0.7", f"{TEMPERATURE}: 1.0 -> 0.7"),
        ("actor_rollout_ref.actor.clip_ratio_high=0.3", "actor.clip_ratio_high: 0.28 -> 0.3"),
        ("actor_rollout_ref.actor.ppo_mini_batch_size=8", "actor.ppo_mini_batch_size: 64 -> 8"),
        ("actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-mean", "loss_agg_mode: token-mean -> seq-mean"),
        ("actor_rollout_ref.rollout.n=4", "rollout.n: 8 -> 4"),
        ("algorithm.norm_adv_by_std_in_grpo=false", "norm_adv_by_std_in_grpo: True -> False"),
        ("data.train_max_samples=64", "data.train_max_samples: -1 -> 64"),
        ("data.shuffle=false", "data.shuffle: True -> False"),
        ("trainer.v1.trainer_mode=sinternal_colocate_async", "trainer_mode: sinternal -> sinternal_colocate_async"),
        ("sinternal.scorers.boxed_math.mode=literal", "boxed_math.mode: normalized -> literal"),
        ("sinternal.scorers.verdict=null", "sinternal.scorers.verdict.thought: required -> null"),
        ("sinternal.scorers.mine={path: mine.py, sources: [x]}", "sinternal.scorers.mine.sources: null -> ['x']"),
        ("sinternal.failures.min_share=0", "sinternal.failures.min_share: 0.5 -> 0"),
        ("sinternal.guard.mode=decode", "sinternal.guard.mode: first_token -> decode"),
        ("sinternal.guard.engine.max_model_len=512", "sinternal.guard.engine.max_model_len: 1024 -> 512"),
        ("+a.key.of.another.plugin=1", "a.key.of.another.plugin: null -> 1"),
    ],
)
def test_a_change_is_shown_by_its_key_with_what_accepts_it(grpo_config, started, word, shown):
    started(grpo_config(*ADDED_TO_GRPO))
    refused = found(grpo_config(*ADDED_TO_GRPO, word.lstrip("+")))

    assert shown in refused
    accept = refused.rpartition("go on with all of this: '")[2].rstrip("'")
    accepted = grpo_config(*ADDED_TO_GRPO, word.lstrip("+"), accept)
    assert found(accepted) == "" and shown in notes(accepted)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("optim.lr=1e-3", "optim.lr: 0.0002 -> 0.001"),
        ("optim.weight_decay=0", "optim.weight_decay: 0.01 -> 0"),
        ("model.lora_alpha=64", "model.lora_alpha: 32 -> 64"),
        ("data.verification.target=judgment", "data.verification.target: null -> judgment"),
        ("trainer.seed=2", "trainer.seed: 1 -> 2"),
    ],
)
def test_a_change_of_an_sft_run_is_shown_by_its_key(sft_config, started, word, shown):
    started(sft_config())

    assert shown in found(sft_config(word))


@pytest.mark.parametrize(
    "word",
    [
        "trainer.logger=[console,tensorboard]",
        "trainer.experiment_name=another",
        "trainer.save_freq=3",
        "trainer.test_freq=-1",
        "trainer.val_only=true",
        "data.filter_overlong_prompts_workers=4",
        "actor_rollout_ref.model.use_shm=true",
        "actor_rollout_ref.rollout.moe_load_balance_metrics_interval=10",
        "sinternal.guard.require_verdict=false",
        "sinternal.guard.engine.dtype=bfloat16",
        "trainer.total_epochs=9",
        "trainer.total_training_steps=90",
        "trainer.max_actor_ckpt_to_keep=5",
        "trainer.rollout_data_dir=rollouts",
        "actor_rollout_ref.actor.checkpoint.save_contents=[model,optimizer,extra,hf_model]",
        "actor_rollout_ref.actor.profiler.enable=true",
        "ray_kwargs.ray_init.num_cpus=32",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=2",
        "sinternal.score_timeout_s=240",
        "sinternal.guard.url=http://elsewhere:8000/v1",
        "sinternal.guard.replicas=4",
        "sinternal.guard.n_gpus=2",
        "sinternal.guard.request_timeout_s=30",
        "sinternal.checks=[my_check.py]",
    ],
)
def test_what_may_change_is_no_word(grpo_config, started, word):
    started(grpo_config())

    assert list(check_checkpoints(grpo_config(word))) == []


@pytest.mark.parametrize("after", ["ray_actor", "verl_router", "openai_endpoint"])
@pytest.mark.parametrize("before", ["ray_actor", "verl_router", "openai_endpoint"])
def test_the_guard_may_stand_elsewhere(before, after):
    """Its place alone is no change; the number of training processes is held still here."""
    configs = [
        compose_config(["+recipe=sinternal_grpo", f"guard={guard}", "trainer.n_gpus_per_node=4"])
        for guard in (before, after)
    ]
    identities = [identity.identity_of(config, {}) for config in configs]

    assert identity.compare(*identities, configs[1]) == ([], [])


def test_a_value_that_follows_from_another_is_not_shown(grpo_config, started):
    started(grpo_config("data.train_batch_size=64"))
    refused = found(grpo_config("data.train_batch_size=32"))

    assert "data.train_batch_size: 64 -> 32" in refused and "ppo_mini_batch_size" not in refused


class TestWhatIsNamed:
    """Files and folders count by what they hold."""

    @pytest.fixture
    def data(self, world, tmp_path):
        return shutil.copy(world["train"], tmp_path / "rows.parquet")

    def test_a_data_file_that_was_moved_is_the_same(self, grpo_config, started, data, tmp_path):
        started(grpo_config(f"data.train_files={data}"))
        moved = shutil.move(data, tmp_path / "elsewhere.parquet")

        assert list(check_checkpoints(grpo_config(f"data.train_files={moved}"))) == []
        assert list(check_checkpoints(grpo_config(f"data.train_files=[{moved}]"))) == []

    def test_a_data_file_that_was_changed_is_another(self, grpo_config, started, data, world):
        started(grpo_config(f"data.train_files={data}"))
        shutil.copy(world["held_out"], data)

        assert f"data.train_files: other content in {data}" in found(grpo_config(f"data.train_files={data}"))

    def test_another_order_of_the_files_is_another(self, grpo_config, started, world):
        files = (world["train"], world["held_out"])
        started(grpo_config(f"data.train_files=[{files[0]},{files[1]}]"))

        assert "data.train_files: [" in found(grpo_config(f"data.train_files=[{files[1]},{files[0]}]"))

    @pytest.mark.parametrize(
        "key", ["reward.custom_reward_function.path", "sinternal.scorers.mine.path", "data.custom_cls.path"]
    )
    def test_a_users_file_that_was_edited_is_another(self, grpo_config, started, tmp_path, key):
        file = tmp_path / "mine.py"
        file.write_text(REWARD)
        started(grpo_config(f"{key}={file}"))
        assert list(check_checkpoints(grpo_config(f"{key}={file}"))) == []
        file.write_text(REWARD.replace("{}", "{'score': 1}"))

        assert f"{key}: other content in {file}" in found(grpo_config(f"{key}={file}"))

    def test_a_users_installed_module_counts_by_its_file(self, grpo_config, started, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "my_installed_reward.py").write_text(REWARD)
        word = "reward.custom_reward_function.path=pkg://my_installed_reward"
        started(grpo_config(word))
        (tmp_path / "my_installed_reward.py").write_text(REWARD + "# edited\n")

        assert "other content in pkg://my_installed_reward" in found(grpo_config(word))

    @pytest.mark.parametrize("package", ["", "my_package_of_scorers."])
    def test_a_scorers_target_counts_by_its_modules_file(self, grpo_config, started, tmp_path, monkeypatch, package):
        monkeypatch.syspath_prepend(tmp_path)
        name = f"{package}my_target_{len(package)}"
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(REWARD)
        key = "sinternal.scorers.mine._target_"
        started(grpo_config(f"{key}={name}.compute_score"))
        assert list(check_checkpoints(grpo_config(f"{key}={name}.compute_score"))) == []
        assert f"{key}: {name}.compute_score -> {name}.other" in found(grpo_config(f"{key}={name}.other"))
        file.write_text(REWARD + "# edited\n")

        assert f"{key}: other content in {name}.compute_score" in found(grpo_config(f"{key}={name}.compute_score"))

    def test_a_model_that_was_moved_is_the_same_and_one_that_was_trained_is_another(
        self, grpo_config, started, world, tmp_path
    ):
        key = "actor_rollout_ref.model.path"
        started(grpo_config())
        moved = shutil.copytree(world["policy"], tmp_path / "moved")
        (moved / "README.md").write_text("a note of mine")
        assert list(check_checkpoints(grpo_config(f"{key}={moved}"))) == []
        weights = bytearray((moved / "model.safetensors").read_bytes())
        weights[len(weights) // 2] ^= 1
        (moved / "model.safetensors").write_bytes(weights)

        assert f"{key}: {world['policy']} -> {moved}" in found(grpo_config(f"{key}={moved}"))

    def test_another_guard_is_another(self, grpo_config, started, world):
        key = "sinternal.guard.engine.model"
        started(grpo_config(f"{key}=Qwen/Qwen3Guard-Gen-0.6B"))

        assert f"{key}: Qwen/Qwen3Guard-Gen-0.6B -> {world['policy']}" in found(grpo_config(f"{key}={world['policy']}"))


class TestProcesses:
    def test_another_number_is_refused_and_cannot_be_accepted(self, grpo_config, started):
        started(grpo_config("trainer.n_gpus_per_node=2"))
        for word in ("sinternal.accept_changes=[processes]", "sinternal.accept_changes=[trainer]"):
            refused = found(grpo_config("trainer.n_gpus_per_node=1", word))

            assert "training processes was 2 and is 1" in refused and "cannot load them" in refused

    def test_the_same_number_on_other_nodes_is_resumed(self, grpo_config, started):
        started(grpo_config("trainer.n_gpus_per_node=4"))

        assert list(check_checkpoints(grpo_config("trainer.n_gpus_per_node=2", "trainer.nnodes=2"))) == []

    def test_of_sft_it_is_torchruns_and_unknown_without_it(self, sft_config, started, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        started(sft_config())
        assert list(check_checkpoints(sft_config())) == []
        monkeypatch.setenv("WORLD_SIZE", "4")
        assert "let torchrun's processes be 2" in found(sft_config())
        monkeypatch.delenv("WORLD_SIZE")
        assert list(check_checkpoints(sft_config())) == []


class TestAccepting:
    def test_a_node_accepts_all_below_it_and_others_are_still_refused(self, grpo_config, started):
        started(grpo_config())
        words = ["sinternal.scorers.boxed_math.mode=literal", "sinternal.accept_changes=[sinternal.scorers]"]

        assert found(grpo_config(*words)) == ""
        refused = found(grpo_config(*words, f"{TEMPERATURE}=0.7"))
        assert "boxed_math" not in refused
        assert f"sinternal.accept_changes=[sinternal.scorers,{TEMPERATURE}]" in refused

    def test_one_that_accepts_nothing_is_a_warning(self, grpo_config, started):
        started(grpo_config())

        assert "nothing has changed there" in notes(grpo_config("sinternal.accept_changes=[data.seed]"))

    def test_the_record_keeps_what_was_accepted_and_from_which_step(self, grpo_config, started, record):
        started(grpo_config())
        changed = grpo_config(f"{TEMPERATURE}=0.7", f"sinternal.accept_changes=[{TEMPERATURE}]")
        for _ in range(2):
            assert write_record(changed) == []

        assert record()["changes"] == [{"from_step": 5, TEMPERATURE: [1.0, 0.7]}]
        assert f"{TEMPERATURE}: 0.7 -> 1.0" in found(grpo_config())

    def test_resume_mode_disable_does_not_let_a_change_pass(self, grpo_config, started):
        started(grpo_config())

        assert TEMPERATURE in found(grpo_config(f"{TEMPERATURE}=0.7", "trainer.resume_mode=disable"))


class TestAnotherFoldersCheckpoint:
    """``trainer.resume_from_path`` names a checkpoint from which a run of another folder goes on."""

    @pytest.fixture
    def words(self, tmp_path):
        start = tmp_path / "checkpoints" / "global_step_5"
        elsewhere = f"trainer.default_local_dir={tmp_path / 'elsewhere'}"
        return [elsewhere, "trainer.resume_mode=resume_path", f"trainer.resume_from_path={start}"]

    def test_it_belongs_to_a_configuration_too(self, grpo_config, started, words):
        started(grpo_config())
        assert list(check_checkpoints(grpo_config(*words))) == []
        refused = found(grpo_config(*words, f"{TEMPERATURE}=0.7"))

        assert f"{TEMPERATURE}: 1.0 -> 0.7" in refused and "trainer.resume_from_path = " in refused
        assert found(grpo_config(*words, f"{TEMPERATURE}=0.7", f"sinternal.accept_changes=[{TEMPERATURE}]")) == ""
        assert "training processes" not in refused
        assert "processes was 1 and is 2" in found(grpo_config(*words, "trainer.n_gpus_per_node=2"))

    def test_one_without_a_record_is_a_warning(self, grpo_config, words):
        assert found(grpo_config(*words)) == "" and "unknown origin" in notes(grpo_config(*words))


class TestOtherVersions:
    def test_a_key_that_only_a_newer_version_has_is_a_warning(self, grpo_config, started, record):
        started(grpo_config())
        kept = record()
        values = {key: value for key, value in kept["identity"].items() if not key.startswith("sinternal.failures")}
        record(identity=values, defaults=kept["defaults"] | {"recipes": "older"})

        assert found(grpo_config()) == ""
        assert "sinternal.failures.policy: null -> drop" in notes(grpo_config())

    def test_a_default_that_another_version_changed_is_shown(self, grpo_config, started, record):
        started(grpo_config())
        kept = record()
        key = "actor_rollout_ref.actor.clip_ratio_c"
        record(identity=kept["identity"] | {key: 10.0}, defaults={"verl": "0.9.0", "recipes": "older"})

        assert f"{key}: 10.0 -> 3.0" in found(grpo_config())

    def test_the_record_of_an_earlier_version_is_read(self, grpo_config, started, record, world):
        """It kept some twenty values: scorers as one, nodes and GPUs as two, and paths without digests."""
        started(grpo_config())
        kept = record()["identity"]
        old = {key: kept[key] for key in ("data.train_batch_size", "actor_rollout_ref.rollout.n")}
        old |= {"actor_rollout_ref.model.path": str(world["policy"]), "trainer.nnodes": 1, "trainer.n_gpus_per_node": 1}
        old["sinternal.scorers"] = {
            "boxed_math": {"sources": ["*"], "mode": "normalized", "thought": "required"},
            "verdict": {"sources": ["verification/*"], "thought": "required"},
        }
        record(identity=old, digests=None, defaults=None, changes=None)

        assert found(grpo_config()) == "" and "kept 9 values" in notes(grpo_config())
        assert "rollout.n: 8 -> 4" in found(grpo_config("actor_rollout_ref.rollout.n=4"))
        assert "boxed_math.mode: normalized -> literal" in found(
            grpo_config("sinternal.scorers.boxed_math.mode=literal")
        )
        assert "processes was 1 and is 2" in found(grpo_config("trainer.n_gpus_per_node=2"))
        assert write_record(grpo_config()) == [] and list(check_checkpoints(grpo_config())) == []


def test_no_secret_is_in_what_a_run_writes(grpo_config, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "t0ken-of-the-environment")
    config = grpo_config(
        "sinternal.scorers.mine.api_key=sk-typed",
        "sinternal.scorers.mine.header=${oc.env:MY_SERVICE_TOKEN}",
        "sinternal.scorers.mine.url=http://me:passw0rd@host/v1",
        "sinternal.scorers.mine.api_key_env=MY_SERVICE_TOKEN",
        "ray_kwargs.ray_init.runtime_env.env_vars.HF_TOKEN=hf_typed",
        "data.max_tokens=3",
    )
    file = tmp_path / "config.yaml"
    assert write_record(config, configuration=file) == []
    written = file.read_text() + (tmp_path / "checkpoints" / RECORD).read_text()

    assert not [secret for secret in ("sk-typed", "t0ken", "passw0rd", "hf_typed") if secret in written]
    assert "api_key_env: MY_SERVICE_TOKEN" in written and "max_tokens: 3" in written


def test_the_record_says_what_the_run_is(grpo_config, world, record):
    assert write_record(grpo_config()) == []
    kept = record()

    assert kept["identity"]["sinternal.recipe"] == "sinternal_grpo_cpu"
    assert kept["identity"]["actor_rollout_ref.model.path"] == str(world["policy"])
    assert kept["identity"][identity.PROCESSES] == 1
    assert kept["digests"].keys() == {"actor_rollout_ref.model.path", "data.train_files", "data.val_files"}
    assert kept["versions"]["verl"].startswith("0.9")
