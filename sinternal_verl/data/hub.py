"""Names of datasets on the hub, with the part that is meant."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

HUB_PREFIX = "hub:"
HUB_NAME = re.compile(
    r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[^@:#\s]+))?(:((?P<config>[^/:#]+)/)?(?P<split>[\w.\[\]:%+-]+)?)?"
)
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
