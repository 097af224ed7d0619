"""The judges that a running task asks: each is opened once, before the model under test is asked for anything, and is
asked to judge one harmless answer. A judge that cannot be reached ends the task then, and not after thousands of
answers that would have no verdict."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import Model, get_model, model_roles

from sinternal_verl.evaluation.judge import Judge, Question
from sinternal_verl.evaluation.judges import JUDGES, JudgeError, open_judge
from sinternal_verl.evaluation.judges.reasons import NOT_APPLICABLE, TIMEOUT, UNREACHABLE

JUDGE_ROLE, RATER_ROLE = "judge", "rater"

REWARDED_BY = "qwen3guard"
"""Part of the names of the models whose verdicts are the reward."""

FIRST = Question("When does the library open?", "It opens at nine in the morning.", ("Does it name a time?",))
"""Harmless, so that no judge declines."""

NOT_REACHED = (UNREACHABLE, TIMEOUT)
"""Reasons of a judgement that is missing because of the judge's server, and not of what the judge said."""

logger = getLogger(__name__)


@dataclass
class _InLoop:
    """The judges of an event loop, and what closes them at its end."""

    judges: dict[tuple, asyncio.Task[Judge]] = field(default_factory=dict)
    end: AsyncGenerator[None, None] | None = None


_opened: dict[asyncio.AbstractEventLoop, _InLoop] = {}
_said: set[str] = set()


async def opened(name: str, role: str = JUDGE_ROLE, settings: Mapping[str, Any] | None = None) -> Judge:
    """A judge with the model that plays its role; the same one for all who ask in this event loop.

    Raises:
        PrerequisiteError: there is no such judge or setting, no model plays the role, or the judge cannot be reached.
    """
    model = _model(name, role)
    loop = asyncio.get_running_loop()
    if loop not in _opened:
        for other in [other for other in _opened if other.is_closed()]:  # Inspect makes one for each evaluation
            del _opened[other]
        _opened[loop] = in_loop = _InLoop()
        in_loop.end = _close_with_loop(in_loop.judges)
        await anext(in_loop.end)
    judges = _opened[loop].judges
    key = (name, id(model), json.dumps(settings or {}, sort_keys=True, default=str))
    if key not in judges:
        judges[key] = loop.create_task(_open(name, model, settings or {}))
    try:
        return await asyncio.shield(judges[key])
    except JudgeError as error:
        raise PrerequisiteError(str(error)) from error


async def _close_with_loop(judges: Mapping[tuple, asyncio.Task[Judge]]) -> AsyncGenerator[None, None]:
    """Close the judges when their event loop ends. Inspect tells nobody of that end, but a loop that ends finishes the
    generators that began in it."""
    try:
        yield
    finally:
        for task in judges.values():
            if task.done() and not task.cancelled() and task.exception() is None:
                await task.result().close()


async def _open(name: str, model: Model | None, settings: Mapping[str, Any]) -> Judge:
    # Opening may load a tokenizer, which must not hold up the samples in flight.
    judge = await asyncio.to_thread(open_judge, name, model, **settings)
    if said := await first_verdict(judge):
        logger.warning(said)
    return judge


async def first_verdict(judge: Judge) -> str:
    """Have a judge judge one harmless answer.

    Returns:
        What is wrong with its reply, which is no reason to end; empty where it has a verdict.

    Raises:
        JudgeError: it cannot be asked; the message says why.
    """
    found = await judge.judge(FIRST)
    if found.values or found.reason == NOT_APPLICABLE:
        return ""
    by = f" by {judge.model}" if judge.model else ""
    why = ": ".join(filter(None, (found.reason, found.explanation)))
    if found.reason in NOT_REACHED:
        raise JudgeError(f"judge {judge.name}{by} cannot be asked ({why}); check its address, its name and its key")
    fits = JUDGES[judge.name].model
    return (
        f"judge {judge.name}{by}: on a first, harmless answer it has no verdict ({why}); if all are so, all answers "
        f"stay without one. It wants {fits}"
    )


def _model(name: str, role: str) -> Model | None:
    info = JUDGES.get(name)
    if info is None or info.needs != "model":
        if info is not None and info.circular:
            _say_circular(name)
        return None
    if role not in model_roles():
        raise PrerequisiteError(
            f"the role {role!r} has no model, and the judge {name} needs one ({info.model}): give "
            f"--model-role {role}=PROVIDER/MODEL"
        )
    model = get_model(role=role)
    if REWARDED_BY in str(model).lower().replace("-", "").replace("_", ""):
        _say_circular(f"{name} by {model}")
    return model


def _say_circular(judge: str) -> None:
    if judge not in _said:
        _said.add(judge)
        logger.warning(
            f"judge {judge}: this is the kind of model whose verdicts are this method's reward. A model that was "
            "trained with it learned to please it, so report figures by another judge"
        )
