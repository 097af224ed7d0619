"""What a build asks for: answers to every prompt, and a critique of every answer.

The key of a reply is made of all that decides the reply and of nothing else: answers do not depend on the
expert, nor critiques on how an answer was sampled. Two equal answers to a prompt share a critique. All replies of
one kind begin their keys with the same group, by which the store knows whether it has any.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sinternal_verl.hashing import GROUP_BYTES, key_in, key_of
from sinternal_verl.scoring.critique import Critique
from sinternal_verl.scoring.response import thought_and_answer
from sinternal_verl.verify.fill import Request
from sinternal_verl.verify.reading import critique_of
from sinternal_verl.verify.requests import Prompt
from sinternal_verl.verify.settings import BuildSettings
from sinternal_verl.verify.store import Finish, Store
from sinternal_verl.verify.writer import Messages

NO_ANSWER: dict[Finish, str] = {
    "length": "answer cut",
    "tool_calls": "a tool call for an answer",
    "refused": "the server refused to answer",
    "too_long": "prompt too long to answer",
    "rejected": "prompt rejected by the server",
}
"""Why a reply that ended in this way holds no answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One of a prompt's answers.

    Attributes:
        sample: its number among the prompt's answers, from 0.
        thought: what the model wrote before the answer; kept, but shown neither to expert nor verifier.
        text: what a user sees.
    """

    sample: int
    thought: str
    text: str


def groups_of(settings: BuildSettings) -> dict[str, bytes]:
    """The beginning of the keys of a build's answers and of its critiques."""
    who, by = settings.writer.origin(), settings.expert.origin()
    specification, template = settings.specification.text, settings.prompt.template
    return {
        "answers": key_of("answer", who, settings.seed, size=GROUP_BYTES),
        "critiques": key_of("critique", by, specification, template, size=GROUP_BYTES),
    }


class Build:
    """The requests of one build, and their replies as far as the store has them."""

    def __init__(self, settings: BuildSettings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._answers, self._critiques = groups_of(settings).values()

    def answer_requests(self, prompts: Iterable[Prompt]) -> Iterator[Request]:
        """A request for every prompt and sample, each with a seed of its own."""
        for prompt in prompts:
            for sample in range(self._settings.samples):
                key = self._answer_key(prompt, sample)
                yield Request(key, asks(prompt.text), seed=int.from_bytes(key[-4:], "big") >> 1)

    def answers(self, prompt: Prompt) -> list[Answer | str]:
        """For each sample of the prompt, its answer or the reason why there is none."""
        return [self._answer(prompt, sample) for sample in range(self._settings.samples)]

    def critique_requests(self, prompts: Iterable[Prompt], every: bool = True) -> Iterator[Request]:
        """A request for every answer in the store, and one for all equal answers to a prompt, which share a critique.
        Samples without an answer get none.

        Args:
            every: False asks about the answers to a benign prompt one after another, in the order of the selection,
                until one has a verdict. It is the one that the selection takes, so the others are not needed.
        """
        for prompt in prompts:
            answers = self.different_answers(prompt)
            if every or prompt.harm != "benign":
                yield from (self._critique_request(prompt, answer) for answer in answers)
                continue
            first = None
            for answer in reversed(in_order(answers, prompt, self._settings.seed)):
                first = replace(self._critique_request(prompt, answer), fallback=first)
            if first:
                yield first

    def different_answers(self, prompt: Prompt) -> list[Answer]:
        """The prompt's answers; of equal ones the first in the order of the selection."""
        answers = [answer for answer in self.answers(prompt) if isinstance(answer, Answer)]
        first = {answer.text: answer for answer in reversed(in_order(answers, prompt, self._settings.seed))}
        return [answer for answer in answers if first[answer.text] is answer]

    def verification(self, prompt: Prompt, answer: Answer) -> str:
        """The text that a verifier reads, whether it is the expert or the model."""
        specification = self._settings.specification.text
        return self._settings.prompt.fill(specification, prompt.text, answer.text)

    def critique(self, prompt: Prompt, answer: Answer) -> Critique | str:
        """The expert's critique of an answer, or the reason why there is none."""
        reply = self._store.get(self._critique_key(prompt, answer))
        return "no critique yet" if reply is None else critique_of(reply)

    def _answer(self, prompt: Prompt, sample: int) -> Answer | str:
        reply = self._store.get(self._answer_key(prompt, sample))
        if reply is None:
            return "no answer yet"
        if reply.finish != "stop":
            return NO_ANSWER[reply.finish]
        thought, text = reply.thought, reply.text
        if self._settings.writer.thought == "required" and not thought:
            split = thought_and_answer(reply.text)
            if split is None:
                return "thought never ends"
            thought, text = split
        if not text.strip():
            return "empty answer"
        return Answer(sample, thought.removeprefix("<think>").strip(), text.strip())

    def _answer_key(self, prompt: Prompt, sample: int) -> bytes:
        return key_in(self._answers, prompt.text, sample)

    def _critique_key(self, prompt: Prompt, answer: Answer) -> bytes:
        return key_in(self._critiques, prompt.text, answer.text)

    def _critique_request(self, prompt: Prompt, answer: Answer) -> Request:
        return Request(self._critique_key(prompt, answer), asks(self.verification(prompt, answer)))


def in_order(answers: Iterable[Answer], prompt: Prompt, seed: int) -> list[Answer]:
    """The answers in the order in which the selection looks at them: random, and decided by seed, prompt and sample
    alone. The first with a verdict is as likely any one of those that have one."""
    return sorted(answers, key=lambda answer: key_of("choice", seed, prompt.text, answer.sample))


def asks(text: str) -> Messages:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]
