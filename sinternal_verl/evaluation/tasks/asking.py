"""Asks the model under test, and finds before the first request what would make the answers worthless."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessageUser, Model, ModelName, get_model

# As in `sinternal_verl.evaluation.tasks.decoding`.
from inspect_ai.model._generate_config import active_generate_config
from inspect_ai.solver import Generate, Solver, TaskState, solver

from sinternal_verl.evaluation.tasks.answers import separate
from sinternal_verl.evaluation.tasks.decoding import body_for, check_effective
from sinternal_verl.evaluation.tasks.opened import opened
from sinternal_verl.hashing import key_of
from sinternal_verl.scoring.response import Thought

EPOCH = "epoch"
"""A message of ours says in its metadata which answer it asks for; `replay` reads it."""

SERVES_FOLDERS = ("vllm", "sglang", "hf")
"""Providers whose models may be folders."""

TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
"""Files of a model's folder that hold its chat template, beside ``tokenizer_config.json``."""


@solver
def ask_model(
    thought: Thought = "required", epochs: int = 1, judges: Sequence[tuple[str, str, dict[str, Any] | None]] = ()
) -> Solver:
    """Send the prompt as one user message, and put thought and answer apart.

    Args:
        epochs: those of the task.
        judges: name, role and settings of the judges that the scorers ask.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        check_effective(epochs, state.epoch)
        check_model(get_model())
        for judge in judges:
            await opened(*judge)
        mark_epoch(state)
        body, seed = body_for(get_model()), active_generate_config().seed
        changed = {} if body is None else {"extra_body": body}
        changed |= {} if seed is None else {"seed": own_seed(seed, state.sample_id, state.epoch)}
        # No tool is offered. Inspect would answer a call of one, and ask again for as long as the model calls.
        state = await generate(state, tool_calls="none", **changed)
        separate(state.output, thought)
        return state

    return solve


def own_seed(seed: int, sample_id: int | str, epoch: int) -> int:
    """The seed of one answer. With one seed for all, a server would give the same answer in each epoch.

    >>> own_seed(1, "a", 1) == own_seed(1, "a", 1), own_seed(1, "a", 1) == own_seed(1, "a", 2)
    (True, False)
    """
    return int.from_bytes(key_of(seed, str(sample_id), epoch, size=4)) >> 1


def mark_epoch(state: TaskState) -> None:
    """Note in the last message which answer it asks for."""
    message = state.messages[-1]
    if isinstance(message, ChatMessageUser):
        message.metadata = {**(message.metadata or {}), EPOCH: state.epoch}


def check_model(model: Model) -> None:
    """
    Raises:
        PrerequisiteError: the model is a folder on this machine without a chat template.
    """
    name = ModelName(model)
    if name.api in SERVES_FOLDERS and lacks_chat_template(Path(name.name)):
        raise PrerequisiteError(
            f"{name.name} has no chat template, so no server can put a message into its form: export it with the "
            "tokenizer of the model that it was trained from, or serve it with --chat-template"
        )


def lacks_chat_template(folder: Path) -> bool:
    """Whether this is a model's folder on this machine, and has no chat template."""
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or any((folder / name).exists() for name in TEMPLATES):
        return False
    try:
        return not json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        return False  # the server will say what is wrong with it
