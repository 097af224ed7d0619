"""Asks the expert once before the policy writes its answers, so that a wrong key, name or parameter costs nothing."""

import asyncio
from collections.abc import Callable
from functools import partial

from sinternal_verl.verify.budget import Spend, Spent
from sinternal_verl.verify.build import asks
from sinternal_verl.verify.patience import Patience
from sinternal_verl.verify.reading import critique_of, shape
from sinternal_verl.verify.rejected import REJECTED
from sinternal_verl.verify.settings import BuildSettings
from sinternal_verl.verify.store import Reply
from sinternal_verl.verify.writer import Cost, Messages, Writer, WriterFailed, WriterSettings, WriterUnusable

REQUEST, ANSWER = "When does the library open?", "It opens at nine in the morning."
"""Harmless, so that no expert refuses."""


def probe(settings: BuildSettings, spend: Spend, open_writer: Callable[[WriterSettings], Writer]) -> str:
    """Ask the expert for the critique of one harmless answer, as it will be asked for all others.

    Returns:
        What is wrong with its reply, which is no reason to end; empty where it has a verdict.

    Raises:
        WriterUnusable: it gave no reply, or ``spend`` has no room for one.
    """
    messages = asks(settings.prompt.fill(settings.specification.text, REQUEST, ANSWER))
    try:
        reserved = spend.reserve(messages)
    except Spent as error:
        raise WriterUnusable(f"the expert cannot be asked: {error}") from error
    try:
        reply = asyncio.run(_ask(messages, settings.expert, open_writer, partial(spend.fail, reserved)))
    except WriterFailed as error:
        spend.settle(reserved)
        raise WriterUnusable(f"the expert gave no reply to a first request: {error}") from error
    spend.settle(reserved, reply.read, reply.written)
    if reply.finish in REJECTED:
        raise WriterUnusable(f"the expert's server rejects a first request: {reply.text}")
    found = critique_of(reply)
    form = f", its last line has the form {shape(reply.text)!r}"
    return f"the expert's first reply has no verdict ({found}){form}" if isinstance(found, str) else ""


async def _ask(
    messages: Messages, who: WriterSettings, open_writer: Callable[[WriterSettings], Writer], cost: Cost
) -> Reply:
    writer = open_writer(who)
    try:
        return await Patience(writer, who.patience_s, lambda _: None).ask(messages, None, cost)
    finally:
        await writer.close()
