"""Charts, tiles and derived metrics of runs of every kind."""

import math
from dataclasses import replace

import numpy as np
import pytest
from courses import BENIGN, HARMFUL, NOW, STEPS, SUMS, course, healthy, noisy, rollouts_of, run_of, validations
from made_runs import make_grpo, make_plain, make_sft

from sinternal_verl.report.charts import MAX_LINES, SECTIONS, chart_id
from sinternal_verl.report.compose import make_page, make_view
from sinternal_verl.report.derived import with_derived
from sinternal_verl.report.facts import Facts
from sinternal_verl.report.read import read_run

MAKERS = {"ours": make_grpo, "verl's": make_plain, "sft": make_sft}


def view_of(metrics, **attributes):
    return make_view(run_of(metrics, **attributes), NOW)


def drawn(view) -> list[str]:
    return [name for chart in view.charts for line in chart.lines for name in (line.metric, line.held_out) if name]


@pytest.fixture(scope="module", params=MAKERS)
def view(request, tmp_path_factory):
    folder = MAKERS[request.param](tmp_path_factory.mktemp("runs") / "run", steps=8, unscored=0.1, resumes=(4,))
    return make_page([read_run(folder)]).views[0]


def test_every_tile_and_alert_points_to_a_chart_that_is_there(view):
    ids = {chart.id for chart in view.charts}

    assert {tile.chart for tile in view.tiles} <= ids
    assert {alert.chart for alert in view.alerts if alert.level != "good"} <= ids


def test_charts_have_ids_of_their_own_and_draw_what_is_there(view):
    assert len({chart.id for chart in view.charts}) == len(view.charts)
    assert set(drawn(view)) <= set(view.run.steps.values)
    assert all(0 < len(chart.lines) <= MAX_LINES for chart in view.charts)
    assert {chart.section for chart in view.charts} <= set(SECTIONS)


def test_every_metric_that_changes_is_drawn(view):
    values = view.run.steps.values
    changing = {name for name, column in values.items() if len(np.unique(column[np.isfinite(column)])) > 1}

    assert changing - set(drawn(view)) == set()


def test_metrics_of_nobody_get_a_section_of_their_own():
    mine = {"mine/score/mean": np.arange(STEPS), "mine/score/max": np.arange(STEPS), "odd": np.arange(STEPS)}

    view = view_of(healthy() | mine | {"perf/total_num_tokens": np.arange(STEPS)})

    charts = {chart.title: chart for chart in view.charts if chart.section == "Other metrics"}
    assert {title: [line.label for line in chart.lines] for title, chart in charts.items()} == {
        "mine/score": ["max", "mean"],
        "odd": ["odd"],
    }


def test_numbers_of_a_scorer_stand_by_name_with_a_line_for_each_source():
    own = {f"train/{source}/steps_taken/mean": np.arange(STEPS) for source in (SUMS, BENIGN)}

    view = view_of(healthy() | own)

    chart = next(chart for chart in view.charts if chart.section == "Scorers' own numbers")
    assert (chart.title, [line.label for line in chart.lines]) == ("steps_taken", [BENIGN, SUMS])


def test_a_source_whose_name_begins_with_anothers():
    metrics = {}
    for source in ("math", "math/reward"):
        metrics |= {f"train/{source}/rows": 8.0, f"train/{source}/reward/mean": np.arange(STEPS)}

    view = view_of(metrics)

    assert Facts(view.run).sources == ("math", "math/reward")
    assert not [chart for chart in view.charts if chart.section == "Scorers' own numbers"]


def test_many_sources_are_spread_over_charts():
    metrics = {f"train/set {n}/{name}": np.arange(STEPS) for n in range(30) for name in ("rows", "reward/mean")}

    view = view_of(metrics)

    together = [chart for chart in view.charts if chart.title.startswith("Reward") and chart.filter == {}]
    assert [len(chart.lines) for chart in together] == [12, 12, 6]
    assert {tile.chart for tile in view.tiles} <= {chart.id for chart in view.charts}


def test_an_id_tells_names_apart_that_differ_in_a_sign_alone():
    names = ["a/b", "a b", "a-b", "A/B", "\ud800", "", "x" * 200, "x" * 201]

    ids = [chart_id("reward", name) for name in names]

    assert len(set(ids)) == len(names)
    assert all(set(each) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for each in ids)


def test_phases_and_the_rest_make_the_step():
    seconds = {"timing_s/step": 60.0, "timing_s/gen": 40.0, "timing_s/update_actor": 15.0, "timing_s/testing": 100.0}

    view = view_of(seconds | {"timing_s/agent_loop/tool_calls/mean": 3.0})

    phases = next(chart for chart in view.charts if chart.id == "phases")
    assert phases.stacked
    assert [line.label for line in phases.lines] == ["testing", "gen", "update actor", "other"]
    assert view.run.steps.values["report/seconds/other"][0] == 5


@pytest.mark.parametrize(("step", "other"), [(60.0, 5.0), (165.0, 10.0)])
def test_a_validation_may_be_within_the_time_of_a_step_or_after_it(step, other):
    seconds = {"timing_s/gen": 40.0, "timing_s/update_actor": 15.0, "timing_s/testing": 100.0}

    values = view_of(seconds | {"timing_s/step": step}).run.steps.values

    assert values["report/seconds/other"][0] == other


@pytest.mark.parametrize(("longest", "truncated"), [(256.0, 0.25), (200.0, 0.0)])
def test_truncation_of_a_run_of_plain_verl(longest, truncated):
    # verl counts the responses of the longest length, whatever the limit is.
    metrics = {"response_length/clip_ratio": 0.25, "response_length/max": longest}

    known = view_of(metrics, config={"data": {"max_response_length": 256}})
    unknown = view_of(metrics)

    assert [tile.value for tile in known.tiles if tile.label == "truncated"] == [truncated]
    assert not [tile for tile in unknown.tiles if tile.label == "truncated"]


def test_the_safe_share_counts_verdicts_alone():
    outcomes = {"safe": 20.0, "refused": 10.0, "unsafe": 9.0, "controversial": 1.0, "unparsable": 50.0}
    metrics = {f"train/{HARMFUL}/outcome/{name}": count for name, count in outcomes.items()}

    view = view_of(metrics | {f"train/{HARMFUL}/rows": 90.0, f"train/{HARMFUL}/scored": 40 / 90})

    assert [tile.value for tile in view.tiles if tile.label == "safe share"] == [0.75]


def test_rollouts_give_each_source_its_curves_where_the_run_logged_none(tmp_path):
    ours = make_grpo(tmp_path / "run", steps=6, unscored=0.2)
    logged = read_run(ours)
    bare = {name: column for name, column in logged.steps.values.items() if not name.startswith(("train/", "val/"))}
    derived = with_derived(replace(logged, steps=replace(logged.steps, values=bare))).steps.values

    names = ("rows", "scored", "reward/mean", "truncated", "response_length/mean", "outcome/unparsable")
    for name in (f"train/{source}/{name}" for source in (BENIGN, HARMFUL, SUMS) for name in names):
        if name in logged.steps.values:
            expected = np.nan_to_num(logged.steps.values[name])
            np.testing.assert_allclose(np.nan_to_num(derived[name]), expected, rtol=1e-6, err_msg=name)


def test_groups_of_rollouts():
    scores = np.array([[[0, 0, 0], [1, 1, 1], [0, 1, 1]], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]], float)
    run = with_derived(run_of({"actor/lr": 1.0}, rollouts=rollouts_of(scores, 10 + 90 * scores)))

    values = {name: column[:2] for name, column in run.steps.values.items() if name.startswith("report/")}

    np.testing.assert_allclose(values[f"report/alike/{SUMS}"], [2 / 3, 0])
    np.testing.assert_allclose(values[f"report/unsolved/{SUMS}"], [1 / 3, 0])
    np.testing.assert_allclose(values[f"report/length_and_reward/{SUMS}"], [1, 1])


def test_a_tile_has_the_mean_of_the_last_steps_and_the_change_from_the_first():
    reward = np.concatenate([np.full(5, 0.2), np.full(STEPS - 10, math.nan), np.full(5, 0.6)])

    tile = next(tile for tile in view_of({"critic/score/mean": reward}).tiles if tile.label == "reward")

    assert (tile.value, tile.trend, len(tile.spark)) == (pytest.approx(0.6), pytest.approx(0.4), 10)


def test_too_few_steps_have_no_trend():
    reward = np.full(STEPS, math.nan)
    reward[:3] = 0.1, 0.5, 0.9

    tile = view_of({"critic/score/mean": reward}).tiles[0]

    assert tile.trend is None
    assert tile.value == pytest.approx(0.9)


@pytest.mark.parametrize(("last", "direction"), [(0.55, ""), (0.9, "higher")])
def test_a_change_within_the_noise_is_neither_better_nor_worse(last, direction):
    points = validations({9: 0.5, 29: last})
    metrics = {f"train/{SUMS}/rows": 8.0, f"val/{SUMS}/reward/mean": points, f"val/{SUMS}/rows": 100 + 0 * points}
    metrics |= {"critic/score/mean": noisy(course(0.5, last), 0.1), "actor/lr": 1.0}

    tiles = {tile.label: tile for tile in view_of(metrics).tiles}

    assert [tiles[label].direction for label in ("reward", "held-out reward")] == [direction, direction]
