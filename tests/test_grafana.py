"""The dashboard for Grafana: its panels ask for metrics that a run has, and all of them."""

import re

import pytest
from grafana import DASHBOARD, EXPORTED, EXPRESSIONS, PANELS

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.guard_curves import GuardCurves
from sinternal_verl.training.rollouts import Row


def test_the_panels_show_every_metric_of_ours_at_rays_endpoints():
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"\bray_\w+", expression)}
    assert asked == EXPORTED


def test_the_panels_by_step_name_curves_of_the_guard():
    row = Row("a_0_0", "safety/benign", 1.0, Outcome.SAFE, True, guard_times=(1.0, 1.0, 102.0))
    # RL-Insight puts its prefix before each name, and `_` for what Prometheus does not take.
    curves = {f"rl_insight_monitor_{key.replace('/', '_')}" for key in GuardCurves().step([row])}
    asked = {
        name for expression in EXPRESSIONS for name in re.findall(r"\brl_insight_monitor_guard_\w+(?=\{)", expression)
    }
    assert asked <= curves
    assert len(asked) >= 6


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["id"]))
def test_a_panel_says_what_it_shows(panel):
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"] in {"ops", "s", "short", "percentunit"}
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_no_two_panels_overlap():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert place["x"] + place["w"] <= 24
