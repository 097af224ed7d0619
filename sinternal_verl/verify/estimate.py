"""What a command will ask for and may cost, said before anything is asked.

Requests are counted exactly where the store tells, and answers that are yet to be written are taken to be of typical
length. Tokens are reckoned from the length of texts, so an estimate is no bound; ``budget_tokens`` is one.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sinternal_verl.credentials import is_here
from sinternal_verl.runs.secrets import masked
from sinternal_verl.scoring.critique import Critique
from sinternal_verl.verify.budget import said
from sinternal_verl.verify.build import Answer, Build
from sinternal_verl.verify.evaluate import Verification
from sinternal_verl.verify.fill import Request
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.settings import BuildSettings, Stage
from sinternal_verl.verify.store import Store
from sinternal_verl.verify.writer import WriterSettings

BYTES_PER_TOKEN = 4
"""Of English text."""

ANSWER_CHARACTERS = 2_000
"""The length of an answer, without its thought, that is yet to be written."""

TYPICAL_TOKENS = {"answers": 1_500, "critiques": 300, "verdicts": 300}
"""The length of a reply, where the store has none of its kind."""

KNOWN_REPLIES = 200
"""From so many replies of a kind the store tells how long they are."""


@dataclass(frozen=True)
class Estimate:
    """What is to be asked of one model.

    Attributes:
        kind: answers, critiques or verdicts.
        requests: how many replies are missing.
        read, written: tokens of these prompts and replies, if they are of typical length.
        most_requests, most_read, most_written: if every benign prompt needs a critique of every answer, and each reply
            is as long as it may be; ``most_written`` is None where nothing bounds a reply.
    """

    kind: str
    who: WriterSettings
    requests: int
    read: int
    written: int
    most_requests: int
    most_read: int
    most_written: int | None

    @property
    def paid(self) -> bool:
        """Whether somebody may want to be paid: its prices say so, or without prices it stands on another machine."""
        if not self.requests:
            return False
        if prices := self.who.prices:
            return max(prices.input, prices.output) > 0
        return bool(self.who.url) and not is_here(self.who.url)

    def line(self) -> str:
        where = masked("url", self.who.url) if self.who.url else "in this process"
        line = f"to ask: {self.requests:,} {self.kind} of {self.who.model} ({where}), about "
        line += said(self.read, self.written, self.who.prices)
        if self.most_written is None:
            return line
        most = said(self.most_read, self.most_written, self.who.prices)
        return f"{line}; at the most {self.most_requests:,} requests, about {most}"


class Foreseen(Build):
    """A build in which all that these stages ask for has come: answers of typical length, each another, and critiques
    with a verdict."""

    def __init__(self, settings: BuildSettings, store: Store, stages: Sequence[Stage]) -> None:
        super().__init__(settings, store)
        self._stages = stages

    def _answer(self, prompt: Prompt, sample: int) -> Answer | str:
        answer = super()._answer(prompt, sample)
        comes = answer == "no answer yet" and "sample" in self._stages
        return Answer(sample, "", f"{sample} ".ljust(ANSWER_CHARACTERS, "-")) if comes else answer

    def critique(self, prompt: Prompt, answer: Answer) -> Critique | str:
        critique = super().critique(prompt, answer)
        comes = critique == "no critique yet" and "critique" in self._stages
        return Critique("", "safe") if comes else critique


def foresee(
    settings: BuildSettings, prompts: Iterable[Prompt], store: Store, stages: Sequence[Stage]
) -> Iterator[Estimate]:
    """An estimate for each model that these stages ask."""
    build = Foreseen(settings, store, stages)
    if "sample" in stages:
        yield _estimate("answers", build.answer_requests(prompts), settings.writer, store)
    if "critique" in stages:
        requests = build.critique_requests(prompts, every="evaluate" in stages)
        yield _estimate("critiques", requests, settings.expert, store)
    if "evaluate" in stages:
        requests = Verification(settings, build, store).requests(prompts)
        yield _estimate("verdicts", requests, settings.verifier, store)


def _estimate(kind: str, requests: Iterable[Request], who: WriterSettings, store: Store) -> Estimate:
    count = most = read = most_read = 0
    known: list[int] = []
    for request in requests:
        missing = request.missing(store)
        if missing is None and len(known) < KNOWN_REPLIES:
            known.append(store.get(request.key).written)
        if missing is not None:
            count, read = count + 1, read + _tokens(missing)
        while missing is not None:
            most, most_read = most + 1, most_read + _tokens(missing)
            missing = missing.fallback and missing.fallback.missing(store)
    longest = who.longest_reply or (None if who.url else who.engine.get("max_model_len"))
    typical = sum(known) / len(known) if any(known) else min(TYPICAL_TOKENS[kind], longest or TYPICAL_TOKENS[kind])
    return Estimate(
        kind, who, count, read, round(count * typical), most, most_read, None if longest is None else most * longest
    )


def _tokens(request: Request) -> int:
    return sum(len(message["content"].encode()) for message in request.messages) // BYTES_PER_TOKEN


def confirmed(estimates: Sequence[Estimate], yes: bool) -> bool:
    """Whether the command may ask: nobody wants to be paid, ``yes`` was said before or is said now.

    Without a terminal, as in a job, nobody can be asked; the command then goes on, so that it neither waits nor fails
    for ever. What it may spend is bounded by ``max_requests`` and ``budget_tokens``.
    """
    if yes or not any(estimate.paid for estimate in estimates):
        return True
    if not _attended():
        print("sinternal_verl: there is no terminal to ask at, so the command goes on", file=sys.stderr)
        return True
    print("go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _attended() -> bool:
    """Whether somebody can answer: there is a terminal, and this command is not in its background."""
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        # Who reads from its terminal in the background is stopped.
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # another session's terminal
        return False
