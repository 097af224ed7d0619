"""What every judge shares: it has its say only where there is a text, and has nothing to close."""

from inspect_ai.model import Model

from sinternal_verl.evaluation.judge import Judgement, Question, Value
from sinternal_verl.evaluation.judges import reasons
from sinternal_verl.evaluation.judges.chat import MAX_RETRIES, TIMEOUT_S, TRY_S, Asking
from sinternal_verl.evaluation.judges.settings import Count, Temperature, Tries


class TextJudge:
    """A judge of texts that are not empty. A subclass writes `judge_text`.

    Attributes:
        name, model, gives: see `sinternal_verl.evaluation.judge.Judge`. A judgement has all values that the judge
            gives, or none.
    """

    name: str
    model: str
    gives: frozenset[Value]

    async def judge(self, question: Question) -> Judgement:
        """See `sinternal_verl.evaluation.judge.Judge.judge`."""
        if not question.text.strip():
            return Judgement({}, reasons.NO_TEXT)
        return await self.judge_text(question)

    async def judge_text(self, question: Question) -> Judgement:
        raise NotImplementedError

    async def close(self) -> None:
        """Do nothing: what holds connections overrides it."""


class ChatJudge(TextJudge):
    """A judge that is a model which Inspect serves; Inspect closes it.

    Args:
        model: the model.
        max_tokens, temperature, try_s, timeout_s, max_retries: see `sinternal_verl.evaluation.judges.chat.Asking`.
    """

    MAX_TOKENS: int
    """The default of ``max_tokens``."""

    def __init__(
        self,
        model: Model,
        *,
        max_tokens: Count | None = None,
        temperature: Temperature = 0.0,
        try_s: Count = TRY_S,
        timeout_s: Count = TIMEOUT_S,
        max_retries: Tries = MAX_RETRIES,
    ) -> None:
        self._model, self.model = model, str(model)
        tokens = self.MAX_TOKENS if max_tokens is None else max_tokens
        self._asking = Asking(tokens, temperature, try_s, timeout_s, max_retries)
