"""What is open while an answer is read: commands that wait for arguments, and groups in braces."""


class Command:
    """A command that waits for arguments."""

    __slots__ = ("arguments", "name", "wanted")

    def __init__(self, name: str, wanted: int, arguments: list[str]) -> None:
        self.name, self.wanted, self.arguments = name, wanted, arguments


class Group:
    """An open group: its kind, its first item, and the command and numerator of an ``\\over`` in it."""

    __slots__ = ("fraction", "kind", "start")

    def __init__(self, kind: str, start: int) -> None:
        self.kind, self.start, self.fraction = kind, start, None
