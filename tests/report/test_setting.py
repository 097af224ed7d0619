"""The setting of a run, and several runs beside one another."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from courses import NOW, STEPS, healthy, run_of
from omegaconf import OmegaConf

from sinternal_verl.config import compose_config
from sinternal_verl.report.compose import make_page
from sinternal_verl.report.setting import make_setting
from sinternal_verl.report.several import differences, groups, student_t

WORDS = ("+recipe=sinternal_grpo_cpu", "guard=ray_actor")
GIVEN = {"data.seed": 3, "actor_rollout_ref.actor.optim.lr": 1e-4, "data.train_files": "/a/train.parquet"}


@pytest.fixture(scope="module")
def config():
    composed = compose_config([*WORDS, *(f"{key}={value}" for key, value in GIVEN.items())])
    return OmegaConf.to_container(
        OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"]), resolve=True
    )


def run_with(config, name="run", **attributes):
    return replace(run_of(healthy(), config=config, **attributes), name=name)


def changed(config, **values):
    new = OmegaConf.create(copy.deepcopy(config))
    for key, value in values.items():
        OmegaConf.update(new, key.replace("__", "."), value, force_add=True)
    return OmegaConf.to_container(new)


@pytest.mark.parametrize(
    "record", [{}, {"starts": [{"command": f"python -m verl.trainer.main_ppo {' '.join(WORDS)} data.seed=3"}]}]
)
def test_the_differences_from_the_recipe_are_what_was_given(config, record):
    setting = make_setting(run_with(config, record=record))

    # What takes its value from the seed, as the seed of rollouts does, is not told again.
    assert {difference.key: difference.values[1] for difference in setting.differences} == {
        "data.seed": "3",
        "actor_rollout_ref.actor.optim.lr": "0.0001",
        "data.train_files": "/a/train.parquet",
    }
    assert ("compared with", " ".join(WORDS)) in setting.facts["run"]


def test_a_key_that_was_given_in_the_place_of_a_reference_is_a_difference(config):
    other = changed(config, actor_rollout_ref__actor__ppo_mini_batch_size=8, critic__ppo_mini_batch_size=8)

    keys = {difference.key for difference in make_setting(run_with(other)).differences}

    # The critic's takes its value from the actor's.
    assert keys - set(GIVEN) == {"actor_rollout_ref.actor.ppo_mini_batch_size"}


def test_a_recipe_that_is_not_installed_here_gives_no_differences(config):
    other = changed(config, sinternal__recipe="mine")

    setting = make_setting(run_with(other))

    assert setting.differences == ()
    assert "recipe: mine" in setting.yaml


@pytest.mark.parametrize("resolved", [True, False])
def test_a_run_of_plain_verl_is_compared_with_verls_own_values(resolved):
    composed = compose_config(["data.train_batch_size=7"])
    plain = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    plain = OmegaConf.to_container(plain, resolve=resolved)

    setting = make_setting(run_with(plain))

    assert [(difference.key, difference.values[1]) for difference in setting.differences] == [
        ("data.train_batch_size", "7")
    ]


def test_facts_of_a_record(config):
    card = {"name": "NVIDIA H100", "memory_gb": 80.0}
    record = {
        "versions": {"verl": "0.9.1", "torch": None},
        "hardware": {"nodes": 2, "gpus": [card] * 8, "cpu": ""},
        "digests": {"data.train_files": ["d1g3st"]},
        "last_step": 40,
    }

    facts = make_setting(run_with(config, record=record)).facts

    assert facts["versions"] == (("verl", "0.9.1"),)
    assert ("gpus", "8 x name NVIDIA H100, memory_gb 80.0") in facts["hardware"]
    assert ("data.train_files", "/a/train.parquet (d1g3st)") in facts["data"]
    assert ("data.seed", "3") in facts["seeds"]
    assert ("last step", f"{STEPS} of 40") in facts["run"]


@pytest.mark.parametrize(
    "odd",
    [
        {"digests": 3, "starts": "x", "hardware": [1, None]},
        {"starts": [{"command": "a 'b"}, 3]},
        {"starts": [{"command": 7}]},
    ],
)
def test_an_odd_record_breaks_nothing(config, odd):
    make_setting(run_with(config, record=odd))
    make_setting(run_with({"sinternal": "x", "data": None}, record=odd))
    make_setting(run_with(changed(config, data__train_batch_size=10**400), record=odd))


def test_a_run_without_configuration_and_record():
    setting = make_setting(run_of(healthy()))

    assert (setting.differences, setting.yaml) == ((), "")
    assert set(setting.facts) == {"run"}


def seeds(config):
    return [
        run_with(
            changed(
                config,
                data__seed=seed,
                sinternal__rollout__seed=seed,
                trainer__experiment_name=f"seed{seed}",
                data__train_files=f"/a/seed_{seed}/train.parquet",
            ),
            f"s{seed}",
        )
        for seed in (1, 2, 3)
    ]


def test_runs_that_differ_in_their_seed_alone_are_one_group(config):
    runs = seeds(config)
    other = run_with(changed(config, actor_rollout_ref__actor__optim__lr=1e-5), "faster")

    assert {name: [run.name for run in found] for name, found in groups(runs).items()} == {
        "all runs": ["s1", "s2", "s3"]
    }
    named = groups([*runs, other])
    assert [[run.name for run in found] for found in named.values()] == [["s1", "s2", "s3"], ["faster"]]
    assert "lr=0.0001" in next(iter(named)) or next(iter(named)) == "s1, s2, s3"


def test_runs_without_a_configuration_are_not_taken_for_one_group():
    assert len(groups([replace(run_of(healthy()), name=name) for name in ("a", "b")])) == 2


def test_keys_that_differ_alike_share_a_row(config):
    rows = {difference.key: difference.values for difference in differences(seeds(config))}

    assert rows["data.seed, sinternal.rollout.seed"] == ("1", "2", "3")


def test_the_table_over_runs(config):
    runs = [
        replace(run, steps=run_of({"critic/score/mean": value, "actor/entropy": None if value > 0.6 else 0.3}).steps)
        for run, value in zip(seeds(config), (0.5, 0.6, 0.7), strict=True)
    ]

    page = make_page(runs, now=NOW)

    by_label = {summary.label: summary for summary in page.summaries}
    assert by_label["reward"].values == pytest.approx({"s1": 0.5, "s2": 0.6, "s3": 0.7})
    # 4.303 is t of two degrees of freedom, as tables have it.
    reach = 4.303 * 0.1 / np.sqrt(3)
    assert by_label["reward"].over["all runs"] == pytest.approx((0.6, 0.6 - reach, 0.6 + reach), abs=1e-3)
    assert by_label["entropy"].values["s3"] is None
    assert by_label["entropy"].over["all runs"] == pytest.approx((0.3, 0.3, 0.3))
    assert page.cautions == ("all runs: the mean of entropy leaves out s3.",)


def test_a_single_run_has_no_interval(config):
    page = make_page([*seeds(config)[:2], run_with(changed(config, data__train_batch_size=9), "big")], now=NOW)

    over = next(summary.over for summary in page.summaries if summary.label == "reward")
    assert [ends for ends in over.values() if ends[1] is None] == [
        (pytest.approx(over[next(n for n in over if "big" in n or "9" in n)][0]), None, None)
    ]


def test_runs_of_a_group_at_different_steps_are_said_to_be(config):
    runs = seeds(config)
    shorter = replace(runs[1].steps, numbers=runs[1].steps.numbers[:7], values={"critic/score/mean": np.full(7, 0.5)})

    assert make_page(runs, now=NOW).cautions == ()
    said, others = make_page([runs[0], replace(runs[1], steps=shorter), runs[2]], now=NOW).cautions
    assert said.startswith("all runs: ") and "from 7 (s2) to " in said
    assert others.startswith("all runs: the mean of ") and others.endswith(" leaves out s2.")


def test_shares_stay_between_0_and_1(config):
    shares = (0.0, 0.01, 0.02)
    runs = [
        replace(run, steps=run_of({"train/sums/rows": 8.0, "train/sums/truncated": share}).steps)
        for run, share in zip(seeds(config), shares, strict=True)
    ]

    over = next(summary.over for summary in make_page(runs, now=NOW).summaries if "truncated" in summary.label)

    assert over["all runs"][1] == 0.0


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (9, 2.2622), (29, 2.0452), (1000, 1.9623)]
)
def test_student_t(freedom, quantile):
    """Against a table of Student's t (NIST/SEMATECH e-Handbook, 1.3.6.7.2)."""
    assert student_t(freedom) == pytest.approx(quantile, abs=2e-4)


@pytest.mark.parametrize(
    ("given", "names", "title"),
    [
        (["grpo_seed1", "grpo_seed2"], ["seed1", "seed2"], "2 runs of grpo"),
        (["my run/a b", "my run/a c"], ["b", "c"], "2 runs of my run/a"),
        (["grpo", "grpo_lora"], ["grpo", "grpo_lora"], "2 runs"),
        (["a", "b"], ["a", "b"], "2 runs"),
        (["a_", "a_b"], ["a_", "a_b"], "2 runs"),
        (["alone_1"], ["alone_1"], "alone_1"),
    ],
)
def test_names_are_short(given, names, title):
    page = make_page([replace(run_of(healthy()), name=name) for name in given], now=NOW)

    assert ([view.run.name for view in page.views], page.title) == (names, title)


def test_runs_of_one_name_are_told_apart(config):
    runs = [replace(run_with(config), folder=Path(folder)) for folder in ("/a/one/grpo", "/a/two/grpo", "/b/two/grpo")]

    names = [view.run.name for view in make_page(runs, now=NOW).views]

    assert names == ["one/run", "two/run (1)", "two/run (2)"]
