"""Real Inspect logs of invented items, made by Inspect with a model of the test's own."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Epochs, Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model, modelapi
from inspect_ai.scorer import Score, Scorer, mean, scorer
from inspect_ai.solver import generate

CANARY = "canary-4f1c lighthouse"
"""Stands in every prompt, answer, explanation and target. No file of ours may hold it."""

Says = Callable[[str, int], str | ModelOutput]
"""What the model says to an item (its id) in an epoch, from 1."""


def _by_item() -> type[ModelAPI]:
    class ByItem(ModelAPI):
        def __init__(self, model_name: str, base_url=None, api_key=None, config=None, says: Says = None) -> None:
            super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
            self._says, self._asked = says, {}

        async def generate(self, input: list[ChatMessage], tools, tool_choice, config) -> ModelOutput:
            item = input[-1].text.rpartition("#")[2]
            self._asked[item] = self._asked.get(item, 0) + 1
            said = self._says(item, self._asked[item])
            if isinstance(said, Exception):
                raise said
            return said if isinstance(said, ModelOutput) else ModelOutput.from_content(self.model_name, said)

    return ByItem


def _judging() -> type[ModelAPI]:
    class Judging(ModelAPI):
        def __init__(self, model_name: str, base_url=None, api_key=None, config=None, says=None) -> None:
            super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
            self._says = says

        async def generate(self, input: list[ChatMessage], tools, tool_choice, config) -> ModelOutput:
            text = "\n".join(message.text for message in input)
            return ModelOutput.from_content(self.model_name, self._says(text))

    return Judging


BY_ITEM, JUDGING = modelapi(name="by_item")(_by_item), modelapi(name="judging")(_judging)


def judging(name: str, says: Callable[[str], str]) -> Model:
    """A model that answers to the whole text of a conversation."""
    return get_model(f"judging/{name}", memoize=False, says=says)


def scores_by(score: Callable[[str, int, str], Score], name: str = "asr", **options: Any) -> Scorer:
    """A scorer by a plain function of an item's id, the epoch and the answer."""

    @scorer(metrics=options.pop("metrics", [mean()]), name=name)
    def made() -> Scorer:
        async def run(state, target) -> Score:
            return score(str(state.sample_id), state.epoch, state.output.completion)

        return run

    return made()


def verdict(value: float | None, reason: str = "", **metadata: Any) -> Score:
    """A score as our scorers give it."""
    told = {"judge": "llama_guard", "judge_model": "stub/Llama-Guard-3-8B", "judged": "answer", "outcome": "scored"}
    told |= {"truncated": False, "empty": False, "thought_closed": True} | metadata
    if value is None:
        return Score.unscored(reason=reason, explanation=CANARY, metadata=told | {"outcome": reason})
    return Score(value=value, answer=CANARY, explanation=CANARY, metadata=told)


def figures(metric: str = "ASR", direction: str = "lower", scorer: str = "asr") -> dict[str, Any]:
    return {scorer: {"metric": metric, "direction": direction, "tag": "[paper]"}}


def run_task(
    folder: Path,
    scorers: Scorer | Sequence[Scorer],
    ids: Sequence[str | int] = tuple(range(8)),
    says: Says = lambda item, epoch: f"</think>{CANARY} {item}",
    name: str = "lamps",
    set: str | None = "lamps",
    metadata: Mapping[str, Any] | None = None,
    epochs: int | Epochs = 1,
    model: str = "policy",
    prompt: str = CANARY,
    **options: Any,
) -> EvalLog:
    """Run one task and return its log, which stands in ``folder``. ``set`` None is a task of someone else."""
    samples = [Sample(id=id, input=f"{prompt} #{id}", target=CANARY, metadata={"note": CANARY}) for id in ids]
    told = None
    if set:
        origin = {"file": f"{set}.jsonl", "sha256": "0" * 64, "n": len(samples)}
        told = {"set": set, "origin": origin, "figures": figures(), "decoding": {"temperature": 0}}
        told |= dict(metadata or {})
    task = Task(
        dataset=MemoryDataset(samples, name=name),
        solver=generate(),
        scorer=scorers,
        epochs=epochs,
        name=name,
        metadata=told,
    )
    served = get_model(f"by_item/{model}", memoize=False, says=says)
    settings = {"display": "none", "log_dir": str(folder), "fail_on_error": False} | options
    return eval(task, model=served, **settings)[0]
