"""What Qwen3Guard says of the answers that were selected, beside the expert's verdict.

Another judge's opinion and no filter: two judges that rarely agree are a reason to look at the data. The
guard's verdicts are stored as every other reply.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sinternal_verl.guard.backend import GuardUnavailable, connect
from sinternal_verl.verify.fill import Request
from sinternal_verl.verify.select import Example
from sinternal_verl.verify.store import Reply, Store, key_of
from sinternal_verl.verify.writer import Messages, WriterFailed

NO_VERDICT = "no verdict"


class GuardWriter:
    """The guard of a ``sinternal.guard`` node as a writer: it answers a conversation with its label."""

    def __init__(self, guard: Mapping[str, Any]) -> None:
        self._guard = connect(guard)

    async def write(self, messages: Messages, seed: int | None) -> Reply:
        user, assistant = (message["content"] for message in messages)
        try:
            judgement = await self._guard.judge(user, assistant, refusal=False)
        except (GuardUnavailable, TimeoutError) as error:
            raise WriterFailed(type(error).__name__, str(error)) from error
        return Reply(judgement.verdict.safety.value if judgement.verdict else NO_VERDICT)

    async def close(self) -> None:
        await self._guard.close()


def guard_requests(examples: Iterable[Example], guard: Mapping[str, Any]) -> Iterator[Request]:
    for example in examples:
        messages = [
            {"role": "user", "content": example.prompt.text},
            {"role": "assistant", "content": example.answer.text},
        ]
        yield Request(_key(example, guard), messages)


def agreement(examples: Iterable[Example], guard: Mapping[str, Any], store: Store) -> Counter[tuple[str, str]]:
    """How often (expert's verdict, guard's label)."""
    counts: Counter[tuple[str, str]] = Counter()
    for example in examples:
        reply = store.get(_key(example, guard))
        counts[example.critique.verdict, NO_VERDICT if reply is None else reply.text] += 1
    return counts


def _key(example: Example, guard: Mapping[str, Any]) -> bytes:
    return key_of("guard", guard["engine"]["model"], guard["mode"], example.prompt.text, example.answer.text)
