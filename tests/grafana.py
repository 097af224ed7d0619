"""The dashboard for Grafana in examples/, and the metrics of ours that Ray exports."""

import json
from pathlib import Path

from sinternal_verl.guard import gauges
from sinternal_verl.training import live_scores

DASHBOARD = json.loads((Path(__file__).parents[1] / "examples/grafana/sinternal_verl.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]

GAUGES = {gauges.WAITING, gauges.INSIDE, gauges.WIDTH, gauges.RATE, live_scores.IN_FLIGHT}
COUNTERS = {live_scores.SCORES, live_scores.VERDICTS}
HISTOGRAMS = {live_scores.SECONDS, live_scores.WAIT}
EXPORTED = {f"ray_{name}" for name in GAUGES} | {f"ray_{name}_total" for name in COUNTERS}
EXPORTED |= {f"ray_{name}_bucket" for name in HISTOGRAMS}
