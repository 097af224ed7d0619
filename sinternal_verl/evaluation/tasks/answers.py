"""What a model wrote, as thought and answer, whichever provider gave it.

1. R1's templates open the thought in the prompt, so that a response is ``…</think>answer`` and Inspect leaves it whole.
2. A server may give the thought apart. Inspect does so itself where a text holds ``<think>…</think>``, wherever in the
   text this stands; then what precedes it would be a part of the answer, and a tag within a thought would end it late.

Here a thought ends at the **first** ``</think>``, as in `sinternal_verl.scoring.response`, so that a response has the
same answer in a run and in the suite. So where Inspect has cut a text in two, the text is taken from the record of the
call. That record is missing with ``--no-log-model-api`` and of an answer from Inspect's cache (``--cache``); then
Inspect's cut stands, and a warning says so.
"""

from dataclasses import dataclass
from logging import getLogger

from inspect_ai.event import ModelEvent
from inspect_ai.log import transcript
from inspect_ai.model import ContentReasoning, ContentText, ModelOutput

from sinternal_verl.scoring.response import THOUGHT_END, Thought, thought_and_answer
from sinternal_verl.scoring.safety import Judged

THOUGHT_BEGIN = "<think>"
CUT_BY_INSPECT = "think"
"""Inspect notes this at a thought that it took out of a text."""

ATTACHMENT = "attachment://"
"""Begins what Inspect's record of a call holds in place of a long text."""

TRUNCATED = "max_tokens"
"""Inspect's reason to stop of a response that was cut."""

NOT_ITS_WORDS = {"model_length": "prompt_too_long", "content_filter": "content_filter"}
"""Inspect's reasons to stop whose text is a server's message and not the model's, and what we call them."""

THOUGHT_UNCLOSED, THOUGHT_EMPTY, EMPTY = "thought_unclosed", "thought_empty", "empty"
"""Why there is nothing to judge, where it is the model's own doing; `EMPTY` is about the answer."""

logger = getLogger(__name__)
_said = False


@dataclass(frozen=True, slots=True)
class Response:
    """A response's parts.

    Attributes:
        thought: what precedes the answer; None where the whole is the answer.
        answer: what a user sees; None where there is none.
        truncated: whether it was cut at its longest length.
        missing: why there is no answer, where the model was not the cause.
    """

    thought: str | None
    answer: str | None
    truncated: bool = False
    missing: str = ""

    @property
    def closed(self) -> bool:
        """Whether there is an answer, which may be empty."""
        return self.answer is not None

    @property
    def absent(self) -> str:
        """Why there is no answer to judge; empty where there is one."""
        if self.answer is None:
            return self.missing or THOUGHT_UNCLOSED
        return "" if self.answer.strip() else EMPTY

    @property
    def text(self) -> str:
        """The whole, as a scorer of a run reads it."""
        if self.thought is None or self.answer is None:
            return self.answer or self.thought or ""
        return f"{self.thought}{THOUGHT_END}{self.answer}"

    def judged(self, what: Judged) -> str | None:
        """The text that a judge reads, which may be empty; None where it was to be closed and is not."""
        if what == "both":
            return self.text.strip()
        if self.answer is None:
            return None
        return ((self.thought or "") if what == "thought" else self.answer).strip()


def read(output: ModelOutput, thought: Thought) -> Response:
    """The parts of a model's output."""
    if output.empty:
        return Response("", None) if thought == "required" else Response(None, "")
    if missing := NOT_ITS_WORDS.get(output.stop_reason):
        return Response(None, None, missing=missing)
    truncated = output.stop_reason == TRUNCATED
    text, apart = output.message.text, _apart(output)
    if apart is not None:
        # A server that takes thoughts out gives one that was cut as a thought without an answer.
        cut = truncated and not text.strip() and thought == "required"
        return Response(apart, None if cut else text, truncated)
    if thought == "none":
        return Response(None, text, truncated)
    begun, answer = thought_and_answer(text) or (text, None)
    return Response(_without_tag(begun), answer, truncated)


def about(response: Response) -> dict[str, bool]:
    """What every score says of its response."""
    return {
        "truncated": response.truncated,
        "empty": response.absent == EMPTY,
        "thought_closed": response.closed,
    }


def separate(output: ModelOutput, thought: Thought) -> None:
    """Put thought and answer of the last output apart, so that whoever reads the log finds them so.

    Called after the model was asked, within the sample. Nothing is changed where there is no answer to set apart.
    """
    if output.empty or output.stop_reason in NOT_ITS_WORDS:
        return
    message = output.message
    if _apart(output) is None:
        whole = message.text
    elif any(part.type == "reasoning" and part.internal == CUT_BY_INSPECT for part in message.content):
        whole = _recorded()
        if whole is None:
            _say_cut()
    else:
        whole = None
    if whole is None:
        return
    split = thought_and_answer(whole) if thought == "required" else None
    if split is None or not split[1].strip():
        message.content = whole
    else:
        begun, answer = split
        message.content = [ContentReasoning(reasoning=_without_tag(begun)), ContentText(text=answer)]
    output.completion = message.text


def _say_cut() -> None:
    global _said
    if not _said:
        _said = True
        logger.warning(
            "Inspect kept no record of an answer (--cache, --no-log-model-api), so its thought ends where Inspect cut "
            "it, and not at its first </think>. Where a model writes such tags within its text, the two differ: leave "
            "the option out to be sure of what is judged"
        )


def _apart(output: ModelOutput) -> str | None:
    """The thought that is apart from the text; None where there is none."""
    content = output.message.content
    if isinstance(content, str):
        return None
    thoughts = [
        (part.summary or "") if part.redacted else part.reasoning for part in content if part.type == "reasoning"
    ]
    return "\n".join(thoughts) if thoughts else None


def _without_tag(thought: str) -> str:
    return thought.strip().removeprefix(THOUGHT_BEGIN).strip()


def _recorded() -> str | None:
    """The text of the last call's response before Inspect cut it; None where there is no record."""
    calls = [event.call for event in transcript().history.recent_events(5) if isinstance(event, ModelEvent)]
    try:
        content = calls[-1].response["choices"][0]["message"]["content"]
    except (AttributeError, LookupError, TypeError):  # no record, or none in OpenAI's form
        return None
    if isinstance(content, str) and content.startswith(ATTACHMENT):
        return transcript().attachments.get(content.removeprefix(ATTACHMENT))
    return content if isinstance(content, str) else None
