"""Finds prompts that came before. Memory holds only a digest of each, and its ground truth, so a million rows can be
read."""

from sinternal_verl.hashing import digest
from sinternal_verl.scoring.latex import same

MAX_KEPT = 200
"""The longest ground truth that is kept as it is, in characters. Of a longer one a digest is kept."""


class SeenPrompts:
    """Where each prompt came first, and with which ground truth. Texts that differ only in white space are the same,
    and so are ground truths that the matcher takes for one answer.

    >>> seen = SeenPrompts()
    >>> seen.first("half of  1?", "0.5", number=1), seen.first("half of 1?", "1/2", 2), seen.first("half of 1?", "2", 3)
    ((1, True), (1, True), (1, False))
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, str]] = {}

    def first(self, text: str, ground_truth: str, number: int) -> tuple[int, bool]:
        """The number of the row in which the text came first, and whether its ground truth was the same."""
        truth = ground_truth if len(ground_truth) <= MAX_KEPT else digest(ground_truth, 16).hex()
        first, known = self._known.setdefault(prompt_digest(text), (number, truth))
        return first, same(known, truth)


def prompt_digest(text: str) -> bytes:
    """A digest of a prompt that does not depend on its white space.

    >>> prompt_digest("1 +  1") == prompt_digest("1 + 1"), prompt_digest("1 + 1") == prompt_digest("1 - 1")
    (True, False)
    """
    return digest(" ".join(text.split()), 16)
