"""How answers are decoded, and a task that refuses what makes no sense of it.

Defaults are the paper's: greedy, 8,000 new tokens, no system prompt [paper], with the sister's repetition penalty of
1.2 [sister]. The sister draws two samples a prompt. At temperature 0 both are the same answer, up to the order in which
a server batches its requests: the second doubles n and adds no evidence, so that every interval would be too narrow by
a factor of 1.4. So here one epoch is the default, and more than one at temperature 0 is refused [ours]. Who wants
several samples gives a temperature, too.

A repetition penalty is no part of Inspect's settings. It travels in the body of a request, which some providers pass on
(`PASSES_BODY`) and others drop in silence. Of the others it is withheld, and said.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from logging import getLogger
from typing import Any

from inspect_ai import Task

# Whatever Inspect is to print as a message without a traceback must be of this class, which has no public name.
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import GenerateConfig, Model, ModelName

# The settings with which the model under test is asked, those of the command line included, have no public name
# either. Without them `--temperature 0` beside sixteen epochs would be found when the second epoch begins.
from inspect_ai.model._generate_config import active_generate_config

from sinternal_verl.did_you_mean import did_you_mean

PASSES_BODY = ("vllm", "sglang", "sinternal_server", "openai-api", "openrouter", "together", "fireworks")
"""Providers that send ``extra_body`` to a server which may know ``repetition_penalty``."""

ANSWERS_STORED = ("sinternal_replay",)
"""Providers that decode nothing."""

logger = getLogger(__name__)
_said: set[str] = set()


@dataclass(frozen=True)
class Decoding:
    """How the model under test is asked.

    Attributes:
        temperature, top_p, max_tokens: as in a request; ``top_p`` None leaves it out.
        repetition_penalty: 1 is none.
        epochs: answers to each prompt.
    """

    temperature: float = 0.0
    top_p: float | None = None
    max_tokens: int = 8000
    repetition_penalty: float = 1.2
    epochs: int = 1

    def changed(self, task: str, given: Mapping[str, Any]) -> "Decoding":
        """With the settings that the user gave a task.

        Raises:
            PrerequisiteError: there is no such setting, or a value makes no sense; all of them are named.
        """
        names = [field.name for field in fields(self)]
        wrong = [
            f"{name}={value}: the task has no such parameter{did_you_mean(name, {*names, *KNOWN} - {name})}"
            for name, value in given.items()
            if name not in names
        ]
        found = replace(self, **{name: value for name, value in given.items() if name in names})
        wrong += found.problems()
        if wrong:
            raise PrerequisiteError("\n".join(f"{task}: {what}" for what in wrong))
        return found

    def problems(self) -> list[str]:
        """What is wrong with the values."""
        wrong = []
        for name, fits, should in (
            ("temperature", lambda value: 0 <= value < math.inf, "be 0 or more"),
            ("top_p", lambda value: 0 < value <= 1, "be above 0 and at most 1"),
            ("max_tokens", _is_count, "be a whole number above 0"),
            ("repetition_penalty", lambda value: 0 < value < math.inf, "be above 0; 1 is none"),
            ("epochs", _is_count, "be a whole number above 0"),
        ):
            value = getattr(self, name)
            if name == "top_p" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
                wrong.append(f"{name}={value}: it must {should}")
        return wrong or same_again(self.epochs, self.temperature)

    def config(self) -> GenerateConfig:
        """The same as Inspect's settings."""
        body = {} if self.repetition_penalty == 1 else {"repetition_penalty": self.repetition_penalty}
        return GenerateConfig(
            temperature=self.temperature, top_p=self.top_p, max_tokens=self.max_tokens, extra_body=body or None
        )

    def origin(self) -> dict[str, Any]:
        """For the log."""
        return asdict(self)


KNOWN = ("source", "judge", "judged", "judge_settings", "thought", "k", "mode", "instruction", "set", "rater", "half")
"""Other parameters that a task may have, for the hint at a misspelled name."""

GREEDY = Decoding()
"""[paper] Temperature and tokens; [sister] the penalty; [ours] one epoch."""

AIME = Decoding(temperature=0.6, top_p=0.95, epochs=16)
"""[paper] Temperature, top-p and the 16 samples of pass@16."""


MAX_COUNT = 2**31
"""Of tokens and of epochs: a greater number is a slip, and not all libraries can hold it."""


def _is_count(value: float) -> bool:
    return 1 <= value < MAX_COUNT and value == int(value)


def same_again(epochs: int | None, temperature: float | None) -> list[str]:
    """What is wrong with so many epochs at a temperature.

    >>> same_again(1, 0.0), same_again(16, 0.6)
    ([], [])
    """
    if not temperature and (epochs or 1) > 1:
        return [
            f"epochs={epochs} at temperature=0: every epoch gives the same answer, so that n would count each several "
            "times; give the task epochs=1, or a temperature, such as -T temperature=0.6"
        ]
    return []


class DecodedTask(Task):
    """A task that refuses several epochs of the same answer. For its own ``--epochs`` Inspect sets ``epochs``, too,
    before it asks for anything."""

    @property
    def epochs(self) -> int | None:
        return self._epochs

    @epochs.setter
    def epochs(self, epochs: int | None) -> None:
        for problem in same_again(epochs, self.config.temperature):
            raise PrerequisiteError(problem)
        self._epochs = epochs


def check_effective(epochs: int, epoch: int) -> None:
    """Check the settings that hold in the end, those of the command line included, before a sample is asked for.

    Args:
        epochs: those of the task.
        epoch: the sample's.

    Raises:
        PrerequisiteError: the temperature is 0 and there is more than one epoch.
    """
    for problem in same_again(max(epochs, epoch), active_generate_config().temperature):
        raise PrerequisiteError(problem)


def body_for(model: Model) -> dict[str, Any] | None:
    """The extra body of a request to this model where it differs from the task's: empty for a provider that drops it.

    None where nothing is to be changed. What is withheld is said once for each model.
    """
    body = active_generate_config().extra_body or {}
    provider = ModelName(model).api.rpartition("/")[2]
    if "repetition_penalty" not in body or provider in PASSES_BODY or provider in ANSWERS_STORED:
        return None
    if str(model) not in _said:
        _said.add(str(model))
        logger.warning(
            f"{model}: Inspect's provider {provider!r} takes no repetition penalty, so the answers are decoded without "
            f"the {body['repetition_penalty']:g} of the sister's code; figures are not decoded as the paper's. "
            "Give -T repetition_penalty=1 to say that this is meant, or serve the model with vLLM"
        )
    return {name: value for name, value in body.items() if name != "repetition_penalty"}
