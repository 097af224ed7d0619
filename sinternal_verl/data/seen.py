"""Finds prompts that came before. Memory holds only a digest of each, so a million rows can be read."""

from sinternal_verl.hashing import digest


class SeenPrompts:
    """Where each prompt came first, and with which ground truth. Texts that differ only in white space are the same.

    >>> seen = SeenPrompts()
    >>> seen.first("1 +  1", "2", number=1), seen.first("1 + 1", "2", number=2), seen.first("1 + 1", "3", number=3)
    ((1, True), (1, True), (1, False))
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, bytes]] = {}

    def first(self, text: str, ground_truth: str, number: int) -> tuple[int, bool]:
        """The number of the row in which the text came first, and whether its ground truth was the same."""
        truth = digest(ground_truth, 8)
        first, known = self._known.setdefault(prompt_digest(text), (number, truth))
        return first, known == truth


def prompt_digest(text: str) -> bytes:
    """A digest of a prompt that does not depend on its white space.

    >>> prompt_digest("1 +  1") == prompt_digest("1 + 1"), prompt_digest("1 + 1") == prompt_digest("1 - 1")
    (True, False)
    """
    return digest(" ".join(text.split()), 16)
