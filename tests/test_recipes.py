"""Every recipe composes against verl's own configuration, and holds the values it promises."""

import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from sinternal_verl.config import compose_config
from sinternal_verl.doctor.batches import check_batches
from sinternal_verl.doctor.placement import check_placement

RECIPES = Path(__file__).parents[1] / "recipes"
HARDWARE = sorted(path.stem for path in (RECIPES / "hardware").glob("*.yaml"))
GPU_HARDWARE = [name for name in HARDWARE if name != "cpu"]
GUARDS = ["none", "openai_endpoint", "ray_actor", "verl_router"]
OF_ITS_OWN = ["ray_actor", "verl_router"]
"""Guards with GPUs of this run."""

GRPO = ["sinternal_grpo", "sinternal_grpo_lora"]
FITTING = [(recipe, hardware) for recipe in GRPO for hardware in HARDWARE] + [("sinternal_grpo_cpu", "cpu")]

PAPER_AND_SISTER = {
    "algorithm.adv_estimator": "grpo",
    "algorithm.norm_adv_by_std_in_grpo": True,
    "algorithm.use_kl_in_reward": False,
    "data.train_batch_size": 64,
    "data.max_prompt_length": 2048,
    "data.max_response_length": 8192,
    "actor_rollout_ref.rollout.n": 8,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "actor_rollout_ref.rollout.top_p": 1.0,
    "actor_rollout_ref.actor.optim.lr": 1e-6,
    "actor_rollout_ref.actor.optim.weight_decay": 0.1,
    "actor_rollout_ref.actor.optim.clip_grad": 1.0,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 64,
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.28,
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.entropy_coeff": 0,
}


@pytest.mark.parametrize("hardware", HARDWARE)
def test_grpo_holds_the_published_values_on_every_hardware(hardware):
    config = compose_config(["+recipe=sinternal_grpo", f"hardware={hardware}"])

    assert {key: OmegaConf.select(config, key) for key in PAPER_AND_SISTER} == PAPER_AND_SISTER


@pytest.mark.parametrize("hardware", GPU_HARDWARE)
def test_gpu_hardware_says_all_a_run_needs(hardware):
    config = composed("sinternal_grpo", hardware, "none")
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout

    assert config.sinternal.hardware.name == hardware
    assert config.sinternal.hardware.n_gpus_per_node == int(hardware[0])
    assert rollout.max_model_len == 10240
    assert 0.3 <= rollout.gpu_memory_utilization <= 0.9
    assert actor.use_dynamic_bsz and actor.ppo_max_token_len_per_gpu >= 10240
    assert actor.fsdp_config.optimizer_offload or actor.fsdp_config.offload_policy


@pytest.mark.parametrize(("recipe", "hardware"), FITTING)
def test_every_value_of_a_hardware_file_is_the_composed_one(recipe, hardware):
    """Whatever the guard; a value that the recipe sets, too, would win without a word."""
    stated = _hardware(hardware)
    assert len(stated) > 5
    for guard in GUARDS:
        config = OmegaConf.to_container(composed(recipe, hardware, guard), resolve=False)
        assert {key: _at(config, key) for key in stated} == stated, guard


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("hardware", GPU_HARDWARE)
@pytest.mark.parametrize("recipe", GRPO)
def test_no_gpu_is_idle_and_a_steps_rows_divide(recipe, hardware, guard):
    config = composed(recipe, hardware, guard)
    training, claimed = config.trainer.n_gpus_per_node, config.sinternal.guard.n_gpus

    assert training + claimed == int(hardware[0])
    assert training % config.actor_rollout_ref.rollout.tensor_model_parallel_size == 0
    assert list(check_placement(config)) == []
    assert list(check_batches(config)) == []
    if guard in OF_ITS_OWN and hardware[0] == "8":
        assert (training, claimed) == (4, 4)
        assert config.sinternal.guard.get("replicas", 4) == 4
    else:
        # On one card a guard of its own has no place, which the checks say.
        assert claimed == 0


@pytest.mark.parametrize("guard", GUARDS)
def test_on_a_cpu_the_guard_claims_no_gpu_and_is_one_replica(guard):
    config = composed("sinternal_grpo_cpu", "cpu", guard)

    assert (config.trainer.n_gpus_per_node, config.sinternal.guard.n_gpus) == (1, 0)
    assert (config.sinternal.guard.replicas, config.sinternal.guard.num_gpus) == (1, 0)
    assert config.ray_kwargs.ray_init.address == "local"


@pytest.mark.parametrize(
    ("recipe", "hardware", "backend"),
    [
        ("sinternal_grpo", "8gpu_7b", "ray_actor"),
        ("sinternal_grpo_lora", "8gpu_7b", "ray_actor"),
        ("sinternal_grpo_cpu", "cpu", None),
    ],
)
def test_a_grpo_recipe_composes_with_no_further_choice(recipe, hardware, backend):
    config = compose_config([f"+recipe={recipe}"])

    assert (config.sinternal.hardware.name, config.sinternal.guard.backend) == (hardware, backend)


def test_an_unknown_recipe_is_an_error_that_lists_the_known_ones():
    with pytest.raises(HydraException, match="sinternal_grpo_cpu"):
        compose_config(["+recipe=sinternal_grop"])


def test_cpu_recipe_changes_only_its_name_and_the_hardware():
    recipe = dict(_leaves(_read("recipe/sinternal_grpo_cpu.yaml")))

    assert recipe.keys() == {"sinternal.recipe", "trainer.experiment_name"}
    assert not _hardware("cpu").keys() & PAPER_AND_SISTER.keys()


def test_sft_holds_the_published_values():
    config = compose_config(["+recipe=sinternal_sft"])

    assert (config.model.lora_rank, config.model.lora_alpha) == (16, 32)
    assert (config.trainer.total_epochs, config.optim.lr) == (2, 2e-4)
    assert config.data.custom_cls.name == "PromptCompletionDataset"
    assert config.engine.strategy == "fsdp2"
    assert compose_config(["+recipe=sinternal_sft_cpu"]).trainer.device == "cpu"


def test_lora_variant_inherits_all_but_the_adapter():
    config = compose_config(["+recipe=sinternal_grpo_lora", "hardware=1gpu_14b"])

    assert config.actor_rollout_ref.model.lora_rank == 16
    assert config.data.train_batch_size == 64


def test_command_line_wins_over_the_recipe():
    config = compose_config(["+recipe=sinternal_grpo", "hardware=1gpu_7b", "data.train_batch_size=32"])

    assert config.data.train_batch_size == 32
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == 32


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        (["+recipe=sinternal_grpo_cpu", "data.seed=3"], "checkpoints/sinternal/sinternal_grpo_cpu_seed3"),
        (["+recipe=sinternal_grpo", "hardware=1gpu_7b"], "checkpoints/sinternal/sinternal_grpo_seed1"),
        (["+recipe=sinternal_grpo_lora", "hardware=1gpu_7b"], "checkpoints/sinternal/sinternal_grpo_lora_seed1"),
        (["+recipe=sinternal_sft", "trainer.seed=7"], "checkpoints/sinternal/sinternal_sft_seed7"),
        (["+recipe=sinternal_sft_cpu"], "checkpoints/sinternal/sinternal_sft_cpu_seed1"),
    ],
)
def test_each_recipe_and_seed_has_its_own_checkpoint_folder(overrides, folder):
    assert compose_config(overrides).trainer.default_local_dir == folder


@pytest.mark.parametrize("name", ["sinternal_grpo", "sinternal_sft"])
def test_every_value_of_a_published_recipe_says_where_it_comes_from(name):
    """A comment stands above each value; settings of the method carry one of the three tags."""
    text = (RECIPES / "recipe" / f"{name}.yaml").read_text()
    for section in re.split(r"\n\s*\n", text):
        lines = section.strip("\n").splitlines()
        if any(
            re.match(r"\s*(lr|n|temperature|weight_decay|clip_ratio_low|lora_rank|total_epochs):", x) for x in lines
        ):
            assert re.search(r"# \[(paper|sister|ours)\]", section), section


@pytest.mark.parametrize("recipe", ["sinternal_grpo", "sinternal_grpo_cpu", "sinternal_grpo_lora"])
@pytest.mark.parametrize(
    ("folder", "rollouts"),
    [("/a/run", "/a/run/rollouts"), ("/a/run/", "/a/run/rollouts"), ("hdfs://a/run", None), ("null", None)],
)
def test_rollouts_are_dumped_beside_the_checkpoints(recipe, folder, rollouts):
    """verl would write those of a URL into a local folder of that name."""
    trainer = compose_config([f"+recipe={recipe}", f"trainer.default_local_dir={folder}"]).trainer

    assert trainer.rollout_data_dir == rollouts
    assert trainer.validation_data_dir == (rollouts and rollouts.replace("rollouts", "validation"))


@cache
def composed(recipe: str, hardware: str, guard: str) -> DictConfig:
    return compose_config([f"+recipe={recipe}", f"hardware={hardware}", f"guard={guard}"])


def _read(name: str) -> dict:
    tree = yaml.safe_load((RECIPES / name).read_text())
    tree.pop("defaults", None)
    return tree


def _hardware(name: str) -> dict:
    """Dotted key -> value of a hardware file and of the base that it names."""
    path = RECIPES / "hardware" / f"{name}.yaml"
    bases = [base for base in yaml.safe_load(path.read_text()).get("defaults", []) if base != "_self_"]
    files = [*(f"hardware/{base}.yaml" for base in bases), f"hardware/{name}.yaml"]
    return {key: value for file in files for key, value in _leaves(_read(file))}


def _leaves(tree: dict, path: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _at(tree: dict, key: str):
    for part in key.split("."):
        tree = tree[part]
    return tree
