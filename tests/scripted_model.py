"""A model whose outputs a test writes, and files of invented requests: Inspect's own mock asks the net."""

import json
from collections.abc import Callable
from pathlib import Path

from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, GenerateConfig, Model, ModelAPI, ModelOutput, get_model, modelapi

from sinternal_verl.evaluation.tasks.opened import FIRST

Answer = Callable[[list[ChatMessage], GenerateConfig], str | ModelOutput]


class Scripted(ModelAPI):
    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008
        answer: Answer | None = None,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self._answer = answer
        self.asked: list[tuple[str, GenerateConfig]] = []

    async def generate(self, input, tools, tool_choice, config) -> ModelOutput:
        if FIRST.text in input[-1].text:  # of a judge, before the first item
            return ModelOutput.from_content(self.model_name, "safe")
        self.asked.append((input[-1].text, config))
        said = self._answer(input, config)
        return ModelOutput.from_content(self.model_name, said) if isinstance(said, str) else said


@modelapi(name="scripted")
def scripted() -> type[ModelAPI]:
    return Scripted


def model(answer: Answer | str, name: str = "policy") -> Model:
    """A model that gives the answer of a function of (messages, config), or always the same."""
    found = answer if callable(answer) else lambda messages, config: answer
    return get_model(f"scripted/{name}", memoize=False, answer=found)


def requests(folder: Path, count: int = 4, label: str = "unsafe") -> str:
    """A file in the sister's schema with invented requests."""
    path = folder / f"requests_{label}.jsonl"
    rows = [{"prompt": f"May visitor {number} lend the lamp of Orla?", "label": label} for number in range(count)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(path)


def scores(log: EvalLog, scorer: str):
    """The scores of a log in its set's order; fails where the log is no success. A log sorts its samples by their ids,
    which say nothing of the order in a set of mathematics."""
    assert log.status == "success", log.error and log.error.message
    place = {id: number for number, id in enumerate(log.eval.dataset.sample_ids)}
    return [sample.scores[scorer] for sample in sorted(log.samples, key=lambda sample: place[sample.id])]
