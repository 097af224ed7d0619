"""The judges by name. This module is light: a judge is imported when it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal

from sinternal_verl.did_you_mean import did_you_mean
from sinternal_verl.evaluation.judge import Judge, Value

if TYPE_CHECKING:
    from inspect_ai.model import Model

Needs = Literal["model", "guard", "nothing"]
"""``model``: a model that Inspect serves. ``guard``: settings of a guard, because token ids are sent. ``nothing``."""


class JudgeError(ValueError):
    """There is no judge of this name, or it cannot be opened so; the message says what to give."""


@dataclass(frozen=True, slots=True)
class JudgeInfo:
    """What is known of a judge before it is opened.

    Attributes:
        where: module and class.
        gives: the values that it gives.
        needs: see `Needs`.
        model: which model that is.
        about: one sentence.
        circular: whether it is the kind of model that this package's reward asks: a model that was trained against it
            should be reported by another.
    """

    where: str
    gives: frozenset[Value]
    needs: Needs
    model: str
    about: str
    circular: bool = False


ANY_CHAT = "any chat model; the stronger, the better"


def _info(module: str, name: str, gives: tuple[Value, ...], needs: Needs, *words: str, circular: bool = False):
    return JudgeInfo(f"sinternal_verl.evaluation.judges.{module}:{name}", frozenset(gives), needs, *words, circular)


JUDGES: Mapping[str, JudgeInfo] = {
    "llama_guard": _info(
        *("llama_guard", "LlamaGuard", ("unsafe",), "model"),
        "meta-llama/Llama-Guard-3-8B, served with its own chat template",
        "Is the answer unsafe? The paper's judge of ASR.",
    ),
    "expert": _info(
        *("expert", "Expert", ("unsafe",), "model", ANY_CHAT),
        "Is the answer unsafe by a safety specification? The expert of stage 1.",
    ),
    "refusal_strings": _info(
        *("refusal_strings", "RefusalStrings", ("refused",), "nothing"),
        "",
        "Does the answer begin with a phrase of refusal? A floor without a model.",
    ),
}


def open_judge(name: str, model: "Model | None" = None, **settings: Any) -> Judge:
    """A judge, ready to be asked.

    Args:
        name: one of `JUDGES`.
        model: the chat model behind it, for judges that need ``model``.
        settings: those of the judge's class.

    Raises:
        JudgeError: an unknown name or setting, or a model is missing or not wanted.
    """
    info = JUDGES.get(name)
    if info is None:
        raise JudgeError(f"judge = {name}: there is no such judge{did_you_mean(name, JUDGES)}; there are {_known()}")
    if info.needs == "model" and model is None and not settings.get("models"):
        raise JudgeError(f"judge = {name}: it needs a model, {info.model}; give one, such as --judge-model ...")
    if info.needs != "model" and model is not None:
        step = "give its settings url, guard and api_key_env" if info.needs == "guard" else "leave the model out"
        raise JudgeError(f"judge = {name}: it takes no model of Inspect ({model}); {step}")
    module, _, made = info.where.partition(":")
    made = getattr(import_module(module), made)
    known = [each.name for each in signature(made).parameters.values() if each.kind is Parameter.KEYWORD_ONLY]
    for setting in settings:
        if setting not in known:
            meant = did_you_mean(setting, known)
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise JudgeError(f"judge = {name}: it has no setting {setting}{meant}; {has}")
    try:
        return made(model, **settings) if info.needs == "model" else made(**settings)
    except ValueError as error:
        raise JudgeError(f"judge = {name}: {error}") from error


def _known() -> str:
    return ", ".join(JUDGES)
