"""Names of datasets on the hub, with the part that is meant, and their rows from the cache of `datasets`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, ClassVar
from urllib.parse import unquote

from sinternal_verl.data.rows import BATCH, NO_VALUE, Unreadable

HUB_PREFIX = "hub:"
HUB_NAME = re.compile(
    r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[^@:#\s]+))?(:((?P<config>[^/:#]+)/)?(?P<split>[\w.\[\]:%+-]+)?)?"
)
FILE_URL = re.compile(r"hf://datasets/([^/@]+/[^/@]+)@([^/]+)/(.+\.(?:jsonl?|csv|tsv|parquet)(?:\.gz)?)")
HUB_URL = re.compile(r"(?:https?://(?:huggingface\.co|hf\.co)/|hf://)?datasets/([\w.-]+/[\w.-]+)(?:/.*)?")
"""A dataset's address, in which its name stands."""
COMMIT = re.compile(r"[0-9a-f]{40}")


class HubError(ValueError):
    """A part of a dataset cannot be read as it is named."""


@dataclass(frozen=True)
class Hub:
    """Which part of a hub dataset is read; None takes the only one, or the hub's default."""

    config: str | None = None
    split: str | None = None
    revision: str | None = None

    OPTIONS: ClassVar[dict[str, str]] = {"config": "--hub-config", "split": "--hub-split", "revision": "--revision"}

    @classmethod
    def parse(cls, name: str, options: "Hub") -> "tuple[str, Hub] | None":
        """The id and the part of ``owner/name@revision:config/split``; None where it is no such name.

        >>> Hub.parse("openai/gsm8k@main:socratic/test", Hub())
        ('openai/gsm8k', Hub(config='socratic', split='test', revision='main'))

        Raises:
            HubError: the options say another part.
        """
        if not (found := HUB_NAME.fullmatch(name)):
            return None
        part, hub = found.groupdict(), options
        for key, option in cls.OPTIONS.items():
            if part[key] and getattr(options, key) not in (None, part[key]):
                raise HubError(f"{name} names the {key} {part[key]}, {option} {getattr(options, key)}: leave one out")
            hub = replace(hub, **{key: part[key] or getattr(options, key)})
        return part["id"], hub

    def name_of(self, dataset: str, **part: str) -> str:
        """The name of a dataset's part.

        >>> Hub(config="socratic").name_of("openai/gsm8k", split="test")
        'openai/gsm8k:socratic/test'
        """
        hub = replace(self, **part)
        config = f"{hub.config}/" if hub.config else ""
        revision, split = f"@{hub.revision}" if hub.revision else "", f":{config}{hub.split or ''}"
        return f"{dataset}{revision}{split if split != ':' else ''}"


def fetch(name: str, dataset: str, hub: Hub) -> tuple[Any, str]:
    """A dataset's part, and the commit that it is of.

    `datasets` makes one table of a part, and refuses all of it where one row does not fit, such as a line that is no
    JSON. Then, and where the columns of a CSV file are not separated by commas, the part is the list of its own files,
    as they lie in the cache.

    Args:
        name: what the user wrote, for messages.

    Returns:
        A `datasets.Dataset` for `hub_rows`, or paths of files; and 40 hex digits.

    Raises:
        HubError: a split must be chosen, or only another commit can be had.
        Exception: whatever `datasets` and the hub's client raise.
    """
    import datasets

    def chosen(splits: list[str]) -> str:
        if hub.split is None and len(splits) > 1:
            example = hub.name_of(dataset, split=splits[0])
            raise HubError(f"{name} has the splits {', '.join(splits)}; choose one, such as {example}")
        return hub.split or next(iter(splits), "train")

    # It asks the hub once which commit a branch is at, and reads that; `hash` is this commit.
    builder = datasets.load_dataset_builder(dataset, name=hub.config, revision=hub.revision)
    if hub.revision and COMMIT.fullmatch(hub.revision) and builder.hash != hub.revision:
        raise HubError(f"{name}: the hub cannot be reached, and its cache has another commit, {builder.hash}")
    chosen(list(builder.info.splits or ()))
    files = _files_of(builder)
    try:
        builder.download_and_prepare()
    except Exception:
        if chosen(list(files)) not in files:
            raise
    else:
        data = builder.as_dataset(split=chosen(list(builder.info.splits)))
        if chosen(list(files)) not in files or not _is_undivided(data):
            return data, builder.hash
    return [_download(url) for url in files[chosen(list(files))]], builder.hash


def _is_undivided(data: Any) -> bool:
    """Whether all columns of a CSV file were taken for one, because no commas separate them."""
    return len(data.column_names) == 1 and re.search(r"[\t;|]", data.column_names[0]) is not None


def hub_rows(data: Any) -> Iterator[dict[str, Any] | Unreadable]:
    """The rows of a `datasets.Dataset`. Classes are named, and images and sounds stay as they are stored."""
    import datasets

    classes = {}
    for name, feature in data.features.items():
        if isinstance(feature, datasets.ClassLabel):
            classes[name] = feature
        # An image or a sound: decoding needs a library, and nobody looks at it. JSON needs none.
        elif getattr(feature, "decode", False) and type(feature).__name__ != "Json":
            data = data.cast_column(name, replace(feature, decode=False))
    for start in range(0, len(data), BATCH):
        batch = data.select(range(start, min(start + BATCH, len(data))))
        try:
            rows = list(batch)
        except NO_VALUE:
            rows = map(_row, repeat(batch), range(len(batch)))
        for row in rows:
            if classes and isinstance(row, dict):
                row = _with_names(row, classes)
            yield row


def _row(batch: Any, number: int) -> dict[str, Any] | Unreadable:
    try:
        return batch[number]
    except NO_VALUE as error:
        return Unreadable(f"holds a value that Python does not read: {error}")


def _with_names(row: dict[str, Any], classes: dict[str, Any]) -> dict[str, Any]:
    """A row with the names of its classes. -1 and null stand for no class."""
    names = {name: row[name] for name in classes}
    known = {name: number for name, number in names.items() if number is not None and number >= 0}
    return row | dict.fromkeys(names) | {name: classes[name].int2str(number) for name, number in known.items()}


def _files_of(builder: Any) -> dict[str, list[str]]:
    """The files of each split that our own readers can read as they are; none where the dataset says how to read them
    (which key of a JSON file holds the rows, what the columns of a CSV file are called)."""
    config = builder.config
    if getattr(config, "field", None) or getattr(config, "column_names", None):
        return {}
    files = {str(split): list(map(str, urls)) for split, urls in (getattr(config, "data_files", None) or {}).items()}
    return {split: urls for split, urls in files.items() if all(map(FILE_URL.fullmatch, urls))}


def _download(url: str) -> str:
    """The path of a hub's file in the cache, where `datasets` has put it."""
    from huggingface_hub import hf_hub_download

    dataset, revision, path = FILE_URL.fullmatch(url).groups()
    return hf_hub_download(dataset, path, repo_type="dataset", revision=unquote(revision))
