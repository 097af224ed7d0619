"""Names of datasets on the hub, with the part that is meant, and their rows from the cache of `datasets`."""

import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar

HUB_PREFIX = "hub:"
HUB_NAME = re.compile(
    r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[^@:#\s]+))?(:((?P<config>[^/:#]+)/)?(?P<split>[\w.\[\]:%+-]+)?)?"
)
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
    """The rows of a dataset's part, and the commit that they are of.

    Args:
        name: what the user wrote, for messages.

    Raises:
        HubError: a split must be chosen, or only another commit can be had.
        Exception: whatever `datasets` and the hub's client raise.
    """
    import datasets

    # It asks the hub once which commit a branch is at, and reads that; `hash` is this commit.
    builder = datasets.load_dataset_builder(dataset, name=hub.config, revision=hub.revision)
    if hub.revision and COMMIT.fullmatch(hub.revision) and builder.hash != hub.revision:
        raise HubError(f"{name}: the hub cannot be reached, and its cache has another commit, {builder.hash}")
    splits = list(builder.info.splits or ())
    if hub.split is None and len(splits) < 2:
        builder.download_and_prepare()
        splits = list(builder.info.splits)
    if hub.split is None and len(splits) > 1:
        chosen = hub.name_of(dataset, split=splits[0])
        raise HubError(f"{name} has the splits {', '.join(splits)}; choose one, such as {chosen}")
    builder.download_and_prepare()
    return builder.as_dataset(split=hub.split or splits[0]), builder.hash
