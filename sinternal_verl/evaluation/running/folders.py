"""A model's folder, before a server reads it: whatever would keep the server from answering, all of it at once."""

import json
from collections.abc import Iterator
from pathlib import Path

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "tekken.json")
TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates", "tekken.json")
"""Files that hold a chat template, beside ``tokenizer_config.json``. (transformers 5)"""


def folder_problems(folder: Path) -> Iterator[str]:
    """Sentences about what is missing in the folder of a model; none where it looks complete."""
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        yield (
            "it holds an adapter alone; give the whole model: sinternal-verl export --checkpoint ... --out ... "
            "without --adapter"
        )
        return
    settings = _read(folder / "config.json")
    if isinstance(settings, str):
        yield settings
    yield from _weight_problems(folder)
    if not any((folder / name).is_file() for name in TOKENIZER):
        yield "it holds no tokenizer; save the tokenizer next to the model"
    elif not has_chat_template(folder):
        yield (
            "its tokenizer has no chat template, so no server can put a message into its form; add "
            "chat_template.jinja of the model that it was trained from"
        )


def _weight_problems(folder: Path) -> Iterator[str]:
    if not any(next(folder.glob(pattern), None) for pattern in WEIGHTS):
        yield "it holds no weights (*.safetensors or *.bin)"
    index = folder / INDEX
    if index.is_file():
        found = _read(index)
        if isinstance(found, str):
            yield found
            return
        missing = sorted({name for name in found.get("weight_map", {}).values() if not (folder / name).is_file()})
        if missing:
            yield f"{INDEX} names files that are not there: {', '.join(missing)}; copy or export it again"


def has_chat_template(folder: Path) -> bool:
    """Whether a chat template stands in one of the folder's files. A file that cannot be read is left to the server."""
    if any((folder / name).exists() for name in TEMPLATES):
        return True
    found = _read(folder / "tokenizer_config.json")
    return isinstance(found, str) or bool(found.get("chat_template"))


def _read(file: Path) -> dict | str:
    """A JSON file's object, or what is wrong with it."""
    if not file.is_file():
        return f"it holds no {file.name}"
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return f"{file.name} cannot be read: {error}"
    return found if isinstance(found, dict) else f"{file.name} is no JSON object"
