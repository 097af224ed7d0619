"""The tokenizer of an exported folder: the checkpoint's as it is, and what it lacks from the run's start."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sinternal_verl.export.base import Base, local_folder
from sinternal_verl.export.checkpoint import TOKENIZER_KEYS, Checkpoint
from sinternal_verl.export.errors import ExportError

VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "*.tiktoken")
"""Files of which a tokenizer has at least one."""

SETTINGS, TEMPLATE = "tokenizer_config.json", "chat_template"
"""A chat template stands in the settings under this key, or in files of this name."""

TEMPLATE_FILES = (f"{TEMPLATE}*", "additional_chat_templates")
TOKENIZER_FILES = (*VOCABULARIES, "*token*.json", "merges.txt", *TEMPLATE_FILES)
NOT_COPIED = ("config.json", "generation_config.json", "README.md", "*.safetensors*", "*.bin", "*.pt")
"""What stands in verl's ``huggingface`` folder and is written anew, or is weights of its own."""


@dataclass(frozen=True)
class Note:
    """Something that the user and readers of the folder must know.

    Attributes:
        text: with ``{}`` for each of ``folders``.
    """

    text: str
    folders: tuple[Path, ...]

    @property
    def with_paths(self) -> str:
        """For the user of this machine."""
        return self.text.format(*self.folders)

    @property
    def with_names(self) -> str:
        """For others, to whom a path of this machine tells nothing."""
        return self.text.format(*(folder.name for folder in self.folders))


def write_tokenizer(checkpoint: Checkpoint, base: Base | None, rows: int, target: Path) -> list[Note]:
    """Copy the tokenizer, its settings and the chat template of the checkpoint as they are. What the checkpoint has
    lost is that of the run's start.

    Args:
        rows: of the model's embedding.

    Returns:
        what was not taken from the checkpoint, and what there is none of.

    Raises:
        ExportError: there is no whole tokenizer, or it has more ids than the model.
    """
    folder = checkpoint.hf_folder
    if fault := tokenizer_fault(folder, rows):
        source = next((each for each in _others(checkpoint, base) if tokenizer_fault(each, rows) is None), None)
        if source is None:
            step = "give the model that the run was started from with --base, or put one there"
            raise ExportError(f"{folder} {fault}: {step}")
        _copy(source, TOKENIZER_FILES, target)
        # Braces of a message are no places for folders.
        fault = fault.replace("{", "{{").replace("}", "}}")
        return [Note("the tokenizer is that of {}: {} " + fault, (source, folder)), *_without_template(target, source)]
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)
    notes = []
    if settings_of(folder) is None:
        (target / SETTINGS).unlink(missing_ok=True)
        source = next((each for each in _others(checkpoint, base) if settings_of(each) is not None), None)
        if source:
            _copy(source, (SETTINGS, "special_tokens_map.json"), target)
            notes.append(
                Note(
                    f"the settings of the tokenizer are those of {{}}: {{}} holds no whole {SETTINGS}", (source, folder)
                )
            )
        else:
            notes.append(Note(f"there is no whole {SETTINGS} in {{}}, so readers guess the special tokens", (folder,)))
    if not has_template(folder):
        source = next((each for each in _others(checkpoint, base) if has_template(each)), None)
        if source is None:
            return [*notes, *_without_template(target, folder)]
        _copy(source, TEMPLATE_FILES, target)
        if template := (settings_of(source) or {}).get(TEMPLATE):
            settings = {**(settings_of(target) or {}), TEMPLATE: template}
            (target / SETTINGS).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
        notes.append(Note("the chat template is that of {}: {} holds none", (source, folder)))
    return notes


def settings_of(folder: Path) -> dict[str, Any] | None:
    """The settings of a folder's tokenizer; None where it has none that can be read."""
    try:
        found = json.loads((folder / SETTINGS).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def has_template(folder: Path) -> bool:
    """Whether a folder has a chat template: in a file, or in the tokenizer's settings."""
    found = [file for pattern in TEMPLATE_FILES for each in folder.glob(pattern) for file in (each, *each.glob("*"))]
    return any(file.is_file() and file.stat().st_size for file in found) or bool(
        (settings_of(folder) or {}).get(TEMPLATE)
    )


def tokenizer_fault(folder: Path, rows: int) -> str | None:
    """What is wrong with the tokenizer of a folder; None where nothing is."""
    found = [file for pattern in VOCABULARIES for file in folder.glob(pattern)]
    if not any(file.stat().st_size for file in found):
        return "holds no tokenizer"
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        whole = json.loads(file.read_text())
        vocabulary = whole["model"]["vocab"]
        ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
        last = max(ids, default=-1)
    except (ValueError, KeyError, TypeError) as error:
        return f"holds a tokenizer.json that cannot be read ({type(error).__name__}: {error})"
    if len(vocabulary) < 2:
        return f"holds a tokenizer of {len(vocabulary)} tokens"
    # Tokens that were added are not counted: some models are published with more of them than rows.
    return f"holds a tokenizer with ids up to {last}, and the model has {rows} rows for them" if last >= rows else None


def _others(checkpoint: Checkpoint, base: Base | None) -> Iterator[Path]:
    """Where a tokenizer of the run's start may be: the run's own before the base's."""
    if named := checkpoint.recorded(TOKENIZER_KEYS):
        with suppress(ExportError):  # the base may still have it
            yield local_folder(named, TOKENIZER_FILES)
    if base:
        yield base.folder


def _copy(source: Path, patterns: tuple[str, ...], target: Path) -> None:
    for file in {file for pattern in patterns for file in source.glob(pattern)}:
        if file.is_dir():
            shutil.copytree(file, target / file.name, dirs_exist_ok=True)
        else:
            shutil.copyfile(file, target / file.name)


def _without_template(target: Path, source: Path) -> list[Note]:
    note = "there is no chat template in {}, nor where the run was started from: readers cannot chat with the model"
    return [] if has_template(target) else [Note(note, (source,))]
