"""Which of verl's mains a recipe is for is read from what it composes, not from what it is called."""

import pytest
from hydra.errors import HydraException

from sinternal_verl.commands.running_guard import compose_guard
from sinternal_verl.config import compose_config, is_ppo, main_of

RECIPES = {
    "sft_baseline": "defaults: [sinternal_grpo_cpu, _self_]\ndata: {train_batch_size: 8}",
    "verifier": "defaults: [sinternal_sft_cpu, _self_]\noptim: {lr: 1e-4}",
    "from_nothing": "model: {lora_rank: 8}\nengine: {strategy: fsdp2}",
    "with_a_group_of_verls": "defaults: [{override /optim@optim: fsdp}]\nengine: {strategy: fsdp2}",
    "longer": "trainer: {total_epochs: 3}",
}
"""Recipes of a user's own."""


@pytest.fixture
def search_path(tmp_path):
    (tmp_path / "recipe").mkdir()
    for name, text in RECIPES.items():
        (tmp_path / "recipe" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    return f"hydra.searchpath=[file://{tmp_path}]"


@pytest.mark.parametrize(
    ("words", "main"),
    [
        (["+recipe=sinternal_grpo_cpu", "trainer.experiment_name=sft_baseline"], "grpo"),
        (["+recipe=sinternal_grpo", "data.train_files=/data/sft/train.parquet"], "grpo"),
        (["+recipe=sinternal_sft", "trainer.experiment_name=baseline"], "sft"),
        (["+recipe=sft_baseline"], "grpo"),
        (["+recipe=verifier"], "sft"),
        (["+recipe=from_nothing"], "sft"),
        (["+recipe=with_a_group_of_verls"], "sft"),
        (["+recipe=longer", "model.path=/abs/model"], "sft"),
        (["+recipe=longer", "actor_rollout_ref.model.path=/abs/model"], "grpo"),
        (["data.seed=1"], "grpo"),
    ],
    ids=" ".join,
)
def test_the_main_is_the_one_whose_keys_the_recipe_has(search_path, words, main):
    words = [search_path, *words]

    assert main_of(words) == main
    assert is_ppo(compose_config(words)) == (main == "grpo")


def test_a_recipe_that_does_not_exist_is_named(search_path):
    with pytest.raises(HydraException, match="Could not find 'recipe/no_such'"):
        main_of([search_path, "+recipe=no_such"])


def test_a_guard_is_not_composed_of_a_recipe_for_sft(search_path):
    with pytest.raises(ValueError, match="this recipe has no sinternal"):
        compose_guard([search_path, "+recipe=verifier"])
