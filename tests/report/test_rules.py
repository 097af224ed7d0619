"""Each rule, with runs that have its fault and with runs that do not."""

import re
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from courses import (
    BENIGN,
    HARMFUL,
    NOW,
    STEPS,
    SUMS,
    alerts_of,
    course,
    healthy,
    noisy,
    rollouts_of,
    run_of,
    validations,
)
from made_runs import make_grpo, make_plain, make_sft

from sinternal_verl.report.compose import make_page, make_view
from sinternal_verl.report.read import read_run
from sinternal_verl.report.rules import RULES

CHANCE = np.random.default_rng(3)

FAULTS = {
    "refusals rise a little": ("refusal_rises", "watch", {f"train/{BENIGN}/refused": noisy(course(0.05, 0.15), 0.01)}),
    "refusals rise to half": ("refusal_rises", "bad", {f"train/{BENIGN}/refused": noisy(course(0.05, 0.5), 0.02)}),
    "held-out refusals rise": (
        "refusal_rises",
        "bad",
        {f"train/{BENIGN}/refused": None, f"val/{BENIGN}/refused": validations({9: 0.04, 19: 0.2, 29: 0.5})},
    ),
    "reward falls": ("reward_falls", "watch", {f"train/{SUMS}/reward/mean": noisy(course(0.7, 0.5), 0.02)}),
    "reward collapses": ("reward_falls", "bad", {f"train/{SUMS}/reward/mean": noisy(course(0.7, 0.1), 0.02)}),
    "held out falls": (
        "held_out_falls",
        "bad",
        {f"val/{SUMS}/reward/mean": validations({9: 0.7, 19: 0.6, 29: 0.45})},
    ),
    "training runs ahead": (
        "validation_gap",
        "watch",
        {
            f"train/{SUMS}/reward/mean": noisy(course(0.5, 0.95), 0.01),
            f"val/{SUMS}/reward/mean": validations({9: 0.5, 19: 0.52, 29: 0.53}),
        },
    ),
    "the guard fails now and then": ("guard_fails", "watch", {f"train/{HARMFUL}/outcome/unparsable": 2.0}),
    "the guard dies": (
        "guard_fails",
        "bad",
        {f"train/{HARMFUL}/outcome/failed": course(0, 60, 24)},
    ),
    "the scorer fails": ("scorer_fails", "bad", {f"train/{SUMS}/outcome/timed_out": 10.0}),
    "fewer are scored": ("scored_falls", "watch", {f"train/{SUMS}/scored": noisy(course(1.0, 0.9), 0.005)}),
    "far fewer are scored": ("scored_falls", "bad", {f"train/{SUMS}/scored": noisy(course(1.0, 0.6), 0.005)}),
    "one never came": ("responses_missing", "watch", {f"train/{SUMS}/missing": np.eye(STEPS)[20]}),
    "many never came": ("responses_missing", "bad", {f"train/{SUMS}/missing": 4.0}),
    "truncation rises": ("truncated", "watch", {f"train/{SUMS}/truncated": noisy(course(0.0, 0.08), 0.002)}),
    "many are truncated": ("truncated", "watch", {f"train/{SUMS}/truncated": noisy(0.15, 0.01)}),
    "most are truncated": ("truncated", "bad", {f"train/{SUMS}/truncated": noisy(0.7, 0.01)}),
    "thoughts never end": ("without_answer", "watch", {f"train/{SUMS}/outcome/thought_unclosed": 40.0}),
    "nothing is boxed": ("without_answer", "bad", {f"train/{SUMS}/outcome/no_box": 62.0}),
    "entropy falls": ("entropy", "watch", {"actor/entropy": noisy(course(0.6, 0.05), 0.01)}),
    "entropy collapses": ("entropy", "bad", {"actor/entropy": noisy(course(0.6, 0.001, 1), 0.0005) ** 2 / 0.6}),
    "entropy explodes": ("entropy", "bad", {"actor/entropy": noisy(course(0.6, 4.0), 0.02)}),
    "a gradient jumps": ("gradient_spikes", "watch", {"actor/grad_norm": noisy(0.3, 0.03) + 9 * np.eye(STEPS)[25]}),
    "gradients jump": (
        "gradient_spikes",
        "bad",
        {"actor/grad_norm": noisy(0.3, 0.03) + 9 * np.eye(STEPS)[[22, 25, 28]].sum(axis=0)},
    ),
    "rollout and trainer part": (
        "rollout_mismatch",
        "watch",
        {"rollout_corr/k3_kl": noisy(course(0.0005, 0.008), 1e-4)},
    ),
    "rollout and trainer are apart": ("rollout_mismatch", "bad", {"rollout_corr/k3_kl": noisy(0.3, 0.01)}),
    "the guard is slow": ("guard_holds_up", "watch", {"guard/wait/mean": noisy(12, 1)}),
    "the guard is the bottleneck": ("guard_holds_up", "bad", {"guard/wait/mean": noisy(30, 1)}),
    "steps get slower": ("steps_get_slower", "watch", {"timing_s/step": noisy(course(60, 180), 3)}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_rule_finds_its_fault_and_no_other_rule_does(fault):
    name, level, metrics = FAULTS[fault]

    found = alerts_of(healthy() | metrics)

    assert {alert.name: alert.level for alert in found.values() if alert.name in (name, "rules")} == {
        name: level,
        "rules": "good",
    }
    # A fault may have two sides: a guard that dies lowers the scored share, too.
    assert len(found) <= 3


def test_nothing_is_found_in_a_healthy_run():
    found = alerts_of(healthy())

    assert set(found) == {"rules"}
    assert found["rules"].level == "good"
    assert "found nothing" in found["rules"].text


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_found_in_runs_that_learn(seed, tmp_path):
    run = make_grpo(tmp_path / "run", steps=12, responses=8, validate_every=4, seed=seed, characters=40)

    view = make_page([read_run(run)]).views[0]

    assert [alert.name for alert in view.alerts] == ["rules"]


def test_the_step_from_which_a_fault_holds_is_told():
    sudden = np.concatenate([np.full(15, 0.05), np.full(15, 0.45)])

    alert = alerts_of(healthy() | {f"train/{BENIGN}/refused": sudden})["refusal_rises"]

    # The mean of five steps exceeds limit and noise with the first or second of the sudden ones.
    assert alert.step in (16, 17)
    assert "45.0%" in alert.text and "5.0%" in alert.text


def test_a_fault_that_went_away_is_no_alert():
    gone = np.concatenate([np.full(10, 0.05), np.full(10, 0.5), np.full(10, 0.05)])

    assert "refusal_rises" not in alerts_of(healthy() | {f"train/{BENIGN}/refused": gone})


def test_a_policy_that_knows_the_answers_may_have_low_entropy():
    knows = {"actor/entropy": noisy(course(0.6, 0.03), 0.005), "critic/score/mean": noisy(course(0.5, 0.97), 0.01)}

    assert "entropy" not in alerts_of(healthy() | knows)


def test_small_gradients_of_a_model_that_has_converged_are_no_spikes():
    norms = np.concatenate([np.full(10, 6.0), np.full(20, 0.004)])
    norms[[24, 27]] = 0.8
    # As in the SFT of the demo's guard: a hundred times the usual, and still small.
    metrics = {"train/loss": course(6.0, 0.01), "train/grad_norm": norms, "train/lr": 1e-4}

    assert "gradient_spikes" not in alerts_of(metrics, kind="sft")


@pytest.mark.parametrize(
    ("make", "name", "kind"),
    [
        (make_grpo, "actor/grad_norm", "grpo"),
        (make_grpo, "critic/score/mean", "grpo"),
        (make_sft, "train/loss", "sft"),
    ],
)
def test_numbers_that_are_none_from_the_first_step_on_are_bad(tmp_path, make, name, kind):
    trained = {"actor/grad_norm", "actor/pg_loss", "critic/score/mean", "train/loss", "train/grad_norm"}
    make(tmp_path / "run", steps=3, alter=lambda step, data: data | dict.fromkeys(trained & data.keys()))
    for place in (tmp_path / "run", shutil.copy(next((tmp_path / "run").glob("metrics*")), tmp_path / "alone.jsonl")):
        run = read_run(Path(place))
        found = [alert for alert in make_view(run, NOW).alerts if alert.name == "no_number"]

        # A metrics file without a configuration says by its metrics what it is of.
        assert run.kind == kind and any(name in alert.text and alert.level == "bad" for alert in found)


def test_a_number_that_is_none_is_bad():
    found = alerts_of(healthy(), not_finite={"actor/grad_norm": (7, 9), "train/other": (3,)})["no_number"]

    assert (found.level, found.step) == ("bad", 7)
    assert "steps 7, 9" in found.text


def test_an_outcome_is_not_logged_before_it_was_seen():
    # A resumed run has not seen it yet, so there are gaps, which are no failures.
    counts = np.full(STEPS, np.nan)
    counts[4:12], counts[25:] = 0.0, 0.0
    counts[4] = 40.0

    text = alerts_of(healthy() | {f"train/{SUMS}/outcome/failed": counts})["scorer_fails"].text

    assert "40 of 1920" in text


def test_a_function_that_scores_some_samples_alone_does_not_fail():
    some = {f"train/{SUMS}/scored": course(1.0, 0.3), f"train/{SUMS}/outcome/not_applicable": course(0, 45)}

    assert set(alerts_of(healthy() | some)) == {"rules"}


def test_groups_without_spread():
    wrong = rollouts_of(np.zeros((STEPS, 6, 4)), np.full((STEPS, 6, 4), 100))
    right = rollouts_of(np.ones((STEPS, 6, 4)), np.full((STEPS, 6, 4), 100))
    mixed = rollouts_of(CHANCE.integers(0, 2, (STEPS, 6, 4)), np.full((STEPS, 6, 4), 100))

    found = [alerts_of(healthy(), rollouts=rollouts).get("groups_without_spread") for rollouts in (wrong, right, mixed)]

    assert [alert and alert.level for alert in found] == ["bad", "watch", None]
    assert "no reward above 0" in found[0].text
    assert "hardly anything is left" in found[1].text


@pytest.mark.parametrize("way", [1, -1])
def test_length_that_is_rewarded_is_told_from_length_that_grows_along(way):
    grows = course(1000, 2500 if way > 0 else 400)
    metrics = healthy() | {f"train/{SUMS}/response_length/mean": noisy(grows, 10)}
    lengths = CHANCE.integers(100, 1000, (STEPS, 12, 8))
    middle = np.median(lengths, axis=2, keepdims=True)
    by_length = (lengths > middle if way > 0 else lengths < middle).astype(float)
    by_chance = CHANCE.integers(0, 2, lengths.shape)

    hacked = alerts_of(metrics, rollouts=rollouts_of(by_length, lengths))
    along = alerts_of(metrics, rollouts=rollouts_of(by_chance, lengths))

    assert ("longer" if way > 0 else "shorter") in hacked["reward_by_length"].text
    assert "reward_by_length" not in along


@pytest.mark.parametrize(
    ("quiet", "finished", "level"),
    [
        (timedelta(seconds=90), False, None),
        (timedelta(hours=3), False, "bad"),
        (timedelta(hours=3), True, None),
        (timedelta(hours=3), None, None),
    ],
)
def test_a_run_that_has_gone_silent(quiet, finished, level):
    updated = (NOW - quiet).isoformat()

    found = alerts_of(healthy(), updated=updated, finished=finished, record={"last_step": 200}).get("silent")

    assert (found and found.level) == level
    if found:
        assert "3 h" in found.text and "step 30 of 200" in found.text


def test_a_long_step_is_no_silence():
    slow = {"timing_s/step": noisy(3600, 100), "timing_s/testing": validations({29: 5000.0})}

    assert "silent" not in alerts_of(healthy() | slow, updated=(NOW - timedelta(hours=4)).isoformat(), finished=False)


def test_rules_for_sft():
    loss = course(2.0, 0.5, 1)
    turned = np.concatenate([course(2.0, 0.5, 1)[:20], np.linspace(0.9, 2.5, 10)])
    points = validations({9: 1.2, 19: 1.0, 29: 1.4})

    assert set(alerts_of({"train/loss": loss, "train/lr": 1e-4}, kind="sft")) == {"rules"}
    assert alerts_of({"train/loss": turned, "train/lr": 1e-4}, kind="sft")["loss_rises"].level == "bad"
    overfits = alerts_of({"train/loss": loss, "val/loss": points}, kind="sft")["overfits"]
    assert "step 20" in overfits.text


def test_rules_say_what_they_lack(tmp_path):
    runs = [make_plain(tmp_path / "verl", steps=8, dumped=False), make_sft(tmp_path / "sft", steps=8)]

    plain, sft = (make_page([read_run(run)]).views[0].alerts[-1].rule for run in runs)

    assert "refusal_rises (train/<source>/refused)" in plain
    assert "groups_without_spread (dumped rollouts)" in plain
    assert "refusal_rises" not in sft


def test_a_run_without_any_metric_has_no_alarm():
    found = alerts_of({})

    assert set(found) == {"rules"}
    assert "0 of" not in found["rules"].text  # lines_unreadable can always look


def test_infinite_and_constant_metrics_break_no_rule():
    for value in (0.0, 1.0, 1e30):
        make_view(run_of({name: value for name in healthy()}), NOW)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_states_each_of_its_limits(rule):
    assert re.search(r"[{}]", rule.sentence) is None
    unsaid = [name for name in rule.limits if f"{{{name}:" not in rule.says]
    assert unsaid == []


def test_rules_have_different_names():
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_docs_state_each_rule(rule):
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text()

    assert f"| `{rule.name}` | {rule.sentence} |" in text
