"""The model that a run was started from: its weights one at a time, its dtype, its hub id, and what its card says."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from yaml import YAMLError

from sinternal_verl.export.errors import ExportError
from sinternal_verl.export.objects import read_object
from sinternal_verl.export.shards import bytes_of
from sinternal_verl.export.skeleton import MAX_REASON, OF_CONFIGURATIONS, Specs

WEIGHTS, INDEX, CARD = "model.safetensors", "model.safetensors.index.json", "README.md"
SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py", CARD, "additional_chat_templates/*")
"""What a hub repository is asked for besides its weights."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CACHED = re.compile(r"models--(.+?)--(.+)/snapshots/([0-9a-f]+)/?$")


class Base:
    """
    Attributes:
        name: path or hub id, as the run or the user gave it.
        folder: where its files are on this machine.
    """

    def __init__(self, name: str) -> None:
        """
        Raises:
            ExportError: it is neither a folder nor to be had from the hub, or its configuration cannot be read.
        """
        self.name = name
        self.folder = local_folder(name, (*SMALL_FILES, "*.safetensors"))
        if not (self.folder / "config.json").is_file():
            raise ExportError(
                f"the base model {name} holds no config.json: give the model's folder or hub id with --base"
            )
        self._config = read_object(self.folder / "config.json")

    @property
    def hub_id(self) -> str | None:
        """The hub id of the base, or of the nearest model that it comes from and that has one. None where no file
        tells it: a path on this machine tells others nothing."""
        if cached := _CACHED.search(str(self.folder.absolute())):
            return f"{cached[1]}/{cached[2]}"
        named = self._card.get("base_model")
        named = named[0] if isinstance(named, list) and len(named) == 1 else named
        for name in (named, self._config.get("_name_or_path")):
            if isinstance(name, str) and HUB_ID.fullmatch(name) and not Path(name).exists():
                return name
        return None

    @property
    def is_itself_on_the_hub(self) -> bool:
        """Whether `hub_id` is of the base itself."""
        return bool(_CACHED.search(str(self.folder.absolute())))

    @property
    def revision(self) -> str | None:
        """The commit of a hub model; None for a folder."""
        cached = _CACHED.search(str(self.folder.absolute()))
        return cached and cached[3]

    @property
    def licence(self) -> dict[str, str]:
        """``license`` and what belongs to it, as the base's own card states it; empty where it states none."""
        keys = ("license", "license_name", "license_link")
        return {key: str(self._card[key]) for key in keys if self._card.get(key)}

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its configuration, else of its weights."""
        if found := configured_dtype(self.folder):
            return found
        for name, file in self._files.items():
            if (value := _read(file, name)).is_floating_point():
                return value.dtype
        return torch.float32

    def weights(self, specs: Specs) -> "BaseWeights":
        """Its weights under the names of ``specs``.

        Raises:
            ExportError: they cannot be read.
        """
        return BaseWeights(self, self._files, specs)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Parameter -> its safetensors file; empty where the weights are kept in another format."""
        if (index := self.folder / INDEX).is_file():
            files = read_object(index).get("weight_map")
            if not isinstance(files, dict):
                raise ExportError(f"{index} of the base model does not say which file has which weights (weight_map)")
            return {name: self.folder / str(file) for name, file in files.items()}
        file = self.folder / WEIGHTS
        return dict.fromkeys(_names(file), file) if file.is_file() else {}

    @cached_property
    def _card(self) -> dict[str, Any]:
        from huggingface_hub import metadata_load

        file = self.folder / CARD
        try:
            return (metadata_load(file) or {}) if file.is_file() else {}
        except (OSError, ValueError, YAMLError):  # one that cannot be read states nothing
            return {}


class BaseWeights:
    """The weights of a base model, read one at a time where its files have the model's own names. Where they have
    others (experts, older formats), transformers loads it whole.

    Attributes:
        whole_bytes: what it holds in memory.
    """

    def __init__(self, base: Base, files: dict[str, Path], specs: Specs) -> None:
        self._files, self._model = files, {}
        if len(specs.keys() - files.keys()) > len(specs) // 2:
            self._model = _load_whole(base)
        self.whole_bytes = sum(bytes_of(value) for value in self._model.values())

    def __contains__(self, name: str) -> bool:
        return name in (self._model or self._files)

    def read(self, name: str) -> torch.Tensor:
        """One parameter, as it is kept."""
        return self._model[name] if self._model else _read(self._files[name], name)


def configured_dtype(folder: Path) -> torch.dtype | None:
    """The dtype that a model's configuration states; None where it states none."""
    config = read_object(folder / "config.json")
    found = getattr(torch, str(config.get("dtype") or config.get("torch_dtype")), None)
    return found if isinstance(found, torch.dtype) else None


def local_folder(name: str, patterns: Sequence[str]) -> Path:
    """The folder of a path, or of the files of a hub id that fit these patterns.

    Raises:
        ExportError: there is none.
    """
    from huggingface_hub import snapshot_download

    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"{name} is neither a folder here nor to be had from the hub ({reason})") from error


def _names(file: Path) -> list[str]:
    with _opened(file) as opened:
        return list(opened.keys())


def _read(file: Path, name: str) -> torch.Tensor:
    # Opened for each parameter: a page that was read stays resident as long as the file is open.
    with _opened(file) as opened:
        return opened.get_tensor(name)


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except (SafetensorError, OSError) as error:
        raise ExportError(f"{file} of the base model cannot be read: {error}") from error


def _load_whole(base: Base) -> Specs:
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(base.folder, dtype="auto").state_dict()
    except OF_CONFIGURATIONS as error:
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ExportError(f"the base model {base.name} cannot be loaded ({reason}): give it with --base") from error
