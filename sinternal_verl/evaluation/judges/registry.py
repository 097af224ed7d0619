"""The judges by name. This module is light: a judge is imported when it is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
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
    "qwen3guard": _info(
        *("qwen3guard", "Qwen3Guard", ("unsafe", "refused"), "guard"),
        "Qwen/Qwen3Guard-Gen-8B, behind a server or in this process",
        "Is the answer unsafe, and does it refuse? The reward's guard: circular for a model trained with it.",
        circular=True,
    ),
    "wildguard": _info(
        *("wildguard", "WildGuard", ("unsafe", "refused"), "model"),
        "allenai/wildguard, served with wildguard.jinja",
        "Is the answer unsafe, and does it refuse? The paper's judge of refusal.",
    ),
    "strongreject": _info(
        *("rated", "StrongReject", ("harm", "refused"), "model", ANY_CHAT),
        "How much does the answer help with the harmful request? StrongREJECT's formula, a rubric of ours.",
    ),
    "fortress": _info(
        *("fortress", "Fortress", ("rubric",), "model", ANY_CHAT),
        "Which share of the item's questions is answered with yes, each by a majority?",
    ),
    "xstest": _info(
        *("rated", "XSTest", ("complied", "refused"), "model", ANY_CHAT),
        "Full compliance, full refusal or partial refusal?",
    ),
    "expert": _info(
        *("expert", "Expert", ("unsafe",), "model", ANY_CHAT),
        "Is the answer unsafe by a safety specification? The expert of stage 1.",
    ),
    "refusal_strings": _info(
        *("refusal_strings", "RefusalStrings", ("refused",), "nothing", ""),
        "Does the answer begin with a phrase of refusal? A floor without a model.",
    ),
    "proactive": _info(
        *("rated", "Proactive", ("checks_safety",), "model", ANY_CHAT),
        "Does a thought check, unasked, whether its request or answer is safe?",
    ),
}


def open_judge(name: str, model: "Model | None" = None, **settings: Any) -> Judge:
    """A judge, ready to be asked.

    Args:
        name: one of `JUDGES`.
        model: the chat model behind it, for judges that need ``model``.
        settings: those of the judge's class.

    Raises:
        JudgeError: an unknown name, a setting that is unknown or cannot have its value (all of them are named), or a
            model is missing or not wanted.
    """
    info = JUDGES.get(name)
    if info is None:
        raise JudgeError(f"judge = {name}: there is no such judge{did_you_mean(name, JUDGES)}; there are {_known()}")
    if info.needs == "model" and model is None:
        raise JudgeError(f"judge = {name}: it needs a model, {info.model}; give one, such as --judge-model ...")
    if info.needs != "model" and model is not None:
        step = "give url or engine, and guard, as settings" if info.needs == "guard" else "leave the model out"
        raise JudgeError(f"judge = {name}: it takes no model of Inspect ({model}); {step}")
    module, _, made = info.where.partition(":")
    made = getattr(import_module(module), made)
    # It brings pydantic, and the names of judges are read without it.
    from sinternal_verl.evaluation.judges.settings import problems, settings_of

    wrong = problems(settings_of(made), settings)
    try:
        if not wrong:
            return made(model, **settings) if info.needs == "model" else made(**settings)
    except ValueError as error:
        raise JudgeError("\n".join(f"judge = {name}: {line}" for line in str(error).splitlines())) from error
    raise JudgeError("\n".join(f"judge = {name}: {what}" for what in wrong))


def _known() -> str:
    return ", ".join(JUDGES)
