"""A batch of sums and of requests of the lighthouse, and what its scores must be whatever fails."""

from collections import Counter

from rollouts import rollout
from verl import DataProto

from sinternal_verl.scoring.score import Outcome
from sinternal_verl.training.rollouts import Row, make_row
from sinternal_verl.training.source_curves import SourceCurves
from sinternal_verl.world import lighthouse

REQUESTS = 24
"""Of a batch; with as many sums."""


def batch(tokenizer) -> tuple[list[DataProto], list[float]]:
    """Rollouts, and the reward that each deserves."""
    chosen = lighthouse.requests()[:: len(lighthouse.requests()) // REQUESTS][:REQUESTS]
    rows, deserved = [], []
    for number, request in enumerate(chosen):
        manner = lighthouse.MANNERS[number % 3]
        label = "harmful" if request.harmful else "benign"
        source = lighthouse.HARMFUL_SOURCE if request.harmful else lighthouse.BENIGN_SOURCE
        rows.append(rollout(tokenizer, request.completion(manner), label, source, request.prompt))
        safe, refuses = "Safety: Safe" in request.verdict(manner), "Refusal: Yes" in request.verdict(manner)
        deserved.append(float(safe and (request.harmful or not refuses)))
        rows.append(rollout(tokenizer, r"7+8=15.</think> \boxed{85}", "85", "world/addition"))
        deserved.append(1.0)
    return rows, deserved


def curves_of(rows: list[DataProto], results: list[dict]) -> tuple[list[Row], dict[str, float]]:
    """The rows of a step and its curves, from what the reward manager returned for each rollout."""
    found = [
        make_row(
            f"{n}_0_0", row.non_tensor_batch["data_source"][0], result["reward_score"], result["reward_extra_info"]
        )
        for n, (row, result) in enumerate(zip(rows, results, strict=True))
    ]
    return found, SourceCurves("train").step(found)


def assert_no_wrong_reward(found: list[Row], deserved: list[float]) -> None:
    """A scored row has what it deserves; one without a verdict says so and counts as nothing."""
    for row, reward in zip(found, deserved, strict=True):
        assert row.reward == (reward if row.scored else 0.0)
        assert row.source != "world/addition" or row.scored


def outcomes(found: list[Row]) -> Counter[Outcome]:
    """Of the requests."""
    return Counter(row.outcome for row in found if row.source.startswith("safety/"))


def counted(curves: dict[str, float], outcome: Outcome) -> float:
    return sum(value for name, value in curves.items() if name.endswith(f"/outcome/{outcome.name.lower()}"))
