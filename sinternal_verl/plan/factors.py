"""What a plan assumes besides the configuration and the card: the values of ``factors.yaml``, at one end or typical."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

import yaml

End = Literal["slow", "typical", "fast"]
ENDS: tuple[End, End] = ("slow", "fast")


@dataclass(frozen=True)
class Factors:
    """The assumed values by name: ``factors["rollout_s"]``.

    Attributes:
        read: gets the name of each factor that is read; None keeps no account.
    """

    values: Mapping[str, float]
    read: set[str] | None = None

    @classmethod
    def at(cls, end: End, read: set[str] | None = None) -> "Factors":
        return cls(MappingProxyType({name: float(entry[end]) for name, entry in described().items()}), read)

    def __getitem__(self, name: str) -> float:
        if self.read is not None:
            self.read.add(name)
        return self.values[name]

    def at_end(self, name: str, end: End) -> "Factors":
        """The same with one factor at an end."""
        return self.but(**{name: float(described()[name][end])})

    def but(self, **values: float) -> "Factors":
        """The same with other values.

        Raises:
            KeyError: there is no such factor.
        """
        if unknown := values.keys() - self.values.keys():
            raise KeyError(f"no such factor: {', '.join(sorted(unknown))}")
        return Factors(MappingProxyType({**self.values, **values}))


def described() -> dict[str, dict[str, Any]]:
    """Every factor by name: its ends, its unit, what it is, and its source."""
    return read("factors.yaml")


@cache
def read(name: str) -> dict[str, Any]:
    """A file of this package; the same object each time, which nobody may change."""
    return yaml.safe_load((resources.files("sinternal_verl.plan") / name).read_text())
