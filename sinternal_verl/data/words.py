"""The words by which two texts are compared: letters and digits, without case, in any script."""

import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import regex

from sinternal_verl.data.math import bare

# Unicode's line breaking classes of the scripts that put no space between words: ideographs and kana (ID, CJ, NS),
# the complex scripts of South East Asia (SA) and the Brahmic ones that break at syllables (AK, AP, AS).
_UNSPACED = "".join(rf"\p{{lb={name}}}" for name in ("ID", "CJ", "NS", "SA", "AK", "AP", "AS"))
_LETTER = r"[\p{L}\p{N}]"
WORD = regex.compile(
    rf"[{_LETTER}&&[{_UNSPACED}]]\p{{M}}*|[{_LETTER}--[{_UNSPACED}]](?:[{_LETTER}--[{_UNSPACED}]]|\p{{M}})*", regex.V1
)
ASCII_WORD = regex.compile(r"[a-z0-9]+")
# Format characters, and others that show nothing: soft hyphens, zero-width spaces, variation selectors.
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Default_Ignorable_Code_Point}]+", regex.V1)
_IS_UNSPACED = regex.compile(f"[{_UNSPACED}]", regex.V1)


class Words(tuple[str, ...]):
    """The words of a text, and up to each of them the sum of their halves: 2 for a word, 1 for a letter of a script
    without spaces."""

    halves: Sequence[int]

    def __new__(cls, words: Iterable[str]) -> "Words":
        self = super().__new__(cls, words)
        if "".join(self).isascii():
            self.halves = range(0, 2 * len(self) + 1, 2)
        else:
            self.halves = list(accumulate((1 if _IS_UNSPACED.match(word) else 2 for word in self), initial=0))
        return self

    def run(self, start: int, halves: int) -> tuple[str, ...] | None:
        """The words from ``start`` on that have so many halves; None where they end before."""
        end = bisect_left(self.halves, self.halves[start] + halves)
        return self[start:end] if end <= len(self) else None

    def runs(self, halves: int) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each run of so many halves, with its start."""
        for start in range(len(self)):
            if (run := self.run(start, halves)) is None:
                return
            yield start, run

    def seeds(self, length: int) -> Iterator[tuple[int, int]]:
        """The start of each run of so many words, with its hash, which only leads to words that are compared."""
        return ((start, hash(self[start : start + length])) for start in range(len(self) - length + 1))


def words_of(text: str) -> Words:
    """The words of a text. A text without any is its own single word, so that it is still found as a whole.

    >>> words_of("Feed the DUCKS_2!"), words_of("?!"), words_of("鴨の池No5")
    (('feed', 'the', 'ducks', '2'), ('?!',), ('鴨', 'の', '池', 'no5'))
    """
    text = bare(text)
    if text.isascii():
        return Words(ASCII_WORD.findall(text.lower()) or [text.strip()])
    # Unicode's own caseless comparison: case may part what NFKC has joined, so it comes once more.
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return Words(WORD.findall(unicodedata.normalize("NFKC", folded)) or [text.strip()])
