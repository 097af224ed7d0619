"""A chat model as a judge: a rubric, which is data, and the values of its last lines.

A rubric's file has ``prompt``, with places for texts, and ``answers``: each question's label with the values that its
line may have. The prompts are ours; see `sinternal_verl.evaluation.judges.framing` for how texts are put in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml
from inspect_ai.model import ChatMessageUser, Model

from sinternal_verl.evaluation.judges import reasons
from sinternal_verl.evaluation.judges.chat import Asking, Failure, ask
from sinternal_verl.evaluation.judges.framing import frame
from sinternal_verl.evaluation.judges.phrases import opens_with_refusal
from sinternal_verl.evaluation.judges.reply import last_lines

MAX_TOKENS = 4096
"""[ours] Of one reply. A judge that thinks needs most of them for its thought; one that does not, 300."""


@dataclass(frozen=True)
class Rubric:
    """What a rater is told, and how it answers."""

    prompt: str
    answers: Mapping[str, tuple[str, ...]]


@cache
def read_rubric(name: str) -> Rubric:
    """The rubric ``rubrics/{name}.yaml``."""
    found = yaml.safe_load((files(__package__) / "rubrics" / f"{name}.yaml").read_text("utf-8"))
    answers = {label: tuple(str(value) for value in values) for label, values in found["answers"].items()}
    return Rubric(found["prompt"], answers)


async def rate(
    model: Model, rubric: Rubric, texts: Mapping[str, str], asking: Asking, seed: int | None = None
) -> dict[str, str] | Failure:
    """What a chat model answers to each of the rubric's questions, or why it has not answered.

    Args:
        texts: one for each place in the rubric's prompt.
        seed: see `sinternal_verl.evaluation.judges.chat.ask`.
    """
    prompt = frame(rubric.prompt, texts)
    reply = await ask(model, [ChatMessageUser(content=prompt)], asking, seed)
    if isinstance(reply, Failure):
        return reply
    found = last_lines(reply, rubric.answers)
    if found is None:
        return Failure(reasons.REFUSED if opens_with_refusal(reply) else reasons.UNPARSABLE)
    return found
