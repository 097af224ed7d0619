"""Which prompts came before: of each only a digest stays in memory, so a million rows stream through."""

from sinternal_verl.hashing import digest


class SeenPrompts:
    """Where each prompt came first, and with which ground truth; texts that differ in white space are one.

    >>> seen = SeenPrompts()
    >>> seen.first("1 +  1", "2", number=1), seen.first("1 + 1", "2", number=2), seen.first("1 + 1", "3", number=3)
    ((1, True), (1, True), (1, False))
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, bytes]] = {}

    def first(self, text: str, ground_truth: str, number: int) -> tuple[int, bool]:
        """The number under which the text came first, and whether with the same ground truth."""
        truth = digest(ground_truth, 8)
        first, known = self._known.setdefault(prompt_digest(text), (number, truth))
        return first, known == truth


def prompt_digest(text: str) -> bytes:
    """Stands for a prompt, whatever its white space.

    >>> prompt_digest("1 +  1") == prompt_digest("1 + 1"), prompt_digest("1 + 1") == prompt_digest("1 - 1")
    (True, False)
    """
    return digest(" ".join(text.split()), 16)
