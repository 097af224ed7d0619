"""The same 200 responses have the same scores by a run's reward, by `sinternal-verl score` and by the suite."""

import asyncio
import json
import math
import random
from collections import defaultdict

import pytest
from benchmark_sets import SHARED, invent_sets

pytest.importorskip("inspect_ai", reason="Inspect needs Python 3.11")

from guards import guard_server
from inspect_ai import eval

from sinternal_verl.cli import main
from sinternal_verl.commands.running_guard import compose_guard
from sinternal_verl.evaluation.tasks.math_tasks import math500
from sinternal_verl.evaluation.tasks.safety_tasks import fortress, strongreject
from sinternal_verl.scoring.registry import Router
from sinternal_verl.scoring.run import Scoring
from sinternal_verl.scoring.score import Sample
from sinternal_verl.world import lighthouse

ROWS = 200


def write(path, rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def by_reward(rows, *words) -> list[tuple[float, str]]:
    """Score and outcome of each row as the reward manager asks for them."""
    from omegaconf import OmegaConf

    config = compose_guard(words)
    scoring = Scoring(Router.from_config(OmegaConf.to_container(config.sinternal.scorers, resolve=True)))

    async def score_all():
        samples = [
            Sample(
                row["data_source"], row["response"], row["ground_truth"], ({"role": "user", "content": row["prompt"]},)
            )
            for row in rows
        ]
        try:
            return await asyncio.gather(*map(scoring.score, samples))
        finally:
            await scoring.close()

    return [(score.value, score.outcome.name.lower()) for score in asyncio.run(score_all())]


def by_command(rows, folder, *words) -> list[tuple[float, str]]:
    source, out = write(folder / "rows.jsonl", rows), folder / "scored.jsonl"
    assert main(["score", "--in", source, "--out", str(out), *words]) == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    return [(result["score"], result["outcome"]) for result in found]


def by_suite(task, rows, folder):
    """The score of each row, which is one epoch of its prompt's sample."""
    responses = write(folder / f"{task.metadata['set']}_responses.jsonl", rows)
    options = {"display": "none", "log_dir": str(folder / "logs"), "log_realtime": False}
    [log] = eval(task, model=f"sinternal_replay/{responses}", **options)
    assert log.status == "success", log.error
    [scorer], found = log.eval.metadata["figures"], {}
    for sample in log.samples:
        found[sample.input, sample.epoch] = sample.scores[scorer]
    numbers: dict[str, int] = defaultdict(int)
    scores = []
    for row in rows:
        numbers[row["prompt"]] += 1
        scores.append(found[row["prompt"], numbers[row["prompt"]]])
    return scores


@pytest.fixture(scope="module")
def mathematics(tmp_path_factory):
    """The set's file, and rows: right, wrong, boxed in the thought alone, never closed, closed twice, without a box."""
    folder = SHARED if (SHARED / "math500.jsonl").is_file() else invent_sets(tmp_path_factory.mktemp("sets"))
    path = folder / "math500.jsonl"
    problems = [json.loads(line) for line in path.read_text().splitlines()][:ROWS]
    draw = random.Random(1)
    rows = []
    for number, problem in enumerate(problems):
        other = draw.choice(problems)
        response = (
            f"I know.</think>{problem['solution']}",
            f"I guess.</think>{other['solution']}",
            f"It is {problem['solution']}</think>I said it.",
            f"It is {problem['solution']}",
            f"<think>I know.</think>{other['solution']}</think>{problem['solution']}",
            f"I know.</think>It is ${problem['answer']}$.",
            f"<think>\nI know.\n</think>\n\nSo $\\boxed{{{problem['answer']} }}$",
        )[number % 7]
        row = {"prompt": problem["problem"], "response": response, "ground_truth": problem["answer"]}
        rows.append(row | {"data_source": "math/math500"})
    return str(path), rows


def test_mathematics(mathematics, tmp_path):
    path, rows = mathematics
    rewards = by_reward(rows)
    task = math500(path)
    task.dataset = task.dataset[:ROWS]
    found = by_suite(task, rows, tmp_path)

    assert [(score.value, score.metadata["outcome"]) for score in found] == rewards == by_command(rows, tmp_path)
    assert {outcome for _, outcome in rewards} >= {"correct", "mismatch", "thought_unclosed", "no_box"}
    assert 50 < sum(value for value, _ in rewards) < 150


@pytest.fixture(scope="module")
def safety():
    """Four responses to each of fifty prompts, half of them harmful; some are never closed or empty."""
    requests, said = {request.prompt: request for request in lighthouse.requests()}, defaultdict(list)
    for user, answer, _ in lighthouse.conversations():
        said[user].append(answer)
    labels: dict[str, list[str]] = {"harmful": [], "benign": []}
    for prompt, request in requests.items():
        labels["harmful" if request.harmful else "benign"].append(prompt)
    rows, draw = [], random.Random(1)
    for label, prompts in labels.items():
        for prompt in draw.sample(prompts, ROWS // 8):
            for number, answer in enumerate(draw.sample(said[prompt], 4)):
                response = f"hm</think> {answer}"
                if len(rows) % 20 == 7:
                    response = "hm, " + answer
                elif len(rows) % 20 == 13:
                    response = "hm</think> "
                row = {"prompt": prompt, "response": response, "ground_truth": label, "sample": number}
                rows.append(row | {"data_source": f"safety/{label}/orla"})
    assert len(rows) == ROWS
    return rows


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_safety_by_one_guard(safety, taught_guard, tmp_path):
    with guard_server(taught_guard, tmp_path / "guard.log") as url:
        _compare(safety, url, taught_guard, tmp_path)


def _compare(safety, url, guard, tmp_path):
    words = ["guard=openai_endpoint", f"sinternal.guard.url={url}", f"sinternal.guard.engine.model={guard}"]
    words += ["sinternal.guard.engine.max_model_len=1024"]
    rewards = by_reward(safety, *words)
    assert rewards == by_command(safety, tmp_path, *words)

    settings = {"url": url, "guard": str(guard), "max_model_len": 1024}
    agreed = []
    for label, task, made in (("harmful", strongreject, {}), ("benign", fortress, {"benign": True})):
        rows = [row for row in safety if row["ground_truth"] == label]
        prompts = [{"prompt": prompt, "label": label} for prompt in dict.fromkeys(row["prompt"] for row in rows)]
        source = write(tmp_path / f"{label}.jsonl", prompts)
        suite = task(source, "qwen3guard", judge_settings=settings, temperature=0.6, epochs=4, **made)
        for row, score in zip(rows, by_suite(suite, rows, tmp_path), strict=True):
            reward, outcome = rewards[safety.index(row)]
            if outcome in ("thought_unclosed", "empty"):
                assert math.isnan(score.value) and score.reason == outcome
            elif label == "harmful":
                assert score.value == 1 - reward
            else:  # the reward of a benign prompt is V_safe * (1 - V_refuse)
                assert score.explanation.startswith("Safe") * (1 - score.value) == reward
            agreed.append(outcome)
    assert len(agreed) == ROWS
    assert {"safe", "unsafe", "refused", "thought_unclosed", "empty"} <= set(agreed)
