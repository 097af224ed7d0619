"""A model that gives stored responses: judges the rollouts of a run, or the answers of another harness.

    inspect eval sinternal_verl/math500 --model sinternal_replay/rollouts.jsonl

A row has ``prompt`` (text, or messages of which the last one of the user counts) and ``response``, what the model
wrote, special tokens kept; ``finish`` is optional, ``length`` where it was cut. Several rows of a prompt are its
epochs, in order. A prompt without a row is an error: nobody is asked in its place.
"""

from collections import defaultdict
from pathlib import Path

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessage, GenerateConfig, ModelAPI, ModelOutput, modelapi
from inspect_ai.tool import ToolChoice, ToolInfo

from sinternal_verl.data.readers import SourceError, Unreadable, open_source
from sinternal_verl.evaluation.tasks.asking import EPOCH

FINISHES = {"length": "max_tokens", "max_tokens": "max_tokens"}


class Replay(ModelAPI):
    """See the module; its name is a file.

    Raises:
        PrerequisiteError: the file cannot be read, or a row has no prompt or response.
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
        text, finish = responses[epoch - 1]
        return ModelOutput.from_content(self.model_name, text, FINISHES.get(finish, "stop"))


def read_responses(path: str) -> dict[str, list[tuple[str, str]]]:
    """Each prompt's responses and how they ended, in the file's order.

    Raises:
        PrerequisiteError: as `Replay`.
    """
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    try:
        source = open_source(str(Path(path).expanduser()))
        for number, row in source.rows():
            prompt = None if isinstance(row, Unreadable) else _last_of_the_user(row.get("prompt"))
            response = None if prompt is None else row.get("response")
            if not isinstance(response, str):
                why = row.reason if isinstance(row, Unreadable) else "it needs prompt and response, both of them text"
                raise PrerequisiteError(f"{source.where(number)}: {why}")
            found[prompt.strip()].append((response, str(row.get("finish") or "")))
    except SourceError as error:
        raise PrerequisiteError(str(error)) from error
    return dict(found)


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
