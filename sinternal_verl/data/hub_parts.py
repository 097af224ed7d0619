"""Parts of the hub's datasets: fetched once, and read row by row from its cache."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import repeat
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sinternal_verl.data.hub import COMMIT, Hub, HubError
from sinternal_verl.data.rows import BATCH, NO_VALUE, Unreadable
from sinternal_verl.data.schema import write_whole
from sinternal_verl.hashing import key_of

FILE_URL = re.compile(r"hf://datasets/([^/@]+/[^/@]+)@([^/]+)/(.+\.(?:jsonl?|csv|tsv|parquet)(?:\.gz)?)")
_OURS = frozenset(("name", "version", "data_dir", "data_files", "description", "sep", "delimiter", "features"))
"""Settings of a dataset's configuration that change nothing for our readers: a header tells what separates columns."""


def fetch(name: str, dataset: str, hub: Hub) -> tuple[Any, str]:
    """A dataset's part, and the commit that it is of.

    `datasets` makes one table of a part, and refuses all of it where one row does not fit, such as a line that is no
    JSON. Then, and for CSV files, the part is the list of its own files, as they lie in the cache.

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
    try:
        builder = datasets.load_dataset_builder(dataset, name=hub.config, revision=hub.revision)
    except ConnectionError:
        if kept := _kept(dataset, hub):
            return kept
        raise
    if hub.revision and COMMIT.fullmatch(hub.revision) and builder.hash != hub.revision:
        raise HubError(f"{name}: the hub cannot be reached, and its cache has another commit, {builder.hash}")
    files, known = _files_of(builder), list(builder.info.splits or ())
    if files and _are_csv(files) and builder.info.features is None and chosen(known or list(files)) in files:
        return _downloaded(files[chosen(known or list(files))], dataset, hub, builder.hash)
    chosen(known)
    try:
        builder.download_and_prepare()
    except (datasets.exceptions.DatasetGenerationError, ValueError):  # a row that it cannot take
        if chosen(list(files)) not in files:
            raise
        return _downloaded(files[chosen(list(files))], dataset, hub, builder.hash)
    return builder.as_dataset(split=chosen(list(builder.info.splits))), builder.hash


def _are_csv(files: dict[str, list[str]]) -> bool:
    """Whether `datasets` would guess the types of the columns: of the answers 033, 0.5 and N/A it makes 33.0, 0.5 and
    none."""
    return all(re.search(r"\.[ct]sv(\.gz)?$", url) for urls in files.values() for url in urls)


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
    if not getattr(config, "data_files", None):
        return {}
    usual = type(config)()
    if any(
        getattr(config, each.name) != getattr(usual, each.name) for each in fields(config) if each.name not in _OURS
    ):
        return {}
    files = {str(split): list(map(str, urls)) for split, urls in config.data_files.items()}
    return {split: urls for split, urls in files.items() if all(map(FILE_URL.fullmatch, urls))}


def _downloaded(urls: list[str], dataset: str, hub: Hub, commit: str) -> tuple[list[str], str]:
    """The paths of the hub's files in its cache, and their commit. Both are kept for when the hub cannot be reached."""
    from huggingface_hub import hf_hub_download

    paths = []
    for url in urls:
        owner, revision, path = FILE_URL.fullmatch(url).groups()
        paths.append(hf_hub_download(owner, path, repo_type="dataset", revision=unquote(revision)))
    for part in (hub, replace(hub, revision=commit)):
        file = _record(dataset, part)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps({"paths": paths, "commit": commit}))
    return paths, commit


def _kept(dataset: str, hub: Hub) -> tuple[list[str], str] | None:
    """What `_downloaded` returned for this part, where the files are still there."""
    file = _record(dataset, hub)
    if not file.exists():
        return None
    kept = json.loads(file.read_text(encoding="utf-8"))
    return (kept["paths"], kept["commit"]) if all(Path(path).exists() for path in kept["paths"]) else None


def _record(dataset: str, hub: Hub) -> Path:
    import datasets

    name = key_of(dataset, vars(hub)).hex()
    return Path(datasets.config.HF_DATASETS_CACHE) / "sinternal_verl" / f"{name}.json"
