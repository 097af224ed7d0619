"""A model that gives stored responses: judges the rollouts of a run, or the answers of another harness.

    inspect eval sinternal_verl/math500 --model sinternal_replay/rollouts.jsonl

A row has ``prompt`` (text, or messages of which the last one of the user counts) and ``response``, what the model
wrote, special tokens kept. How it ended stands in ``finish``, ``finish_reason`` or ``stop_reason``, in the words of any
usual server: ``length`` where it was cut. Without one it counts as whole. Several rows of a prompt are its epochs, in
order. A prompt without a row is an error: nobody is asked in its place.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, StopReason, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from sinternal_verl.data.readers import SourceError, Unreadable, open_source
from sinternal_verl.evaluation.tasks.asking import EPOCH
from sinternal_verl.verify.outcome import finish_of
from sinternal_verl.verify.store import Finish
from sinternal_verl.verify.writer import WriterFailed

ENDS = ("finish", "finish_reason", "stop_reason")
"""Columns that say how a response ended; one is enough."""

STOPS: Mapping[Finish, StopReason] = {
    "stop": "stop",
    "length": "max_tokens",
    "refused": "content_filter",
    "tool_calls": "tool_calls",
}
"""Inspect's words for ours."""


class Replay(ModelAPI):
    """See the module; its name is a file.

    Raises:
        PrerequisiteError: the file cannot be read, a row has no prompt or response, or its end is not known.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (Inspect's own default)
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self._responses = read_responses(model_name)

    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """The response to the last message.

        Raises:
            PrerequisiteError: there is none.
        """
        message = input[-1]
        responses, epoch = self._responses.get(message.text.strip(), []), (message.metadata or {}).get(EPOCH, 1)
        if epoch > len(responses):
            raise PrerequisiteError(
                f"{self.model_name} has {len(responses)} responses to a prompt that is asked for the {epoch}. time: "
                "give a file of this set's responses, one for each epoch, or --limit and epochs to match it"
            )
        return ModelOutput.from_content(self.model_name, *responses[epoch - 1])


def read_responses(path: str) -> dict[str, list[tuple[str, StopReason]]]:
    """Each prompt's responses and how they ended, in the file's order.

    Raises:
        PrerequisiteError: as `Replay`.
    """
    found: defaultdict[str, list[tuple[str, StopReason]]] = defaultdict(list)
    try:
        source = open_source(str(Path(path).expanduser()))
        for number, row in source.rows():
            prompt = None if isinstance(row, Unreadable) else _last_of_the_user(row.get("prompt"))
            response = None if prompt is None else row.get("response")
            if not isinstance(response, str):
                why = row.reason if isinstance(row, Unreadable) else "it needs prompt and response, both of them text"
                raise PrerequisiteError(f"{source.where(number)}: {why}")
            try:
                found[prompt.strip()].append((response, stop_of(row)))
            except ValueError as error:
                raise PrerequisiteError(f"{source.where(number)}: {error}") from error
    except SourceError as error:
        raise PrerequisiteError(str(error)) from error
    return dict(found)


def stop_of(row: Mapping[str, Any]) -> StopReason:
    """How a row's response ended.

    >>> stop_of({"finish": "LENGTH"}), stop_of({"finish_reason": "eos"}), stop_of({"finish": None})
    ('max_tokens', 'stop', 'stop')

    SGLang writes an object. Beside its finish_reason vLLM writes at which text or token an answer stopped.

    >>> stop_of({"finish_reason": {"type": "length", "length": 64}})
    'max_tokens'
    >>> stop_of({"finish_reason": "stop", "stop_reason": 151645})
    'stop'

    Raises:
        ValueError: it says so in words that are not known, or in two ways.
    """
    given = {name: row[name] for name in ENDS if name in row and not _is_absent(row[name])}
    found = set()
    for name, said in given.items():
        word = said.get("type") if isinstance(said, Mapping) else said
        try:
            found.add(STOPS[finish_of(word)])
        except WriterFailed as error:
            if name == "stop_reason" and "finish_reason" in given:
                continue
            raise ValueError(
                f"{name}={said!s:.40}: this is no known end of a response; write stop or length, or leave it out"
            ) from error
    if len(found) > 1:
        raise ValueError(f"{', '.join(f'{name}={word}' for name, word in given.items())}: they differ; leave one out")
    return found.pop() if found else "stop"


def _is_absent(value: object) -> bool:
    """A table has no other way to leave a cell out than null, an empty word, or nan."""
    return value is None or value == "" or value != value


def _last_of_the_user(prompt: object) -> str | None:
    if isinstance(prompt, str):
        return prompt
    try:
        texts = [message["content"] for message in prompt if message["role"] == "user"]
    except (TypeError, KeyError):
        return None
    return texts[-1] if texts and isinstance(texts[-1], str) else None


@modelapi(name="sinternal_replay")
def replay() -> type[ModelAPI]:
    """The class, because Inspect makes a function of whatever it registers."""
    return Replay
