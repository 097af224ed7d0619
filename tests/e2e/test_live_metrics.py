"""Live metrics as a user gets them: recorded in Ray actors, exported by Ray, read by a real Prometheus, asked for by
the expressions of the dashboard."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import ray
from grafana import EXPORTED, EXPRESSIONS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = 'safety/harmful "odd" \\ name\n'
TIMES = {"guard_s": 0.03, "guard_wait_s": 1.5}


@ray.remote
class Recorder:
    """What a reward worker and a guard replica record, without their models."""

    def __init__(self):
        from sinternal_verl.guard.gauges import WindowGauges
        from sinternal_verl.guard.window import Window
        from sinternal_verl.training.live_scores import LiveScores

        self.live, self.window = LiveScores(), Window(4)
        self.gauges = WindowGauges(self.window, "sinternal_guard_0")

    async def record(self):
        from sinternal_verl.scoring.score import Outcome, Score

        async with self.window.place(10):
            self.gauges.set()
        self.gauges.set()
        for outcome in (Outcome.SAFE, Outcome.SAFE, Outcome.UNPARSABLE):
            with self.live.sample(SOURCE):
                self.live.scored(SOURCE, Score(1.0, outcome, TIMES))
        with self.live.sample("math"):
            self.live.scored("math", Score(1.0, Outcome.CORRECT))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def read(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def until(condition, limit_s=90):
    """What ``condition`` gives, once it is true."""
    ends = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < ends, f"not within {limit_s} s"
        time.sleep(1)
    return found


@pytest.fixture(scope="module")
def recorder():
    """A cluster with an endpoint, and an actor that records."""
    port = free_port()
    often = {"metrics_report_interval_ms": 1000}
    ray.init(address="local", num_cpus=1, include_dashboard=False, _metrics_export_port=port, _system_config=often)
    try:
        actor = Recorder.remote()
        ray.get(actor.record.remote(), timeout=60)
        yield f"127.0.0.1:{port}", actor
    finally:
        ray.shutdown()


def samples(address):
    """What the endpoint has of ours: by name, a list of labels and value."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = list(text_string_to_metric_families(read(f"http://{address}/metrics")))
    except OSError:
        return {}
    found = {}
    for sample in (sample for family in families for sample in family.samples):
        found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_rays_endpoint_has_what_was_recorded(recorder):
    address, _ = recorder
    found = until(lambda: (has := samples(address)) and has.keys() >= EXPORTED and has)
    verdicts = {labels["outcome"]: value for labels, value in found["ray_sinternal_guard_verdicts_total"]}
    assert verdicts == {"safe": 2, "unparsable": 1}  # the sum asked no guard
    scores = {labels["source"]: 0.0 for labels, _ in found["ray_sinternal_scores_total"]}
    for labels, value in found["ray_sinternal_scores_total"]:
        scores[labels["source"]] += value
    assert scores == {SOURCE: 3, "math": 1}
    buckets = {float(labels["le"]): value for labels, value in found["ray_sinternal_guard_seconds_bucket"]}
    assert (buckets[0.02], buckets[0.05]) == (0, 3)
    assert {labels["source"]: value for labels, value in found["ray_sinternal_samples_in_flight"]} == {
        SOURCE: 0,
        "math": 0,
    }
    ((labels, _),) = found["ray_sinternal_guard_waiting"]
    assert labels["replica"] == "sinternal_guard_0"


@pytest.mark.skipif(not shutil.which("prometheus"), reason="no Prometheus is installed here")
def test_prometheus_answers_every_expression_of_the_dashboard(recorder, tmp_path):
    address, actor = recorder
    config, port = tmp_path / "prometheus.yml", free_port()
    jobs = {
        "scrape_configs": [{"job_name": "ray", "static_configs": [{"targets": [address]}], "scrape_interval": "1s"}]
    }
    config.write_text(json.dumps(jobs))  # JSON is YAML
    command = ["prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        prometheus = subprocess.Popen([*command, f"--storage.tsdb.path={tmp_path / 'data'}"], stdout=log, stderr=log)
    try:

        def ask(expression):
            for variable, value in {"$session": ".*", "$experiment": ".*", "$__rate_interval": "1m"}.items():
                expression = expression.replace(variable, value)
            query = urllib.parse.urlencode({"query": expression})
            try:
                answer = json.loads(read(f"http://127.0.0.1:{port}/api/v1/query?{query}"))
            except urllib.error.HTTPError as error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from error
            except OSError:
                return None  # it still starts
            assert answer["status"] == "success"
            return answer["data"]["result"]

        until(lambda: ask("up") is not None)
        live = [expression for expression in EXPRESSIONS if "ray_" in expression]
        assert len(live) >= 9
        for expression in live:

            def has_values(expression=expression):
                ray.get(actor.record.remote(), timeout=60)  # a rate needs two values that differ
                return ask(expression)

            result = until(has_values)
            if "histogram_quantile" in expression:
                assert 0 < float(result[0]["value"][1]) < 5
        for expression in set(EXPRESSIONS) - set(live):
            assert ask(expression) == []  # it parses; no RL-Insight runs here
    finally:
        prometheus.terminate()
        prometheus.wait(20)
