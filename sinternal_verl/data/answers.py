r"""Data for the paper's baselines, which train on whole answers of a set such as STAR-1 or SafeChain.

A set's ``response`` holds thought and answer. STAR-1's begin with ``<think>``, SafeChain's do not:

>>> whole_answer("<think>\nIt asks for the lamp.\n</think>\nNo.", thinks=True)
'<think>\nIt asks for the lamp.\n</think>\n\nNo.'
>>> whole_answer("It asks for the lamp.\n</think>\n\nNo.", thinks=True)
'<think>\nIt asks for the lamp.\n</think>\n\nNo.'
>>> whole_answer("No.", thinks=True)
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from sinternal_verl.data.adapter import RowError, instruction, names_of, nested, text_of
from sinternal_verl.data.contamination import Evaluation, find
from sinternal_verl.data.fraction import highest_rank, rank_of
from sinternal_verl.data.readers import Source, SourceError, Unreadable
from sinternal_verl.data.seen import SeenPrompts
from sinternal_verl.scoring.critique import THOUGHT_TAGS
from sinternal_verl.scoring.response import thought_and_answer

SFT_SCHEMA = pa.schema(
    [
        # What `PromptCompletionDataset` reads.
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("completion", pa.string()),
        # The prompt's text once more, by which files can be compared.
        ("request", pa.string()),
    ]
)

REQUESTS = ("question", "instruction", "prompt")
RESPONSES = ("response", "completion")

_NO_TEXT = re.compile(r"(?:<[|\uff5c][^<>\s]+[|\uff5c]>|</?s>|<(?:bos|eos|pad|end_of_turn)>|\s)*")
"""Control tokens of the models there are, and nothing else. The tokenizer that will train is not known here."""


class Answers:
    """Rows for `PromptCompletionDataset`. Each iteration reads the source anew.

    Args:
        source: has one column of `REQUESTS` and one of `RESPONSES`.
        thinks: whether the model that learns writes a thought; then a response without a thought is left out.
        seed: decides which rows a fraction takes.
        fraction: which share of the kept rows is taken, in (0, 1]; at least one row is.
        evaluations: evaluation sets whose prompts are left out.

    Attributes:
        counts: of the last iteration, ``answers/…`` by what became of them.
        bad: of the last iteration, the rows without a request or a response, each by row, place and reason.

    Raises:
        SourceError: an iteration raises it where the first row has not these columns.
    """

    def __init__(
        self, source: Source, thinks: bool, seed: int, fraction: float = 1.0, evaluations: Sequence[Evaluation] = ()
    ) -> None:
        self.source = source
        self._thinks, self._seed, self._fraction, self._evaluations = thinks, seed, fraction, evaluations
        self.counts: Counter[str] = Counter()
        self.bad: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        limit = None
        if self._fraction < 1:
            limit = highest_rank((rank_of(request, self._seed) for request, _ in self._kept()), self._fraction)
        for request, answer in self._kept():
            if limit is not None and rank_of(request, self._seed) > limit:
                self.counts["answers/left out by fraction"] += 1
                continue
            self.counts["answers/kept"] += 1
            yield {"prompt": [{"role": "user", "content": request}], "completion": answer, "request": request}

    def _kept(self) -> Iterator[tuple[str, str]]:
        self.counts, self.bad, known, columns = Counter(), [], SeenPrompts(), None
        for row_number, (number, row) in enumerate(self.source.rows()):
            try:
                if isinstance(row, Unreadable):
                    raise RowError(row.reason)
                columns = columns or self._columns(number, row)
                asked, answered = columns
                request = instruction(row) if asked == "instruction" else text_of(asked, row.get(asked))
                response = text_of(answered, row.get(answered))
            except RowError as error:
                self.counts["answers/bad"] += 1
                self.bad.append({"row": row_number, "place": self.source.place.format(number), "reason": str(error)})
                continue
            answer = whole_answer(response, self._thinks)
            if answer is None:
                self.counts["answers/no whole thought and answer"] += 1
            elif find(request, self._evaluations):
                self.counts["answers/contaminated"] += 1
            # Last, because a request is known only by a row that is kept: a whole answer may follow a broken one.
            elif known.first(request, "", number)[0] != number:
                self.counts["answers/duplicate request"] += 1
            else:
                yield request, answer

    def _columns(self, number: int, first: dict[str, Any]) -> tuple[str, str]:
        """The columns of request and response."""
        found = tuple(next((name for name in names if name in first), None) for names in (REQUESTS, RESPONSES))
        for name, names in zip(found, (REQUESTS, RESPONSES), strict=True):
            if name is None:
                found = f"there is no {' or '.join(names)}; the columns are {names_of(first)}"
                step = f"; {reason}" if (reason := nested(first)) else ""
                raise SourceError(f"{self.source.where(number)}: {found}{step}")
        return found


def whole_answer(response: str, thinks: bool) -> str | None:
    """The completion that a response becomes; None where the answer, or a thought that is needed, is missing, or where
    training would refuse it: a tag stands once more, or the answer is an end token alone."""
    thought, answer = thought_and_answer(response) or ("", response)
    thought, answer = thought.strip().removeprefix(THOUGHT_TAGS[0]).strip(), answer.strip()
    if _NO_TEXT.fullmatch(answer) or THOUGHT_TAGS[0] in thought or any(tag in answer for tag in THOUGHT_TAGS):
        return None
    if not thinks:
        return answer
    return None if _NO_TEXT.fullmatch(thought) else f"<think>\n{thought}\n</think>\n\n{answer}"
